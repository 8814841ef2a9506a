"""Triton over gRPC with tritonclient. All threads share one client and therefore one channel."""

from typing import Any

import numpy as np
import tritonclient.grpc as triton
from workload_folder import WorkloadFolder

from transports import CALL_TIMEOUT_S, BaseTransport, Connection


class Transport(BaseTransport):
    def __init__(self, folder: WorkloadFolder, body: str, at: dict[str, Any]):
        super().__init__(folder, body, at)
        self._client = triton.InferenceServerClient(at["url"])

    def connect(self, crowded: bool = False) -> Connection:
        folder = self.folder
        names = [output["name"] for output in folder.outputs]
        wanted = [triton.InferRequestedOutput(name) for name in names]
        infer = self._client.infer

        def call(rows: np.ndarray) -> dict[str, Any]:
            sent = triton.InferInput(folder.input_name, rows.shape, "FP32")
            sent.set_data_from_numpy(rows)
            result = infer(folder.name, [sent], outputs=wanted, client_timeout=CALL_TIMEOUT_S)
            return {name: result.as_numpy(name) for name in names}

        return Connection(call)

    def sizes(self, row: np.ndarray) -> tuple[int, int]:
        """The sizes of the tensors, without gRPC's own framing."""
        return row.nbytes, sum(
            self.folder.rows * int(np.prod(one["dims"])) * np.dtype(one["dtype"]).itemsize
            for one in self.folder.outputs
        )

    def close(self) -> None:
        self._client.close()
