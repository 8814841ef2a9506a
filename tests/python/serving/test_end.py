"""A Python server under adverse conditions: it continues to serve, and a signal ends it in time.

The conditions: a log that is not read, an object that never returns, workers that die early.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sidecall
from serving_parts import DiesAtStart
from sidecall import errors
from sidecall.serving import status

PROGRAM = """
import sidecall
from serving_parts import misbehave
sidecall.serve(misbehave, {at!r}, workers={workers}, log="json", drain_timeout={drain}, log_level="debug")
"""
DRAIN = 1.0
BOUND = 20.0  # seconds, far beyond the drain timeout and grace period, for a busy machine

X = {"inputs": {"x": "float64[N]"}, "outputs": {"y": "float64[N]"}}


def eventually(holds: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return answer


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Program:
    """A process that serves, and the read end of its log pipe, which holds 4 KiB."""

    def __init__(self, code: str, environment: dict[str, str]) -> None:
        self.reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stderr=writer, stdin=subprocess.DEVNULL
        )
        os.close(writer)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Sends the signal. Returns the exit status and the seconds until the exit."""
        started = time.monotonic()
        self.process.send_signal(number)
        return self.process.wait(60), time.monotonic() - started

    def log(self) -> list[dict[str, Any]]:
        """All events of the log, once the process has ended."""
        content = b""
        while chunk := os.read(self.reader, 65536):
            content += chunk
        return [json.loads(line) for line in content.splitlines()]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.reader)


@pytest.fixture
def program(at: str, environment: dict[str, str]) -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def start(workers: int | None, drain: float = DRAIN) -> Program:
        started.append(Program(PROGRAM.format(at=at, workers=workers, drain=drain), environment))
        sidecall.open(at, wait=60).predict({"how": "fine"})
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def caller(at: str) -> Iterator[Callable[[str], None]]:
    """Makes each call on its own thread, and returns once the server has taken the call."""
    threads: list[threading.Thread] = []

    def call(how: str) -> None:
        def run() -> None:
            with suppress(errors.Error):
                sidecall.open(at).predict({"how": how}, timeout=60)

        before = status(at)["in_flight"]
        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        eventually(lambda: status(at)["in_flight"] > before)

    yield call
    for thread in threads:
        thread.join(60)


def send_garbage(at: str, count: int) -> None:
    for _ in range(count):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(10)
            client.connect(at.removeprefix("shm:"))
            client.send(b"garbage")
            with suppress(ConnectionResetError):
                assert client.recv(16) == b""


@pytest.mark.parametrize("workers", [None, 1])
def test_a_full_log_pipe_blocks_neither_the_server_nor_its_shutdown(program, at, workers):
    server = program(workers)
    send_garbage(at, 100)
    client = sidecall.open(at)
    for _ in range(30):
        with pytest.raises(errors.Engine):
            client.predict({"how": "raise"}, timeout=10)  # the traceback goes to the log
        assert sidecall.open(at).predict({"how": "fine"}, timeout=10)["prediction"] > 0
    counters = status(at)
    assert counters["violations"] == 100
    assert counters["log_suppressed"] >= 60
    code, seconds = server.end()
    assert code == 0
    assert seconds < BOUND


@pytest.mark.parametrize("workers", [None, 1])
def test_tracebacks_that_a_client_provokes_are_limited_and_counted(
    each_backend, program, at, workers
):
    server = program(workers)
    reader = threading.Thread(target=lambda: events.extend(server.log()))
    events: list[dict[str, Any]] = []
    reader.start()
    started = time.monotonic()
    client = sidecall.open(at)
    for _ in range(100):
        with pytest.raises(errors.Engine):
            client.predict({"how": "raise"})
    most = 11 + int(time.monotonic() - started)
    counters = status(at)
    assert server.end()[0] == 0
    reader.join(60)
    failed = [event for event in events if event["event"] == "object.failed"]
    assert 10 <= len(failed) <= most
    assert failed[0]["type"] == "ValueError"
    assert "Traceback" in failed[0]["traceback"]
    assert counters["log_suppressed"] == 100 - len(failed)
    assert counters["log_dropped"] == 0
    left_out = [event for event in events if event["event"] == "log.suppressed"]
    assert {(event["of"], event["uid"]) for event in left_out} == {("object.failed", os.getuid())}
    assert sum(event["lines"] for event in left_out) == 100 - len(failed)
    assert events[-1]["event"] == "serve.ended"


