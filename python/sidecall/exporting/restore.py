"""Gives a graph back the decimals that its callers wrote: 60.4 in a float32 is 60.40000153, and a double threshold sees the difference.

A float32 that is the nearest one to a decimal with the column's number of places stands for that decimal; any other stands for
itself. The division of two whole doubles rounds as reading the decimal would, so that the restored value is the very same double.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .columns import Column
from .precision import decimals
from .schema import Schema


def places(schema: Schema, columns: list[Column]) -> dict[str, list[int | None]]:
    """Per float32 input that holds decimals: how many, column by column."""
    result: dict[str, list[int | None]] = {name: [] for name, dtype, _ in schema.inputs if dtype == "float32"}
    for feature, column in zip(schema.features, columns, strict=True):
        if feature.input in result:
            result[feature.input].append(decimals(column))
    return {name: counts for name, counts in result.items() if any(count is not None for count in counts)}


def prepend(graph: Any, counts: dict[str, list[int | None]]) -> None:
    """Turns float64 inputs into float32 ones, restored by nodes in front of what reads them."""
    from onnx import TensorProto, helper, numpy_helper

    taken = {name for node in graph.graph.node for name in (*node.input, *node.output)} | {item.name for item in graph.graph.input}
    nodes = []
    for spec in graph.graph.input:
        if spec.name not in counts:
            continue

        def fresh(suffix: str, base: str = spec.name) -> str:
            name = f"{base}_{suffix}"
            while name in taken:
                name += "_"
            taken.add(name)
            return name

        spec.type.tensor_type.elem_type = TensorProto.FLOAT
        restored, exact, scaled, whole, written, back, same = (
            fresh(s) for s in ("restored", "double", "scaled", "whole", "written", "back", "same")
        )
        scale, known = fresh("scale"), fresh("known")
        places_of = counts[spec.name]
        graph.graph.initializer.extend(
            [
                numpy_helper.from_array(np.array([[10.0 ** (n or 0) for n in places_of]]), scale),
                numpy_helper.from_array(np.array([[n is not None for n in places_of]]), known),
            ]
        )
        matches = fresh("matches")
        for node in graph.graph.node:
            node.input[:] = [restored if name == spec.name else name for name in node.input]
        nodes += [
            helper.make_node("Cast", [spec.name], [exact], to=TensorProto.DOUBLE),
            helper.make_node("Mul", [exact, scale], [scaled]),
            helper.make_node("Round", [scaled], [whole]),
            helper.make_node("Div", [whole, scale], [written]),
            helper.make_node("Cast", [written], [back], to=TensorProto.FLOAT),
            helper.make_node("Equal", [back, spec.name], [same]),
            helper.make_node("And", [same, known], [matches]),
            helper.make_node("Where", [matches, written, exact], [restored]),
        ]
    rest = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes + rest)
