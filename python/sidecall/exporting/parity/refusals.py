"""Checks that the file refuses the rows that the model refuses, and answers the others.

The rows hold extremes of what the features accept.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from sidecall.convert.checks import REFUSED

from ..data.columns import Column
from ..errors import ModelError, StepError
from ..inputs.intervals import holds
from ..inputs.probe import accepted_rows
from .measure import Measure


class Refusals:
    """Counts rows: `strict` are refused only by the graph, `lenient` only by the model."""

    def __init__(self, measure: Measure, steps: list[dict[str, str]]) -> None:
        self.measure = measure
        self.steps = steps
        self.rows = self.strict = self.lenient = 0

    def judge(self, extremes: list[Column], refused: list[Column]) -> None:
        """Counts the rows of both lists, and sets `finite` of the outputs.

        `refused` holds rows that the model is known to refuse.
        """
        measure = self.measure
        good = accepted_rows(measure.original, measure.data.build(extremes), len(extremes[0]))
        answered = [column.take(good) for column in extremes]
        if good.any():
            self._note_finite(answered)
        for output in measure.original.outputs:
            output.finite = (
                measure.finite[output.name]
                and output.type.startswith("float")
                and not output.is_label
            )
        self.strict += int((~self._is_answered(answered, by_steps=True)).sum())
        for columns in ([column.take(~good) for column in extremes], refused):
            self.lenient += int(self._is_answered(columns).sum())
            self.rows += len(columns[0])
        self.rows += int(good.sum())

    def _note_finite(self, columns: list[Column]) -> None:
        """Notes whether the model's answers are finite.

        A sum that is close to overflow may overflow in one batch and not in another. So the model
        may refuse this batch although it has answered each row; it is then asked row by row.
        """
        measure = self.measure
        try:
            measure.note_finite(measure.original.ask(measure.data.build(columns)))
        except ModelError:
            for row in range(len(columns[0])):
                with suppress(ModelError):
                    measure.note_finite(
                        measure.original.ask(
                            measure.data.build([column.take([row]) for column in columns])
                        )
                    )

    def _is_answered(self, columns: list[Column], by_steps: bool = False) -> np.ndarray:
        """Returns, for each row, whether the file answers it.

        With `by_steps`, only the checks of steps count, not the domains of features.
        """
        result = np.ones(len(columns[0]), dtype=bool)
        for feature, column in zip(self.measure.schema.features, columns, strict=True):
            if feature.domain is not None and not by_steps:
                result &= column.missing | holds(feature.domain, column.values)
        inside = np.flatnonzero(result)
        if len(inside):
            result[inside] = self._by_graph([column.take(inside) for column in columns], by_steps)
        return result

    def _by_graph(self, columns: list[Column], by_steps: bool) -> np.ndarray:
        tensors = self.measure.schema.tensors(columns)
        try:
            got = self.measure.session.run(tensors)
        except StepError:
            # An index beyond the end of a table makes the graph fail, as it makes the model fail.
            count = len(columns[0])
            if count > 1:
                return np.concatenate(
                    [self._by_graph([c.take([k]) for c in columns], by_steps) for k in range(count)]
                )
            if self.measure.proof is not None:
                self.measure.proof.expect_error(tensors)
            return np.zeros(1, dtype=bool)
        result = self._answers(got, by_steps)
        proof = self.measure.proof
        of_native = None if proof is None else proof.run(tensors)
        if proof is not None and of_native is not None:
            others = int((self._answers(of_native, by_steps) != result).sum())
            if others:
                proof.failure = f"it refuses other rows with extreme values than ONNX Runtime ({others} of {len(result)})"
        return result

    def _answers(self, got: dict[str, np.ndarray], by_steps: bool) -> np.ndarray:
        """Returns, for each row, whether the graph answers it.

        A row is refused by a step or, without `by_steps`, because an answer is not finite.
        """
        result = np.ones(len(next(iter(got.values()))), dtype=bool)
        if REFUSED in got:
            result &= got[REFUSED] == 0
        for output in self.measure.original.outputs:
            if output.finite and not by_steps:
                result &= np.isfinite(got[output.name].reshape(len(result), -1)).all(axis=1)
        return result
