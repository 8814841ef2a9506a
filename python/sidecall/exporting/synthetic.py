"""Rows that no one has seen: columns drawn independently, and the edges. For golden rows and for what data leaves untried."""

from __future__ import annotations

from typing import Any

import numpy as np

from .columns import Column, column_of
from .data import Data
from .original import Original
from .precision import decimals
from .probe import UNKNOWN, Acceptance

_MISSING_SHARE = 0.1
_UNKNOWN_SHARE = 0.05
_BETWEEN_SHARE = 0.3
_BETWEEN = 0.37  # where a float32 may round a value, not the middle: trees put their thresholds there, and no rounding is right
_MIDDLE_SHARE = 0.5  # of the values between, where the middle is a number that a caller may write: it must be answered rightly
_MAX_VALUES = 200_000  # of one table; wide models get fewer rows


class Source:
    """What one feature's values are drawn from. `exact` False never gives a number that stands in the data."""

    def __init__(self, column: Column, acceptance: Acceptance, rng: np.random.Generator, exact: bool) -> None:
        self.kind = column.kind
        self.rng = rng
        self.exact = exact
        self.nullable = acceptance.nullable
        self.unknown = acceptance.unknown
        self.closed = acceptance.allowed is not None
        present = acceptance.allowed if acceptance.allowed else column.present().tolist()
        if column.kind == "float":
            present = [value for value in present if np.isfinite(value)]
        self.values = sorted(set(present)) or [{"float": 0.0, "int": 0, "bool": False, "string": UNKNOWN}[column.kind]]
        self.places = _places(column)
        self.words = _words(self.values) if column.kind == "string" and not self.closed else []

    def draw(self) -> Any:
        if self.nullable and self.rng.random() < _MISSING_SHARE:
            return None
        if self.words:
            return self.phrase()
        if self.kind == "string" and self.unknown is not None and self.rng.random() < _UNKNOWN_SHARE:
            return self.unknown
        if self.kind in ("float", "int") and not self.closed and (not self.exact or self.rng.random() < _BETWEEN_SHARE):
            return self.between()
        return self.values[self.rng.integers(len(self.values))]

    def phrase(self) -> str:
        return " ".join(self.rng.choice(self.words, size=self.rng.integers(1, 12)))

    def between(self) -> Any:
        if self.kind not in ("float", "int") or self.closed or len(self.values) < 2:
            return self.values[self.rng.integers(len(self.values))]
        i = self.rng.integers(len(self.values) - 1)
        low, high = self.values[i], self.values[i + 1]
        middle = self.middle(low, high)
        if middle is not None and self.rng.random() < _MIDDLE_SHARE:
            return middle
        if self.kind == "int":
            return low + int((high - low) * _BETWEEN)
        value = low + (high - low) * _BETWEEN
        # As short as a value that a caller writes: it must mean the same in a float32.
        short = float(np.format_float_positional(np.float32(value), unique=True))
        return short if low < short < high else value

    def middle(self, low: Any, high: Any) -> Any:
        """Half-way in as many decimals as the data is written with; None where these two have no such number between."""
        if self.places is None:
            return None
        value = (low + high) // 2 if self.kind == "int" else float(np.round((low + high) / 2, self.places))
        return value if low < value < high else None

    def edges(self) -> list[Any]:
        result = (
            [self.values[0], self.values[-1], self.between()]
            if self.exact or self.closed or self.kind not in ("float", "int")
            else [self.between()]
        )
        if self.words:
            result = ["", UNKNOWN, self.phrase().upper()]
        return result + ([self.unknown] if self.unknown is not None and self.kind != "float" else []) + ([None] if self.nullable else [])


class Generator:
    def __init__(self, data: Data, accepts: list[Acceptance], original: Original, *, seed: int = 0, exact: bool = True) -> None:
        self.data = data
        self.original = original
        rng = np.random.default_rng(seed)
        self.sources = [Source(column, acceptance, rng, exact) for column, acceptance in zip(data.columns, accepts, strict=True)]

    def golden(self, rows: int) -> list[Column]:
        """The edges of all features at once, then rows drawn at random: few, and each says much."""
        by_feature = [source.edges() for source in self.sources]
        deepest = max(len(edges) for edges in by_feature)
        edges = [[edges[min(i, len(edges) - 1)] for edges in by_feature] for i in range(deepest)]
        return self._accepted(edges + [self._draw() for _ in range(max(0, rows - len(edges)))])

    def many(self, rows: int) -> list[Column]:
        """Rows drawn at random, and each edge of each feature alone within such a row."""
        affordable = max(32, _MAX_VALUES // len(self.sources))
        result = [self._draw() for _ in range(min(rows, affordable))]
        for i, source in enumerate(self.sources[: affordable // 4]):
            for value in source.edges():
                row = self._draw()
                row[i] = value
                result.append(row)
        return self._accepted(result)

    def _draw(self) -> list[Any]:
        return [source.draw() for source in self.sources]

    def _accepted(self, rows: list[list[Any]]) -> list[Column]:
        """Without the rows that the model itself refuses."""
        columns = self._columns(rows)
        good = np.concatenate(self._split(columns, np.arange(len(rows))))
        return [column.take(good) for column in columns]

    def _split(self, columns: list[Column], rows: np.ndarray) -> list[np.ndarray]:
        if len(rows) == 0 or self.original.accepts(self.data.build([column.take(rows) for column in columns])):
            return [rows]
        if len(rows) == 1:
            return [rows[:0]]
        return self._split(columns, rows[: len(rows) // 2]) + self._split(columns, rows[len(rows) // 2 :])

    def _columns(self, rows: list[list[Any]]) -> list[Column]:
        by_feature = zip(*rows, strict=True)
        return [column_of(c.name, c.kind, values, c.narrow) for c, values in zip(self.data.columns, by_feature, strict=True)]


def _places(column: Column) -> int | None:
    """The decimals of a column of short numbers, 0 for whole ones; None for full precision."""
    if column.kind not in ("int", "float"):
        return None
    present = column.present()
    whole = bool(np.all(np.isfinite(present) & (present == np.floor(present)))) and len(present) > 0
    return 0 if whole else decimals(column)


def _words(values: list[str]) -> list[str]:
    """The words of free text; nothing for categories."""
    if len(values) < 10 or sum(" " in value for value in values) < len(values) / 2:
        return []
    return sorted({word for value in values[:1000] for word in value.split()})[:5000]
