"""The fitted model as the reference: its task, its outputs, its answers.

Used by parity, probes and golden rows.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sidecall._methods import method_of

from ..data.columns import Column, is_missing
from ..errors import ModelError
from ..pytorch import is_of_torch
from .steps import StepTypes

if TYPE_CHECKING:
    from ..data.containers import Data

_LONGEST_REASON = 200
# The parts of an error text that may be values: texts in quotes, and numbers.
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"|(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
_BATCH = 10_000  # rows that the model answers at once


@dataclass
class Output:
    """One output of the contract. `width` is None if the tensor is [N] or [N, 1]."""

    name: str
    method: str
    type: str = ""
    classes: list[Any] | None = None
    width: int | None = None
    decision: dict[str, Any] | None = None
    deterministic: bool = True
    # The model gave only finite numbers, even for the extremes of the numbers that it accepts.
    finite: bool = False
    # "float32" if a step computes in float32, so that answers cannot agree to more digits.
    computed_in: str = "float64"

    @property
    def role(self) -> str:
        return {"distances": "scores", "indices": "prediction"}.get(self.name, self.name)

    @property
    def is_label(self) -> bool:
        return self.name == "label"

    def as_json(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"name": self.name, "role": self.role, "type": self.type}
        if self.classes is not None:
            entry["classes"] = self.classes
        if self.width is not None:
            entry["width"] = self.width
        if self.decision is not None:
            entry["decision"] = self.decision
        if self.finite:
            entry["finite"] = True
        if not self.deterministic:
            entry["deterministic"] = False
        return entry


class Original:
    """The fitted model and its outputs.

    `ask` returns an array per output: [N], or [N, width] if the output has several columns.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.task = _task_of(model)
        self.steps = StepTypes(model)
        self.outputs = [Output(name, method) for name, method in _methods_of(model, self.task)]

    def accepts(self, rows: Any) -> bool:
        return self.refusal(rows) is None

    def accepted(self, rows: Any, count: int) -> np.ndarray | None:
        """Returns which of `count` rows the model accepts; None if one call does not tell."""
        return np.ones(count, dtype=bool) if self.accepts(rows) else None

    def refusal(self, rows: Any) -> Exception | None:
        """Returns the exception that the model raises for these rows, or None."""
        try:
            with quiet():
                method_of(self.model, self.outputs[0].method)(_copy_of(rows))
        except Exception as error:
            return error
        return None

    def ask(self, rows: Any) -> dict[str, np.ndarray]:
        return {output.name: self._ask(output, rows) for output in self.outputs}

    def ask_columns(self, data: Data, columns: list[Column]) -> dict[str, np.ndarray]:
        """The answers for rows in the types of `data`, except where a value is missing."""
        parts = data.parts(columns)
        if len(parts) == 1:
            return self.ask(data.build(columns))
        found = [self.ask(data.build([column.take(part) for column in columns])) for part in parts]
        order = np.argsort(np.concatenate(parts))
        return {
            output.name: np.concatenate([answers[output.name] for answers in found])[order]
            for output in self.outputs
        }

    def _ask(self, output: Output, rows: Any) -> np.ndarray:
        try:
            with quiet():
                answer = _as_array(method_of(self.model, output.method)(_copy_of(rows)))
        except Exception as error:
            reason = reason_of(error, output.method, rows)
            raise ModelError(f"the model fails on the data: {reason}") from error
        if output.is_label and answer.ndim == 2 and answer.shape[1] == 1:
            # CatBoost answers with one column if it has three or more classes.
            classes = getattr(self.model, "classes_", None)
            return answer[:, 0] if isinstance(classes, np.ndarray) else answer
        return answer

    def describe(self, rows: Any) -> None:
        """Completes the classes and widths of the outputs and the types of the steps.

        Uses the answers for `rows`. Drops outputs that a contract cannot hold.
        """
        with self.steps.watching():
            self._describe(rows)
        for output in self.outputs:
            output.computed_in = "float32" if self.steps.any_float32 else "float64"

    def _describe(self, rows: Any) -> None:
        answers: dict[str, np.ndarray] = {}
        for output in list(self.outputs):
            try:
                answers[output.name] = self._ask(output, rows)
            except ModelError:
                # The method exists but fails, such as decision_function of an ensemble whose
                # members have none.
                if output is self.outputs[0]:
                    raise
                self.outputs.remove(output)
                continue
            if output.is_label and answers[output.name].dtype.kind == "f":
                self._require_classes(answers[output.name])
            if answers[output.name].ndim > 2:
                self.outputs.remove(output)
                continue
            _complete(output, answers[output.name], self.task, self.classes(answers))

    def _require_classes(self, answer: np.ndarray) -> None:
        classes = getattr(self.model, "classes_", None)
        if isinstance(classes, np.ndarray) and not np.isin(answer, classes).all():
            raise ModelError(
                "predict answers with scores instead of classes, as LightGBM does with a custom "
                "objective; export its booster_"
            )

    def categories(
        self, rows: Callable[[slice], Any], count: int
    ) -> dict[int, dict[int, list[Any]]]:
        """Returns the values of columns for which the steps store only hashes (steps.py).

        The model answers all rows for this; `rows` returns some of them.
        """
        with self.steps.collecting() as is_needed:
            for start in range(0, count if is_needed else 0, _BATCH):
                self.ask(rows(slice(start, min(start + _BATCH, count))))
        return self.steps.categories

    def classes(self, answers: dict[str, np.ndarray] | None = None) -> list[Any] | None:
        """Returns the class labels as JSON values in the model's order.

        Returns None for regressors and clusterers, and if a label has several columns.
        """
        if self.task == "outlier":
            return [-1, 1]
        if self.task != "classification" or (
            answers is not None and "label" in answers and answers["label"].ndim == 2
        ):
            return None
        classes = getattr(self.model, "classes_", None)
        if classes is None or (
            isinstance(classes, list) and classes and isinstance(classes[0], np.ndarray)
        ):
            return None
        return [_json_label(label) for label in np.asarray(classes).tolist()]


