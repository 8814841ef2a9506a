"""An image of 602 112 bytes and a small convolutional network: the cost of a route when the input
is large.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from workload import Material, Tensor, Workload


class Image(Workload):
    name = "image"
    title = "1x3x224x224 image, small convolutional network"
    ring = 8
    tolerance = 1e-4

    def make(self, folder: Path) -> Material:
        rng = np.random.default_rng(0)
        weights = {
            "w1": rng.normal(0, 0.1, (8, 3, 7, 7)),
            "w2": rng.normal(0, 0.1, (16, 8, 3, 3)),
            "w3": rng.normal(0, 0.3, (16, 10)),
        }
        nodes = [
            helper.make_node("Conv", ["image", "w1"], ["a"], strides=[4, 4], pads=[3, 3, 3, 3]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Conv", ["b", "w2"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["d"]),
            helper.make_node("GlobalAveragePool", ["d"], ["e"]),
            helper.make_node("Flatten", ["e"], ["f"]),
            helper.make_node("MatMul", ["f", "w3"], ["scores"]),
        ]
        graph = helper.make_graph(
            nodes,
            "image",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 224, 224])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 10])],
            [
                numpy_helper.from_array(value.astype(np.float32), name)
                for name, value in weights.items()
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(model, folder / "model.onnx")
        # As in images: 256 levels, scaled.
        rows = (rng.integers(0, 256, (self.ring + 1, 3, 224, 224)) / 255).astype(np.float32)
        expected = ReferenceEvaluator(model).run(None, {"image": rows})[0]
        return Material(
            [Tensor("scores", "float32", (10,))],
            expected.astype(np.float64),
            Tensor("image", "float32", (3, 224, 224)),
            rows,
        )
