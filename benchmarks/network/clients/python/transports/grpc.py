"""gRPC with grpcio and the stubs of servers/prediction.proto, over TCP or a Unix socket.

All threads share one channel, as gRPC's documentation recommends.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from workload_folder import WorkloadFolder

from transports import CALL_TIMEOUT_S, BaseTransport, Connection

# The folder in which peers.py puts the output of protoc.
PEERS = Path(os.environ.get("BENCH_PEERS", Path(__file__).resolve().parents[5] / "build/peers"))
sys.path.append(str(PEERS / "python"))

import grpc  # noqa: E402
import prediction_pb2 as messages  # noqa: E402
import prediction_pb2_grpc as services  # noqa: E402

UNLIMITED = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]  # the default is 4 MiB


class Transport(BaseTransport):
    def __init__(self, folder: WorkloadFolder, body: str, at: dict[str, Any]):
        super().__init__(folder, body, at)
        self._channel = grpc.insecure_channel(at["target"], options=UNLIMITED)
        self._stub = services.PredictionStub(self._channel)

    def connect(self, crowded: bool = False) -> Connection:
        request, method = (
            (self._record, self._stub.PredictRecord)
            if self.folder.is_record
            else (self._rows, self._stub.Predict)
        )
        return Connection(lambda row: method(request(row), timeout=CALL_TIMEOUT_S))

    def _rows(self, rows: np.ndarray) -> messages.PredictRequest:
        # A memoryview is three times as fast as a list for many values, and as fast for few.
        return messages.PredictRequest(
            model=self.folder.name, shape=rows.shape, values=memoryview(rows.reshape(-1))
        )

    def _record(self, record: dict[str, Any]) -> messages.RecordRequest:
        request = messages.RecordRequest(model=self.folder.name)
        features = request.features
        for name, value in record.items():
            if isinstance(value, str):
                features[name].text = value
            elif value is not None:
                features[name].number = value
        return request

    def unpack(self, answer: Any) -> dict[str, Any]:
        """The caller reads from the message; this converts it to outputs by name for the check."""
        if self.folder.is_record:
            return {"label": answer.label, "probabilities": dict(answer.probabilities)}
        *labelled, last = self.folder.outputs
        return {last["name"]: np.array(answer.values)} | {
            output["name"]: np.array(answer.label) for output in labelled
        }

    def sizes(self, row: Any) -> tuple[int, int]:
        request = self._record(row) if self.folder.is_record else self._rows(row)
        return request.ByteSize(), self.connect().call(row).ByteSize()

    def close(self) -> None:
        self._channel.close()
