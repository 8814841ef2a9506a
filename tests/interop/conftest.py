"""Starts servers for the tests of this folder and ends them."""

import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from served import ServerProcess, Start, words_of


@contextmanager
def starting_in(folder: Path) -> Generator[Start, None, None]:
    started: list[ServerProcess] = []

    def start_one(kind: str, model: str = "", name: str = "served") -> ServerProcess:
        path = folder / f"{name}.sock"
        started.append(ServerProcess(words_of(kind, model, path), path, kind))
        return started[-1]

    yield start_one
    for server in started:
        server.end(signal.SIGKILL)
        server.log.close()


@pytest.fixture
def start(tmp_path: Path) -> Generator[Start, None, None]:
    """Starts servers that end with the test: start("native", "add.onnx"), start("toy", "--delay-ms
    5").
    """
    with starting_in(tmp_path) as start_one:
        yield start_one


@pytest.fixture(scope="module")
def start_for_all(tmp_path_factory: pytest.TempPathFactory) -> Generator[Start, None, None]:
    """Like `start`, for servers that all tests of a file share and that end after the file."""
    with starting_in(tmp_path_factory.mktemp("servers")) as start_one:
        yield start_one
