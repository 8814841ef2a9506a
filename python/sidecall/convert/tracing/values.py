"""Functions of the tensors of a traced function, in the types in which numpy computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.promotion import DATES
from ..registry import Conversion
from .columns import ADVICE, NARROW, Flag, Narrow, Whole, as_kind_of, reason_of, type_of, whole
from .refusals import Untraceable, Valueless
from .ufuncs import BINARY, TESTS, UNARY


def of_operands(
    g: Conversion, ufunc: np.ufunc, operands: list[Tensor], loop: list[str], inputs: Sequence[Any]
) -> Tensor:
    if ufunc in (np.logical_not, np.invert):
        if loop[0] != "bool":
            if ufunc is np.invert:
                raise Untraceable("it inverts the bits of numbers")
            return operands[0].equals(0)
        return ~operands[0]
    if ufunc in TESTS:
        if not operands[0].dtype.startswith("float"):
            raise Untraceable(f"it uses np.{ufunc.__name__} with {loop[0]}")
        return TESTS[ufunc](g, operands[0])
    if ufunc in (np.floor, np.ceil, np.trunc) and loop[0] == "int64":
        return operands[0]
    if ufunc in UNARY:
        if loop[0] == "bool" or (loop[0] == "int64" and ufunc is np.reciprocal):
            raise Untraceable(f"it uses np.{ufunc.__name__} with {loop[0]}")
        return UNARY[ufunc](g, operands[0])
    if ufunc.__name__.startswith("bitwise") and loop[0] != "bool":
        raise Untraceable("it combines the bits of numbers")
    if ufunc is np.power and loop[0] == "int64":
        return _whole_power(operands[0], inputs[1])
    if loop[0] == "bool" and loop[-1] == "bool" and ufunc in _ORDER:
        operands = [g.cast(x, "int64") for x in operands]
    return BINARY[ufunc](g, operands[0], operands[1])


_ORDER = {np.less, np.less_equal, np.greater, np.greater_equal}


def _whole_power(base: Tensor, exponent: Any) -> Tensor:
    if not isinstance(exponent, int | np.integer) or not 1 <= exponent <= 8:
        raise Untraceable("it raises whole numbers to a power other than 1 to 8")
    result = base
    for _ in range(int(exponent) - 1):
        result = result * base
    return result


_SHORTCUTS: dict[float, np.ufunc] = {2: np.square, 1: np.positive, -1: np.reciprocal}
with np.errstate(invalid="ignore"):
    if np.isnan(np.power(np.full(2, -np.inf), 0.5)).all():  # the square root since numpy 2.4
        _SHORTCUTS[0.5] = np.sqrt


def shortcut(exponent: Any, loop: list[str]) -> np.ufunc | None:
    """The function that numpy computes for a power of floats with this exponent, if not pow()."""
    if isinstance(exponent, Valueless) or np.ndim(exponent) or not loop[-1].startswith("float"):
        return None
    return _SHORTCUTS.get(float(exponent))


def rounded(g: Conversion, x: Tensor, decimals: int) -> Tensor:
    if isinstance(x, Flag):
        raise Untraceable(reason_of(x))
    if not x.dtype.startswith("float") or isinstance(x, Whole):
        if decimals < 0:
            raise Untraceable("it rounds whole numbers")
        return x
    scale = 10.0 ** abs(decimals)
    if decimals == 0:
        return g.unary("Round", x)
    if decimals > 0:
        return g.unary("Round", x * scale) / scale
    return g.unary("Round", x / scale) * scale


def folded(ufunc: np.ufunc) -> Callable[[Conversion, Tensor], Tensor]:
    """np.maximum or another function of two numbers, over the columns of each row."""

    def fold(g: Conversion, x: Tensor) -> Tensor:
        columns = [g.columns(x, [k]) for k in range(x.width or 0)]
        result = columns[0]
        for column in columns[1:]:
            result = BINARY[ufunc](g, result, column)
        return as_kind_of(x, result)

    return fold


def matrix_of(g: Conversion, x: Frame) -> Tensor:
    """All columns as one matrix of their common type, as in a numpy array."""
    if set(x.dtypes) == {"string"}:
        return x.matrix("string")
    if "string" in x.dtypes:
        raise Untraceable("its array holds numbers and text")
    if DATES in x.dtypes:
        raise Untraceable("its array holds dates; compute parts of them with .dt")
    for part in x.parts:
        if isinstance(part, Flag):
            raise Untraceable(reason_of(part))
    common = str(np.result_type(*{type_of(part) for part in x.parts}))
    is_whole = any(isinstance(part, Whole) for part in x.parts)
    if common in ("int64", *NARROW):
        return whole(g, x.matrix("float64"), common) if is_whole else _plain(g, x, common)
    return x.matrix(common)


def _plain(g: Conversion, x: Frame, integer: str) -> Tensor:
    matrix = x.matrix("int64")
    return Narrow(matrix, integer) if integer in NARROW else matrix


def compared_text(ufunc: np.ufunc, column: Tensor, text: Any) -> Tensor:
    """The result of `ufunc` for a column of text and one text."""
    if ufunc not in (np.equal, np.not_equal):
        raise Untraceable(f"it uses np.{ufunc.__name__} with text (only == and != are known)")
    if not isinstance(text, str):
        raise Untraceable(f"it compares text with a value of the class {type(text).__name__}")
    same: Tensor = column.equals(text)
    return same if ufunc is np.equal else ~same


def unknown_type(function: str, dtype: str) -> str:
    if dtype == "object":
        return f"{function} gets something that is neither a number nor a column of numbers"
    return f"{function} computes in {dtype}, which is not supported; {ADVICE}"
