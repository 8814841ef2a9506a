"""Triton's Python backend for one ONNX file, model.onnx beside this file.

The inputs and outputs are those of config.pbtxt, as with the backend onnxruntime.
"""

import json
import os
import sys
from pathlib import Path

# The backend's interpreter is isolated and does not search PYTHONPATH by itself.
sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402


class TritonPythonModel:
    def initialize(self, args: dict) -> None:
        folder = Path(args["model_repository"]) / args["model_version"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options)
        config = json.loads(args["model_config"])
        self.inputs = [spec["name"] for spec in config["input"]]
        self.outputs = [spec["name"] for spec in config["output"]]

    def execute(self, requests: list) -> list:
        return [self.answer(request) for request in requests]

    def answer(self, request):
        # The backend's own conversion to NumPy, which strings need, supports only NumPy 1.
        inputs = {
            name: np.from_dlpack(pb_utils.get_input_tensor_by_name(request, name))
            for name in self.inputs
        }
        answers = self.session.run(self.outputs, inputs)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor.from_dlpack(*one) for one in zip(self.outputs, answers, strict=True)]
        )
