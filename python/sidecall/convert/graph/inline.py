"""Makes the nodes of another ONNX model part of a graph; for converters of other packages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import inliner, numpy_helper, version_converter

from .builder import ELEMENT_TYPES, OPSETS, Graph, Tensor

_NAMES: dict[int, str] = {int(number): name for name, number in ELEMENT_TYPES.items()}
# Nodes of these versions of ai.onnx.ml mean the same in version 3.
_ML_VERSIONS = (2, 3)


def inline(g: Graph, model: onnx.ModelProto, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of `model` for these inputs, as tensors of g.

    Raises ValueError if the model needs other versions of operators, or has inputs or outputs of
    types that a graph of sidecall has not.
    """
    model = _at_our_versions(inliner.inline_local_functions(model))
    graph = model.graph
    if graph.sparse_initializer:
        raise ValueError("the ONNX model has sparse initializers, which are not supported")
    known = {initializer.name for initializer in graph.initializer}
    declared = [value for value in graph.input if value.name not in known]
    if len(declared) != len(inputs):
        raise ValueError(f"the ONNX model has {len(declared)} inputs, got {len(inputs)} tensors")
    names: dict[str, str] = {"": ""}
    for value, tensor in zip(declared, inputs, strict=True):
        dtype, _ = _type_of(value)
        if dtype != tensor.dtype:
            raise ValueError(
                f"input {value.name} of the ONNX model: expected {dtype}, got {tensor.dtype}"
            )
        names[value.name] = tensor.name
    for initializer in graph.initializer:
        array = numpy_helper.to_array(initializer)
        if initializer.data_type == onnx.TensorProto.STRING:
            array = array.astype(object)
        names[initializer.name] = g.const(array, _dtype(initializer.data_type)).name
    g.nodes.extend(_renamed(node, names, g) for node in graph.node)
    results = []
    for value in graph.output:
        dtype, width = _type_of(value)
        results.append(Tensor(g, names[value.name], dtype, width))
    return results


def _dtype(number: int) -> str:
    if number not in _NAMES:
        kind = onnx.TensorProto.DataType.Name(number).lower()
        raise ValueError(f"the ONNX model has a tensor of type {kind}, which is not supported")
    return _NAMES[number]


def _type_of(value: onnx.ValueInfoProto) -> tuple[str, int | None]:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise ValueError(f"{value.name} of the ONNX model is a {kind}, expected a tensor")
    dims = value.type.tensor_type.shape.dim
    width = dims[-1].dim_value if len(dims) > 1 and dims[-1].HasField("dim_value") else None
    return _dtype(value.type.tensor_type.elem_type), width


def _at_our_versions(model: onnx.ModelProto) -> onnx.ModelProto:
    for opset in model.opset_import:
        domain, version = "" if opset.domain == "ai.onnx" else opset.domain, opset.version
        if domain == "":
            if version != OPSETS[""]:
                model = version_converter.convert_version(model, OPSETS[""])
        elif domain == "ai.onnx.ml":
            if version not in _ML_VERSIONS:
                raise ValueError(f"the ONNX model uses ai.onnx.ml {version}, expected 2 or 3")
        elif domain not in OPSETS:
            raise ValueError(f"the ONNX model uses operators of the domain {domain}")
    return model


def _renamed(node: onnx.NodeProto, names: dict[str, str], g: Graph) -> onnx.NodeProto:
    """A copy of the node with the names that its values have in g; adds its outputs to `names`."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = g.fresh("n")
    copy.input[:] = [names[name] for name in node.input]
    for attribute in copy.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            _rename_body(attribute.g, names, g)
        for body in attribute.graphs:
            _rename_body(body, names, g)
    for name in node.output:
        names[name] = g.fresh("t") if name else ""
    copy.output[:] = [names[name] for name in node.output]
    return copy


def _rename_body(body: onnx.GraphProto, outer: Mapping[str, str], g: Graph) -> None:
    """Renames the values of a graph inside of a node, which can read the values around it."""
    names = dict(outer)
    for value in (*body.input, *body.initializer):
        names[value.name] = g.fresh("t")
        value.name = names[value.name]
    nodes = [_renamed(node, names, g) for node in body.node]
    del body.node[:]
    body.node.extend(nodes)
    for value in body.output:
        value.name = names[value.name]
    del body.value_info[:]
    g.inner_domains.update(node.domain for node in nodes)
