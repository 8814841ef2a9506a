"""The rows that a pipeline is tested with: ordinary rows, and rows made to find a difference.

Used by judge.py. Rows are held as columns of sidecall's exporter (values and a mask of missing
ones). The original answers most rows. Rows that it may refuse come last, in batches of their own.
Most of these have one odd value each; the rest are rows of the table that the original refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sidecall.convert.dates import DAY, DateType
from sidecall.exporting.data.columns import Column

from .edges import find_jumps
from .values import (
    FLOATS,
    INTEGERS,
    MOMENTS,
    TEXTS,
    around,
    converted,
    nudged,
    printed,
    respelt,
    single,
)

Ask = Callable[[list[Column]], np.ndarray]

# The families of rows that the original answers, each with its relative number of rows.
FAMILIES = {
    "fresh": 12,
    "mixed": 10,
    "edge": 26,
    "float32": 8,
    "printed": 12,
    "unit": 16,
    "mean": 10,
    "missing": 3,
    "text": 3,
}
_BATCH = 4000
_BASE_ROWS = 3000
# One bisection for this number of rows; each bisection yields eight rows.
_ROWS_A_JUMP = 100


@dataclass
class Batch:
    """Rows and the family of each row.

    `swapped`: the caller sends float32 where fit saw float64, and the other way round.
    """

    columns: list[Column]
    families: np.ndarray
    swapped: bool

    def __len__(self) -> int:
        return len(self.families)


@dataclass
class Feature:
    """What the original does with one feature.

    `dtype`: the type that fit saw, for floats. `is_closed`: the original refuses numbers that it
    does not know. `is_bounded`: it refuses numbers that are too large.
    """

    column: int
    kind: str
    dtype: np.dtype[Any]
    edges: np.ndarray
    dates: DateType | None = None
    is_closed: bool = False
    is_bounded: bool = False
    takes_missing: bool = False


class Adversary:
    """Makes the rows of one pipeline.

    `pool` holds all rows of the table. `ask` returns the original's numbers for rows, NaN for a row
    that it refuses.
    """

    def __init__(
        self,
        pool: list[Column],
        dtypes: list[np.dtype[Any]],
        edges: dict[str, np.ndarray],
        ask: Ask,
        rng: np.random.Generator,
    ) -> None:
        self.rng, self.ask = rng, ask
        chosen = rng.permutation(len(pool[0]))[:_BASE_ROWS]
        rows = [column.take(chosen) for column in pool]
        refused = np.isnan(ask(rows)).any(axis=1)
        self.base = [column.take(~refused) for column in rows]
        self.refused = [column.take(np.flatnonzero(refused)[:50]) for column in rows]
        empty = np.zeros(0)
        self.features = [
            Feature(k, column.kind, dtype, edges.get(column.name, empty), column.dates)
            for k, (column, dtype) in enumerate(zip(pool, dtypes, strict=True))
        ]
        self.count = len(self.base[0])
        for feature in self.features if self.count else []:
            self._probe(feature)

    def _probe(self, feature: Feature) -> None:
        def refuses(value: Any) -> bool:
            rows = self._some(3)
            self._set(rows[feature.column], slice(None), value)
            return bool(np.isnan(self.ask(rows)).any())

        column = self.base[feature.column]
        present = column.present()
        feature.takes_missing = not refuses(None)
        if feature.kind == "float" and len(present):
            middle = np.sort(present)[len(present) // 2]
            feature.is_closed = refuses(
                np.nextafter(np.array(middle, feature.dtype), feature.dtype.type(np.inf))
            )
            feature.is_bounded = refuses(present.max() * 1.5 + 1)
        elif feature.kind == "int" and len(present):
            known = set(present.tolist())
            feature.is_closed = refuses(
                next(n for n in range(int(present.min()), int(present.max()) + 2) if n not in known)
            )

    def _some(self, count: int) -> list[Column]:
        chosen = self.rng.integers(self.count, size=count)
        return [_copy(column.take(chosen)) for column in self.base]

    @staticmethod
    def _set(column: Column, rows: Any, value: Any) -> None:
        is_missing = value is None or (isinstance(value, float) and value != value)
        column.missing[rows] = is_missing
        column.values[rows] = (
            (np.nan if column.kind == "float" else column.values[rows]) if is_missing else value
        )

    def batches(self, rows: int, odd: int, *, with_jumps: bool) -> Iterator[Batch]:
        """Yields about `rows` rows that the original answers, then rows that it may refuse.

        Of the rows that it may refuse, up to `odd` have one odd value each; the rest are rows of
        the table that it refused.
        """
        if self.count:
            jumps = self._jumps(rows // _ROWS_A_JUMP) if with_jumps else None
            if jumps is not None:
                yield jumps
                rows -= len(jumps)
            while rows > 0:
                yield self._plain(min(rows, _BATCH), swapped=bool(self.rng.random() < 0.35))
                rows -= _BATCH
            yield from self._odd(odd)
        if len(self.refused[0]):
            yield Batch(self.refused, np.full(len(self.refused[0]), "fresh, refused"), False)

    def _plain(self, rows: int, swapped: bool) -> Batch:
        shares = np.array(list(FAMILIES.values()), dtype=float)
        families = np.sort(self.rng.choice(list(FAMILIES), size=rows, p=shares / shares.sum()))
        columns = self._some(rows)
        for family in np.unique(families).tolist():
            places = np.flatnonzero(families == family)
            for feature in self.features:
                self._change(columns[feature.column], feature, family, places)
        return Batch(self._narrowed(columns) if swapped else columns, families, swapped)

    def _change(self, column: Column, feature: Feature, family: str, places: np.ndarray) -> None:
        """Changes some of the rows `places` in one column, as the family says."""
        rng = self.rng
        here = places[rng.random(len(places)) < (0.9 if rng.random() < 0.5 else 0.4)]
        other = self.base[feature.column].take(rng.integers(self.count, size=len(here)))
        if not len(here) or family == "fresh":
            return
        if family == "mixed" or (family == "text" and feature.kind != "string"):
            column.values[here], column.missing[here] = other.values, other.missing
        elif family == "missing":
            if feature.takes_missing and feature.kind in ("float", "string", "datetime"):
                self._set(column, here[rng.random(len(here)) < 0.5], None)
        elif family == "text":
            if not self._is_list(feature):
                column.values[here] = [respelt(str(text), rng) for text in column.values[here]]
        elif feature.dates is not None:
            if family == "mean":
                column.values[here] = column.values[here] // 2 + other.values // 2
            elif family == "edge":  # a second or a count beside midnight in UTC
                day, steps = DAY * feature.dates.per_second, [0, -1, feature.dates.per_second]
                near = other.values // day * day + rng.choice(steps, size=len(here))
                column.values[here] = np.where(other.missing, column.values[here], near)
        elif feature.kind == "float" and not feature.is_closed:
            self._change_floats(column, feature, family, here, other)
        elif feature.kind == "int" and not feature.is_closed:
            if family == "mean":
                column.values[here] = (column.values[here] + other.values) // 2
            elif family == "edge" and len(feature.edges):
                near = rng.choice(feature.edges, size=len(here)) + rng.integers(
                    -1, 2, size=len(here)
                )
                column.values[here] = np.clip(np.floor(near), -(2**62), 2**62).astype(np.int64)

    def _is_list(self, feature: Feature) -> bool:
        """Whether there are only a few distinct texts.

        Then another spelling is an unknown category, and such a row is odd.
        """
        return len(set(self.base[feature.column].present().tolist())) < self.count / 4

    def _change_floats(
        self, column: Column, feature: Feature, family: str, here: np.ndarray, other: Column
    ) -> None:
        values = column.values[here]
        if family == "edge":
            edges = feature.edges if len(feature.edges) else other.present()
            new = (
                nudged(self.rng.choice(edges, size=len(here)), feature.dtype, self.rng)
                if len(edges)
                else values
            )
        elif family == "mean":
            new = (values + other.values) / 2
        elif family == "unit":
            new = converted(values, self.rng)
        elif family == "printed":
            new = printed(values, self.rng)
        else:
            new = single(values)
        if feature.is_bounded:
            present = self.base[feature.column].present()
            new = np.clip(new, present.min(), present.max())
        known = ~np.isnan(new)
        column.values[here[known]], column.missing[here[known]] = new[known], False

    def _jumps(self, count: int) -> Batch | None:
        dtypes = {f.column: f.dtype for f in self.features if f.kind == "float" and not f.is_closed}
        jumps = find_jumps(self.ask, self.base, dtypes, count, self.rng)
        placed = [
            (jump.row, jump.column, value)
            for jump in jumps
            for value in around(jump.low, jump.high)
        ]
        if not placed:
            return None
        columns = [
            _copy(column.take(np.array([row for row, _, _ in placed]))) for column in self.base
        ]
        for k, (_, column, value) in enumerate(placed):
            self._set(columns[column], k, value)
        return Batch(columns, np.full(len(placed), "jump"), False)

    def _odd(self, limit: int) -> Iterator[Batch]:
        """Rows with one odd value each.

        A missing integer or boolean changes the type of its whole column, so it has its own batch.
        """
        placed = [(f, value) for f in self.features for value in self._odd_values(f)]
        together = [
            (f, value) for f, value in placed if value is not None or f.kind not in ("int", "bool")
        ]
        apart = [(f, value) for f, value in placed if value is None and f.kind in ("int", "bool")]
        if len(together) > limit:
            together = [together[k] for k in np.sort(self.rng.permutation(len(together))[:limit])]
        half = len(together) // 3
        for part, swapped in ((together[half:], False), (together[:half], True)):
            if part:
                yield self._batch_of(part, swapped)
        for item in apart:
            yield self._batch_of([item] * 3, False)

    def _odd_values(self, feature: Feature) -> list[Any]:
        known = self.base[feature.column].present().tolist()
        first = known[0] if known else ""
        if feature.kind == "float":
            return [None if value != value else value for value in FLOATS]
        if feature.kind == "int":
            return list(INTEGERS)
        if feature.kind == "bool":
            return [True, False, None]
        if feature.dates is not None:
            low, high = feature.dates.counts
            held = [second * feature.dates.per_second for second in MOMENTS]
            return [low, high, *(count for count in held if low <= count <= high), None]
        return [*TEXTS, *(respelt(first, self.rng) for _ in range(4) if first)]

    def _batch_of(self, placed: list[tuple[Feature, Any]], swapped: bool) -> Batch:
        columns = self._some(len(placed))
        for k, (feature, value) in enumerate(placed):
            self._set(columns[feature.column], k, value)
        families = np.array([f"odd {feature.kind}: {_named(value)}" for feature, value in placed])
        return Batch(self._narrowed(columns) if swapped else columns, families, swapped)

    def _narrowed(self, columns: list[Column]) -> list[Column]:
        """Rounds to float32 what fit saw as float64, as for a caller that sends float32."""
        for feature in self.features:
            if feature.kind == "float" and feature.dtype == np.float64:
                column = columns[feature.column]
                column.values[:] = single(column.values)
        return columns


def _copy(column: Column) -> Column:
    return replace(column, values=column.values.copy(), missing=column.missing.copy())


def _named(value: Any) -> str:
    if value is None:
        return "missing"
    text = repr(value)
    return text if len(text) < 30 else f"{text[:12]}... ({len(text) - 2} characters)"
