"""What the fitted model accepts, found by asking it: missing values, and which categories where the list is closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .columns import Column, column_of, is_missing
from .data import Data
from .errors import ModelError
from .original import Original

UNKNOWN = "unknown category"


@dataclass
class Acceptance:
    """Of one feature. `allowed` is the closed list, or None; `unknown` is a value outside what was seen, where it is accepted."""

    nullable: bool
    allowed: list[Any] | None
    unknown: Any


def probe(data: Data, original: Original) -> list[Acceptance]:
    """Asks one row with one feature changed at a time; rows that share a fate are asked together."""
    return _Probe(data, original).run()


class _Probe:
    def __init__(self, data: Data, original: Original) -> None:
        self.data = data
        self.original = original
        self.base = self._base_row()

    def run(self) -> list[Acceptance]:
        everything = range(len(self.data.columns))
        nullable = self._nullable(everything)
        unknown = {i: _unknown_value(column) for i, column in enumerate(self.data.columns)}
        tried = [i for i in everything if unknown[i] is not None]
        accepted = dict(zip(tried, self._all_or_split(tried, lambda i: [(i, unknown[i])]), strict=True))
        result = []
        for i in everything:
            closed = i in accepted and not accepted[i] and self._refuses_category(i, unknown[i])
            allowed = self._allowed(i) if closed else None
            result.append(Acceptance(nullable[i], allowed, unknown[i] if accepted.get(i) else None))
        return result

    def _base_row(self) -> list[Any]:
        """A row that the model answers, without missing values where there is one."""
        missing = np.sum([column.missing for column in self.data.columns], axis=0)
        order = np.argsort(missing, kind="stable")[:20]
        refusal: Exception | None = None
        for i in order:
            row = [None if c.missing[i] else c.values[i] for c in self.data.columns]
            refusal = self.original.refusal(self._rows([row]))
            if refusal is None:
                return row
        name = type(refusal).__name__
        raise ModelError(f"the model does not answer for single rows of the data: {name} in {self.original.outputs[0].method}") from refusal

    def _rows(self, rows: list[list[Any]]) -> Any:
        columns = [
            column_of(c.name, c.kind, values, c.narrow) for c, values in zip(self.data.columns, zip(*rows, strict=True), strict=True)
        ]
        return self.data.build(columns)

    def _accepts(self, changes: Sequence[list[tuple[int, Any]]]) -> bool:
        rows = []
        for change in changes:
            row = list(self.base)
            for i, value in change:
                row[i] = value
            rows.append(row)
        return self.original.accepts(self._rows(rows))

    def _all_or_split(self, items: Sequence[Any], change: Callable[[Any], list[tuple[int, Any]]]) -> list[bool]:
        """Whether each item's change is accepted, in few questions where most are."""
        if not items:
            return []
        if self._accepts([change(item) for item in items]):
            return [True] * len(items)
        if len(items) == 1:
            return [False]
        middle = len(items) // 2
        return self._all_or_split(items[:middle], change) + self._all_or_split(items[middle:], change)

    def _nullable(self, features: Sequence[int]) -> list[bool]:
        result = self._all_or_split(features, lambda i: [(i, None)])
        for i in features:
            if not result[i] and self.data.holds_objects(i) and not self.data.columns[i].missing.any():
                kept, self.data.sentinels[i] = self.data.sentinels[i], None
                result[i] = self._accepts([[(i, None)]])
                if not result[i]:
                    self.data.sentinels[i] = kept
        return result

    def _refuses_category(self, i: int, unknown: Any) -> bool:
        """Text is always a category; a number may be refused for other reasons, such as a range."""
        if self.data.columns[i].kind == "string":
            return True
        row = list(self.base)
        row[i] = unknown
        return "categor" in str(self.original.refusal(self._rows([row])))

    def _allowed(self, i: int) -> list[Any]:
        column = self.data.columns[i]
        seen = set(np.unique(column.present()).tolist()) if column.kind != "string" else set(column.present().tolist())
        exact = {"string": str, "int": int, "float": float, "bool": bool}[column.kind]
        known = {exact(value) for value in _fitted_categories(self.original.model) if _fits(value, column.kind)}
        candidates = sorted(seen | known)
        accepted = self._all_or_split(candidates, lambda value: [(i, value)])
        return [value for value, good in zip(candidates, accepted, strict=True) if good]


def _unknown_value(column: Column) -> Any:
    present = column.present()
    if column.kind == "string":
        text = UNKNOWN
        while text in set(present.tolist()):
            text += "?"
        return text
    if column.kind == "bool" or len(present) == 0:
        return None
    largest = present[np.isfinite(present)].max(initial=0)
    if column.kind == "int":
        return int(largest) + 1 if largest < np.iinfo(np.int64).max else None
    return float(np.floor(largest) + 1.0)


def _fits(value: Any, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)):
        return False
    return kind == "float" or float(value).is_integer()


def _fitted_categories(model: Any) -> Iterator[Any]:
    """Every category of every fitted encoder anywhere inside: candidates only, each is tried."""
    pending, visited = [model], set()
    while pending:
        item = pending.pop()
        if id(item) in visited:
            continue
        visited.add(id(item))
        if isinstance(item, (list, tuple)):
            pending.extend(part for part in item if isinstance(part, (list, tuple, dict)) or hasattr(part, "get_params"))
        elif isinstance(item, dict):
            pending.extend(item.values())
        elif hasattr(item, "get_params"):
            pending.extend(vars(item).values())
            categories = vars(item).get("categories_")
            for group in categories if isinstance(categories, (list, tuple)) else ():
                yield from (value for value in np.asarray(group, dtype=object).tolist() if not is_missing(value))
