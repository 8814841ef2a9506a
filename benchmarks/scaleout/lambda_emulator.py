"""Lambda's Runtime Interface Emulator, and a function in it; used by lambda.py and by the tests."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EMULATOR = ROOT / "build/lambda/aws-lambda-rie"
PYTHON_RUNTIME = ROOT / "build/lambda/python"


class Function:
    """A function whose program is `command`, with an environment of its own.

    The emulator starts the program at the first event, as Lambda does for a cold start.
    """

    def __init__(self, command: list[str], folder: Path, **environment: str) -> None:
        self.log_file = tempfile.TemporaryFile()  # noqa: SIM115
        self.port, runtime_port = free_ports(2)
        words = [str(EMULATOR), "--runtime-interface-emulator-address", f"127.0.0.1:{self.port}"]
        words += ["--runtime-api-address", f"127.0.0.1:{runtime_port}", *command]
        self.process = subprocess.Popen(
            words,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "LAMBDA_TASK_ROOT": str(folder)} | environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log_file,
            stderr=self.log_file,
        )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise TimeoutError(f"expected the emulator at port {self.port}, got:\n{self.log()}")

    def invoke(self, event: bytes) -> tuple[bytes, dict[str, str]]:
        """Sends one event and returns the answer with its headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", "/2015-03-31/functions/function/invocations", event)
            answer = connection.getresponse()
            return answer.read(), dict(answer.getheaders())
        finally:
            connection.close()

    def log(self) -> str:
        self.log_file.seek(0)
        return self.log_file.read().decode(errors="replace")

    def init_ms(self) -> float:
        """How long the emulator says that the start of the program took, up to its `next`."""
        found = re.search(r"INIT REPORT\(durationMs: ([\d.]+)\)", self.log())
        if found is None:
            raise ValueError(f"expected a line with INIT REPORT, got:\n{self.log()}")
        return float(found[1])

    def __enter__(self) -> Function:
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log_file.close()


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
