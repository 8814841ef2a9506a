"""Triton's Python backend for one workload, which has the name of the model's folder.

approaches/triton.py copies this file to MODEL/1.
"""

import os
import sys

# The backend's interpreter is isolated and does not search PYTHONPATH by itself.
sys.path[:0] = os.environ["PYTHONPATH"].split(os.pathsep)

import models  # noqa: E402
import numpy as np  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402


class TritonPythonModel:
    def initialize(self, args: dict) -> None:
        self.model = models.model_of(args["model_name"])

    def execute(self, requests: list) -> list:
        return [self.answer(request) for request in requests]

    def answer(self, request):
        # Use DLPack in both directions: it does not copy, and the backend's own conversion to NumPy
        # supports only NumPy 1.
        rows = np.from_dlpack(pb_utils.get_input_tensor_by_name(request, self.model.input))
        answers = self.model.answer(rows)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor.from_dlpack(*one)
                for one in zip(self.model.outputs, answers, strict=True)
            ]
        )
