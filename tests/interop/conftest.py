"""Starts servers for the tests of this folder, and ends them."""

import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from served import ServerProcess, Start, words_of


@pytest.fixture
def start(tmp_path: Path) -> Generator[Start, None, None]:
    """Starts servers: start("native", "add.onnx"), start("toy", "--delay-ms 5"); they end with the test."""
    started: list[ServerProcess] = []

    def start_one(kind: str, model: str = "", name: str = "served") -> ServerProcess:
        started.append(ServerProcess(words_of(kind, model, tmp_path / f"{name}.sock"), tmp_path / f"{name}.sock", kind))
        return started[-1]

    yield start_one
    for server in started:
        server.end(signal.SIGKILL)
        server.log.close()
