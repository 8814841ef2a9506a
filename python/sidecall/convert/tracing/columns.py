"""Columns of traced functions whose values a double stands for."""

from __future__ import annotations

from ..checks import Rule
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


class Flag(Tensor):
    """A column of bools of the original that may be missing: float64, with NaN.

    Whether pandas takes a missing bool as True depends on what stands for it, so a function may
    only ask whether it is missing, or fill it.
    """

    __slots__ = ()


FLAG = "it computes with a bool column that may be missing; fill it with fillna() first"
EXACT = 2**53 - 1  # the largest integer that no other one is rounded to
EXACT_RULE = Rule(-float(EXACT), float(EXACT), True, "whole numbers below 2^53")


def whole(g: Conversion, x: Tensor) -> Whole:
    """x as a column of integers that may be missing; rows with large numbers are refused."""
    g.require(Frame(g, [x]), EXACT_RULE)
    return Whole(g, x.name, "float64", x.width)


def as_kind_of(source: Tensor, x: Tensor) -> Tensor:
    """x, whose values are some of those of `source`, as the same kind of column."""
    if isinstance(source, Whole | Flag):
        return type(source)(x.graph, x.name, x.dtype, x.width)
    return x
