"""Converter of B-splines: de Boor's recursion in scipy's order, so that all bits are the same.

Bins and trees that follow may depend on the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.numeric import index_of
from ..registry import Conversion, converts


@converts("sklearn", "SplineTransformer", "transform")
def spline(g: Conversion, model: Any, x: Frame) -> Tensor:
    if getattr(model, "handle_missing", "error") != "error":
        raise g.refuse("handle_missing: only 'error', the default, is supported")
    if model.extrapolation == "error":
        raise g.refuse(
            "extrapolation='error' raises an error for values outside the knots, which a graph cannot do"
        )
    columns = []
    for k, basis in enumerate(model.bsplines_):
        value = _column(g, model, basis, g.cast(x.column(k), "float64"), is_first=k == 0)
        value.width = basis.c.shape[1]
        columns.append(value if model.include_bias else g.columns(value, range(value.width - 1)))
    return g.cast(g.concat(columns), g.real)


def _column(g: Conversion, model: Any, basis: Any, c: Tensor, is_first: bool) -> Tensor:
    """The values of every basis function, [N, functions]."""
    low, high = float(basis.t[basis.k]), float(basis.t[-basis.k - 1])
    if model.extrapolation == "continue":
        return _evaluated(g, basis, c)
    if model.extrapolation == "periodic":
        if high == low:
            return _evaluated(g, basis, c * 0.0)
        # Compute numpy's remainder from C's: numpy's has the sign of the divisor.
        rest = g.op("Mod", c - low, g.const(high - low, "float64"), width=1, fmod=1)
        return _evaluated(g, basis, g.where(rest < 0.0, rest + (high - low), rest) + low)
    if model.extrapolation == "linear":
        return _linear(g, basis, c, is_first)
    value = _evaluated(g, basis, g.minimum(g.maximum(c, low), high))
    # Beyond a boundary, scikit-learn keeps the values of the first or last `degree` functions and
    # sets the others to 0. With equal knots, one of the others may be nonzero at the boundary.
    functions = np.arange(basis.c.shape[1])
    for beyond, bound, is_held in (
        (c < low, low, functions < basis.k),
        (c > high, high, functions >= len(functions) - basis.k),
    ):
        dropped = ~is_held & (np.nan_to_num(basis(bound)) != 0)
        if dropped.any():
            value = g.where(beyond & g.const(dropped.reshape(1, -1)), 0.0, value)
    return value


def _linear(g: Conversion, basis: Any, c: Tensor, is_first: bool) -> Tensor:
    """Continues functions as lines beyond the boundaries.

    Only the functions that scikit-learn continues are continued; the others are 0 there.
    For degree 1, scikit-learn continues two functions, and from the second column on it places the
    boundaries one knot further inside.
    """
    continued = max(basis.k, 2)
    edge = basis.k if is_first else continued
    low, high = float(basis.t[edge]), float(basis.t[-edge - 1])
    value = _evaluated(g, basis, g.minimum(g.maximum(c, low), high))
    functions = np.arange(basis.c.shape[1])
    for bound, beyond, lines in (
        (low, c < low, functions < continued),
        (high, c > high, functions >= len(functions) - continued),
    ):
        line = (c - bound) * np.nan_to_num(basis(bound, nu=1)).reshape(1, -1) + np.asarray(
            basis(bound)
        ).reshape(1, -1)
        if bound == low:
            value = g.where(beyond | (c > high), 0.0, value)
        value = g.where(beyond & g.const(lines.reshape(1, -1)), line, value)
    return value


def _evaluated(g: Conversion, basis: Any, x: Tensor) -> Tensor:
    """Evaluates the functions in the interval that holds x, as scipy does.

    For x outside all intervals, the first or last interval is used.
    """
    degree, knots = basis.k, np.asarray(basis.t, "float64")
    last = len(knots) - degree - 1
    place = index_of(g, x, knots[degree + 1 : last])
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
