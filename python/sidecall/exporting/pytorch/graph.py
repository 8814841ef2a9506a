"""Makes the ONNX graph of a module with torch.export and torch.onnx."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from ..errors import StepError
from .checks import message
from .example import Input, TorchData
from .module import TorchOriginal, call, ordered_tensors, quiet, type_of_output

_ROWS = 3  # for torch.export, which would treat 0 or 1 row as a fixed number of rows
_OWN = "sidecall_"  # a prefix that no name of torch.onnx has
_LABELS = f"{_OWN}classes"


class _Flat(torch.nn.Module):  # type: ignore[misc]  # Any for mypy
    """Takes and returns matrices of rows, in the types of the contract."""

    def __init__(self, module: Any, inputs: Sequence[Input]) -> None:
        super().__init__()
        self.original = module
        self.inputs = list(inputs)

    def forward(self, *matrices: Any) -> tuple[Any, ...]:
        tensors = []
        for item, matrix in zip(self.inputs, matrices, strict=True):
            tensor = matrix
            if item.shape != (item.width,):
                tensor = tensor.reshape(tensor.shape[0], *item.shape)
            tensors.append(tensor if tensor.dtype == item.dtype else tensor.to(item.dtype))
        answers = ordered_tensors(call(self.original, self.inputs, tensors))
        result = []
        for answer in answers:
            matrix = answer if answer.ndim == 2 else answer.reshape(answer.shape[0], -1)
            dtype = getattr(torch, type_of_output(answer.dtype))
            # Copied, because an output that is the same value as an input would have two names.
            result.append(matrix.clone() if answer.dtype == dtype else matrix.to(dtype))
        return tuple(result)


def to_graph(original: TorchOriginal, data: TorchData) -> Any:
    """Returns the model for ONNX. Raises StepError if torch cannot export the module."""
    step = type(original.model).__name__
    rows = np.resize(np.arange(min(data.rows, _ROWS)), _ROWS)
    example = []
    for item, tensor in zip(data.inputs, data.original(rows).tensors, strict=True):
        example.append(tensor.reshape(_ROWS, item.width).to(getattr(torch, item.tensor)))
    flat = _Flat(original.model, data.inputs).eval()
    free = {0: torch.export.Dim.DYNAMIC}
    silence = StringIO()
    with quiet(), redirect_stdout(silence), redirect_stderr(silence):
        try:
            program = torch.export.export(
                flat, tuple(example), dynamic_shapes=((free,) * len(example),), strict=False
            )
        except Exception as error:
            raise StepError(step, _why_not_exported(error)) from error
        _require_free(step, program)
        try:
            exported = torch.onnx.export(
                program,
                (),
                input_names=[f"{_OWN}input{k}" for k in range(len(data.inputs))],
                output_names=[f"{_OWN}output{k}" for k in range(len(original.results))],
                dynamo=True,
                verbose=False,
            )
        except Exception as error:
            raise StepError(step, _why_not_converted(error)) from error
    model = onnx.ModelProto()
    model.CopyFrom(exported.model_proto)
    _guard_tables(model.graph)
    _clean(model)
    names = [item.name for item in data.inputs] + [output.name for output in original.results]
    _rename(model.graph, names)
    _declare(model, data, original)
    return model


def _require_free(step: str, program: Any) -> None:
    """Refuses a graph that is valid for some numbers of rows only."""
    for limits in program.range_constraints.values():
        low, high = _bound(limits.lower, 0), _bound(limits.upper, np.inf)
        if low > 2 or high < 2**31 - 1:
            raise StepError(
                step,
                f"torch.export finds a graph for batches of {low:g} to {high:g} rows only: "
                "the module's code depends on the number of rows",
            )


def _bound(value: Any, otherwise: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return otherwise


def _why_not_exported(error: BaseException) -> str:
    names = " ".join(type(item).__name__ for item in _chain(error))
    texts = " ".join(str(item) for item in _chain(error))
    told = f"torch.export: {message(error)}"
    if "DataDependent" in names or "data-dependent" in texts or "Dynamic control flow" in texts:
        return (
            "its control flow depends on the values of the rows, and a graph takes one branch "
            f"for all of them; use torch.where or torch.cond ({told})"
        )
    if "ConstraintViolation" in names or "Constraints violated" in texts:
        return f"its code depends on the number of rows ({told})"
    return f"torch cannot export it ({told})"


def _why_not_converted(error: BaseException) -> str:
    chain = list(_chain(error))
    told = f"torch.onnx: {message(chain[-1])}"
    operator = re.search(r"OpOverload\(op='([^']+)'", " ".join(str(item) for item in chain))
    if operator is not None:
        return f"torch.onnx has no ONNX operators for {operator[1]} ({told})"
    return f"torch.onnx cannot convert it ({told})"


def _chain(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _guard_tables(graph: Any) -> None:
    """Makes a run fail for a negative index of an embedding, as the module does.

    For ONNX, -1 is the last row of the table. Instead, the node gets an index beyond the end.
    """
    nodes: list[Any] = []
    for node in graph.node:
        notes = {entry.key: entry.value for entry in node.metadata_props}
        origin = notes.get("pkg.torch.onnx.fx_node", "")
        if node.op_type == "Gather" and "aten.embedding" in origin:
            index, own = node.input[1], f"{_OWN}index{len(nodes)}"
            constants = {f"{own}_zero": 0, f"{own}_beyond": 2**31 - 1}
            graph.initializer.extend(
                numpy_helper.from_array(np.array(value, dtype=np.int64), name)
                for name, value in constants.items()
            )
            zero, beyond = constants
            nodes += [
                helper.make_node("Cast", [index], [f"{own}_long"], to=onnx.TensorProto.INT64),
                helper.make_node("Less", [f"{own}_long", zero], [f"{own}_negative"]),
                helper.make_node("Where", [f"{own}_negative", beyond, f"{own}_long"], [own]),
            ]
            node.input[1] = own
        nodes.append(node)
    copied = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copied)


def _rename(graph: Any, names: Sequence[str]) -> None:
    """Renames the inputs and outputs, and every other value that already has one of these names."""
    ends = [value.name for value in (*graph.input, *graph.output)]
    changed = dict(zip(ends, names, strict=True))
    others = {name: f"{_OWN}value_{name}" for name in names}
    pending = [graph]
    while pending:
        part = pending.pop()
        for value in (*part.input, *part.output, *part.initializer):
            value.name = changed.get(value.name, others.get(value.name, value.name))
        for node in part.node:
            for values in (node.input, node.output):
                values[:] = [changed.get(name, others.get(name, name)) for name in values]
            pending += [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]


def _clean(model: Any) -> None:
    """Removes what torch notes about the source code: paths, lines and names of classes."""
    model.doc_string = ""
    del model.metadata_props[:]
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        _forget(graph)
        del graph.value_info[:]
        for value in (*graph.input, *graph.output, *graph.initializer):
            _forget(value)
        for node in graph.node:
            _forget(node)
            graphs += [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
            graphs += [g for a in node.attribute for g in a.graphs]
    for function in model.functions:
        _forget(function)
        del function.value_info[:]
        for node in function.node:
            _forget(node)


def _forget(part: Any) -> None:
    part.doc_string = ""
    del part.metadata_props[:]


def _declare(model: Any, data: TorchData, original: TorchOriginal) -> None:
    """Declares matrices of N rows, and adds the label."""
    graph = model.graph
    widths = [item.width for item in data.inputs]
    widths += [output.width or len(output.classes or "1") for output in original.results]
    for value, width in zip((*graph.input, *graph.output), widths, strict=True):
        dims = value.type.tensor_type.shape.dim
        del dims[:]
        dims.add().dim_param = "N"
        dims.add().dim_value = width
    if original.labels is None:
        return
    (scores,) = original.results
    kind = {"string": object, "int64": np.int64, "bool": np.bool_}[original.outputs[0].type]
    labels = numpy_helper.from_array(np.array(original.labels, dtype=kind), _LABELS)
    graph.initializer.append(labels)
    place = f"{_LABELS}_place"
    graph.node.extend(
        [
            helper.make_node("ArgMax", [scores.name], [place], axis=1, keepdims=0),
            helper.make_node("Gather", [_LABELS, place], ["label"], axis=0),
        ]
    )
    label = helper.make_tensor_value_info("label", labels.data_type, ["N"])
    answers = list(graph.output)
    del graph.output[:]
    graph.output.extend([label, *answers])
