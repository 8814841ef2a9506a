"""The terms of texts, of which each text has few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx

from .builder import Graph, Tensor
from .text_functions import (
    damping_function,
    multiplying_function,
    normalizing_function,
    scaling_function,
)


class Terms(Tensor):
    """The matrix [N, width] of the terms of texts, as the list of its numbers that are not zero.

    `row`, `column` and `value`, [K], are the places and the numbers, in the order of rows and
    columns, as in scikit-learn's sparse matrix; `rows`, [1], is N. A linear model adds up the
    weights of these places only. The matrix itself is added to the graph by `dense`, and only if a
    step asks for the name of this tensor.
    """

    __slots__ = ("_dense", "_matrix", "column", "row", "rows", "value")

    def __init__(
        self,
        graph: Graph,
        places: tuple[Tensor, Tensor, Tensor],
        value: Tensor,
        width: int,
        dense: Callable[[], Tensor],
    ) -> None:
        super().__init__(graph, "", value.dtype, width)
        self.row, self.column, self.rows = places
        self.value = value
        self._dense = dense
        self._matrix: Tensor | None = None

    @classmethod
    def of(
        cls,
        graph: Graph,
        function: onnx.FunctionProto,
        text: Tensor,
        attributes: dict[str, Any],
        dense: Callable[[], Tensor],
    ) -> Terms:
        """The counts that a node for listing_function() answers."""
        outputs = [(dtype, None) for dtype in ("int64", "int64", "float32", "int64")]
        row, column, count, rows = graph.call_function(function, [text], outputs, **attributes)
        return cls(graph, (row, column, rows), count, attributes["width"], dense)

    @property
    def matrix(self) -> Tensor:
        if self._matrix is None:
            self._matrix = self._dense()
        return self._matrix

    @property
    def name(self) -> str:
        return self.matrix.name

    @property
    def key(self) -> str:
        return f"{self.value.name}:{self.row.name}:{self.width}"

    def with_value(self, value: Tensor, dense: Callable[[], Tensor]) -> Terms:
        """A matrix with other numbers at the same places; `dense` adds it to the graph."""
        assert self.width is not None
        result = Terms(self.graph, (self.row, self.column, self.rows), value, self.width, dense)
        result.range = self.range
        return result

    def cast(self, dtype: str) -> Terms:
        g = self.graph
        return self.with_value(g.cast(self.value, dtype), lambda: g.cast(self.matrix, dtype))

    def damped(self) -> Tensor:
        """1 + log(value), at the places."""
        return self._call(damping_function(), [self.value], self.value)

    def scaled(self, value: Tensor, weights: Any) -> Tensor:
        """The products of `value`, at the places, and the weights of their columns."""
        constant = self.graph.const(np.asarray(weights).reshape(-1), value.dtype)
        return self._call(scaling_function(), [self.column, value, constant], value)

    def normalized(self, value: Tensor) -> Tensor:
        """`value`, at the places, divided by the Euclidean length of its row, as safe_norm does."""
        g = self.graph
        least = g.const(10.0 * np.finfo(value.dtype).eps, value.dtype)
        inputs = [self.row, value, self.rows, least, g.const(1.0, value.dtype)]
        return self._call(normalizing_function(), inputs, value)

    def weighted(self, weights: Any, bias: Any) -> Tensor:
        """The product of the matrix and `weights` [width, K], plus `bias` [K]."""
        g = self.graph
        count = np.shape(weights)[1]
        added = np.broadcast_to(np.asarray(bias, dtype="float64"), (count,))
        constants = [g.const(weights, self.dtype), g.const(added, self.dtype)]
        inputs = [self.row, self.column, self.value, self.rows, *constants]
        return self._call(multiplying_function(), inputs, self.value, count)

    def __matmul__(self, other: Any) -> Tensor:
        return self.matrix @ other if isinstance(other, Tensor) else self.weighted(other, 0.0)

    def _call(
        self,
        function: onnx.FunctionProto,
        inputs: list[Tensor],
        like: Tensor,
        width: int | None = None,
    ) -> Tensor:
        return self.graph.call_function(function, inputs, [(like.dtype, width)])[0]
