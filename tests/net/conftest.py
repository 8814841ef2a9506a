"""Starts servers for the tests of this folder: ours, and those that share no code with ours."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sidecall
from browser import Browser, start_browser
from own_server import OwnServer, Start
from peer import MODELS, RECORD, Peer, PeerProcess

MODEL = "penguins.onnx"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with start_browser() as started:
        yield started


@pytest.fixture(scope="session")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> str:
    """resolver.c as a library that a program can preload."""
    library = tmp_path_factory.mktemp("resolver") / "resolver.so"
    source = Path(__file__).parent / "resolver.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return str(library)


@pytest.fixture
def record() -> dict:
    with sidecall.open(MODELS / MODEL) as model:
        names = {feature.name for feature in model.features}
    return {name: value for name, value in RECORD.items() if name in names}


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    started = [Peer(MODELS), Peer(MODELS)]
    yield started
    for peer in started:
        peer.close()


@pytest.fixture
def start_peer() -> Iterator[Callable[..., PeerProcess]]:
    """Starts servers in processes of their own."""
    started: list[PeerProcess] = []

    def start_one(**options: object) -> PeerProcess:
        started.append(PeerProcess(MODELS, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start_one
    for peer in started:
        peer.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[OwnServer] = []

    def begin(model: str = "penguins.onnx", *options: str, **environment: str) -> OwnServer:
        started.append(OwnServer(model, tmp_path, *options, **environment))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.end(signal.SIGKILL)
