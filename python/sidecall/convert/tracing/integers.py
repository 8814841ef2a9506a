"""Computes with integers of 8 to 64 bits in the type in which numpy and pandas compute with them.

In the graph they are int64, because ONNX Runtime has few kernels for narrower types. A result
beyond its type wraps around: the graph computes it modulo a power of 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add

import numpy as np

from ..checks import Range
from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.numeric import row_sum
from ..registry import Conversion
from .columns import (
    ADVICE,
    NARROW,
    Flag,
    Integers,
    Narrow,
    Whole,
    Wrapping,
    limits,
    reason_of,
    rule_of,
    type_of,
    whole,
)
from .refusals import Untraceable

# Functions whose results are never beyond the type of their operands.
_CLOSED = {
    np.remainder, np.maximum, np.minimum, np.fmax, np.fmin, np.positive, np.sign, np.floor,
    np.ceil, np.trunc,
}  # fmt: skip
_CLOSED_FOR_UNSIGNED = {np.absolute, np.floor_divide}


def wrapped(g: Conversion, x: Tensor, integer: str) -> Tensor:
    """x, int64, modulo a power of 2, as the number that a narrow type holds."""
    low, high = limits(integer)
    size = high - low + 1
    rest = g.op("Mod", x - low if low else x, g.const(size, "int64"), width=x.width)
    return rest + low if low else rest


def in_narrow_type(
    g: Conversion,
    ufunc: np.ufunc,
    columns: Sequence[Tensor],
    integer: str,
    body: Callable[[Callable[[Tensor], Tensor]], Tensor],
) -> Tensor:
    """ufunc of columns that are not Small, computed in a narrow type.

    `body` computes it in int64. It gets a function that converts a column to int64.
    """
    is_closed = ufunc in _CLOSED or (integer.startswith("u") and ufunc in _CLOSED_FOR_UNSIGNED)
    if integer == "uint64" and not is_closed:
        raise Untraceable(f"np.{ufunc.__name__} computes in uint64; {ADVICE}")
    missing = [g.isnan(x) for x in columns if isinstance(x, Whole)]

    def as_int64(x: Tensor) -> Tensor:
        return g.cast(g.where(g.isnan(x), 0.0, x) if isinstance(x, Whole) else x, "int64")

    result = body(as_int64)
    result = result if is_closed else wrapped(g, result, integer)
    if not missing:
        return bounded(Narrow(result, integer))
    absent = missing[0]
    for other in missing[1:]:
        absent = absent | other
    return bounded(Wrapping(g.where(absent, np.nan, g.cast(result, "float64")), integer))


def bounded(x: Integers) -> Tensor:
    """x, a column of a narrow type, with the ends of this type as its range."""
    low, high = limits(x.integer)
    x.range = Range.of(low, high, isinstance(x, Whole), x.width or 1)
    return x


def require_width(g: Conversion, x: Tensor) -> None:
    """Refuses numbers that are beyond the narrow type of their column.

    Callers pass integers as int64. The original cannot get such a number in this column: in a
    wider type it would compute another result.
    """
    if not isinstance(x, Integers) or x.integer not in NARROW:
        return
    rule = rule_of(x.integer)
    if x.range is not None and x.range.within(rule):
        return
    sources = g.inputs_of(x)
    if sources is None:
        g.require(Frame(g, [x]), rule)
        return
    for source in sources:
        g.checks.widths[source] = limits(x.integer)


def converted(g: Conversion, x: Tensor, dtype: str) -> Tensor:
    """x.astype(dtype)."""
    if isinstance(x, Flag):
        raise Untraceable(reason_of(x))
    plain = Tensor(g, x.name, x.dtype, x.width)
    if dtype == type_of(x):
        return x
    if isinstance(x, Whole):
        return whole(g, plain, dtype) if dtype in ("int64", *NARROW) else g.cast(plain, dtype)
    if x.dtype == "string" or (x.dtype.startswith("float") and dtype in ("int64", *NARROW)):
        raise Untraceable(f"it converts {x.dtype} to {dtype}")
    if dtype not in NARROW:
        return g.cast(plain, dtype)
    if np.can_cast(type_of(x), dtype):
        result = Narrow(g.cast(plain, "int64"), dtype)
        return bounded(result) if x.dtype == "bool" else result  # a bool is in every type
    if dtype == "uint64":
        raise Untraceable(f"it converts {type_of(x)} to uint64")
    return bounded(Narrow(wrapped(g, g.cast(plain, "int64"), dtype), dtype))


def total(g: Conversion, x: Tensor) -> Tensor:
    """The sum of each row. numpy adds narrow integers in 64 bits."""
    integer = type_of(x)
    if integer == "uint64":
        raise Untraceable(f"it adds in uint64; {ADVICE}")
    of_sum = "uint64" if integer.startswith("u") else "int64"
    if isinstance(x, Whole):
        return whole(g, g.sum(x), of_sum)
    if x.dtype.startswith("float"):
        return row_sum(g, x)
    if integer == "int64":
        # ONNX Runtime adds up int64 in double.
        return reduce(add, [g.columns(x, [k]) for k in range(x.width or 0)])
    result = g.sum(x)
    return Narrow(result, of_sum) if of_sum in NARROW else result