def reason_of(error: Exception, method: str, rows: Any) -> str:
    """The error that the model raised, with its text unless it may contain a value of the rows."""
    reason = f"{type(error).__name__} in {method.partition('.')[0]}"
    text = str(error).partition("\n")[0][:_LONGEST_REASON]
    words = [word for found in _QUOTED.findall(text) for word in found if word]
    values = {str(value) for value in np.asarray(rows, dtype=object).ravel()}
    values |= {value.removesuffix(".0") for value in values}
    return f"{reason}: {text}" if text and values.isdisjoint(words) else reason


@contextmanager
def quiet() -> Iterator[None]:
    """Hides warnings about feature names and extreme values, which the probes themselves cause."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _task_of(model: Any) -> str:
    from sklearn import base

    from sidecall.convert.output import final_step

    if is_of_torch(model):
        raise ModelError(
            f"expected a fitted scikit-learn model, got the PyTorch object {type(model).__name__}; "
            "only sidecall.export and sidecall.check take PyTorch modules, and "
            "sidecall.check(module, rows) compares the answers of module and file"
        )
    if _answers_about_neighbours(model):
        return "transform"
    final = type(final_step(model))
    if final.__module__.partition(".")[0] == "catboost" and final.__name__ == "CatBoost":
        return "regression"  # it predicts sums, whatever its loss
    if not any(hasattr(model, method) for method in ("predict", "transform")):
        raise ModelError(
            f"expected a fitted model with predict or transform, got {type(model).__name__} of "
            f"{type(model).__module__.partition('.')[0]}; write a class whose predict calls this "
            "object and register a converter for the class, or serve a function that calls it "
            "(sidecall serve app:function)"
        )
    tests = (
        ("outlier", base.is_outlier_detector),
        ("classification", base.is_classifier),
        ("regression", base.is_regressor),
        ("clustering", base.is_clusterer),
    )
    for task, test in tests:
        try:
            if test(model) and hasattr(model, "predict"):
                return task
        except (AttributeError, TypeError):
            break
    if not hasattr(model, "predict"):
        return "transform"
    if hasattr(model, "predict_proba"):
        return "classification" if hasattr(model, "classes_") else "clustering"
    return "transform" if hasattr(model, "transform") else "regression"


def _answers_about_neighbours(model: Any) -> bool:
    """Whether the model is like KernelDensity or NearestNeighbors, or contains such a model.

    A model with fit_predict does not count: it answers only for the rows of its training.
    """
    if any(hasattr(model, method) for method in ("predict", "transform", "fit_predict")):
        return False
    return hasattr(model, "score_samples") or hasattr(model, "kneighbors")


def _methods_of(model: Any, task: str) -> list[tuple[str, str]]:
    if _answers_about_neighbours(model):
        return (
            [("scores", "score_samples")]
            if hasattr(model, "score_samples")
            else [("distances", "kneighbors.0"), ("indices", "kneighbors.1")]
        )
    if task == "transform":
        return [("transformed", "transform")]
    if task == "regression":
        return [("prediction", "predict")]
    result = [("label", "predict")]
    if task == "outlier":
        second = [("scores", "decision_function")]
    elif task == "clustering":
        second = [("probabilities", "predict_proba"), ("scores", "transform")]
    else:
        second = [("probabilities", "predict_proba"), ("scores", "decision_function")]
    return result + next(([pair] for pair in second if hasattr(model, pair[1])), [])


def _copy_of(rows: Any) -> Any:
    """Rows that the model may change; some transformers write into what they get."""
    return rows.copy() if hasattr(rows, "copy") else rows


def _as_array(answer: Any) -> np.ndarray:
    if isinstance(answer, list) and answer and getattr(answer[0], "ndim", 0) == 2:
        # A multi-output classifier returns one array per output, which a contract cannot hold.
        return np.empty((0, 0, 0))
    if hasattr(answer, "toarray"):
        answer = answer.toarray()
    array = np.asarray(answer)
    if array.dtype == object and all(
        isinstance(v, bool | np.bool_ | int | float | np.number) or is_missing(v)
        for v in array.flat
    ):
        # A DataFrame with columns of numbers and of bools, or with pd.NA for a missing number.
        numbers = [np.nan if is_missing(v) else v for v in array.flat]
        array = np.array(numbers, dtype=np.float64).reshape(array.shape)
    return (
        array[:, 0]
        if array.ndim == 2 and array.shape[1] == 1 and array.dtype.kind != "O"
        else array
    )


def _complete(output: Output, answer: np.ndarray, task: str, classes: list[Any] | None) -> None:
    if answer.ndim == 2:
        output.width = answer.shape[1]
    if output.is_label:
        output.classes = classes
        output.type = _label_type(classes if classes is not None else answer.ravel().tolist())
    elif output.name == "probabilities":
        width = output.width or 1
        output.classes = (
            classes if classes is not None and len(classes) == width else list(range(width))
        )
        output.width = None
    elif (
        output.name == "scores"
        and classes is not None
        and output.width == len(classes)
        and task == "classification"
    ):
        output.classes, output.width = classes, None
    elif output.name == "transformed" and output.width is None:
        output.width = 1


def _label_type(labels: list[Any]) -> str:
    labels = [_json_label(label) for label in labels]
    if all(isinstance(label, bool) for label in labels):
        return "bool"
    return "int64" if all(isinstance(label, int) for label in labels) else "string"


def _json_label(label: Any) -> Any:
    """Returns a string, integer or boolean.

    A whole float becomes an integer, because pandas reads a column of integers with missing values
    as floats.
    """
    if isinstance(label, (bool, np.bool_)):
        return bool(label)
    if isinstance(label, (int, np.integer)):
        return int(label)
    if isinstance(label, (float, np.floating)) and float(label).is_integer():
        return int(label)
    if isinstance(label, str):
        return str(label)
    raise ModelError(
        f"expected class labels that are strings, integers or booleans, got {type(label).__name__}"
    )


def labels_as_json(array: np.ndarray) -> list[Any]:
    """Returns labels, in one column or several, in the form that the contract has."""
    if array.ndim == 2:
        return [[_json_label(label) for label in row] for row in array.tolist()]
    return [_json_label(label) for label in array.tolist()]
