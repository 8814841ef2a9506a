"""Replaces columns whose last digits a graph cannot compute by columns that it can split exactly.

Used by trees and by steps that put numbers into bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from ..errors import NotConvertible
from .column_function import column_function, functions_behind
from .preimage import Function, Monotone

if TYPE_CHECKING:
    from ..registry import Conversion
    from .builder import Tensor

MOST_SPLITS = 4096  # for whole numbers, of which a function may take very many


@dataclass(frozen=True)
class SplitColumn:
    """A column that is a monotone function of column `column` of `source`.

    `names`: the functions of the original that take part, for messages.
    """

    source: Tensor
    column: int
    monotone: Monotone
    names: str

    def then(self, step: Function) -> SplitColumn:
        """The column as the function step(f(x)), for a step that does not decrease."""
        return replace(self, monotone=self.monotone.then(step))


def last_digits_decide(g: Conversion, names: str) -> NotConvertible:
    """The refusal of a step that compares results of these functions with thresholds."""
    return g.refuse(
        f"it compares results of {names} with thresholds, and the last digits of these results "
        "differ between libraries: a graph can only do this for a rising or falling function of "
        "one column. Add FunctionTransformer(np.round, kw_args={'decimals': 6}) before "
        "this step, and fit again"
    )


def needs_splits(g: Conversion, x: Tensor) -> str:
    """The functions whose last digits differ from the original's in this tensor; "" if none.

    With precision "float32" all last digits differ, and this does not matter.
    """
    return "" if g.steps is None else " and ".join(sorted(functions_behind(g, x)))


def split_at(g: Conversion, x: Tensor, thresholds: np.ndarray) -> tuple[Tensor, np.ndarray]:
    """Returns a column [N, 1] and ascending numbers, one for each threshold.

    x > threshold where the column > the number. The model compares in double.
    """
    names = needs_splits(g, x)
    if not names or not len(thresholds):
        return x, thresholds
    column = split_column(g, x, 0, "float64")
    found = None if column is None else split_numbers(g, column, thresholds)
    if found is None:
        raise last_digits_decide(g, names)
    return found


def split_numbers(
    g: Conversion, column: SplitColumn, thresholds: np.ndarray
) -> tuple[Tensor, np.ndarray] | None:
    """The same as split_at, for a given column; None if a threshold has no exact split."""
    distinct, places = np.unique(thresholds, return_inverse=True)
    found = column.monotone.splits(distinct)
    if found is None:
        return None
    (source,) = split_matrix(g, [column])
    of_missing = column.monotone.of_missing
    if not np.isnan(of_missing):
        place = int(np.searchsorted(distinct, of_missing))
        filling = [*found, np.inf][place]
        if place and not filling > found[place - 1]:
            return None  # no number of the column has the place of the missing numbers
        source = g.where(g.isnan(source), filling, source)
    return source, found[places]


def split_column(g: Conversion, x: Tensor, column: int, compares: str) -> SplitColumn | None:
    """The column to split instead of a column of `x`, which the model compares in type `compares`.

    None if it follows from several columns, or if the function both rises and falls.
    """
    found = column_function(g, x, column)
    if found is None:
        return None
    function, known = found.function, found.source.range
    ends = (
        (-np.inf, np.inf)
        if known is None
        else (float(known.low[found.column]), float(known.high[found.column]))
    )
    with np.errstate(over="ignore"):
        monotone = Monotone.of(
            lambda values: function(values).astype(compares), found.source.dtype, *ends
        )
    if monotone is None:
        return None
    return SplitColumn(found.source, found.column, monotone, needs_splits(g, x))


def split_matrix(g: Conversion, columns: Sequence[SplitColumn]) -> list[Tensor]:
    """The columns that are split instead, in tensors side by side."""
    parts = []
    for _, group in groupby(columns, key=lambda column: column.source.name):
        chosen = list(group)
        x = g.columns(chosen[0].source, [column.column for column in chosen])
        functions = [column.monotone for column in chosen]
        if any(f.wraps for f in functions):
            wraps = g.const(np.array([[f.wraps for f in functions]]))
            x = g.where(x.equals(-np.inf) & wraps, np.inf, x)
        if any(f.sign < 0 for f in functions):
            x = x * np.array([[float(f.sign) for f in functions]])
        if any(f.is_partial for f in functions):
            low, high = (
                np.array([side]) for side in zip(*(f.ends for f in functions), strict=True)
            )
            x = g.where((x < low) | (x > high), np.nan, x)
        parts.append(x)
    return parts
