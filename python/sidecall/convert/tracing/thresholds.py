"""Comparisons and whole parts of traced columns whose last digits differ between libraries.

The last digit of np.log10(x) may decide whether it is below 3. So the graph compares x itself with
the number at which the original's own function crosses 3, if the function rises or falls steadily.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..graph.builder import Tensor
from ..graph.column_function import Recorded, functions_behind, record
from ..graph.splits import MOST_SPLITS, SplitColumn, needs_splits, split_column, split_numbers
from ..registry import Conversion
from .refusals import Valueless
from .ufuncs import DIVISIONS, floor_divide

_MIRRORED: dict[Any, Any] = {
    np.greater: np.less,
    np.greater_equal: np.less_equal,
    np.less: np.greater,
    np.less_equal: np.greater_equal,
    np.equal: np.equal,
    np.not_equal: np.not_equal,
}
_WHOLE = {np.floor, np.ceil, np.trunc, np.sign, np.floor_divide, np.remainder}


def settled(
    g: Conversion,
    ufunc: np.ufunc,
    operands: Sequence[Tensor],
    inputs: Sequence[Any],
    plain: Tensor,
) -> Tensor:
    """ufunc(*inputs) as the original's last digits decide it; `plain` where this is unknown.

    `operands` are the inputs as tensors of the type in which numpy computes, and `plain` is what
    the graph computes from them.
    """
    places = [k for k, x in enumerate(inputs) if isinstance(x, Valueless)]
    if len(places) != 1 or (ufunc not in _MIRRORED and ufunc not in _WHOLE):
        return plain
    x = operands[places[0]]
    if not x.dtype.startswith("float") or not x.width or not needs_splits(g, x):
        return plain
    if places[0] == 1:
        ufunc = _MIRRORED[ufunc]
    with np.errstate(over="ignore"):
        others = [np.asarray(y, x.dtype).ravel() for y in inputs if not isinstance(y, Valueless)]
    if any(len(other) not in (1, x.width) for other in others):
        return plain
    parts, is_settled = [], False
    for k in range(x.width):
        column, part = g.columns(x, [k]), g.columns(plain, [k])
        number = [np.broadcast_to(other, x.width)[k] for other in others]
        found = _settled_column(g, ufunc, column, number, part)
        is_settled = is_settled or found is not None
        parts.append(part if found is None else found)
    return g.concat(parts) if is_settled else plain


def divided(
    g: Conversion, ufunc: np.ufunc, operands: Sequence[Tensor], inputs: Sequence[Any]
) -> Tensor:
    """inputs[0] // inputs[1] or inputs[0] % inputs[1], for a divisor that is a number."""
    return settled(g, ufunc, operands, inputs, DIVISIONS[ufunc](g, operands[0], inputs[1]))


def _settled_column(
    g: Conversion, ufunc: np.ufunc, x: Tensor, number: Sequence[Any], plain: Tensor
) -> Tensor | None:
    """ufunc(x, *number) of a column [N, 1]; None if the column has no exact splits."""
    column = None if np.isnan(number).any() else split_column(g, x, 0, x.dtype)
    if column is None:
        return None
    if ufunc in _MIRRORED:
        result = _compared(g, ufunc, x, column, number[0])
    elif ufunc is np.remainder:
        result = _remainder(g, x, column, number[0], plain)
    else:
        result = _whole(g, ufunc, x, column, number, plain)
    if result is not None and result is not plain:
        name, is_exact = min(functions_behind(g, x)), ufunc is not np.remainder
        record(g, result, Recorded(name, x, lambda _, values: ufunc(values, *number), is_exact))
    return result


def _compared(
    g: Conversion, ufunc: np.ufunc, x: Tensor, column: SplitColumn, number: Any
) -> Tensor | None:
    """x compared with a number. A missing number is only unequal."""
    is_strict = ufunc in (np.greater, np.less_equal)
    sides = _sides(g, x, column, np.greater if is_strict else np.greater_equal, number)
    if sides is None:
        return None
    if ufunc in (np.greater, np.greater_equal):
        return sides[0]
    if ufunc in (np.less, np.less_equal):
        return sides[1]
    strict = _sides(g, x, column, np.greater, number)
    if strict is None:
        return None
    is_equal = sides[0] & strict[1]
    return is_equal if ufunc is np.equal else ~is_equal


def _sides(
    g: Conversion, x: Tensor, column: SplitColumn, above: np.ufunc, number: Any
) -> tuple[Tensor, Tensor] | None:
    """Whether above(x, number) is true, and whether it is false; neither for a missing number."""
    stepped = column.then(
        lambda values: np.where(np.isnan(values), np.nan, above(values, number.astype(x.dtype)))
    )
    if stepped.monotone.ends_of_results[0] == 1.0:  # all results are above the number
        return x >= -np.inf, x < -np.inf
    found = split_numbers(g, stepped, np.array([0.0]))
    if found is None:
        return None
    source, split = found[0], float(found[1][0])
    return source > split, source <= split


def _whole(
    g: Conversion,
    ufunc: np.ufunc,
    x: Tensor,
    column: SplitColumn,
    number: Sequence[Any],
    plain: Tensor,
) -> Tensor | None:
    """A whole number for each x, which is `plain` or a neighbour of it.

    Infinities stay as they are, and so do large numbers if there are more than MOST_SPLITS.
    """
    direction = -1.0 if number and number[0] < 0 else 1.0

    def step(values: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            whole = direction * np.asarray(ufunc(values.astype(x.dtype), *number))
        return np.where(np.isinf(values) & np.isnan(whole), values, whole)

    stepped = column.then(step)
    ends = stepped.monotone.finite
    if ends is None:
        return None
    low, high = ends
    largest = float(np.finfo(x.dtype).max)
    if high - low > MOST_SPLITS:
        largest = MOST_SPLITS / 2.0
        low, high = max(low, -largest), min(high, largest)
    if low > high:
        return None
    found = split_numbers(g, stepped, np.arange(low, max(high, low + 1.0)))
    if found is None:
        return None
    source, splits = found
    whole = plain * direction
    is_known = g.abs(whole) <= largest
    place = g.minimum(g.maximum(g.where(is_known, whole, low) - low, 0.0), high - low)
    index = g.cast(g.flatten(place), "int64")

    def at(table: Sequence[float]) -> Tensor:
        result = g.gather(g.const(np.reshape(table, (-1, 1)), source.dtype), index)
        result.width = 1
        return result

    is_more, is_less = source > at([*splits, np.inf]), source <= at([np.nan, *splits])
    moved = place + low + g.cast(is_more, x.dtype) - g.cast(is_less, x.dtype)
    return g.where(is_known & ~moved.equals(whole), moved * direction, plain)


def _remainder(
    g: Conversion, x: Tensor, column: SplitColumn, divisor: Any, plain: Tensor
) -> Tensor | None:
    """x % divisor, which is nearly 0 or nearly the divisor where the last digit decides."""
    quotient = floor_divide(g, x, float(divisor))
    exact = _whole(g, np.floor_divide, x, column, [divisor], quotient)
    if exact is None:
        return None
    ends = sorted([0.0, float(np.nextafter(divisor, divisor.dtype.type(0)))])
    rest = g.minimum(g.maximum(x - exact * divisor, ends[0]), ends[1])
    return g.where(g.abs(exact - quotient) > 0.5, rest, plain)
