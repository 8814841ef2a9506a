"""A socket address for each test, and a server that ends with the test."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sidecall

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def at(tmp_path: Path) -> str:
    return f"shm:{tmp_path}/served.sock"


@pytest.fixture
def serve(at: str) -> Iterator[Callable[..., Any]]:
    """Serves until the end of the test."""
    with ExitStack() as stack:
        yield lambda target, **options: stack.enter_context(
            sidecall.serve(target, at, block=False, log=None, **options)
        )


@pytest.fixture(params=["native", "cffi"])
def each_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs the test with each backend, for server and client."""
    monkeypatch.setenv("SIDECALL_PYTHON_BACKEND", request.param)
    return str(request.param)


@pytest.fixture
def environment() -> dict[str, str]:
    """An environment for processes that import the modules of this folder."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}
