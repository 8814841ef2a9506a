"""Triton's Python backend for one workload, which has the name of the model's folder. approaches/triton.py copies it to MODEL/1."""

import os
import sys

# The backend's interpreter is isolated: it does not look for modules there by itself.
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
        # DLPack both ways: no copy, and the backend's own way to NumPy knows NumPy 1 only.
        rows = np.from_dlpack(pb_utils.get_input_tensor_by_name(request, self.model.input))
        answers = self.model.answer(rows)
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor.from_dlpack(*one)
                for one in zip(self.model.outputs, answers, strict=True)
            ]
        )
