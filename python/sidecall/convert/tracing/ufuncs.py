"""The element-wise functions of numpy that convert; for placeholders and FunctionTransformer.

Each takes tensors of one type, the one in which numpy computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph.builder import Tensor
from ..graph.numeric import cos, expm1, log1p
from ..registry import Conversion

Body = Callable[[Conversion, Tensor], Tensor]
Body2 = Callable[[Conversion, Tensor, Tensor], Tensor]


def _op(name: str) -> Body:
    return lambda g, x: g.unary(name, x)


def _flag(name: str) -> Body:
    return lambda g, x: g.unary(name, x, "bool")


def _finite(g: Conversion, x: Tensor) -> Tensor:
    return ~(g.isnan(x) | g.unary("IsInf", x, "bool"))


def _power(g: Conversion, base: float, x: Tensor) -> Tensor:
    return g.op("Pow", g.like(base, x), x, dtype=x.dtype, width=x.width)


def _logarithm(base: float) -> Body:
    """A logarithm that is exact for powers of the base.

    The function may round it down next, for example to count the digits of a number. A quotient of
    two logarithms may be just below the whole number.
    """

    def apply(g: Conversion, x: Tensor) -> Tensor:
        rough = g.log(x) * (1.0 / float(np.log(base)))
        whole = g.unary("Round", rough)
        return g.where(_power(g, base, whole).equals(x), whole, rough)

    return apply


def _cube_root(g: Conversion, x: Tensor) -> Tensor:
    """The cube root, exact for cubes of whole numbers."""
    size = g.abs(x)
    rough = size ** (1.0 / 3.0)
    whole = g.unary("Round", rough)
    return g.unary("Sign", x) * g.where((whole * whole * whole).equals(size), whole, rough)


# Functions of numbers. The keys are np.ufunc objects.
UNARY: dict[Any, Body] = {
    np.log1p: log1p,
    np.expm1: expm1,
    np.log: _op("Log"),
    np.log2: _logarithm(2.0),
    np.log10: _logarithm(10.0),
    np.exp: _op("Exp"),
    np.exp2: lambda g, x: _power(g, 2.0, x),
    np.sqrt: _op("Sqrt"),
    np.cbrt: _cube_root,
    np.square: lambda g, x: x * x,
    np.abs: _op("Abs"),
    np.fabs: _op("Abs"),
    np.negative: _op("Neg"),
    np.positive: lambda g, x: x,
    np.reciprocal: lambda g, x: 1.0 / x,
    np.sign: _op("Sign"),
    np.sin: _op("Sin"),
    np.cos: cos,
    np.tanh: _op("Tanh"),
    np.floor: _op("Floor"),
    np.ceil: _op("Ceil"),
    np.rint: _op("Round"),
    np.trunc: lambda g, x: g.unary("Sign", x) * g.unary("Floor", g.abs(x)),
    np.deg2rad: lambda g, x: x * float(np.pi / 180.0),
    np.radians: lambda g, x: x * float(np.pi / 180.0),
    np.rad2deg: lambda g, x: x * float(180.0 / np.pi),
    np.degrees: lambda g, x: x * float(180.0 / np.pi),
}
# Tests of floating-point numbers; their results are bool.
TESTS: dict[Any, Body] = {
    np.isnan: _flag("IsNaN"),
    np.isinf: _flag("IsInf"),
    np.isfinite: _finite,
}


def _logical(body: Body2) -> Body2:
    def apply(g: Conversion, a: Tensor, b: Tensor) -> Tensor:
        return body(g, *(x if x.dtype == "bool" else ~x.equals(0) for x in (a, b)))

    return apply


def _largest(g: Conversion, a: Tensor, b: Tensor) -> Tensor:
    return g.maximum(a, b)


def _smallest(g: Conversion, a: Tensor, b: Tensor) -> Tensor:
    return g.minimum(a, b)


def _ignoring_nan(body: Body2) -> Body2:
    """fmax and fmin: the other number if one is NaN."""

    def apply(g: Conversion, a: Tensor, b: Tensor) -> Tensor:
        if not a.dtype.startswith("float"):
            return body(g, a, b)
        return g.where(g.isnan(a), b, g.where(g.isnan(b), a, body(g, a, b)))

    return apply


BINARY: dict[Any, Body2] = {
    np.add: lambda g, a, b: a | b if a.dtype == "bool" else a + b,
    np.subtract: lambda g, a, b: a - b,
    np.multiply: lambda g, a, b: a & b if a.dtype == "bool" else a * b,
    np.divide: lambda g, a, b: a / b,
    np.power: lambda g, a, b: a**b,
    np.float_power: lambda g, a, b: a**b,
    np.maximum: _largest,
    np.minimum: _smallest,
    np.fmax: _ignoring_nan(_largest),
    np.fmin: _ignoring_nan(_smallest),
    np.less: lambda g, a, b: a < b,
    np.less_equal: lambda g, a, b: a <= b,
    np.greater: lambda g, a, b: a > b,
    np.greater_equal: lambda g, a, b: a >= b,
    np.equal: lambda g, a, b: a.equals(b),
    np.not_equal: lambda g, a, b: ~a.equals(b),
    np.logical_and: _logical(lambda g, a, b: a & b),
    np.logical_or: _logical(lambda g, a, b: a | b),
    np.logical_xor: _logical(lambda g, a, b: ~a.equals(b)),
    np.bitwise_and: _logical(lambda g, a, b: a & b),
    np.bitwise_or: _logical(lambda g, a, b: a | b),
    np.bitwise_xor: _logical(lambda g, a, b: ~a.equals(b)),
}


def remainder(g: Conversion, a: Tensor, b: float) -> Tensor:
    """a % b for a number b other than 0: the result has the sign of b, as in Python."""
    divisor = g.const(b, a.dtype)
    if a.dtype == "int64":
        return g.op("Mod", a, divisor, width=a.width)
    rest = g.op("Mod", a, divisor, width=a.width, fmod=1)
    other_side = rest > 0.0 if b < 0 else rest < 0.0
    zero = g.const(np.copysign(0.0, b), a.dtype)
    return g.where(rest.equals(0.0), zero, g.where(other_side, rest + divisor, rest))


def floor_divide(g: Conversion, a: Tensor, b: float) -> Tensor:
    """a // b for a number b other than 0, as numpy computes it: by the exact remainder."""
    if a.dtype == "int64":
        return g.op("Div", a - remainder(g, a, b), g.const(b, "int64"), width=a.width)
    rest = g.op("Mod", a, g.const(b, a.dtype), width=a.width, fmod=1)
    other_side = rest > 0.0 if b < 0 else rest < 0.0
    quotient = (a - rest) / g.const(b, a.dtype)
    quotient = g.where(other_side, quotient - 1.0, quotient)
    whole = g.unary("Floor", quotient)
    return g.where(quotient - whole > 0.5, whole + 1.0, whole)
