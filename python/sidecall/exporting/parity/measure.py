"""Measures a converted graph against its original model; export raises an error if they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sidecall.convert.checks import REFUSED

from ..data.columns import Column
from ..data.containers import Data
from ..inputs.schema import Schema
from ..model.original import Original
from .compare import Difference, compare
from .proof import NativeProof

_BATCH = 10_000
# With precision "float32", at most this fraction of the rows may get an answer that differs from
# the original's. With a wrong graph, most answers differ. Synthetic rows lie beside thresholds more
# often than rows of the data.
_MOST_ROUNDED = 0.1
_MOST_ROUNDED_SYNTHETIC = 0.5
# If the answers for a row differ, the original is asked again for that row in batches of these
# sizes, to find out whether its own answer depends on the batch.
_OTHER_BATCHES = (1, 7)
_MOST_ASKED_AGAIN = 500  # rows of a batch; a limit, because with a wrong graph most rows differ


@dataclass
class OutputParity:
    """The differences of one output.

    `at_row` counts from 0 in the data. `closest_margin` is the smallest margin, in the original's
    scores, of a label that differs.
    """

    name: str
    is_label: bool
    largest: float = 0.0
    at_row: int | None = None
    disagreements: int = 0
    closest_margin: float | None = None
    widest_margin: float | None = None
    bad: int = 0
    first_bad: int | None = None
    worst_bad: float = 0.0

    def add(self, difference: Difference, counted: np.ndarray, offset: int) -> None:
        """Adds the rows that are True in `counted`.

        Those are all rows, except those that differ only by rounding and those for which the
        original itself gives several answers.
        """
        amount, bad = difference.amount[counted], difference.bad[counted]
        rows = np.flatnonzero(counted) + offset
        if self.is_label:
            margins = amount[difference.differs[counted]]
            if len(margins):
                self.disagreements += len(margins)
                self.closest_margin = float(
                    min(
                        margins.min(),
                        np.inf if self.closest_margin is None else self.closest_margin,
                    )
                )
                self.widest_margin = float(max(margins.max(), self.widest_margin or 0.0))
        elif len(amount) and (self.at_row is None or amount.max() > self.largest):
            self.largest, self.at_row = float(amount.max()), int(rows[amount.argmax()])
        if bad.any():
            self.bad += int(bad.sum())
            self.worst_bad = max(self.worst_bad, float(amount[bad].max()))
            if self.first_bad is None:
                self.first_bad = int(rows[bad.argmax()])

    def as_json(self) -> dict[str, Any]:
        if self.is_label:
            margin = self.closest_margin
            return {
                "name": self.name,
                "disagreements": self.disagreements,
                "closest_margin": margin if margin is not None and np.isfinite(margin) else None,
            }
        return {"name": self.name, "largest": self.largest, "at_row": self.at_row}


@dataclass
class Parity:
    """How far a graph agrees with the original.

    `rounded` rows differ because float32, which the user asked for, cannot hold their values. With
    precision "float32", every row that differs counts as rounded. For `unstable` rows the
    original's answer depends on the other rows of the batch. `refused` rows are answered by the
    original but not by the graph; `refusing` is the number, from 1, of the check in the graph that
    refuses them.
    """

    rows: int = 0
    rounded: int = 0
    unstable: int = 0
    refused: int = 0
    refusing: int = 0
    most_rounded: float = 1.0  # the fraction of rounded rows that is tolerated
    outputs: dict[str, OutputParity] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return (
            not any(output.bad for output in self.outputs.values())
            and self.rounded <= self.most_rounded * self.rows
        )

    def worst(self) -> OutputParity:
        return max(self.outputs.values(), key=lambda output: (output.bad, output.worst_bad))

    def describe(self, where: str) -> str:
        """Says why parity does not hold."""
        worst = self.worst()
        if not worst.bad:
            return f"float32 is not enough: {self.rounded} of {self.rows} rows of {where} get a different answer"
        rows = f"in {worst.bad} of {self.rows} rows, first in row {worst.first_bad}"
        rows += f" of {where}"
        if worst.is_label:
            return f"the converted graph gives different answers: the labels differ {rows}"
        amount = (
            "by an infinite amount"
            if np.isinf(worst.worst_bad)
            else f"by up to {worst.worst_bad:.3g}"
        )
        verb = "differs" if worst.name == "prediction" else "differ"
        return f"the converted graph gives different answers: {worst.name} {verb} {amount} {rows}"


class Runs(Protocol):
    """Gives answers in place of the original: a converted graph or a served model."""

    def run(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]: ...


class Measure:
    """Runs batches through the original and its replacement, and collects the differences.

    `of_data` measures the user's rows; `of_columns` measures rows that are given as columns.
    """

    def __init__(
        self,
        data: Data,
        schema: Schema,
        original: Original,
        session: Runs,
        rounds: bool = False,
        proof: NativeProof | None = None,
    ) -> None:
        """`rounds`: the graph computes in float32 because the user asked for it.

        `proof` runs the same rows on the native engine.
        """
        self.data, self.schema, self.original, self.session, self.rounds = (
            data,
            schema,
            original,
            session,
            rounds,
        )
        self.proof = proof
        # For each output, whether all answers of the original were finite.
        self.finite = {output.name: True for output in original.outputs}

    def of_data(self, on_rows: Callable[[int], None]) -> Parity:
        parities = self._new(_MOST_ROUNDED), self._new(_MOST_ROUNDED)
        for rows in _slices(self.data.rows):
            columns = [column.take(rows) for column in self.data.columns]
            expected = self.original.ask(self.data.original(rows))
            self._batch(parities, expected, columns, rows.start)
            on_rows(rows.stop - rows.start)
        return self._judged(parities, "the data")

    def of_columns(self, columns: list[Column]) -> Parity:
        parities = self._new(_MOST_ROUNDED_SYNTHETIC), self._new(_MOST_ROUNDED_SYNTHETIC)
        for rows in _slices(len(columns[0])):
            batch = [column.take(rows) for column in columns]
            self._batch(parities, self.ask(batch), batch, rows.start)
        return self._judged(parities, "synthetic rows")

    def _judged(self, parities: tuple[Parity, Parity], where: str) -> Parity:
        measured, of_native = parities
        if self.proof is not None:
            self.proof.judge(of_native, measured.refused, where)
        return measured

    def _new(self, most_rounded: float) -> Parity:
        return Parity(
            most_rounded=most_rounded if self.rounds else 1.0,
            outputs={
                output.name: OutputParity(output.name, output.is_label)
                for output in self.original.outputs
                if output.deterministic
            },
        )

    def ask(self, columns: list[Column]) -> dict[str, np.ndarray]:
        """The original's answers."""
        return self.original.ask_columns(self.data, columns)

    def _batch(
        self,
        parities: tuple[Parity, Parity],
        expected: dict[str, np.ndarray],
        columns: list[Column],
        offset: int,
    ) -> None:
        """Adds a batch to the parities of the session and of the native engine."""
        self.note_finite(expected)
        tensors = self.schema.tensors(columns)
        self._add(parities[0], expected, self.session.run(tensors), columns, offset)
        got = None if self.proof is None else self.proof.run(tensors)
        if got is not None:
            self._add(parities[1], expected, got, columns, offset)

    def _add(
        self,
        parity: Parity,
        expected: dict[str, np.ndarray],
        got: dict[str, np.ndarray],
        columns: list[Column],
        offset: int,
    ) -> None:
        if REFUSED in got and got[REFUSED].any():
            parity.refused += int((got[REFUSED] != 0).sum())
            parity.refusing = int(got[REFUSED].max())
        differences = compare(self.original.outputs, expected, got)
        counted = np.ones(len(columns[0]), dtype=bool)
        bad = (
            np.any([difference.bad for difference in differences], axis=0)
            if differences
            else ~counted
        )
        if bad.any():
            only_rounded = (
                np.flatnonzero(bad)
                if self.rounds
                else self.only_rounded(columns, got, np.flatnonzero(bad))
            )
            counted[only_rounded] = False
            parity.rounded += len(only_rounded)
            unstable = self.unstable(
                columns, expected, np.flatnonzero(bad & counted)[:_MOST_ASKED_AGAIN]
            )
            counted[unstable] = False
            parity.unstable += len(unstable)
        for difference in differences:
            parity.outputs[difference.output.name].add(difference, counted, offset)
        parity.rows += len(counted)

    def note_finite(self, expected: dict[str, np.ndarray]) -> None:
        for name, answer in expected.items():
            if answer.dtype.kind != "f" or not np.isfinite(answer).all():
                self.finite[name] = False

    def unstable(
        self, columns: list[Column], expected: dict[str, np.ndarray], rows: np.ndarray
    ) -> np.ndarray:
        """Returns those of `rows` for which the original's answer changes in smaller batches."""
        spread = np.zeros(len(rows), dtype=bool)
        first = {name: answer[rows] for name, answer in expected.items()}
        for size in _OTHER_BATCHES:
            parts = [
                self.ask([column.take(rows[k : k + size]) for column in columns])
                for k in range(0, len(rows), size)
            ]
            if not parts:
                continue
            again = {name: np.concatenate([part[name] for part in parts]) for name in first}
            for difference in compare(self.original.outputs, first, again):
                spread |= difference.bad
        kept: np.ndarray = rows[spread]
        return kept

    def only_rounded(
        self, columns: list[Column], got: dict[str, np.ndarray], rows: np.ndarray
    ) -> np.ndarray:
        """Returns those of `rows` that differ only because the input is rounded to float32.

        For these, the model agrees with the graph when the model gets the rounded values.
        """
        batch = [column.take(rows) for column in columns]
        rounded = self.schema.rounds(batch)
        if all(
            np.array_equal(a.values, b.values, equal_nan=a.kind == "float")
            for a, b in zip(batch, rounded, strict=True)
        ):
            return rows[:0]
        if not self.original.accepts(self.data.build(rounded)):
            return rows[:0]
        differences = compare(
            self.original.outputs,
            self.ask(rounded),
            {name: answer[rows] for name, answer in got.items()},
        )
        kept: np.ndarray = rows[~np.any([difference.bad for difference in differences], axis=0)]
        return kept


def _slices(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _BATCH):
        yield slice(start, min(start + _BATCH, rows))
