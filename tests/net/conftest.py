"""Starts servers of our own, for the tests of this folder."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_server import OwnServer, Start


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
