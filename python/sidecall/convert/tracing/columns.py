"""Columns of traced functions whose values a double stands for."""

from __future__ import annotations

from ..checks import Range, Rule
from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..registry import Conversion


class Untraceable(Exception):
    """The function does something that a graph cannot do; the text says what."""


class Whole(Tensor):
    """A column of integers of the original that may be missing: float64, with NaN.

    numpy computes with integers as long as none is missing in the batch. They wrap around beyond
    2^63. A double below 2^53 stands for one integer only (2^53 also stands for 2^53 + 1), so rows
    with other numbers are refused.
    """

    __slots__ = ()


class Small(Whole):
    """A column of int32 of the original that may be missing, such as the years of dates.

    Rows with numbers beyond int32, where numpy wraps around, are refused.
    """

    __slots__ = ()


class Flag(Tensor):
    """A column of bools of the original that may be missing: float64, with NaN.

    Whether pandas takes a missing bool as True depends on what stands for it, so a function may
    only ask whether it is missing, or fill it.
    """

    __slots__ = ()


FLAG = "it computes with a bool column that may be missing; fill it with fillna() first"
EXACT = 2**53 - 1  # the largest integer that no other one is rounded to
SMALL_RULE = Rule(-(2.0**31), 2.0**31 - 1, True, "whole numbers of 32 bits")
EXACT_RULE = Rule(-float(EXACT), float(EXACT), True, "whole numbers below 2^53")


def whole(g: Conversion, x: Tensor) -> Whole:
    """x as a column of integers that may be missing; rows with large numbers are refused."""
    g.require(Frame(g, [x]), EXACT_RULE)
    return Whole(g, x.name, "float64", x.width)


def small(g: Conversion, x: Tensor, known: Range | None = None) -> Small:
    """x, float64 with NaN, as a column of int32. `known` is its range."""
    if known is None:
        g.require(Frame(g, [x]), SMALL_RULE)
    result = Small(g, x.name, "float64", x.width)
    result.range = known
    return result


def as_kind_of(source: Tensor, x: Tensor) -> Tensor:
    """x, whose values are some of those of `source`, as the same kind of column."""
    if isinstance(source, Whole | Flag):
        return type(source)(x.graph, x.name, x.dtype, x.width)
    return x
