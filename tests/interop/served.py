"""Starts servers of the channel as processes. Used by the tests of this folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import client
import pytest
import wire

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
MODELS = ROOT / "tests/vectors/models"


def environment() -> dict[str, str]:
    """The environment of this process.

    If it does not set SIDECALL_ONNXRUNTIME, the variable names the ONNX Runtime of this Python.
    """
    engine = find_spec("onnxruntime")
    if (
        engine is None
        or not engine.submodule_search_locations
        or "SIDECALL_ONNXRUNTIME" in os.environ
    ):
        return dict(os.environ)
    found = sorted(Path(engine.submodule_search_locations[0]).glob("capi/libonnxruntime.so*"))
    return os.environ | {"SIDECALL_ONNXRUNTIME": str(found[0])}


class ServerProcess:
    """A server process and its address."""

    def __init__(self, words: list[str], path: Path, name: str):
        self.name, self.path, self.address = name, path, f"shm:{path}"
        self.log = path.with_suffix(".log").open("w+")
        self.process = subprocess.Popen(words, stderr=self.log, env=environment())
        deadline = time.monotonic() + 60
        while not self._listens():
            assert self.process.poll() is None and time.monotonic() < deadline, (
                f"{name} does not listen: {self.said()}"
            )
            time.sleep(0.01)

    def _listens(self) -> bool:
        try:
            wire.dial(self.address).close()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def status(self, calls: int) -> dict:
        """The server's counters, once they include `calls` calls or after ten seconds.

        A call is counted after its answer.
        """
        until = time.monotonic() + 10
        while (status := client.status(self.address))["calls"] < calls and time.monotonic() < until:
            pass
        return status

    def stop(self) -> None:
        """Stops the process, and returns when none of its threads runs any more."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)


def command() -> str:
    named = os.environ.get("SIDECALL_CLI")
    for candidate in (
        [named]
        if named
        else [str(ROOT / "build/bin/sidecall"), str(Path(sys.executable).parent / "sidecall")]
    ):
        if os.access(candidate, os.X_OK):
            return candidate
    raise pytest.UsageError(
        "no sidecall command: expected SIDECALL_CLI, build/bin/sidecall or one beside this Python"
    )


def words_of(kind: str, model: str, path: Path) -> list[str]:
    if kind == "toy":
        return [sys.executable, str(HERE / "server.py"), str(path), *model.split()]
    if kind == "misbehaving":
        return [sys.executable, str(HERE / "misbehaving.py"), str(path), model]
    if kind == "python":
        return [
            sys.executable,
            str(HERE / "app.py"),
            f"shm:{path}",
            *([str(MODELS / model)] if model else []),
        ]
    return [command(), "serve", str(MODELS / model), "--at", f"shm:{path}"]


Start = Callable[..., ServerProcess]
