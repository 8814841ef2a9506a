"""endless.py URI: opens a model on another host and calls it once; prints by how many MiB the memory
of this process grew at most. `endless_rows` starts servers whose answers have no end, and runs it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import sidecall

ANSWERS = {"/ready": "ready", "/m": "metadata", "/infer": "run"}
PART = b"x" * (1 << 20)
METADATA = {
    "name": "m",
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "datatype": "FP64", "shape": [1]}],
}


class EndlessServer:
    """A server of the Open Inference Protocol whose answer to one path has no end."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._listener.getsockname()[1]}/m"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while request := connection.recv(65536):
                if request.split(b" ")[1].decode().endswith(self._path):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                    while True:
                        connection.sendall(PART)
                body = json.dumps(METADATA).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)


def endless_rows(build: Path) -> list[dict]:
    """The peak growth of a client for each kind of answer that may have no end."""
    library = build.resolve() / "lib/libsidecall-net.so"
    environment = {"SIDECALL_NET": str(library)} | os.environ
    rows = []
    for path, name in ANSWERS.items():
        server = EndlessServer(path)
        done = subprocess.run(
            [sys.executable, __file__, server.uri],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        server.close()
        rows.append({"endless answer": name, "growth_mib": float(done.stdout)})
    return rows


def memory_mib(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main(uri: str) -> None:
    with contextlib.suppress(sidecall.errors.Unreachable):
        sidecall.open("http://127.0.0.1:1/m")  # loads everything that the first open needs
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = memory_mib("VmRSS")
    try:
        with sidecall.open(uri) as model:
            model.run({"x": np.zeros((1, 2))}, timeout=60)
        raise AssertionError("expected an error of the answer without end, got none")
    except sidecall.errors.Protocol:
        print(memory_mib("VmHWM") - before)


if __name__ == "__main__":
    main(sys.argv[1])
