"""Columns of which at most one is 1 in each row, kept as the number of that column."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import Range
from .builder import Graph, Tensor


class OneHot(Tensor):
    """The matrix [N, width] of a one-hot encoder, as a single number for each row.

    `code` [N], int64, is the position of the column that is 1. A linear model looks its weights up
    with it, and a tree compares it. The matrix itself is added to the graph only if a step asks for
    the name of this tensor.

    In a row of zeros, `code` is `width`, or `width + 1` if the encoder refuses unknown values. Then
    `width` stands for an unknown value, for which a row is NaN.
    """

    __slots__ = ("code", "refuses_unknown")

    def __init__(
        self, graph: Graph, code: Tensor, width: int, dtype: str, refuses_unknown: bool
    ) -> None:
        super().__init__(graph, "", dtype, width)
        self.code = code
        self.refuses_unknown = refuses_unknown
        self.single = True
        self.range = Range.of(0.0, 1.0, False, width)

    @property
    def size(self) -> int:
        """The number of columns."""
        return self.width or 0

    @property
    def name(self) -> str:
        g = self.graph
        ends = g.const(np.array([0.0, 1.0]), "float32")
        matrix = g.op(
            "OneHot", self.code, g.const(self.size), ends, dtype="float32", width=self.size
        )
        if self.refuses_unknown:
            unknown = self.code.equals(self.size)
            matrix = matrix + g.column(g.where(unknown, g.const(np.nan, "float32"), 0.0))
        return g.cast(matrix, self.dtype).name

    @property
    def key(self) -> str:
        return f"{self.code.name}:{self.size}:{self.dtype}"

    def select(self, columns: list[int]) -> OneHot:
        """The chosen columns, each at most once."""
        if columns == list(range(self.size)):
            return self
        zeros = len(columns) + int(self.refuses_unknown)
        codes = np.full(self.size + 1 + int(self.refuses_unknown), zeros, "int64")
        codes[columns] = np.arange(len(columns))
        codes[self.size] = len(columns)
        code = self.graph.gather(self.graph.const(codes), self.code)
        return OneHot(self.graph, code, len(columns), self.dtype, self.refuses_unknown)

    def weighted(self, weights: Any, bias: Any) -> Tensor:
        """The product of the matrix and `weights` [width, K], plus `bias` [K]."""
        zeros = np.zeros((1, weights.shape[1]))
        rows = [weights, zeros * np.nan, zeros] if self.refuses_unknown else [weights, zeros]
        result = self.graph.gather(self.graph.const(np.vstack(rows) + bias), self.code)
        result.width = weights.shape[1]
        return result
