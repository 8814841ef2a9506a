"""Columns of differing types as one table, the argument of every converter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from .checks import Range
from .graph import Graph, Tensor

# How a missing value stands in a string tensor (docs/contract.md): a non-character of Unicode.
MISSING = "\ufdd0"
# The type of a column that the model does not use, which has no input.
LEFT_OUT = "left out"


class Frame:
    """Tensors [N, width] side by side. Types stay as they came until a step asks for a matrix.

    `sparse` tells that scikit-learn holds these columns as a sparse matrix.
    """

    def __init__(self, graph: Graph, parts: Sequence[Tensor], sparse: bool = False) -> None:
        self.graph = graph
        self.sparse = sparse
        self.parts = [p for p in parts if p.width != 0]
        self.width = sum(p.width or 0 for p in self.parts)
        self.key = tuple(p.name for p in self.parts)

    @property
    def dtypes(self) -> list[str]:
        return [p.dtype for p in self.parts for _ in range(p.width or 0)]

    @property
    def singles(self) -> list[bool]:
        return [p.single for p in self.parts for _ in range(p.width or 0)]

    @property
    def range(self) -> Range | None:
        """Between what the numbers of each column lie, where that is known of all."""
        return Range.beside([part.range for part in self.parts])

    def select(self, indices: Iterable[Any]) -> Frame:
        """The chosen columns in this order; neighbours from one part stay one part."""
        places = [(part, column) for part in self.parts for column in range(part.width or 0)]
        chosen = [places[int(i)] for i in indices]
        parts = []
        for _, group in groupby(chosen, key=lambda place: place[0].name):
            items = list(group)
            parts.append(self.graph.columns(items[0][0], [column for _, column in items]))
        return Frame(self.graph, parts, self.sparse)

    def column(self, index: int) -> Tensor:
        """One column, [N, 1], in its own type."""
        return self.select([index]).parts[0]

    def matrix(self, dtype: str | None = None) -> Tensor:
        """All columns as one [N, width], by default in the type in which the graph computes."""
        dtype = dtype or self.graph.real
        if LEFT_OUT in self.dtypes:
            raise TypeError("a column that was left out reaches this step")
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
