"""Runs `sidecall serve` under test: starts it, waits until it is ready, ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Served:
    def __init__(self, command: Any, at: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.command, self.at, self.process, self.log_file = command, at, process, log

    def wait_ready(self, seconds: float = 20.0) -> Served:
        deadline = time.monotonic() + seconds
        while self.command("status", self.at, "--ready").code != 0:
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)
        return self

    def log(self) -> str:
        return self.log_file.read_text()

    def events(self) -> list[dict[str, Any]]:
        """The events of a JSON log."""
        return [json.loads(line) for line in self.log().splitlines()]

    def status(self, calls: int = 0) -> dict[str, Any]:
        """The status once at least `calls` calls are counted, which happens just after their
        answers.
        """
        deadline = time.monotonic() + 10
        while True:
            answer: dict[str, Any] = json.loads(self.command("status", self.at, "--json").out)
            if answer["calls"] >= calls or time.monotonic() > deadline:
                return answer

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def serving(
    command: Any,
    model: str,
    at: str,
    *options: Any,
    ready: bool = True,
    env: dict[str, str] | None = None,
) -> Iterator[Served]:
    log = command.cwd / f"log-{os.urandom(4).hex()}"
    words = [command.path, "serve", model, "--at", at, *map(str, options)]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            words,
            cwd=command.cwd,
            env=command.env | (env or {}),
            stderr=stderr,
            stdin=subprocess.DEVNULL,
        )
    served = Served(command, at, process, log)
    try:
        yield served.wait_ready() if ready else served
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def row_of(command: Any, model: str) -> str:
    """A record that the model accepts, as JSON: the first golden row."""
    features = json.loads(command("info", model, "--json").out)["contract"]["features"]
    values = {"float32": 1.5, "float64": 1.5, "int64": 2, "bool": True, "string": "a"}
    record = {
        f["name"]: (f["allowed"][0] if "allowed" in f else values[f["type"]]) for f in features
    }
    return json.dumps(record) + "\n"
