"""Exits while runs are in flight.

`python program.py` reads scenarios as JSON from stdin, runs each in its own process and prints the
outcomes as JSON; test_exits.py checks them. Each process is forked directly after the imports, and
then exits like an interpreter that was started for its scenario.

Nothing may be imported after the fork. A module that defines a dataclass or a namedtuple calls
`exec` with a string. If that happens in a thread, CPython forgets that the main thread ended with
KeyboardInterrupt (pythonrun.c, run_eval_code_obj), and the process exits with 1 instead of dying by
the signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import sidecall
import sidecall.serving
import sidecall.serving.run

AT_ONCE = 4
START_SECONDS = 120  # generous: the machine may be busy

# Inputs of slow.onnx: the run does not end by itself and can be interrupted.
NEVER = {
    "x": np.full(16, 0.5, np.float32),
    "n": np.array(10**9, np.int64),
}
FACTOR = np.ones((1024, 1024), np.float32)
# Inputs of matmul.onnx: one node, which takes about 50 ms and cannot be interrupted.
NODE = {
    "a": FACTOR,
    "b": FACTOR,
}


class ExitDelay:
    """Delays the end of the interpreter, so that the engine returns in the middle of it."""

    def __init__(self) -> None:
        self.sleep = time.sleep  # kept, because modules may be empty when this object is deleted

    def __del__(self) -> None:
        self.sleep(0.1)


async def into_state(scenario: dict[str, Any]) -> Any:
    """Brings runs into the state that the scenario names. The caller has to keep the result."""
    state = scenario["state"]
    options = {"backend": scenario["backend"], "wait": 30, "allow_exec": True}
    slow, node = (sidecall.open(scenario[name], **options) for name in ("slow", "matmul"))
    if state == "under_way":
        runs = [asyncio.ensure_future(slow.arun(NEVER)) for _ in range(2)]
    elif state == "pending":
        runs = [asyncio.ensure_future(slow.arun(NEVER)) for _ in range(20)]
    elif state == "timed_out":
        runs = [asyncio.ensure_future(node.arun(NODE, timeout=0.002)) for _ in range(2)]
        outcomes = await asyncio.gather(*runs, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {sidecall.errors.Timeout, dict}, outcomes
    elif state == "cancelled":
        runs = [asyncio.ensure_future(node.arun(NODE)) for _ in range(2)]
        await asyncio.sleep(0.001)
        for run in runs:
            run.cancel()
    else:
        assert state == "thread"
        works: list[Callable[[], Any]] = [
            lambda: slow.run(NEVER),
            lambda: node.run(NODE),
            wait_for_absent_server,
        ]
        runs = [threading.Thread(target=work, daemon=True) for work in works]
        for run in runs:
            run.start()
    await asyncio.sleep(scenario["delay"])
    return slow, node, runs


def wait_for_absent_server() -> None:
    with contextlib.suppress(sidecall.errors.Unreachable):
        sidecall.serving.status("shm:/nowhere", wait=0.05)


async def end_in_coroutine(scenario: dict[str, Any]) -> None:
    kept = await into_state(scenario)
    report_end()
    end = scenario["end"]
    if end == "exit in a coroutine":
        sys.exit(3)
    if end == "exception":
        raise RuntimeError("on purpose")
    if end == "signal":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
    if end == "signal with a handler":
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(3))
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(30)
    if end == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(30)
    if end == "os._exit":
        os._exit(3)
    assert end == "end of the script"
    del kept


def report_end() -> None:
    os.write(end_pipe, b"ending")


class Child:
    """A process that runs a scenario, from the parent's point of view."""

    def __init__(
        self, scenario: dict[str, Any], pid: int, stderr: IO[bytes], end_pipe: int
    ) -> None:
        self.outcome: dict[str, Any] | None = None
        self._limit: float = scenario["limit"]
        self._pid, self._stderr, self._end_pipe = pid, stderr, end_pipe
        self._expiry = time.monotonic() + START_SECONDS
        self._is_late = False

    def has_ended(self) -> bool:
        """Whether the process has ended. Kills it if it takes too long."""
        if select.select([self._end_pipe], [], [], 0)[0] and os.read(self._end_pipe, 16):
            self._expiry = time.monotonic() + self._limit  # the process is exiting now
        if not self._is_late and time.monotonic() > self._expiry:
            self._is_late = True
            os.kill(self._pid, signal.SIGKILL)
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid == 0:
            return False
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace")
        self.outcome = {
            "code": os.waitstatus_to_exitcode(status),
            "late": self._is_late,
            "stderr": text,
        }
        self._stderr.close()
        os.close(self._end_pipe)
        return True


def run_all(scenarios: list[dict[str, Any]]) -> tuple[dict[str, Any] | None, list[Child]]:
    """Returns (its scenario, []) in each child and (None, the children) in the parent."""
    global end_pipe
    children: list[Child] = []
    running: list[Child] = []
    for scenario in scenarios:
        while len(running) == AT_ONCE:
            await_one(running)
        stderr = tempfile.TemporaryFile()  # noqa: SIM115  # open until the child has ended
        parent_end, end_pipe = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            os.dup2(stderr.fileno(), 2)
            return scenario, []
        os.close(end_pipe)
        children.append(Child(scenario, pid, stderr, parent_end))
        running.append(children[-1])
    while running:
        await_one(running)
    return None, children


def await_one(running: list[Child]) -> None:
    while not (ended := [child for child in running if child.has_ended()]):
        time.sleep(0.005)
    for child in ended:
        running.remove(child)


end_pipe = -1  # in a child: the pipe by which it informs its parent
mine, children = run_all(json.load(sys.stdin))
if mine is None:
    print(json.dumps([child.outcome for child in children]))
else:
    exit_delay = ExitDelay()
    # Restores the handler, because shells start background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asyncio.run(end_in_coroutine(mine))
