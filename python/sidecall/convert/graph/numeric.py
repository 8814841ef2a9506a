"""Numeric functions that ONNX lacks, each accurate to the last digits of double; used by several
families of converters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..registry import Conversion
from .builder import Tensor


def log1p(g: Conversion, x: Tensor) -> Tensor:
    """log(1 + x) without loss of precision near zero.

    Uses Kahan's correction (W. Kahan, HP-15C notes, 1982).
    """
    u = x + 1.0
    plain = g.log(u)
    exact = u.equals(1.0)
    # If u is infinite, the quotient is NaN and the plain logarithm is correct.
    infinite = g.unary("IsInf", u, "bool")
    corrected = plain * (x / g.where(exact, 1.0, u - 1.0))
    return g.where(exact, x, g.where(infinite, plain, corrected))


def expm1(g: Conversion, x: Tensor) -> Tensor:
    """exp(x) - 1 without loss of precision near zero.

    For |x| < 1e-3, a series is used, whose relative error is below 1e-14 there.
    """
    small = g.abs(x) < 1e-3
    series = x * (x * (x * (x * (1.0 / 24.0) + 1.0 / 6.0) + 0.5) + 1.0)
    return g.where(small, series, g.exp(x) - 1.0)


def interpolate(g: Conversion, x: Tensor, xp: Any, fp: Any) -> Tensor:
    """np.interp for one column [N, 1] in double; missing values stay missing."""
    xp, fp = np.asarray(xp, "float64"), np.asarray(fp, "float64")
    x = g.cast(x, "float64")
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.append(np.diff(fp) / np.diff(xp), 0.0)
    slopes[~np.isfinite(slopes)] = 0.0
    place = index_of(g, x, xp[1:])
    x0, y0, slope = (
        g.gather(g.const(t.reshape(-1, 1), "float64"), place) for t in (xp, fp, slopes)
    )
    result = y0 + slope * g.maximum(x - x0, 0.0)
    result.width = 1
    return g.where(g.isnan(x), x, result)


def index_of(g: Conversion, x: Tensor, edges: Any) -> Tensor:
    """The number of ascending edges that are <= x, for x [N, 1], as an index [N]; 0 for NaN."""
    edges = np.asarray(edges, "float64").reshape(1, -1)
    if edges.size == 0:
        return g.cast(g.flatten(x * 0.0), "int64") if x.dtype != "float64" else _zeros(g, x)
    reached = x >= g.const(edges, x.dtype)
    return g.cast(g.sum(g.cast(reached, "float32"), keep=False), "int64")


def number_above(g: Conversion, x: Tensor, splits: np.ndarray) -> Tensor:
    """How many of the splits are below x, for x [N, 1], as an index [N]; 0 for NaN."""
    above = g.cast(x > np.reshape(splits, (1, -1)), "float32")
    return g.cast(g.sum(above, keep=False), "int64")


def _zeros(g: Conversion, x: Tensor) -> Tensor:
    return g.op("Expand", g.const([0]), g.rows_of(x), dtype="int64")


def row_sum(g: Conversion, x: Tensor) -> Tensor:
    """The sum of each row, [N, 1], in the order in which numpy adds.

    The order matters, because rounding errors become visible when sums cancel later.
    """
    width = x.width or 0
    if not 1 < width <= 128:
        return g.sum(x)
    whole = width - width % 8
    if whole == 0:
        return _added_in_order(g, x, 1, [width - 1], 1)
    # Compute eight partial sums, each over every eighth column. Add these sums in pairs, and then
    # add the remaining columns.
    lanes = _added_in_order(
        g, g.reshape(g.columns(x, range(whole)), [-1, whole // 8, 8]), 1, whole // 8 - 1, 8
    )
    for count in (4, 2, 1):
        lanes = g.op(
            "ReduceSum", g.reshape(lanes, [-1, count, 2]), g.const([2]), keepdims=0, width=count
        )
    if width == whole:
        return lanes
    return _added_in_order(
        g, g.concat([lanes, g.columns(x, range(whole, width))]), 1, [width - whole], 1
    )


def row_squares(g: Conversion, x: Tensor) -> Tensor:
    """The sum of squares of each row, [N, 1], in the order of numpy's einsum.

    scikit-learn uses einsum for |x|^2. einsum keeps two sums, one of even and one of odd columns,
    and goes backwards through each group of eight columns. The order matters, because rounding
    errors become visible when terms cancel later.
    """
    width = x.width or 0
    if width < 3:
        return g.sum(x * x)
    blocks = [range(start, start + 8) for start in range(0, width - 7, 8)]
    rest = range(8 * len(blocks), width + width % 2)
    order = [
        [k for block in blocks for k in block[6 + side :: -2]] + list(rest[side::2])
        for side in (0, 1)
    ]
    if width % 2:
        x = g.concat([x, g.columns(x, [0]) * 0.0])
    squares = g.columns(x, order[0] + order[1])
    sums = _added_in_order(
        g, g.reshape(squares * squares, [-1, 2, len(order[0])]), 2, len(order[0]) - 1, 2
    )
    return g.columns(sums, [0]) + g.columns(sums, [1])


def _added_in_order(
    g: Conversion, x: Tensor, axis: int, last: int | list[int], width: int
) -> Tensor:
    """The sum along an axis, added one by one from the first number to the last.

    `last` is the index of the last number. If `last` is a scalar, the result loses the axis; if it
    is a list, the axis stays.
    """
    return g.op("Gather", g.op("CumSum", x, g.const(axis)), g.const(last), axis=axis, width=width)


def cos(g: Conversion, x: Tensor) -> Tensor:
    """Cosine, computed from the sine of half the angle.

    ONNX Runtime before 1.22 has no cosine of doubles. The sine of x + pi / 2 would be inaccurate
    for a large x, because the addition rounds.
    """
    half = g.unary("Sin", x * 0.5)
    return 1.0 - half * half * 2.0


def arcsinh(g: Conversion, x: Tensor) -> Tensor:
    """The inverse of the hyperbolic sine, in double. For large x, it is the logarithm of 2 x."""
    a = g.abs(x)
    near = g.minimum(a, 1e9)
    square = near * near
    small = log1p(g, near + square / (1.0 + g.sqrt(square + 1.0)))
    return g.unary("Sign", x) * g.where(a > 1e9, g.log(a) + float(np.log(2.0)), small)


# From FreeBSD's e_asin.c: arcsin(x) = x + x r(x^2) for |x| <= 1/2.
_ARCSIN = (
    (3.47933107596021167570e-05, 7.91534994289814532176e-04, -4.00555345006794114027e-02,
     2.01212532134862925881e-01, -3.25565818622400915405e-01, 1.66666666666666657415e-01, 0.0),
    (7.70381505559019352791e-02, -6.88283971605453293030e-01, 2.02094576023350569471e+00,
     -2.40339491173441421878e+00, 1.0),
)  # fmt: skip


def arcsin(g: Conversion, x: Tensor) -> Tensor:
    """The inverse of the sine for numbers from 0 to 1, in double."""
    near = g.minimum(x, 0.5)
    small = near + near * _ratio(g, near * near, _ARCSIN)
    # arcsin(x) = pi / 2 - 2 arcsin(sqrt((1 - x) / 2))
    square = g.maximum((1.0 - x) * 0.5, 0.0)
    root = g.sqrt(g.minimum(square, 0.25))
    large = float(np.pi / 2.0) - 2.0 * (root + root * _ratio(g, root * root, _ARCSIN))
    return g.where(x > 0.5, large, small)


def erf(g: Conversion, x: Tensor) -> Tensor:
    """The error function in double, which onnxruntime lacks.

    Uses the Taylor series near zero and a continued fraction elsewhere.
    """
    a = g.minimum(g.abs(x), 6.5)
    square = a * a
    # erf(a) = 2/sqrt(pi) exp(-a^2) sum of a (2 a^2)^n / (1 * 3 * ... (2n + 1)). All terms are
    # positive, so nothing cancels.
    term: Tensor = a
    series: Tensor = a
    for n in range(1, 60):
        term = term * square * (2.0 / (2 * n + 1))
        series = series + term
    near = series * g.exp(-square) * float(2.0 / np.sqrt(np.pi))
    # erfc(a) = exp(-a^2)/sqrt(pi) / (a + (1/2)/(a + (2/2)/(a + ...))); converges fast for a > 2.
    b = g.maximum(a, 2.0)
    fraction: Tensor = b
    for n in range(60, 0, -1):
        fraction = b + (n / 2.0) / fraction
    far = 1.0 - g.exp(-b * b) / (fraction * float(np.sqrt(np.pi)))
    return g.unary("Sign", x) * g.where(a > 2.0, far, near)


# Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37, 1988: relative accuracy about 1e-16.
_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457, 13731.693765509461125,
     1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867, 5394.1960214247511077,
     687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_MIDDLE = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip


def _ratio(g: Conversion, r: Tensor, tables: Any) -> Tensor:
    parts: list[Tensor] = []
    for coefficients in tables:
        value: Any = r * coefficients[0] + coefficients[1]
        for c in coefficients[2:]:
            value = value * r + c
        parts.append(value)
    return parts[0] / parts[1]


def normal_ppf(g: Conversion, p: Tensor) -> Tensor:
    """The quantile of the normal distribution for 0 < p < 1, in double."""
    q = p - 0.5
    centre = q * _ratio(g, 0.180625 - q * q, _CENTRE)
    tail = g.minimum(p, 1.0 - p)
    r = g.sqrt(-g.log(g.maximum(tail, 1e-300)))
    outer = g.where(r <= 5.0, _ratio(g, r - 1.6, _MIDDLE), _ratio(g, r - 5.0, _TAIL))
    signed = g.where(q < 0.0, -outer, outer)
    return g.where(g.abs(q) <= 0.425, centre, signed)
