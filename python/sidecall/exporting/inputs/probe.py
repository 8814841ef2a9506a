"""Asks the fitted model what it accepts.

This module finds, for each feature, whether a value may be missing, and the list of accepted values
if the model refuses all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sidecall.convert.families.boosting.xgboost import categories_of

from ..data.columns import Column
from ..data.containers import Data
from ..data.missing import fitted_categories
from ..errors import ModelError
from ..model.original import Original, reason_of
from ..model.steps import is_xgboost, taken
from .codes import accepted_codes

UNKNOWN = "unknown category"
_BATCH = 256
_SAMPLE = 24
_LAST_TEXT = "\x7f\x7f\x7f"  # the last in XGBoost's order, which reads bytes as signed
_FAR = 2**20  # larger than the codes of most tables

Change = tuple[int, Any]  # a feature and its new value; None means missing


@dataclass
class Acceptance:
    """What the model accepts for one feature.

    `allowed` lists the accepted values if the model refuses all others; it is None otherwise.
    `unknown` is an accepted value that the data does not have, or None. `domain` holds the
    intervals of accepted numbers, or None for all. `takes_empty` says whether the empty string is
    accepted. domain.py finds `domain` and `takes_empty`.
    """

    nullable: bool
    allowed: list[Any] | None
    unknown: Any
    domain: list[tuple[Any, Any]] | None = None
    takes_empty: bool = True


def accepted_rows(original: Original, rows: Any, count: int) -> np.ndarray:
    """Returns which of the rows the model accepts, by bisection.

    This needs few calls of the model if most rows are accepted, or if it judges each row of a call.
    """
    if count == 0:
        return np.ones(0, dtype=bool)
    accepted = original.accepted(rows, count)
    if accepted is not None:
        return accepted
    if count == 1:
        return np.zeros(1, dtype=bool)
    middle = count // 2
    halves = taken(rows, slice(0, middle)), taken(rows, slice(middle, count))
    return np.concatenate(
        [
            accepted_rows(original, halves[0], middle),
            accepted_rows(original, halves[1], count - middle),
        ]
    )


def probe(data: Data, original: Original) -> tuple[list[Acceptance], list[Column]]:
    """Returns the values that the model accepts, and the base row.

    Each probe is the base row with the value of one feature changed.

    Rows that probably have the same outcome are asked together.
    """
    asked = _Probe(data, original)
    return asked.run(), asked.base


class _Probe:
    def __init__(self, data: Data, original: Original) -> None:
        self.data = data
        self.original = original
        self.base = self._base_row()

    def run(self) -> list[Acceptance]:
        everything = range(len(self.data.columns))
        nullable = self._nullable(everything)
        # A missing value would turn such a column into objects, and a function then computes
        # another result.
        bools = self.original.steps.bools_of_functions()
        nullable = [
            takes and column.name not in bools
            for takes, column in zip(nullable, self.data.columns, strict=True)
        ]
        unknown = {i: self._unknown(i) for i in everything}
        tried = [(i, value) for i in everything for value in unknown[i]]
        accepted = dict(zip(tried, self._accepted(tried), strict=True))
        result = []
        for i in everything:
            allowed = self._closed_list(
                i, [value for value in unknown[i] if not accepted[i, value]]
            )
            nearest = (
                unknown[i][0]
                if allowed is None and unknown[i] and accepted[i, unknown[i][0]]
                else None
            )
            result.append(Acceptance(nullable[i], allowed, nearest))
        return result

    def _base_row(self) -> list[Column]:
        """Returns a row that the model answers, with as few missing values as possible."""
        missing = np.sum([column.missing for column in self.data.columns], axis=0)
        refusal: Exception | None = None
        reason = ""
        for row in np.argsort(missing, kind="stable")[:20]:
            base = [column.take([row]) for column in self.data.columns]
            rows = self.data.build(base)
            refusal = self.original.refusal(rows)
            if refusal is None:
                return base
            reason = reason_of(refusal, self.original.outputs[0].method, rows)
        raise ModelError(f"the model fails on single rows of the data: {reason}") from refusal

    def _accepted(self, changes: Sequence[Change]) -> list[bool]:
        """Whether each change is accepted; needs few calls of the model if most are accepted."""
        result: list[bool] = []
        for start in range(0, len(changes), _BATCH):
            part = changes[start : start + _BATCH]
            rows = self.data.changed(self.base, [*part, self._no_change()])
            # A missing integer changes the type of its column in all rows that are asked together.
            # If the model refuses even the base row then, each row is asked alone.
            accepted = accepted_rows(self.original, rows, len(part) + 1).tolist()
            if not accepted.pop() and len(part) > 1:
                accepted = [
                    self.original.accepts(self.data.changed(self.base, [change])) for change in part
                ]
            result += accepted
        return result

    def _no_change(self) -> Change:
        first = self.base[0]
        return 0, None if first.missing[0] else first.values[0]

    def _nullable(self, features: Sequence[int]) -> list[bool]:
        # Wide models usually treat all features alike: if the model accepts a missing value for no
        # feature of a sample, the other features are not tried.
        sample = np.unique(np.linspace(0, len(features) - 1, _SAMPLE).astype(int)).tolist()
        if len(features) > _BATCH and not any(self._accepted([(i, None) for i in sample])):
            return [False] * len(features)
        result = self._accepted([(i, None) for i in features])
        for i in features:
            if (
                not result[i]
                and self.data.holds_objects(i)
                and not self.data.columns[i].missing.any()
            ):
                kept, self.data.sentinels[i] = self.data.sentinels[i], None
                (result[i],) = self._accepted([(i, None)])
                if not result[i]:
                    self.data.sentinels[i] = kept
        return result

    def _unknown(self, i: int) -> list[Any]:
        """Returns values that the data does not have and that the column's type can hold.

        One value is near the data; for numbers, a second value is far from the data. For XGBoost a
        second text comes after all categories in the order of texts, because XGBoost refuses only
        such an unknown category.
        """
        column = self.data.columns[i]
        near = _unknown_value(column)
        values = [] if near is None else [near] if column.kind == "string" else [near, near + _FAR]
        if column.kind == "string" and self.original.steps.holds_xgboost:
            values.append(_LAST_TEXT)
        return [value for value in values if self.data.holds(i, value)]

    def _closed_list(self, i: int, refused: list[Any]) -> list[Any] | None:
        """Returns the accepted values if the list is closed, else None.

        The list is closed if the model refuses other values as unknown categories, or if it fails
        because they are beyond the end of a table.
        """
        column = self.data.columns[i]
        for value in refused:
            refusal = self.original.refusal(self.data.changed(self.base, [(i, value)]))
            if column.kind == "int" and isinstance(refusal, IndexError):
                present = column.present()
                return accepted_codes(
                    lambda codes: self._accepts_codes(i, codes),
                    int(present.min()),
                    int(present.max()),
                )
            # Text is always a category. A number may be refused for other reasons, such as a range.
            if column.kind == "string" or "categor" in str(refusal):
                return self._allowed(i)
        return None

    def _accepts_codes(self, i: int, codes: Sequence[int]) -> list[bool]:
        held = [code for code in codes if self.data.holds(i, code)]
        accepted = {
            code
            for code, good in zip(held, self._accepted([(i, code) for code in held]), strict=True)
            if good
        }
        return [code in accepted for code in codes]

    def _groups(self, i: int) -> list[list[Any]]:
        """Lists of categories that the model knows; one list may belong to this feature."""
        model = self.original.model
        if is_xgboost(model):
            return [categories_of(model).get(i, [])]
        return list(fitted_categories(model))

    def _allowed(self, i: int) -> list[Any]:
        column = self.data.columns[i]
        seen = (
            set(np.unique(column.present()).tolist())
            if column.kind != "string"
            else set(column.present().tolist())
        )
        exact = {"string": str, "int": int, "float": float, "bool": bool}[column.kind]
        groups = [
            {exact(value) for value in group if _fits(value, column.kind)}
            for group in self._groups(i)
        ]
        if self.original.steps.holds_xgboost:
            # XGBoost treats some unknown categories as a known one instead of refusing them. So
            # categories of other columns must not be tried.
            holding = [group for group in groups if seen <= group]
            groups = [min(holding, key=len)] if holding else groups
        candidates = sorted(seen.union(*groups))
        accepted = self._accepted([(i, value) for value in candidates])
        return [value for value, good in zip(candidates, accepted, strict=True) if good]


def _unknown_value(column: Column) -> Any:
    present = column.present()
    if column.kind == "string":
        text = UNKNOWN
        while text in set(present.tolist()):
            text += "?"
        return text
    if column.kind in ("bool", "datetime") or len(present) == 0:
        return None
    largest = present[np.isfinite(present)].max(initial=0)
    if column.kind == "int":
        return int(largest) + 1
    return float(np.floor(largest) + 1.0)


def _fits(value: Any, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float)) or value != value:
        return False
    return kind == "float" or float(value).is_integer()
