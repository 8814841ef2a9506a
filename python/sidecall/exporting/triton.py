"""The configuration with which NVIDIA's Triton serves an exported file (config.pbtxt)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .errors import FileError

# The numbers of ONNX's element types (onnx.TensorProto) and Triton's names for these types.
_TYPES = {
    1: "FP32",
    2: "UINT8",
    3: "INT8",
    4: "UINT16",
    5: "INT16",
    6: "INT32",
    7: "INT64",
    8: "STRING",
    9: "BOOL",
    10: "FP16",
    11: "FP64",
    12: "UINT32",
    13: "UINT64",
    16: "BF16",
}

# The graph runs as sidecall runs it: on the CPU, where the export compared it with the original,
# and with one thread, because more threads change the last bits of sums.
_TEXT = """\
# Written by sidecall export. 1/model.onnx contains the contract and golden rows of this model.
# Clients open it as grpc://HOST:8001/{plain_name}?contract=model.onnx, with a copy of that file.
name: {name}
backend: "onnxruntime"
max_batch_size: 0
version_policy {{ latest {{ num_versions: 1 }} }}
instance_group [ {{ kind: KIND_CPU }} ]
{tensors}
parameters {{ key: "sidecall.model_id" value {{ string_value: {model_id} }} }}
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
parameters {{ key: "inter_op_thread_count" value {{ string_value: "1" }} }}
"""


def config(name: str, graph: Any, model_id: str) -> str:
    """Returns the text of config.pbtxt, which is ASCII, for the graph of an exported file.

    It lists all inputs and outputs of the graph (an onnx.GraphProto), also the one that tells which
    rows are refused, because Triton runs the graph as it is. Raises FileError.
    """
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [_tensor("input", each) for each in graph.input if each.name not in stored]
    outputs = [_tensor("output", each) for each in graph.output]
    return _TEXT.format(
        plain_name=name,
        name=quoted(name),
        tensors="\n".join(inputs + outputs),
        model_id=quoted(model_id),
    )


def quoted(text: str) -> str:
    """Returns a string literal of protobuf's text format, with octal escapes outside of ASCII."""
    return '"' + "".join(_escaped(text.encode("utf-8"))) + '"'


def _escaped(content: bytes) -> Iterable[str]:
    for byte in content:
        character = chr(byte)
        if character in '"\\':
            yield "\\" + character
        elif 0x20 <= byte < 0x7F:
            yield character
        else:
            yield f"\\{byte:03o}"


def _tensor(field: str, spec: Any) -> str:
    type_of = spec.type.tensor_type
    if spec.type.WhichOneof("value") != "tensor_type" or type_of.elem_type not in _TYPES:
        raise _unsupported(field, spec.name, "a type that Triton has a name for", _type_name(spec))
    if not type_of.HasField("shape"):
        raise _unsupported(field, spec.name, "a known number of dimensions", "an unknown one")
    dims = [
        size.dim_value if size.WhichOneof("value") == "dim_value" else -1
        for size in type_of.shape.dim
    ]
    if not dims or 0 in dims:
        raise _unsupported(
            field, spec.name, "at least one dimension, and none of size 0", f"dimensions {dims}"
        )
    return (
        f"{field} {{ name: {quoted(spec.name)} data_type: TYPE_{_TYPES[type_of.elem_type]} "
        f"dims: [ {', '.join(map(str, dims))} ] }}"
    )


def _type_name(spec: Any) -> str:
    from onnx import TensorProto

    kind = spec.type.WhichOneof("value")
    if kind == "tensor_type":
        return str(TensorProto.DataType.Name(spec.type.tensor_type.elem_type).lower())
    return str(kind).removesuffix("_type")


def _unsupported(field: str, name: str, expected: str, got: str) -> FileError:
    return FileError(f"layout 'triton': {field} '{name}': expected {expected}, got {got}")
