"""Returns the number that it receives: the cost of a route when the model costs nothing."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from workload import Material, Tensor, Workload


class Null(Workload):
    name = "null"
    title = "null model, one number"

    def make(self, folder: Path) -> Material:
        graph = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])],
            "null",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1])],
        )
        onnx.save(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
            folder / "model.onnx",
        )
        rows = np.arange(self.ring + 1, dtype=np.float32)[:, None] / 8
        return Material(
            [Tensor("y", "float32", (1,))],
            rows.astype(np.float64),
            Tensor("x", "float32", (1,)),
            rows,
        )
