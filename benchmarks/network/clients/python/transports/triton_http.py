"""Triton over HTTP with tritonclient and binary tensors. One client per thread, as the
documentation of tritonclient requires.
"""

from typing import Any

import numpy as np
import tritonclient.http as triton

from transports import CALL_TIMEOUT_S, BaseTransport, Connection


class Transport(BaseTransport):
    def connect(self, crowded: bool = False) -> Connection:
        client = triton.InferenceServerClient(self.at["url"], network_timeout=CALL_TIMEOUT_S)
        folder = self.folder
        wanted = [
            triton.InferRequestedOutput(output["name"], binary_data=True)
            for output in folder.outputs
        ]
        names = [output["name"] for output in folder.outputs]
        infer = client.infer

        def call(rows: np.ndarray) -> dict[str, Any]:
            sent = triton.InferInput(folder.input_name, rows.shape, "FP32")
            sent.set_data_from_numpy(rows, binary_data=True)
            result = infer(folder.name, [sent], outputs=wanted)
            return {name: result.as_numpy(name) for name in names}

        return Connection(call, client.close)

    def sizes(self, row: np.ndarray) -> tuple[int, int]:
        """The sizes of the tensors, without the HTTP and JSON headers."""
        return row.nbytes, sum(
            self.folder.rows * int(np.prod(one["dims"])) * np.dtype(one["dtype"]).itemsize
            for one in self.folder.outputs
        )
