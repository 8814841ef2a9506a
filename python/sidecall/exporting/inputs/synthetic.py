"""Makes synthetic rows: each column is drawn independently, and some rows hold edge cases.

Used for golden rows, and to test what the data does not cover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..data.columns import Column, column_of
from ..data.containers import Data
from ..data.precision import decimals
from ..model.original import Original
from .intervals import holds
from .odd_dates import odd_dates
from .probe import UNKNOWN, Acceptance, accepted_rows
from .schema import Feature, Schema

_MISSING_SHARE = 0.1
_UNKNOWN_SHARE = 0.05
_BETWEEN_SHARE = 0.3
_ODD_SHARE = 0.2  # of dates
_ORDERED = ("float", "int", "datetime")  # kinds that have values between two values
# The position, from 0 to 1, of a new value between two values of the data. It is not the middle:
# trees put their thresholds in the middle, and a value that is rounded to float32 may then lie on
# either side of the threshold.
_BETWEEN = 0.37
# The fraction of new values that do lie in the middle, if the middle has no more decimals than the
# data. A caller may pass such a number, so the answer must be right.
_MIDDLE_SHARE = 0.5
# An end of a domain outside of these magnitudes comes from floating point, not from the model.
_SMALL, _LARGE = 1e-30, 1e15
_WHOLE = (-(2**53), -(2**31), 0, 2**31 - 1, 2**53)
_MOST_EXTREMES = 12  # the most features that get a row for each of their own extremes
_MIXTURES = 24
_MAX_VALUES = 200_000  # in one table; wide models get fewer rows


class Source:
    """The values to draw from for a feature.

    With `exact` False, numbers are drawn from between the numbers of the data, unless the feature
    has only one number or a list of allowed values.
    """

    def __init__(
        self,
        column: Column,
        acceptance: Acceptance,
        rng: np.random.Generator,
        exact: bool,
        limits: tuple[int, int] | None,
    ) -> None:
        self.kind = column.kind
        # The ends of the column's own integer type.
        self.limits = limits if column.kind == "int" and limits is not None else ()
        self.ends = _ends(acceptance.domain, column.kind)
        self.rng = rng
        self.exact = exact
        self.nullable = acceptance.nullable
        self.unknown = acceptance.unknown
        self.closed = acceptance.allowed is not None
        present = acceptance.allowed if acceptance.allowed else column.present().tolist()
        if column.kind == "float":
            present = [value for value in present if np.isfinite(value)]
        self.values = sorted(set(present)) or [
            {"float": 0.0, "int": 0, "bool": False, "string": UNKNOWN, "datetime": 0}[column.kind]
        ]
        self.places = _places(column)
        self.odd = [] if column.dates is None else odd_dates(self._near(), column.dates)
        self.words = _words(self.values) if column.kind == "string" and not self.closed else []

    def draw(self) -> Any:
        if self.nullable and self.rng.random() < _MISSING_SHARE:
            return None
        if self.words:
            return self.phrase()
        if (
            self.kind == "string"
            and self.unknown is not None
            and self.rng.random() < _UNKNOWN_SHARE
        ):
            return self.unknown
        if self.odd and self.rng.random() < _ODD_SHARE:
            return self.odd[self.rng.integers(len(self.odd))]
        if (
            self.kind in _ORDERED
            and not self.closed
            and (not self.exact or self.rng.random() < _BETWEEN_SHARE)
        ):
            return self.between()
        return self.values[self.rng.integers(len(self.values))]

    def _near(self) -> list[int]:
        """Returns three dates of the data, or between such dates if they must not be stored."""
        if self.exact or len(self.values) < 2:
            return [self.values[len(self.values) * k // 3] for k in range(3)]
        return sorted(self.between() for _ in range(3))

    def phrase(self) -> str:
        return " ".join(self.rng.choice(self.words, size=self.rng.integers(1, 12)))

    def between(self) -> Any:
        if self.kind not in _ORDERED or self.closed or len(self.values) < 2:
            return self.values[self.rng.integers(len(self.values))]
        i = self.rng.integers(len(self.values) - 1)
        low, high = self.values[i], self.values[i + 1]
        middle = self.middle(low, high)
        if middle is not None and self.rng.random() < _MIDDLE_SHARE:
            return middle
        if self.kind != "float":
            return low + int((high - low) * _BETWEEN)
        value = low + (high - low) * _BETWEEN
        # Use the shortest decimal that rounds to this float32, because a caller would write this
        # decimal.
        short = float(np.format_float_positional(np.float32(value), unique=True))
        return short if low < short < high else value

    def middle(self, low: Any, high: Any) -> Any:
        """Returns the middle of `low` and `high`, rounded to the decimals of the data.

        Returns None if the rounded number is not between the two, or the data has full precision.
        """
        if self.places is None:
            return None
        value = (
            (low + high) // 2
            if self.kind != "float"
            else float(np.round((low + high) / 2, self.places))
        )
        return value if low < value < high else None

    def edges(self) -> list[Any]:
        result = (
            [self.values[0], self.values[-1], self.between()]
            if self.exact or self.closed or self.kind not in _ORDERED
            else [self.between()]
        )
        if self.words:
            result = ["", UNKNOWN, self.phrase().upper()]
        result += self.ends + self.odd
        if not self.closed:
            result += [value for value in self.limits if abs(value) < _LARGE]
        return (
            result
            + ([self.unknown] if self.unknown is not None and self.kind != "float" else [])
            + ([None] if self.nullable else [])
        )


class Generator:
    def __init__(
        self,
        data: Data,
        accepts: list[Acceptance],
        original: Original,
        *,
        seed: int = 0,
        exact: bool = True,
    ) -> None:
        self.data = data
        self.original = original
        rng = np.random.default_rng(seed)
        self._rng = rng
        self._refused: list[list[Column]] = []
        self.sources = [
            Source(column, acceptance, rng, exact, data.limits(i))
            for i, (column, acceptance) in enumerate(zip(data.columns, accepts, strict=True))
        ]

    def golden(self, rows: int) -> list[Column]:
        """Returns a few rows: first rows in which every feature is at an edge, then random rows."""
        by_feature = [source.edges() for source in self.sources]
        most_edges = max(len(edges) for edges in by_feature)
        edges = [[edges[min(i, len(edges) - 1)] for edges in by_feature] for i in range(most_edges)]
        return self._accepted(edges + [self._draw() for _ in range(max(0, rows - len(edges)))])

    def probe_rows(self, rows: int) -> list[Column]:
        """Returns random rows, and then random rows in which one feature is at an edge."""
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
        """Returns the rows without those that the model itself refuses."""
        columns = self._columns(rows)
        good = (
            accepted_rows(self.original, self.data.build(columns), len(rows))
            if rows
            else np.zeros(0, dtype=bool)
        )
        self._refused.append([column.take(~good) for column in columns])
        return [column.take(good) for column in columns]

    def refused(self) -> list[Column]:
        """Returns all rows made so far that the model refused."""
        return (
            [_joined(parts) for parts in zip(*self._refused, strict=True)]
            if self._refused
            else self._columns([])
        )

    def extremes(self, schema: Schema) -> list[Column]:
        """Returns rows with the ends of what the features accept.

        A row has the ends in all features, in one feature, or in a random mixture of features. The
        model may refuse some rows.
        """
        ends = [
            _extremes(self.data, i, feature, source)
            for i, (feature, source) in enumerate(zip(schema.features, self.sources, strict=True))
        ]
        result = [[values[place] for values in ends] for place in (0, -1)]
        for i in np.unique(np.linspace(0, len(ends) - 1, _MOST_EXTREMES).astype(int)):
            for value in ends[i]:
                row = self._draw()
                row[i] = value
                result.append(row)
        for _ in range(_MIXTURES):
            row = self._draw()
            for i in np.flatnonzero(self._rng.random(len(row)) < self._rng.random()):
                row[i] = ends[i][self._rng.integers(len(ends[i]))]
            result.append(row)
        return self._columns(result)

    def _columns(self, rows: list[list[Any]]) -> list[Column]:
        by_feature = zip(*rows, strict=True)
        return [
            column_of(c.name, c.kind, values, c.narrow, c.dates)
            for c, values in zip(self.data.columns, by_feature, strict=True)
        ]


def _ends(domain: list[tuple[Any, Any]] | None, kind: str) -> list[Any]:
    """Returns those ends of the intervals that come from the model, not from the number type."""
    ends = {end for interval in domain or () for end in interval}
    if kind == "int":
        ends = {
            round(end)
            for end in ends
            if np.isfinite(end) and holds(domain or [], np.array([round(end)]))[0]
        }
    return sorted(end for end in ends if end == 0 or _SMALL < abs(end) < _LARGE)[:4]


def _extremes(data: Data, i: int, feature: Feature, source: Source) -> list[Any]:
    if (kind := data.columns[i].dates) is not None:
        return list(kind.counts)
    if source.closed or source.kind not in ("float", "int"):
        return source.values[:1] + source.values[-1:]
    if source.kind == "int":
        domain = feature.domain or [(-np.inf, np.inf)]
        # A tensor of floats cannot hold every int64, and a missing value takes one of them.
        is_exact = feature.tensor == "int64" and not feature.nullable
        return [
            value
            for value in (*source.ends, *(source.limits if is_exact else ()), *_WHOLE)
            if data.holds(i, value) and holds(domain, np.array([value]))[0]
        ] or source.values
    if feature.domain is not None:
        return sorted({end for interval in feature.domain for end in interval})
    largest = float(np.finfo(feature.tensor).max)
    return [-np.inf, -largest, 0.0, largest, np.inf]


def _joined(parts: Sequence[Column]) -> Column:
    values, missing = (
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.missing for part in parts]),
    )
    return replace(parts[0], values=values, missing=missing)


def _places(column: Column) -> int | None:
    """Returns how many decimals a column has, 0 for whole numbers; None for full precision."""
    if column.kind == "datetime":
        return 0
    if column.kind not in ("int", "float"):
        return None
    present = column.present()
    whole = bool(np.all(np.isfinite(present) & (present == np.floor(present)))) and len(present) > 0
    return 0 if whole else decimals(column)


def _words(values: list[str]) -> list[str]:
    """Returns the words of free text; none for categories."""
    if len(values) < 10 or sum(" " in value for value in values) < len(values) / 2:
        return []
    return sorted({word for value in values[:1000] for word in value.split()})[:5000]