@pytest.mark.parametrize("workers", [None, 1])
@pytest.mark.parametrize("how", ["sleep 600", "hold 600"])
def test_a_signal_ends_a_server_whose_object_never_returns(
    each_backend, program, at, caller, workers, how
):
    server = program(workers)
    eventually(lambda: status(at)["ready"])
    caller(how)
    children = [each["process"] for each in status(at).get("each", [])]
    code, seconds = server.end()
    assert code == 4
    assert seconds + 0.01 >= DRAIN
    assert seconds < BOUND
    eventually(lambda: not any(is_running(child) for child in children))


def test_a_signal_ends_a_server_under_all_adverse_conditions_together(program, at, caller):
    """The log pipe is full, an object holds the GIL, a client does not read, garbage arrives."""
    server = program(None)
    send_garbage(at, 100)
    caller("hold 600")
    is_over = threading.Event()

    def flood() -> None:
        while not is_over.is_set():
            with suppress(OSError, AssertionError):
                send_garbage(at, 1)

    flooding = threading.Thread(target=flood)
    flooding.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.connect(at.removeprefix("shm:"))
        try:
            code, seconds = server.end()
        finally:
            is_over.set()
            flooding.join(60)
    assert code == 4
    assert seconds < BOUND


def test_a_worker_whose_object_never_returns_ends_after_its_supervisor_was_killed(
    program, at, caller
):
    server = program(1)
    caller("sleep 600")
    (worker,) = [each["process"] for each in status(at)["each"]]
    server.process.kill()
    server.process.wait()
    eventually(lambda: not is_running(worker), BOUND)


def test_a_server_exits_with_4_if_a_worker_was_cut_off(program, at, caller):
    server = program(2)
    caller("sleep 600")
    assert server.end()[0] == 4


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_is_killed_while_starting_is_replaced(serve, at, tmp_path, number):
    server = serve(DiesAtStart(tmp_path, 2, number), workers=1, **X)
    assert sidecall.open(at).run({"x": [21.0]})["y"].tolist() == [21.0]
    assert server.status()["workers"] == 1
    assert len(list(tmp_path.glob("start *"))) == 3


def test_a_server_whose_workers_are_killed_at_each_start_fails_with_the_reason(at, tmp_path):
    with pytest.raises(
        errors.PeerDied, match="5 workers ended before one was ready, the last by signal 9"
    ):
        sidecall.serve(DiesAtStart(tmp_path, 100), at, workers=1, block=False, log=None, **X)
    assert len(list(tmp_path.glob("start *"))) == 5
    with pytest.raises(errors.Unreachable):
        sidecall.open(at)


STUCK = """
import sidecall
from pathlib import Path
from serving_parts import DiesAtStart
sidecall.serve(DiesAtStart(Path({folder!r}), {stuck}, 0), {at!r}, workers=2, inputs={{"x": "float64[N]"}}, outputs={{"y": "float64[N]"}})
"""


def both(starts: list[Path]) -> list[Path] | None:
    return starts if len(starts) == 2 else None


def test_a_signal_ends_a_server_whose_workers_never_become_ready(at, environment, tmp_path):
    server = Program(STUCK.format(folder=str(tmp_path), at=at, stuck=100), environment)
    try:
        starts = eventually(lambda: both(list(tmp_path.glob("start *"))))
        code, seconds = server.end()
        assert code == 0
        assert seconds < BOUND
        assert not any(is_running(int(start.name.split()[1])) for start in starts)
    finally:
        server.close()


def test_a_worker_that_never_becomes_ready_does_not_count_as_a_cut_off_call(
    at, environment, tmp_path
):
    server = Program(STUCK.format(folder=str(tmp_path), at=at, stuck=1), environment)
    try:
        assert sidecall.open(at, wait=60).run({"x": [21.0]})["y"].tolist() == [21.0]
        eventually(lambda: len(list(tmp_path.glob("start *"))) == 2)
        code, seconds = server.end()
        assert code == 0
        assert seconds < BOUND
    finally:
        server.close()


def test_a_worker_that_never_becomes_ready_ends_after_its_supervisor_was_killed(
    at, environment, tmp_path
):
    server = Program(STUCK.format(folder=str(tmp_path), at=at, stuck=100), environment)
    try:
        starts = eventually(lambda: both(list(tmp_path.glob("start *"))))
        server.process.kill()
        eventually(
            lambda: not any(is_running(int(start.name.split()[1])) for start in starts), BOUND
        )
    finally:
        server.close()


def test_start_and_end_are_logged_if_serve_does_not_block_the_program(at, environment):
    code = f"import sidecall\nwith sidecall.serve('serving_parts:double', {at!r}, block=False, log='json'): pass\n"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events[0] in ("server.listening", "serve.ready")
    assert events[-1] == "server.ended"
