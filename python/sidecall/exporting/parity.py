"""Measures a converted graph against the model that it came from; export refuses or raises precision by what this finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .columns import Column
from .compare import Difference, compare
from .data import Data
from .engine import Session
from .original import Original
from .schema import Schema

_BATCH = 10_000
# Rows whose value lies within float32 rounding of a threshold: no float32 input can tell them apart, and they must be rare.
_ROUNDED_SHARE = 1e-3
_ROUNDED_SHARE_SYNTHETIC = 1e-2


@dataclass
class OutputParity:
    """`at_row` counts from 0 in the data; `closest_margin` is the smallest by which a label that differs was decided."""

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
        """`counted` leaves out rows that only rounding moved."""
        amount, bad = difference.amount[counted], difference.bad[counted]
        rows = np.flatnonzero(counted) + offset
        if self.is_label:
            margins = amount[difference.differs[counted]]
            if len(margins):
                self.disagreements += len(margins)
                self.closest_margin = float(min(margins.min(), np.inf if self.closest_margin is None else self.closest_margin))
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
    rows: int = 0
    rounded: int = 0
    rounded_share: float = _ROUNDED_SHARE
    outputs: dict[str, OutputParity] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return not any(output.bad for output in self.outputs.values()) and self.rounded <= self.rounded_share * self.rows

    def worst(self) -> OutputParity:
        return max(self.outputs.values(), key=lambda output: (output.bad, output.worst_bad))

    def describe(self, where: str) -> str:
        """Why it does not hold."""
        worst = self.worst()
        if not worst.bad:
            return f"{self.rounded} of {self.rows} rows of {where} hold values that a float32 input cannot tell from a threshold"
        rows = f"in {worst.bad} of {self.rows} rows, first in row {worst.first_bad}"
        rows += f" of {where}"
        if worst.is_label:
            return f"the converted graph gives other answers: the labels differ {rows}"
        amount = "by more than any number" if np.isinf(worst.worst_bad) else f"by up to {worst.worst_bad:.3g}"
        verb = "differs" if worst.name == "prediction" else "differ"
        return f"the converted graph gives other answers: {worst.name} {verb} {amount} {rows}"


class Measure:
    """Feeds batches through both, keeps what differs. `slices` are the user's rows, `columns` are made up."""

    def __init__(self, data: Data, schema: Schema, original: Original, session: Session) -> None:
        self.data, self.schema, self.original, self.session = data, schema, original, session

    def of_data(self, on_rows: Callable[[int], None]) -> Parity:
        parity = self._new()
        for rows in _slices(self.data.rows):
            self._batch(parity, self.data.original(rows), [column.take(rows) for column in self.data.columns], rows.start)
            on_rows(rows.stop - rows.start)
        return parity

    def of_columns(self, columns: list[Column]) -> Parity:
        parity = self._new()
        parity.rounded_share = _ROUNDED_SHARE_SYNTHETIC
        for rows in _slices(len(columns[0])):
            batch = [column.take(rows) for column in columns]
            self._batch(parity, self.data.build(batch), batch, rows.start)
        return parity

    def _new(self) -> Parity:
        return Parity(
            outputs={output.name: OutputParity(output.name, output.is_label) for output in self.original.outputs if output.deterministic}
        )

    def _batch(self, parity: Parity, rows: Any, columns: list[Column], offset: int) -> None:
        expected = self.original.ask(rows)
        got = self.session.run(self.schema.tensors(columns))
        differences = compare(self.original.outputs, expected, got)
        counted = np.ones(len(columns[0]), dtype=bool)
        bad = np.any([difference.bad for difference in differences], axis=0) if differences else ~counted
        if bad.any():
            only_rounded = self.only_rounded(columns, got, np.flatnonzero(bad))
            counted[only_rounded] = False
            parity.rounded += len(only_rounded)
        for difference in differences:
            parity.outputs[difference.output.name].add(difference, counted, offset)
        parity.rows += len(counted)

    def only_rounded(self, columns: list[Column], got: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Those of `rows` for which the model agrees with the graph once it is asked with what the float32 input holds."""
        batch = [column.take(rows) for column in columns]
        rounded = self.schema.rounds(batch)
        if all(np.array_equal(a.values, b.values, equal_nan=a.kind == "float") for a, b in zip(batch, rounded, strict=True)):
            return rows[:0]
        asked = self.data.build(rounded)
        if not self.original.accepts(asked):
            return rows[:0]
        differences = compare(self.original.outputs, self.original.ask(asked), {name: answer[rows] for name, answer in got.items()})
        kept: np.ndarray = rows[~np.any([difference.bad for difference in differences], axis=0)]
        return kept


def _slices(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _BATCH):
        yield slice(start, min(start + _BATCH, rows))
