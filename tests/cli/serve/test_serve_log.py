"""sidecall serve under adverse conditions: it continues to serve, and SIGTERM ends it in time.

The conditions: a log that is not read, clients that do not read, calls that do not end.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving import Served, row_of


@pytest.fixture
def at(tmp_path: Path) -> str:
    return f"shm:{tmp_path}/jobs.sock"


@contextmanager
def serving_into_a_pipe(
    command: Any, model: str, at: str, *options: Any
) -> Iterator[tuple[Served, int]]:
    """Starts a server whose log is a pipe of 4 KiB. Yields the server and the pipe's read end."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    words = [command.path, "serve", model, "--at", at, *map(str, options)]
    process = subprocess.Popen(
        words, cwd=command.cwd, env=command.env, stderr=writer, stdin=subprocess.DEVNULL
    )
    os.close(writer)
    served = Served(command, at, process, Path(os.devnull))
    try:
        yield served.wait_ready(), reader
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(reader)


def send_garbage(at: str, count: int) -> None:
    """Opens `count` connections that violate the protocol, one after the other."""
    for _ in range(count):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(10)
            client.connect(at.removeprefix("shm:"))
            client.send(b"garbage")
            with suppress(ConnectionResetError):
                assert client.recv(16) == b""


def read_all(fd: int) -> bytes:
    content = b""
    while chunk := os.read(fd, 65536):
        content += chunk
    return content


def test_a_full_log_pipe_does_not_stop_calls_connections_or_status(sidecall, jobs, at):
    with serving_into_a_pipe(sidecall, jobs, at, "--log-level", "debug") as (served, _):
        send_garbage(at, 100)
        for _ in range(3):
            assert sidecall("predict", at, "--timeout", "5", stdin=row_of(sidecall, jobs)).code == 0
        assert sidecall("status", at, "--ready").out == "ready\n"
        status = served.status()
        assert status["violations"] == 100
        assert served.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_whose_log_pipe_is_full(sidecall, jobs, at, number, tmp_path):
    with serving_into_a_pipe(sidecall, jobs, at, "--log-level", "debug") as (served, _):
        send_garbage(at, 100)
        started = time.monotonic()
        assert served.end(number) == 0
        # No call was running: the drain time of 10 s is not needed.
        assert time.monotonic() - started < 8
    assert not [path.name for path in tmp_path.iterdir() if ".sock" in path.name]


def test_warnings_that_one_user_causes_are_limited_and_counted(sidecall, jobs, at):
    with serving_into_a_pipe(sidecall, jobs, at, "--json-log") as (served, reader):
        started = time.monotonic()
        send_garbage(at, 500)
        status = served.status()
        allowed = 10 + int(time.monotonic() - started) + 1
        assert status["violations"] == 500
        assert 500 - allowed <= status["log_suppressed"] <= 490
        page = sidecall("status", at).out
        assert f"{status['log_suppressed']} events suppressed, 0 dropped" in page
        metrics = sidecall("status", at, "--prometheus").lines()
        assert f"sidecall_log_events_suppressed_total {status['log_suppressed']}" in metrics
        assert "sidecall_log_events_dropped_total 0" in metrics
        assert served.end() == 0
        events = [json.loads(line) for line in read_all(reader).splitlines()]
    violations = [event for event in events if event["event"] == "connection.violation"]
    reports = [event for event in events if event["event"] == "log.suppressed"]
    assert all(
        report["of"] == "connection.violation" and report["uid"] == os.getuid()
        for report in reports
    )
    assert len(violations) + sum(report["lines"] for report in reports) == 500
    assert events[-1]["event"] == "serve.ended"


def test_a_closed_log_pipe_does_not_end_the_server(sidecall, jobs, at):
    with serving_into_a_pipe(sidecall, jobs, at) as (served, reader):
        os.dup2(os.open(os.devnull, os.O_RDONLY), reader)
        send_garbage(at, 20)
        assert sidecall("predict", at, "--timeout", "5", stdin=row_of(sidecall, jobs)).code == 0
        assert served.end() == 0


SLOW = Path(__file__).parents[2] / "vectors/models/slow.onnx"


@pytest.fixture
def slow(tmp_path: Path) -> list[str]:
    """The arguments of `sidecall run` for a call of slow.onnx that takes minutes."""
    np.save(tmp_path / "x.npy", np.full(10_000, 0.5, np.float32))
    np.save(tmp_path / "rounds.npy", np.array(50_000_000, np.int64))
    return [
        "--tensor",
        "x=@x.npy",
        "--tensor",
        "n=@rounds.npy",
        "--out",
        "y=@y.npy",
        "--timeout",
        "600",
    ]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_signal_ends_a_server_after_its_drain_timeout_even_if_calls_run(sidecall, at, slow):
    with serving_into_a_pipe(sidecall, str(SLOW), at, "--drain-timeout", "0.5") as (served, _):
        client = sidecall.start("run", at, *slow)
        wait_until(lambda: served.status()["in_flight"] == 1)
        client.send_signal(signal.SIGSTOP)  # a client that reads nothing, not even the hang-up
        started = time.monotonic()
        assert served.end() == 4
        assert time.monotonic() - started < 15
        client.send_signal(signal.SIGCONT)
        assert client.wait(30) == 4


def test_a_signal_ends_a_server_whose_clients_are_stopped(sidecall, jobs, at):
    with serving_into_a_pipe(sidecall, jobs, at) as (served, _):
        client = sidecall.start("predict", at, "--stream")
        client.stdin.write(row_of(sidecall, jobs).encode())  # it connects for its first row
        client.stdin.flush()
        wait_until(lambda: served.status()["connections"] == 1 or client.poll() is not None)
        client.send_signal(signal.SIGSTOP)
        try:
            started = time.monotonic()
            assert served.end() == 0
            assert time.monotonic() - started < 8  # less than the drain time of 10 s
        finally:
            client.kill()
            client.wait()


def test_a_closed_control_socket_ends_a_server_after_its_drain_timeout(sidecall, at, slow):
    """A closed control socket has the same effect as SIGTERM.

    It is closed by a client with an `exec:` address or by a supervisor.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    env = sidecall.env | {"SIDECALL_FD": str(theirs.fileno())}
    words = [sidecall.path, "serve", str(SLOW), "--drain-timeout", "0.5"]
    process = subprocess.Popen(
        words, cwd=sidecall.cwd, env=env, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL
    )
    theirs.close()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(at.removeprefix("shm:"))
    listener.listen(8)

    def hand_over() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                socket.send_fds(ours, [b"\x02"], [connection.fileno()])
                connection.close()

    parent = threading.Thread(target=hand_over)
    parent.start()
    try:
        client = sidecall.start("run", at, *slow)
        served = Served(sidecall, at, process, Path(os.devnull))
        wait_until(lambda: served.status()["in_flight"] == 1)
        started = time.monotonic()
        ours.shutdown(socket.SHUT_RDWR)
        assert process.wait(30) == 4
        assert time.monotonic() - started < 15
        assert client.wait(30) == 4
    finally:
        process.kill()
        process.wait()
        listener.shutdown(socket.SHUT_RDWR)
        parent.join()
        listener.close()
        ours.close()
