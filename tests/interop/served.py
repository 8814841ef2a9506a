"""Starts servers of the channel as processes. Used by the tests of this folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import client
import wire
from vector_servers import MODELS, command_path, engine_path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def environment() -> dict[str, str]:
    """The environment of this process, in which servers find ONNX Runtime."""
    return {"SIDECALL_ONNXRUNTIME": engine_path()} | os.environ


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
    return [command_path(), "serve", str(MODELS / model), "--at", f"shm:{path}"]


Start = Callable[..., ServerProcess]
