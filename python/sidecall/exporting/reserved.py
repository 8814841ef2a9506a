"""Turns the reserved value of an int64 input into NaN, with nodes in front of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from .inputs.schema import Schema


def values(schema: Schema) -> dict[str, int]:
    """Returns the value that means missing, for each int64 input that may hold a missing value."""
    return {
        f.input: f.missing["value"]
        for f in schema.features
        if f.type == "int64" and f.tensor == "int64" and f.nullable
    }


def prepend(graph: Any, reserved: dict[str, int]) -> None:
    """Turns the float64 inputs in `reserved` into int64 inputs, with nodes before their readers."""
    from onnx import TensorProto

    names = {name for node in graph.graph.node for name in (*node.input, *node.output)} | {
        item.name for item in graph.graph.input
    }
    front = []
    for spec in graph.graph.input:
        if spec.name not in reserved:
            continue
        spec.type.tensor_type.elem_type = TensorProto.INT64
        made = _nodes(graph.graph, spec.name, reserved[spec.name], names)
        for node in graph.graph.node:
            node.input[:] = [
                made[-1].output[0] if name == spec.name else name for name in node.input
            ]
        front += made
    rest = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend(front + rest)


def _nodes(graph: Any, name: str, value: int, taken: set[str]) -> list[Any]:
    """Returns the nodes between an int64 input and its readers; the last node outputs float64."""
    from onnx import TensorProto, numpy_helper
    from onnx.helper import make_node

    def fresh(suffix: str) -> str:
        found = f"{name}_{suffix}"
        while found in taken:
            found += "_"
        taken.add(found)
        return found

    missing, nan, exact, absent, whole = map(fresh, ("missing", "nan", "double", "absent", "whole"))
    graph.initializer.append(numpy_helper.from_array(np.array([[value]]), missing))
    graph.initializer.append(numpy_helper.from_array(np.array([[np.nan]]), nan))
    return [
        make_node("Cast", [name], [exact], to=TensorProto.DOUBLE),
        make_node("Equal", [name, missing], [absent]),
        make_node("Where", [absent, nan, exact], [whole]),
    ]
