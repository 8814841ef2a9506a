"""The element-wise functions of numpy that convert; for placeholders and FunctionTransformer.

Each takes tensors of one type, the one in which numpy computes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph.builder import Tensor
from ..graph.column_function import Recorded
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


def _times(factor: Callable[[np.floating], np.floating]) -> Body:
    """The product with a factor that numpy computes from pi in the type of the column."""
    return lambda g, x: x * g.const(factor(np.dtype(x.dtype).type(np.pi)), x.dtype)


def _cube_root(g: Conversion, x: Tensor) -> Tensor:
    """The cube root, exact for cubes of whole numbers."""
    size = g.abs(x)
    rough = size ** (1.0 / 3.0)
    whole = g.unary("Round", rough)
    return g.unary("Sign", x) * g.where((whole * whole * whole).equals(size), whole, rough)


def _sign(g: Conversion, x: Tensor) -> Tensor:
    if x.dtype.startswith("float"):
        return g.unary("Sign", x)
    return g.cast(x > 0, "int64") - g.cast(x < 0, "int64")


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
    np.sign: _sign,
    np.sin: _op("Sin"),
    np.cos: cos,
    np.tanh: _op("Tanh"),
    np.floor: _op("Floor"),
    np.ceil: _op("Ceil"),
    np.rint: _op("Round"),
    np.trunc: lambda g, x: g.unary("Sign", x) * g.unary("Floor", g.abs(x)),
    np.deg2rad: _times(lambda pi: pi / 180),
    np.radians: _times(lambda pi: pi / 180),
    np.rad2deg: _times(lambda pi: 180 / pi),
    np.degrees: _times(lambda pi: 180 / pi),
}
# Functions whose last digits depend on the library that computes them, and on the processor.
INEXACT = {
    np.log1p, np.expm1, np.log, np.log2, np.log10, np.exp, np.exp2, np.cbrt, np.sin, np.cos,
    np.tanh, np.power, np.float_power,
}  # fmt: skip
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


# ONNX Runtime 1.22 compares only 32 bits of int64 in Max and Min, and in Sign.
def _largest(g: Conversion, a: Tensor, b: Tensor) -> Tensor:
    return g.maximum(a, b) if a.dtype.startswith("float") else g.where(a < b, b, a)


def _smallest(g: Conversion, a: Tensor, b: Tensor) -> Tensor:
    return g.minimum(a, b) if a.dtype.startswith("float") else g.where(b < a, b, a)


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


def recorded(
    ufunc: np.ufunc, operands: Sequence[Tensor], inputs: Sequence[Any], is_column: Sequence[bool]
) -> Recorded:
    """How numpy computes a column of the result, if one operand is a column and not a constant."""
    name = f"np.{ufunc.__name__}"
    if sum(is_column) != 1:
        return Recorded(name)
    place = list(is_column).index(True)

    def function(column: int, values: np.ndarray) -> Any:
        every = [
            x if k == place or np.ndim(x) == 0 else np.asarray(x)[..., column]
            for k, x in enumerate(inputs)
        ]
        return ufunc(*every[:place], values, *every[place + 1 :])

    return Recorded(name, operands[place], function)


def remainder(g: Conversion, a: Tensor, b: float) -> Tensor:
    """a % b for a number b other than 0: the result has the sign of b, as in Python."""
    divisor = g.const(b, a.dtype)
    if a.dtype == "int64":
        # ONNX Runtime ends the process when it divides the smallest integer by -1.
        return a * 0 if b == -1 else g.op("Mod", a, divisor, width=a.width)
    rest = g.op("Mod", a, divisor, width=a.width, fmod=1)
    other_side = rest > 0.0 if b < 0 else rest < 0.0
    zero = g.const(np.copysign(0.0, b), a.dtype)
    return g.where(rest.equals(0.0), zero, g.where(other_side, rest + divisor, rest))


def _floor_divide_whole(g: Conversion, a: Tensor, b: int) -> Tensor:
    """a // b of int64. ONNX divides towards zero; the operands stay in the range of int64."""

    def divided(x: Tensor, by: int) -> Tensor:
        return g.op("Div", x, g.const(by, "int64"), width=x.width)

    if abs(b) == 1:
        return a if b == 1 else -a
    if b > 0:
        return g.where(a < 0, -1 - divided(-1 - a, b), divided(a, b))
    return g.where(a > 0, -1 - divided(a - 1, -b), divided(a, b))


def floor_divide(g: Conversion, a: Tensor, b: float) -> Tensor:
    """a // b for a number b other than 0, as numpy computes it: by the exact remainder."""
    if a.dtype == "int64":
        return _floor_divide_whole(g, a, int(b))
    rest = g.op("Mod", a, g.const(b, a.dtype), width=a.width, fmod=1)
    other_side = rest > 0.0 if b < 0 else rest < 0.0
    quotient = (a - rest) / g.const(b, a.dtype)
    quotient = g.where(other_side, quotient - 1.0, quotient)
    whole = g.unary("Floor", quotient)
    return g.where(quotient - whole > 0.5, whole + 1.0, whole)


DIVISIONS: dict[Any, Callable[[Conversion, Tensor, Any], Tensor]] = {
    np.remainder: remainder,
    np.floor_divide: floor_divide,
}
