"""Converter of B-splines: de Boor's recursion in scipy's order, so that all bits are the same.

Bins and trees that follow may depend on the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.numeric import index_of, number_above
from ..graph.splits import (
    MOST_SPLITS,
    last_digits_decide,
    needs_splits,
    split_at,
    split_column,
    split_numbers,
)
from ..registry import Conversion


@register_converter("sklearn:SplineTransformer", "transform")
def spline(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if getattr(step, "handle_missing", "error") != "error":
        raise g.refuse("handle_missing: only 'error', the default, is supported")
    if step.extrapolation == "error":
        raise g.refuse(
            "extrapolation='error' raises an error for values outside the knots, "
            "which a graph cannot do"
        )
    parts = []
    for k, basis in enumerate(step.bsplines_):
        value = _column(g, step, basis, g.cast(columns.column(k), "float64"), k)
        value.width = basis.c.shape[1]
        parts.append(value if step.include_bias else g.columns(value, range(value.width - 1)))
    return g.cast(g.concat(parts), g.real)


def _column(g: Conversion, model: Any, basis: Any, c: Tensor, number: int) -> Tensor:
    """The values of every basis function, [N, functions]; `number` is the position of c."""
    low, high = float(basis.t[basis.k]), float(basis.t[-basis.k - 1])
    if (names := needs_splits(g, c)) and _has_steep_functions(basis):
        raise g.refuse(
            f"some of its knots differ only in their last digits, and so do the results of {names} "
            "between libraries: add FunctionTransformer(np.round, kw_args={'decimals': 6}) before "
            "this step, and fit again"
        )
    if model.extrapolation == "continue":
        return _evaluated(g, basis, c, _place(g, basis, c))
    if model.extrapolation == "periodic":
        if high == low:
            return _evaluated(g, basis, c * 0.0, index_of(g, c * 0.0, _inner_knots(basis)))
        if _jumps(basis) and needs_splits(g, c):
            return _evaluated(g, basis, *_in_period(g, basis, c, low, high))
        # Compute numpy's remainder from C's: numpy's has the sign of the divisor.
        rest = g.op("Mod", c - low, g.const(high - low, "float64"), width=1, fmod=1)
        x = g.where(rest < 0.0, rest + (high - low), rest) + low
        return _evaluated(g, basis, x, _place(g, basis, x))
    if model.extrapolation == "linear":
        return _linear(g, basis, c, number)
    value = _held(g, basis, c, low, high)
    # Beyond a boundary, scikit-learn keeps the values of the first or last `degree` functions and
    # sets the others to 0. With equal knots, one of the others may be nonzero at the boundary.
    functions = np.arange(basis.c.shape[1])
    for beyond, bound, is_held in (
        (_is_below(g, basis, c, low), low, functions < basis.k),
        (_is_above(g, basis, c, high), high, functions >= len(functions) - basis.k),
    ):
        dropped = ~is_held & (np.nan_to_num(basis(bound)) != 0)
        if dropped.any():
            value = g.where(beyond & g.const(dropped.reshape(1, -1)), 0.0, value)
    return value


def _linear(g: Conversion, basis: Any, c: Tensor, number: int) -> Tensor:
    """Continues functions as lines beyond the boundaries.

    Only the functions that scikit-learn continues are continued; the others are 0 there.
    For each column, scikit-learn raises a degree below 2 by one, to continue one function more; the
    next column then has its boundaries one knot further inside.
    """
    edge = basis.k if basis.k >= 2 else min(basis.k + number, 2)
    continued = max(edge, min(edge + 1, 2))
    low, high = float(basis.t[edge]), float(basis.t[-edge - 1])
    value = _held(g, basis, c, low, high)
    below, above = _is_below(g, basis, c, low), _is_above(g, basis, c, high)
    functions = np.arange(basis.c.shape[1])
    for bound, beyond, lines in (
        (low, below, functions < continued),
        (high, above, functions >= len(functions) - continued),
    ):
        line = (c - bound) * np.nan_to_num(basis(bound, nu=1)).reshape(1, -1) + np.asarray(
            basis(bound)
        ).reshape(1, -1)
        if bound == low:
            value = g.where(beyond | above, 0.0, value)
        value = g.where(beyond & g.const(lines.reshape(1, -1)), line, value)
    return value


def _spans(basis: Any) -> np.ndarray:
    """The distances between each knot and the knot that is `degree` knots after it."""
    return np.asarray(basis.t[basis.k :] - basis.t[: len(basis.t) - basis.k])


def _jumps(basis: Any) -> bool:
    """Whether a function jumps at a knot, because more than `degree` knots have its value."""
    return bool((_spans(basis) == 0.0).any())


def _has_steep_functions(basis: Any) -> bool:
    """Whether the last digits of a number near a knot may change a function by more than 1e-8.

    Periodic knots are computed from differences, so equal knots may differ in their last digits,
    and may even descend.
    """
    spans = _spans(basis)
    is_steep = (spans > 0.0) & (spans < 1e-7 * np.abs(basis.t[basis.k :]))
    return bool(is_steep.any() or (np.diff(basis.t) < 0.0).any())


def _is_below(g: Conversion, basis: Any, c: Tensor, bound: float) -> Tensor:
    """c < bound, also where the last digits of c decide."""
    if not (_jumps(basis) and needs_splits(g, c)):
        return c < bound
    source, split = split_at(g, c, np.array([np.nextafter(bound, -np.inf)]))
    return source <= split


def _is_above(g: Conversion, basis: Any, c: Tensor, bound: float) -> Tensor:
    """c > bound, also where the last digits of c decide."""
    if not (_jumps(basis) and needs_splits(g, c)):
        return c > bound
    source, split = split_at(g, c, np.array([bound]))
    return source > split


def _inner_knots(basis: Any) -> np.ndarray:
    """The knots between two intervals in which the functions are evaluated."""
    return np.asarray(basis.t[basis.k + 1 : len(basis.t) - basis.k - 1], "float64")


def _place(
    g: Conversion, basis: Any, c: Tensor, low: float = -np.inf, high: float = np.inf
) -> Tensor:
    """The number of inner knots that are <= c, limited to low and high; as an index [N]."""
    inner = _inner_knots(basis)
    if not (_jumps(basis) and needs_splits(g, c)):
        if low > -np.inf:
            c = g.minimum(g.maximum(c, low), high)
        return index_of(g, c, inner)
    between = inner[(inner > low) & (inner <= high)]
    if not len(between):
        index = index_of(g, c, between)
    else:
        index = number_above(g, *split_at(g, c, np.nextafter(between, -np.inf)))
    return index + int((inner <= low).sum())


def _held(g: Conversion, basis: Any, c: Tensor, low: float, high: float) -> Tensor:
    """The functions of c, limited to low and high."""
    x = g.minimum(g.maximum(c, low), high)
    return _evaluated(g, basis, x, _place(g, basis, c, low, high))


def _in_period(
    g: Conversion, basis: Any, c: Tensor, low: float, high: float
) -> tuple[Tensor, Tensor]:
    """c in its period, and its interval there, for functions that jump at c's last digits."""
    inner, period = _inner_knots(basis), high - low
    count = len(inner) + 1

    def interval(values: np.ndarray) -> np.ndarray:
        """Numbers the intervals of all periods, as scikit-learn finds them."""
        place = np.searchsorted(inner, low + (values - low) % period, side="right")
        number = (values - low) // period * count + place
        return np.asarray(np.where(np.isinf(values), values, number))

    column = split_column(g, c, 0, "float64")
    stepped = None if column is None else column.then(interval)
    ends = None if stepped is None else stepped.monotone.finite
    if stepped is None or ends is None or ends[1] - ends[0] > MOST_SPLITS:
        raise last_digits_decide(g, needs_splits(g, c))
    numbers = np.arange(ends[0], max(ends[1], ends[0] + 1.0) + 1.0)
    found = split_numbers(g, stepped, numbers[:-1])
    if found is None:
        raise last_digits_decide(g, needs_splits(g, c))
    index = number_above(g, *found)
    first = g.gather(g.const(np.reshape(numbers // count * period, (-1, 1)), "float64"), index)
    first.width = 1
    place = g.gather(g.const((numbers % count).astype("int64")), index)
    return g.minimum(g.maximum(c - first, low), high), place


def _evaluated(g: Conversion, basis: Any, x: Tensor, place: Tensor) -> Tensor:
    """Evaluates the functions in the interval `place`, an index [N], as scipy does.

    If x is outside all intervals, `place` is the first or the last one.
    """
    degree, knots = basis.k, np.asarray(basis.t, "float64")
    last = len(knots) - degree - 1
    starts = np.arange(degree, last)

    def knot(offset: int) -> np.ndarray:
        column: np.ndarray = knots[starts + offset].reshape(-1, 1)
        return column

    def at(table: np.ndarray) -> Tensor:
        found = g.gather(g.const(table, "float64"), place)
        found.width = 1
        return found

    h: list[Tensor] = [x * 0.0 + 1.0]
    for j in range(1, degree + 1):
        before, h = h, []
        carried: Tensor | None = None
        for n in range(1, j + 1):
            above, below = knot(n), knot(n - j)
            gap = above - below
            w = before[n - 1] / at(np.where(gap == 0, 1.0, gap))
            left, right = w * (at(above) - x), w * (x - at(below))
            if (gap == 0).any():
                is_empty = g.gather(g.const(gap == 0), place)
                left, right = (g.where(is_empty, 0.0, side) for side in (left, right))
            h.append(left if carried is None else carried + left)
            carried = right
        assert carried is not None
        h.append(carried)
    result: Tensor | None = None
    coefficients = np.asarray(basis.c, "float64")
    for a, share in enumerate(h):
        term = share * g.gather(g.const(coefficients[a : a + len(starts)], "float64"), place)
        result = term if result is None else result + term
    assert result is not None
    return result
