"""Columns of traced functions whose type in the original differs from that of their tensor."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..checks import Range, Rule
from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..registry import Conversion
from .refusals import Untraceable

# The types of integers that no tensor of a traced function has; int64 stands for them.
NARROW = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64")


class Nullable(NamedTuple):
    """What is known of a column of pandas whose type has pd.NA, such as Int64 or string.

    `family`: "masked" or "arrow". `declared`: its type; None for a column that was computed.
    `missing`: whether its values may be missing.
    """

    family: str
    declared: Any
    missing: bool


class Typed(Tensor):
    """The values of another tensor, as a column of a type that the tensor does not show."""

    __slots__ = ()

    def __init__(self, x: Tensor) -> None:
        super().__init__(x.graph, x.name, x.dtype, x.width)
        self.range = x.range
        self.nullable = x.nullable


class Integers(Typed):
    """A column of integers of the original; `integer` is their type."""

    __slots__ = ("integer",)

    def __init__(self, x: Tensor, integer: str = "int64") -> None:
        super().__init__(x)
        self.integer = integer


class Narrow(Integers):
    """A column of one of the types NARROW without missing values. Its tensor is int64.

    Results wrap around in the narrow type, as in numpy.
    """

    __slots__ = ()


class Whole(Integers):
    """A column of integers of the original that may be missing: float64, with NaN.

    numpy computes with integers as long as none is missing in the batch. They wrap around beyond
    2^63. A double below 2^53 stands for one integer only (2^53 also stands for 2^53 + 1), so rows
    with other numbers are refused.
    """

    __slots__ = ()


class Small(Whole):
    """A column of a narrow type whose type in the original depends on the other values.

    Examples are the years of dates, and a column whose missing values were filled: numpy computes
    with doubles if a value was missing in the batch. So rows are refused if a result is beyond the
    narrow type, where integers would wrap around and doubles would not.
    """

    __slots__ = ()


class Wrapping(Whole):
    """A column of a narrow type that may be missing. Results wrap around, or are missing."""

    __slots__ = ()


class Flag(Typed):
    """A column of bools of the original that may be missing: float64, with NaN.

    Whether pandas takes a missing bool as True depends on what stands for it, so a function may
    only ask whether it is missing, or fill it.
    """

    __slots__ = ()


class Kleene(Flag):
    """A Flag whose missing values are pd.NA, such as a comparison with a column of Int64.

    The operators &, |, ^ and ~ follow the logic of three values.
    """

    __slots__ = ()


class Objects(Flag):
    """Numbers and bools in an array of objects: float64. numpy computes with it in other ways."""

    __slots__ = ()


class Text(Typed):
    """A column of text as the function gets it; `declared` is its type in pandas."""

    __slots__ = ("declared",)

    def __init__(self, x: Tensor, declared: Any) -> None:
        super().__init__(x)
        self.declared = declared


_FLAG = "it computes with a bool column that may be missing; fill it with fillna() first"
_KLEENE = (
    "it computes with bools that may be pd.NA, as a comparison with a column of Int64 or string "
    "gives; fill the column first, as in d['age'].fillna(0) < 18, or the bools with .fillna(False)"
)
_OBJECTS = (
    "its array holds bools and numbers, or several columns of types with pd.NA, so pandas makes an "
    "array of objects; convert the columns first, as in d.astype(float).to_numpy()"
)
EXACT = 2**53 - 1  # the largest integer that no other one is rounded to
EXACT_RULE = Rule(-float(EXACT), float(EXACT), True, "whole numbers below 2^53")


NARROW_WORDS = "whole numbers of the type"
AS_FLOATS = "(convert the column with .astype('float64') first)"
ADVICE = "convert the column with .astype('int64') or .astype('float64') before the arithmetic"


def limits(integer: str) -> tuple[int, int]:
    """The smallest and the largest number of a type that the graph holds; it has no uint64."""
    info = np.iinfo(integer)
    return int(info.min), min(int(info.max), 2**63 - 1)


def rule_of(integer: str) -> Rule:
    low, high = limits(integer)
    return Rule(float(low), float(high), True, f"{NARROW_WORDS} {integer}")


def whole(g: Conversion, x: Tensor, integer: str = "int64", known: Range | None = None) -> Whole:
    """x, float64 with NaN, as a column of integers; rows with larger numbers are refused.

    `known` is its range.
    """
    is_wide = integer in ("int64", "uint64")
    if known is None:
        g.require(Frame(g, [x]), EXACT_RULE if is_wide else rule_of(integer))
    result = Whole(x, integer) if is_wide else Small(x, integer)
    result.range = x.range if known is None else known
    return result


def type_of(x: Tensor) -> str:
    """The type of a column in the original."""
    return x.integer if isinstance(x, Integers) else x.dtype


def as_kind_of(source: Tensor, x: Tensor) -> Tensor:
    """Returns x, whose values come from `source`, as the same kind of column."""
    if isinstance(source, Integers):
        return type(source)(x, source.integer)
    return type(source)(x) if isinstance(source, Flag) else x


def reason_of(x: Flag) -> str:
    """Why a function cannot compute with such a column."""
    if isinstance(x, Objects):
        return _OBJECTS
    return _KLEENE if isinstance(x, Kleene) else _FLAG


def nullable_type(dtype: Any, missing: bool) -> Nullable | None:
    """What is known of a column of this type; None if it has no pd.NA."""
    if getattr(dtype, "na_value", None) is not pd.NA:
        return None
    is_arrow = isinstance(dtype, pd.ArrowDtype | pd.StringDtype)
    return Nullable("arrow" if is_arrow else "masked", dtype, missing)


def as_nullable(x: Tensor, nullable: Nullable | None) -> Tensor:
    """x as a column of such a type, or of a type without pd.NA."""
    if x.nullable == nullable:
        return x
    result = copy.copy(x)
    result.nullable = nullable
    return result


def numpy_type(x: Tensor) -> Any:
    """What numpy's rules for types need to know of a column."""
    if isinstance(x, Flag):
        raise Untraceable(reason_of(x))
    if isinstance(x, Text):
        return x.declared
    if x.dtype == "string":
        raise Untraceable("it asks for the type of text that it computes")
    return np.dtype(type_of(x))


def declared_type(x: Tensor) -> Any:
    """The type of a column as the function sees it."""
    if x.nullable is None:
        return numpy_type(x)
    if x.nullable.declared is None:
        raise Untraceable("it asks for the type of a column that it computes")
    return x.nullable.declared


def may_be_missing(x: Tensor) -> bool:
    if x.nullable is not None:
        return bool(x.nullable.missing)
    if x.dtype == "string" or x.dtype.startswith("float"):
        return x.range is None or bool(x.range.missing.any())
    return False
