"""Runs `sidecall serve` with addresses for HTTP and gRPC, and speaks to it byte by byte."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vector_servers import MODELS, command_environment, command_path

OBJECTS = Path(__file__).parents[1] / "python/serving"
MODEL = "/v2/models/penguins"
RECORD = {
    "island": "Biscoe",
    "sex": "male",
    "bill_length_mm": 40,
    "bill_depth_mm": 18,
    "flipper_length_mm": 190,
    "body_mass_g": 4000,
    "year": 2008,
}


class OwnServer:
    """A server on free ports of this host. `at` has its addresses: "http" and "grpc".

    `model` is a file of tests/vectors, or an object of a module in tests/python/serving.
    """

    def __init__(self, model: str, folder: Path, *options: str, **environment: str) -> None:
        self.log_file = folder / f"log-{os.urandom(4).hex()}"
        is_object = ":" in model
        command = [sys.executable, "-m", "sidecall.serving"] if is_object else [command_path()]
        words = [*command, "serve", model if is_object else str(MODELS / model)]
        words += ["--json-log", *options]
        if not {"--http", "--grpc"} & set(options):
            words += ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                words,
                env=(dict(os.environ) if is_object else command_environment())
                | {"PYTHONPATH": f"{OBJECTS}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")}
                | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self.is_ready, 60)
        self.at = {
            event["at"].split(":")[0].removesuffix("s"): event["at"]
            for event in self.events("server.listening")
            if "at" in event
        }

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log()
        return bool(self.events("serve.ready"))

    def has_no_work(self, other_connections: int = 0) -> bool:
        """Whether no connection is left but those named, and no run."""
        # The request for the metrics has a connection too.
        num_connections = self.metric("sidecall_connections")
        return num_connections <= 1 + other_connections and self.metric("sidecall_runs") == 0

    def log(self) -> str:
        return self.log_file.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = [line for line in self.log().splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def await_events(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """Waits for at least so many events: a thread of the server writes them after the fact."""
        wait_until(lambda: len(self.events(name)) >= count)
        return self.events(name)

    def port(self, protocol: str = "http") -> int:
        return int(self.at[protocol].rpartition(":")[2])

    def uri(self, protocol: str, model: str) -> str:
        return f"{self.at[protocol]}/{model}"

    def connect(self, protocol: str = "http") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port(protocol)), 10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        return self.request("GET", path, None, headers)

    def post(
        self, path: str, body: Any, content_type: str = "application/json", **headers: str
    ) -> tuple[int, Any]:
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        return self.request("POST", path, content, {"content-type": content_type} | headers)

    def request(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port(), timeout=120)
        named = {name.replace("_", "-"): value for name, value in headers.items() if value}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        is_json = answer.getheader("content-type") == "application/json" and text
        return answer.status, json.loads(text) if is_json else text.decode()

    def metric(self, name: str) -> float:
        lines = self.get("/metrics")[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name + "{"))

    def is_alive(self) -> bool:
        return self.get("/v2/health/live")[0] == 200

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


Start = Callable[..., OwnServer]


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Waits until a condition holds. Fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"expected within {seconds} s, got nothing"
        time.sleep(0.01)


def exchange(connection: socket.socket, request: bytes, timeout: float = 10) -> bytes:
    """Sends bytes and reads until the server closes the connection."""
    connection.settimeout(timeout)
    connection.sendall(request)
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer
