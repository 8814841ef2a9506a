"""A table of columns with different types, which is the argument of every converter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from ..checks import Range
from .builder import Graph, Tensor
from .one_hot import OneHot
from .promotion import DATES, NO_NUMBERS

# Represents a missing value in a string tensor (docs/contract.md); it is a non-character of
# Unicode.
MISSING = "\ufdd0"
# The type of a column that the model does not use and that therefore has no input.
LEFT_OUT = "left out"


class Frame:
    """Tensors [N, width] side by side. Their types stay unchanged until a step asks for a matrix.

    `sparse`: scikit-learn holds these columns as a sparse matrix.
    `names`: the names of the columns; only the frames that converters get have them.
    Converters know this class as sidecall.converters.Columns.
    """

    def __init__(
        self,
        graph: Graph,
        parts: Sequence[Tensor],
        sparse: bool = False,
        names: list[str] | None = None,
    ) -> None:
        self.graph = graph
        self.sparse = sparse
        self.names = names
        self.parts = [p for p in parts if p.width != 0]
        self.width = sum(p.width or 0 for p in self.parts)
        self.key = tuple(p.key for p in self.parts)

    def __len__(self) -> int:
        return self.width

    def __getitem__(self, column: str | int) -> Tensor:
        """One column by its name or position, [N, 1], in its own type."""
        if isinstance(column, str):
            if self.names is None:
                raise KeyError(f"column '{column}': the columns of this step have no names")
            if column not in self.names:
                raise KeyError(f"column '{column}': expected one of {', '.join(self.names)}")
            column = self.names.index(column)
        if not -self.width <= column < self.width:
            raise IndexError(f"column {column}: the step gets {self.width} columns")
        return self.column(column % self.width)

    @property
    def dtypes(self) -> list[str]:
        return [p.dtype for p in self.parts for _ in range(p.width or 0)]

    @property
    def singles(self) -> list[bool]:
        return [p.single for p in self.parts for _ in range(p.width or 0)]

    @property
    def range(self) -> Range | None:
        """The bounds of the numbers in each column, or None if a column has no known bounds."""
        return Range.beside([part.range for part in self.parts])

    def select(self, indices: Iterable[Any]) -> Frame:
        """The chosen columns in this order; adjacent columns from one part stay in one part."""
        places = [(part, column) for part in self.parts for column in range(part.width or 0)]
        chosen = [places[int(i)] for i in indices]
        parts: list[Tensor] = []
        for _, group in groupby(chosen, key=lambda place: place[0].key):
            items = list(group)
            part, columns = items[0][0], [column for _, column in items]
            if isinstance(part, OneHot) and len(set(columns)) == len(columns):
                parts.append(part.select(columns))
            else:
                parts.append(self.graph.columns(part, columns))
        return Frame(self.graph, parts, self.sparse)

    def column(self, index: int) -> Tensor:
        """One column, [N, 1], in its own type."""
        return self.select([index]).parts[0]

    def matrix(self, dtype: str | None = None) -> Tensor:
        """All columns as one tensor [N, width], by default in the type of the graph."""
        dtype = dtype or self.graph.real
        if LEFT_OUT in self.dtypes:
            raise TypeError("this step uses a column that was left out as unused")
        if DATES in self.dtypes:
            raise TypeError(NO_NUMBERS)
        if dtype != "string" and "string" in self.dtypes:
            raise TypeError("a column of strings reaches a step that computes with numbers")
        parts = []
        for _, group in groupby(self.parts, key=lambda part: part.dtype):
            parts.append(self.graph.cast(self.graph.concat(list(group)), dtype))
        if not parts:
            raise TypeError("no columns reach this step")
        return self.graph.concat(parts)


def join(graph: Graph, frames: Sequence[Frame]) -> Frame:
    return Frame(graph, [part for frame in frames for part in frame.parts])
