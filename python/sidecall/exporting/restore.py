"""Nodes in front of a graph: decimals that float32 blurred, integers with a reserved value for missing.

A caller's 60.4 in a float32 is 60.40000153, and a double threshold sees the difference.

A float32 that is the nearest one to a decimal with the column's number of places stands for that decimal; any other stands for
itself. The division of two whole doubles rounds as reading the decimal would, so that the restored value is the very same double.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .schema import Schema


def places(schema: Schema) -> dict[str, list[int | None]]:
    """Per float32 input that holds decimals: how many, column by column."""
    result: dict[str, list[int | None]] = {name: [] for name, dtype, _ in schema.inputs if dtype == "float32"}
    for feature in schema.features:
        if feature.input in result:
            result[feature.input].append(feature.places)
    return {name: counts for name, counts in result.items() if any(count is not None for count in counts)}


def reserved(schema: Schema) -> dict[str, int]:
    """Per int64 input that may hold a missing value: what stands for it."""
    return {f.input: f.missing["value"] for f in schema.features if f.tensor == "int64" and f.nullable}


def prepend(graph: Any, decimal_places: dict[str, list[int | None]], reserved_values: dict[str, int]) -> None:
    """Turns float64 inputs into float32 or int64 ones, with nodes in front of what reads them."""
    from onnx import TensorProto

    names = {name for node in graph.graph.node for name in (*node.input, *node.output)} | {item.name for item in graph.graph.input}
    front = []
    for spec in graph.graph.input:
        if spec.name in decimal_places:
            spec.type.tensor_type.elem_type = TensorProto.FLOAT
            made = _Front(graph.graph, spec.name, names).decimals(decimal_places[spec.name])
        elif spec.name in reserved_values:
            spec.type.tensor_type.elem_type = TensorProto.INT64
            made = _Front(graph.graph, spec.name, names).integers(reserved_values[spec.name])
        else:
            continue
        for node in graph.graph.node:
            node.input[:] = [made[-1].output[0] if name == spec.name else name for name in node.input]
        front += made
    rest = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend(front + rest)


class _Front:
    """The nodes between one input and its readers; the last one gives the float64 tensor."""

    def __init__(self, graph: Any, name: str, taken: set[str]) -> None:
        self.graph, self.name, self.taken = graph, name, taken

    def fresh(self, suffix: str) -> str:
        name = f"{self.name}_{suffix}"
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def constant(self, suffix: str, values: Any) -> str:
        from onnx import numpy_helper

        name = self.fresh(suffix)
        self.graph.initializer.append(numpy_helper.from_array(np.array(values), name))
        return name

    def decimals(self, counts: list[int | None]) -> list[Any]:
        from onnx import TensorProto
        from onnx.helper import make_node

        scale = self.constant("scale", [[10.0 ** (n or 0) for n in counts]])
        known = self.constant("known", [[n is not None for n in counts]])
        exact, scaled, whole, written, back, same, matches, restored = map(
            self.fresh, ("double", "scaled", "whole", "written", "back", "same", "matches", "restored")
        )
        return [
            make_node("Cast", [self.name], [exact], to=TensorProto.DOUBLE),
            make_node("Mul", [exact, scale], [scaled]),
            make_node("Round", [scaled], [whole]),
            make_node("Div", [whole, scale], [written]),
            make_node("Cast", [written], [back], to=TensorProto.FLOAT),
            make_node("Equal", [back, self.name], [same]),
            make_node("And", [same, known], [matches]),
            make_node("Where", [matches, written, exact], [restored]),
        ]

    def integers(self, value: int) -> list[Any]:
        from onnx import TensorProto
        from onnx.helper import make_node

        missing = self.constant("missing", [[value]])
        nan = self.constant("nan", [[np.nan]])
        exact, absent, whole = map(self.fresh, ("double", "absent", "whole"))
        return [
            make_node("Cast", [self.name], [exact], to=TensorProto.DOUBLE),
            make_node("Equal", [self.name, missing], [absent]),
            make_node("Where", [absent, nan, exact], [whole]),
        ]
