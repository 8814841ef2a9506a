"""The models of the soak. They are almost alike, but each gives other answers, so an answer shows
which model gave it.

Model K answers `y = x + K / 16` and `more`. The number of elements of `more` is the sum of `pieces`
over all rows, and each element is K / 16. The client sends whole numbers in `x`, and different ones
in each call. So it can recognise the answer of another call and the answer of another model. The
largest `rounds` says how long a run takes. Used by soak.py; soak_app.py answers the same in Python.
"""

import json
from pathlib import Path

import onnx
from onnx import TensorProto, helper
from source.build import const, model, node, with_contract
from source.contracts import contract, feature

# The number of columns of `x` in each model. The signature of the last model differs from that of
# the others.
WIDTHS = {1: 2, 2: 2, 3: 2, 4: 2, 5: 3}
SAME_SIGNATURE = (1, 2, 3, 4)
OTHER_SIGNATURE = 5
FEATURES = "abc"


def write(folder: Path) -> None:
    """Writes K.onnx, and K.json with the contract for the Python functions."""
    for number, width in WIDTHS.items():
        described = _contract(number, width)
        (folder / f"{number}.json").write_text(json.dumps(described))
        (folder / f"{number}.onnx").write_bytes(with_contract(_graph(number, width), described))


def _graph(number: int, width: int) -> onnx.ModelProto:
    offset = const("offset", "float64", [1], [number / 16])
    count = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    go = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    go_on = helper.make_tensor_value_info("go_on", TensorProto.BOOL, [])
    before, after = (
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", width]) for name in "uv"
    )
    # The numbers are not negative, so Abs changes nothing and only takes time.
    nodes = [node("Identity", ["go"], ["go_on"]), node("Abs", ["u"], ["v"])]
    body = helper.make_graph(nodes, "round", [count, go, before], [go_on, after])
    return model(
        [
            ("x", "float64", ["N", width]),
            *((name, "int64", ["N", 1]) for name in ("pieces", "rounds")),
        ],
        [("y", "float64", ["N", width]), ("more", "float64", ["M"])],
        [
            node("ReduceMax", ["rounds"], ["trips"], keepdims=0),
            node("Loop", ["trips", "", "x"], ["same"], body=body),
            node("Add", ["same", "offset"], ["y"]),
            node("ReduceSum", ["pieces"], ["total"], keepdims=0),
            node("Reshape", ["total", "one"], ["shape"]),
            node("Expand", ["offset", "shape"], ["more"]),
        ],
        [offset, const("one", "int64", [1], [1])],
    )


def _contract(number: int, width: int) -> dict:
    features = [feature(name, "float64", "x", i) for i, name in enumerate(FEATURES[:width])]
    features += [feature(name, "int64") for name in ("pieces", "rounds")]
    outputs = [{"name": "y", "role": "prediction", "type": "float64", "width": width}]
    made = contract("soak", "regression", features, outputs)
    made["model"]["version"] = str(number)
    return made
