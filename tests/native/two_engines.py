"""Runs a model on the native engine and on ONNX Runtime. Used by all tests of this folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
import sidecall
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

onnxruntime.set_default_logger_severity(4)

Array = NDArray[Any]
ML, MICROSOFT = "ai.onnx.ml", "com.microsoft"
OPSET, OPSET_ML, OPSET_MICROSOFT = 21, 5, 1
IR_VERSION = 10
# The name of a node in a graph of one node, which messages must repeat.
NODE = "the_node"


class Refused(Exception):
    """ONNX Runtime does not open the model, or does not run it."""


class Native:
    """A model that the native engine has opened."""

    def __init__(self, model: bytes) -> None:
        self.model = sidecall.open(model, engine="native", verify="off")

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        return [np.asarray(answer) for answer in self.model.run(dict(inputs)).values()]


class OnnxRuntime:
    """A model that ONNX Runtime has opened, with one thread."""

    def __init__(self, model: bytes, *, is_optimised: bool = True) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        if not is_optimised:
            level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.graph_optimization_level = level
        try:
            self.session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise Refused(str(error)) from error

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        try:
            return [np.asarray(answer) for answer in self.session.run(None, dict(inputs))]
        except Exception as error:
            raise Refused(str(error)) from error


def element_type(dtype: Any) -> int:
    """The number that ONNX has for a type of numpy; objects are strings."""
    dtype = np.dtype(dtype)
    is_text = dtype.kind == "O"
    return TensorProto.STRING if is_text else helper.np_dtype_to_tensor_dtype(dtype)


def tensor(array: Array, name: str = "") -> TensorProto:
    array = np.asarray(array)
    if array.dtype != object:
        return numpy_helper.from_array(array, name)
    texts = [str(text).encode() for text in array.ravel()]
    return helper.make_tensor(name, TensorProto.STRING, array.shape, texts)


def attribute(node: NodeProto, name: str, otherwise: Any = None) -> Any:
    for each in node.attribute:
        if each.name == name:
            return helper.get_attribute_value(each)
    return otherwise


def model_of(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[Any] | None]],
    outputs: Mapping[str, int],
    constants: Mapping[str, Array] | None = None,
    *,
    opset: int = OPSET,
    opset_ml: int = OPSET_ML,
) -> ModelProto:
    """A model with outputs of these types and unknown shapes."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [tensor(array, name) for name, array in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(ML, opset_ml)]
    if any(node.domain == MICROSOFT for node in nodes):
        imports.append(helper.make_opsetid(MICROSOFT, OPSET_MICROSOFT))
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)


def make_node(
    op: str, inputs: Sequence[str], outputs: Sequence[str], *, domain: str = "", **attributes: Any
) -> NodeProto:
    """A node; an attribute that is an array becomes a tensor, and one that is None is left out."""
    node = helper.make_node(op, inputs, outputs, NODE, domain=domain)
    for name, value in attributes.items():
        if value is None:
            continue
        if isinstance(value, np.ndarray):
            value = tensor(value, name)
        if isinstance(value, (list, tuple)) and len(value) == 0:
            # An empty list does not show its type.
            node.attribute.append(helper.make_attribute(name, [], attr_type=AttributeProto.INTS))
        else:
            node.attribute.append(helper.make_attribute(name, value))
    return node


def run_node(
    node: NodeProto, version: int, inputs: Mapping[str, Array], types: Sequence[int]
) -> list[Array]:
    """What ONNX Runtime answers for one node; `types` are those of its outputs."""
    kinds = {name: (element_type(array.dtype), array.shape) for name, array in inputs.items()}
    outputs = dict(zip(node.output, types, strict=True))
    is_ml = node.domain == ML
    model = model_of(
        [node],
        kinds,
        outputs,
        opset=OPSET if is_ml else version,
        opset_ml=version if is_ml else OPSET_ML,
    )
    return OnnxRuntime(model.SerializeToString(), is_optimised=False).run(inputs)
