"""A client that changes its inputs while the server reads them.

The models have kernels that use input values as indices or sizes; these kernels must work on a
copy. Without the copy ONNX Runtime crashes within seconds: Gather and TopK read foreign memory, and
an integer Div traps.
"""

import os
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

import client
import numpy as np
import onnx
import pytest
import wire
from onnx import TensorProto, helper
from served import Start
from wire import Tensor

SIZE = 4096
FLOAT, INT64, INT32, BOOL = (
    TensorProto.FLOAT,
    TensorProto.INT64,
    TensorProto.INT32,
    TensorProto.BOOL,
)
SECONDS = 20 if os.environ.get("SIDECALL_LONG") == "1" else 0.4
# The changing values: element type, valid value, invalid value.
INDEX = (INT64, 0, 1 << 40)
NEGATIVE = (INT64, 0, -(1 << 40))
DIVISOR = (INT64, 1, 0)
NUMBER = (FLOAT, 1.0, float("nan"))
FLAG = (BOOL, 1, 255)
LENGTH = (INT32, 2, 1 << 30)
ZERO_POINT = (INT32, 0, -(1 << 31))

DATA = helper.make_tensor("data", FLOAT, [8, SIZE], [1.0] * 8 * SIZE)
MODELS = {
    "Gather": (INDEX, ["data", "x"], [SIZE], {}),
    "GatherElements": (INDEX, ["data", "x"], [1, SIZE], {}),
    "GatherND": (NEGATIVE, ["data", "x"], [SIZE // 2, 2], {}),
    "ScatterElements": (INDEX, ["data", "x", "ones"], [1, SIZE], {}),
    "ScatterND": (INDEX, ["line", "x", "line"], [SIZE, 1], {}),
    "OneHot": (INDEX, ["x", "depth", "on_off"], [SIZE], {}),
    "TopK": (NUMBER, ["x", "k"], [SIZE], {}),
    "NonZero": (NUMBER, ["x"], [SIZE], {}),
    "ArgMax": (NUMBER, ["x"], [SIZE], {"axis": 0}),
    "Unique": (NUMBER, ["x"], [SIZE], {}),
    "Compress": (FLAG, ["line", "x"], [SIZE], {}),
    "Div": (DIVISOR, ["whole", "x"], [SIZE], {}),
    "Mod": (DIVISOR, ["whole", "x"], [SIZE], {}),
    "ReverseSequence": (INDEX, ["data", "x"], [SIZE], {"batch_axis": 1, "time_axis": 0}),
    "Reshape": (NEGATIVE, ["data", "x"], [2], {}),
    "LabelEncoder": (
        INDEX,
        ["x"],
        [SIZE],
        {"keys_int64s": list(range(100)), "values_floats": [0.5] * 100},
    ),
    "CategoryMapper": (
        INDEX,
        ["x"],
        [SIZE],
        {"cats_int64s": list(range(100)), "cats_strings": ["a"] * 100},
    ),
    "OneHotEncoder": (INDEX, ["x"], [SIZE], {"cats_int64s": list(range(8)), "zeros": 1}),
    "FeatureVectorizer": (NUMBER, ["x"], [8, SIZE // 8], {"inputdimensions": [SIZE // 8]}),
    "ArgMin": (NUMBER, ["x"], [SIZE], {"axis": 0}),
    "Hardmax": (NUMBER, ["x"], [8, SIZE // 8], {}),
    "MaxPool": (NUMBER, ["x"], [1, 1, SIZE], {"kernel_shape": [3]}),
    "MaxUnpool": (INDEX, ["pooled", "x"], [1, 1, SIZE], {"kernel_shape": [2], "strides": [2]}),
    "NonMaxSuppression": (NUMBER, ["x", "scores", "most"], [1, SIZE // 4, 4], {}),
    "RoiAlign": (INDEX, ["picture", "rois", "x"], [4], {"output_height": 2, "output_width": 2}),
    "GridSample": (NUMBER, ["picture", "x"], [1, 16, 16, 2], {}),
    "Resize": (NUMBER, ["picture", "", "x"], [4], {}),
    "CumSum": (INDEX, ["line", "x"], [1], {}),
    "Range": (NEGATIVE, ["origin", "x", "step"], [], {}),
    "ConstantOfShape": (NEGATIVE, ["x"], [2], {}),
    "Expand": (NEGATIVE, ["depth", "x"], [1], {}),
    "Tile": (NEGATIVE, ["line", "x"], [1], {}),
    "Pad": (INDEX, ["line", "x"], [2], {}),
    "Slice": (INDEX, ["line", "x", "depth"], [1], {}),
    "Split": (NEGATIVE, ["nothing", "x"], [1], {}),
    "Unsqueeze": (INDEX, ["line", "x"], [1], {}),
    "ReduceSum": (INDEX, ["line", "x"], [1], {}),
    "LSTM": (LENGTH, ["sequence", "weights", "weights", "", "x"], [8], {"hidden_size": 2}),
    "QuantizeLinear": (NUMBER, ["x", "scale"], [SIZE], {}),
    "DequantizeLinear": (ZERO_POINT, ["x", "scale"], [SIZE], {}),
    "If": (FLAG, ["x"], [], {}),
    "Scan": (NUMBER, ["x"], [SIZE], {"num_scan_inputs": 1}),
}
# Ranks of outputs, for the operators where shape inference does not determine them.
RANKS = {"FeatureVectorizer": 2, "Split": 1, "Unsqueeze": 2}
ML = {"LabelEncoder", "CategoryMapper", "OneHotEncoder", "FeatureVectorizer"}


def branch(name: str, takes: str = "") -> onnx.GraphProto:
    """A nested graph that reads its input `takes` or, without one, a value of the outer graph."""
    inputs = [helper.make_tensor_value_info(takes, FLOAT, [])] if takes else []
    nodes = [helper.make_node("Neg", [takes or "line"], [name])]
    return helper.make_graph(
        nodes, name, inputs, [helper.make_tensor_value_info(name, FLOAT, [] if takes else [SIZE])]
    )


def numbers(name: str, dims: list[int], value: float, dtype: int = FLOAT) -> onnx.TensorProto:
    return helper.make_tensor(name, dtype, dims, [value] * int(np.prod(dims)))


def write_model(op: str, path: Path) -> None:
    (dtype, _, _), inputs, dims, attributes = MODELS[op]
    if op == "If":
        inputs, attributes = ["x"], {"then_branch": branch("then"), "else_branch": branch("else")}
    if op == "Scan":
        attributes = attributes | {"body": branch("scanned", "element")}
    constants = [
        DATA,
        numbers("ones", [1, SIZE], 1.0),
        numbers("line", [SIZE], 1.0),
        numbers("whole", [SIZE], 7, INT64),
        numbers("depth", [1], 3, INT64),
        helper.make_tensor("on_off", FLOAT, [2], [0.0, 1.0]),
        numbers("k", [1], SIZE // 2, INT64),
        numbers("pooled", [1, 1, SIZE], 1.0),
        numbers("scores", [1, 1, SIZE // 4], 0.5),
        numbers("most", [1], 10, INT64),
        numbers("picture", [1, 1, 16, 16], 1.0),
        helper.make_tensor("rois", FLOAT, [4, 4], [0.0, 0.0, 8.0, 8.0] * 4),
        numbers("origin", [], 0, INT64),
        numbers("step", [], -1, INT64),
        helper.make_tensor("nothing", FLOAT, [0], []),
        numbers("sequence", [4, 8, 2], 0.5),
        numbers("weights", [1, 8, 2], 0.1),
        numbers("scale", [], 0.5),
    ]
    outputs = ["first", "second"] if op == "TopK" else ["first"]
    graph = helper.make_graph(
        [
            helper.make_node(
                op, inputs, outputs, domain="ai.onnx.ml" if op in ML else "", **attributes
            )
        ],
        "flipped",
        [helper.make_tensor_value_info("x", dtype, dims)],
        [
            helper.make_tensor_value_info("first", FLOAT, [None] * RANKS[op])
            if op in RANKS
            else helper.make_empty_tensor_value_info("first")
        ],
        [
            constant
            for constant in constants
            if constant.name in [*inputs, *(["line"] if op == "If" else [])]
        ],
    )
    model = helper.make_model(
        graph,
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
    )
    model = onnx.shape_inference.infer_shapes(model)
    path.write_bytes(model.SerializeToString())


def flip(memory: memoryview, blocks: list[bytes], stop: threading.Event) -> None:
    while not stop.is_set():
        for block in blocks:
            memory[:] = block


@pytest.mark.parametrize("op", MODELS)
def test_inputs_that_change_during_a_run_do_no_harm(start: Start, op: str, tmp_path: Path) -> None:
    write_model(op, tmp_path / "flipped.onnx")
    (dtype, tame, wild), _, dims, _ = MODELS[op]
    letter = {FLOAT: "f4", INT64: "i8", INT32: "i4", BOOL: "u1"}[dtype]
    server = start("native", str(tmp_path / "flipped.onnx"))
    model = client.open(server.address)
    mixed = np.full(dims, tame, letter)
    mixed.flat[5::7] = wild
    blocks = [
        np.full(dims, tame, letter).tobytes(),
        mixed.tobytes(),
        np.full(dims, wild, letter).tobytes(),
    ]
    given = {"x": Tensor(model.inputs[0].dtype, tuple(dims), blocks[0])}
    with (
        model.connect(1, 1 << 16, 1 << 20) as honest,
        model.connect(1, 1 << 16, 1 << 20) as violator,
    ):
        expected = honest.run(given)
        begin = wire.align(wire.ENTRY.size, 64)
        stop = threading.Event()
        peer = threading.Thread(
            target=flip,
            args=(violator.request_slot(0)[begin : begin + len(blocks[0])], blocks, stop),
        )
        peer.start()
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            with suppress(client.Failed):
                violator.run(given)
            assert honest.run(given) == expected
        stop.set()
        peer.join()
    assert server.process.poll() is None


def test_constant_invalid_values_are_refused(start: Start, tmp_path: Path) -> None:
    """ONNX Runtime itself checks these values, on memory that does not change."""
    write_model("Gather", tmp_path / "flipped.onnx")
    model = client.open(start("native", str(tmp_path / "flipped.onnx")).address)
    with model.connect(1, 1 << 16) as connection, pytest.raises(client.Failed) as failure:
        connection.run({"x": Tensor("int64", (SIZE,), struct.pack("<q", 1 << 40) * SIZE)})
    assert failure.value.status == "ENGINE"
