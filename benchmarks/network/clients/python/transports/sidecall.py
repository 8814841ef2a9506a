"""sidecall itself: a file in process, or a URI of a model elsewhere. All threads share a model."""

from typing import Any

import sidecall
from workload_folder import WorkloadFolder

from transports import BaseTransport, Connection


class Transport(BaseTransport):
    def __init__(self, folder: WorkloadFolder, body: str, at: dict[str, Any]):
        super().__init__(folder, body, at)
        self._model = sidecall.open(at["uri"], wait=10, allow_exec=at["uri"].startswith("exec:"))

    def connect(self, crowded: bool = False) -> Connection:
        return Connection(self._model.predict if self.folder.is_record else self._model.run)

    def close(self) -> None:
        self._model.close()
