"""A fitted estimator as a function over tensors.

Its methods get rows as they were in training, and the answers get the types of the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sidecall._data.arrays import storage
from sidecall._methods import method_of


@dataclass
class Answer:
    """One output: the method that computes it, and its tensor."""

    name: str
    method: str
    dtype: str
    width: int | None  # the columns of an [N, width] tensor; None for [N]
    # The classes, if this output is the label and the label has the largest probability.
    classes: list[Any] | None = None

    def __post_init__(self) -> None:
        self.numpy = storage(self.dtype)


class Estimator:
    """Takes a tensor for each input, and returns a tuple with an array for each output.

    Can be pickled, for workers. `predict` of a classifier usually computes again what
    `predict_proba` has computed. So if the contract says that the label is the class of the largest
    probability, the label is looked up; `predict` is called only if probabilities tie or are NaN.
    """

    def __init__(self, model: Any, rows: Callable[[Any], Any], answers: list[Answer]) -> None:
        self.model, self.rows, self.answers = model, rows, answers
        self._bind()

    def __call__(self, *tensors: np.ndarray) -> tuple[np.ndarray, ...]:
        rows = self.rows(tensors)
        if self._classes is None:
            return tuple([tensor_of(method(rows), answer) for method, answer in self._bound])
        (predict, label), (predict_proba, answer) = self._bound
        probabilities = tensor_of(predict_proba(rows), answer)
        labels = self._look_up(probabilities)
        return tensor_of(predict(rows), label) if labels is None else labels, probabilities

    def _look_up(self, probabilities: np.ndarray) -> np.ndarray | None:
        """Returns the class of the largest probability in each row.

        None if, in any row, the largest probability occurs twice or a probability is NaN.
        """
        assert self._classes is not None
        if len(probabilities) == 1:  # for one row, lists are several times faster than numpy
            row = probabilities[0].tolist()
            best = max(row)
            place = row.index(best)
            labels: np.ndarray = self._classes[place : place + 1]
            return labels if row.count(best) == 1 and sum(row) == sum(row) else None
        largest = probabilities.max(axis=1, keepdims=True)
        if np.count_nonzero(probabilities == largest) != len(probabilities):
            return None
        found: np.ndarray = np.take(self._classes, probabilities.argmax(axis=1))
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"model": self.model, "rows": self.rows, "answers": self.answers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._bind()

    def _bind(self) -> None:
        self._bound = [(method_of(self.model, answer.method), answer) for answer in self.answers]
        first = self.answers[0]
        looked_up = first.classes is not None and [answer.name for answer in self.answers] == [
            "label",
            "probabilities",
        ]
        self._classes = (
            np.array(first.classes, dtype="object" if first.dtype == "string" else first.dtype)
            if looked_up
            else None
        )


def tensor_of(value: Any, answer: Answer) -> np.ndarray:
    """Returns the answer of a method as the output's tensor.

    Raises sidecall.errors.Engine if the tensor cannot hold the answer.
    """
    if type(value) is not np.ndarray:
        value = np.asarray(value.toarray() if hasattr(value, "toarray") else value)
    if answer.dtype == "string":
        value = value.astype(object)
    elif value.dtype != answer.numpy:
        value = converted(value, answer)
    array: np.ndarray = value
    if answer.width is None:
        return array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    return array.reshape(-1, 1) if array.ndim == 1 and answer.width == 1 else array


def converted(value: np.ndarray, answer: Answer) -> np.ndarray:
    """Converts numbers to the output's type.

    Raises sidecall.errors.Engine for text, and for numbers that an integer type cannot hold.
    """
    from sidecall import errors

    if value.dtype.kind not in "fiubO":
        word = "string" if value.dtype.kind == "U" else value.dtype.name
        raise errors.Engine(f"output '{answer.name}': expected {answer.dtype}, got {word}")
    try:
        with np.errstate(invalid="ignore"):
            result: np.ndarray = value.astype(answer.dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise errors.Engine(
            f"output '{answer.name}': expected {answer.dtype}, got a value that does not convert ({type(error).__name__})"
        ) from error
    # A label of 1.0 becomes 1. A number that would be truncated or would wrap around is an error.
    if result.dtype.kind in "iub" and (result != value).any():
        raise errors.Engine(
            f"output '{answer.name}': expected {answer.dtype}, got numbers that this type cannot hold"
        )
    return result
