"""A child process of exec: that drains for too long is ended, and the next one is started."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
import sidecall
from served import HERE
from vector_servers import MODELS, command_path


@pytest.mark.long
def test_a_child_that_does_not_finish_its_drain_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = [command_path(), "serve", str(MODELS / "matrix.onnx")]
    words = [sys.executable, str(HERE / "stubborn_server.py"), str(log), *server]
    with sidecall.open(f"exec:{shlex.join(words)}", allow_exec=True, wait=60) as model:
        assert model.predict({"a": 1, "b": 2, "c": True, "d": 0.5}) == {"prediction": 621.0}
    pid, *events = log.read_text().splitlines()
    # SIGTERM comes when the 12 s of the drain are over, SIGKILL 2 s later, and then the next child.
    assert events == ["drains", "SIGTERM", "next"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.removeprefix("pid ")), 0)
