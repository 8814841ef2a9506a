"""ONNX Runtime's own Python package on model.onnx, with one engine thread. All threads share a
session.
"""

from typing import Any

import numpy as np
import onnxruntime
from workload_folder import WorkloadFolder

from transports import BaseTransport, Connection

DTYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}


class Transport(BaseTransport):
    def __init__(self, folder: WorkloadFolder, body: str, at: dict[str, Any]):
        super().__init__(folder, body, at)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            folder.path / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]

    def connect(self, crowded: bool = False) -> Connection:
        run = self._session.run
        if self.folder.is_record:
            dtypes = {one.name: DTYPES[one.type] for one in self._session.get_inputs()}
            return Connection(
                lambda record: run(
                    None,
                    {name: np.array([[record[name]]], dtype) for name, dtype in dtypes.items()},
                )
            )
        name = self.folder.input_name
        return Connection(lambda rows: run(None, {name: rows}))

    def unpack(self, answer: list[np.ndarray]) -> dict[str, Any]:
        named = dict(zip(self._outputs, answer, strict=True))
        if not self.folder.is_record:
            return named
        probabilities = named["probabilities"][0].tolist()
        return {
            "label": named["label"].item(),
            "probabilities": dict(zip(map(str, self.folder.classes), probabilities, strict=True)),
        }
