"""What a Python server reports to a service manager, in systemd's notify protocol."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sidecall

PROGRAM = """
import sidecall
from serving_parts import variable
sidecall.serve(variable, {at!r}, workers={workers}, log=None)
"""


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a service manager, to which its services report."""
    name = f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(120)
        listener.bind(name if request.param == "path" else "\0" + name)
        yield listener


def address_of(manager: socket.socket) -> str:
    name = manager.getsockname()
    return name if isinstance(name, str) else "@" + name[1:].decode()


def everything(manager: socket.socket) -> list[str]:
    """The messages that have arrived and were not read yet."""
    manager.setblocking(False)
    found = []
    while True:
        try:
            found.append(manager.recv(4096).decode())
        except BlockingIOError:
            return found


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(at: str, environment: dict[str, str], manager: socket.socket) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def run(workers: int | None, **variables: str) -> subprocess.Popen[bytes]:
        code = PROGRAM.format(at=at, workers=workers)
        env = environment | {"NOTIFY_SOCKET": address_of(manager)} | variables
        started.append(subprocess.Popen([sys.executable, "-c", code], env=env))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.mark.parametrize("workers", [None, 2])
def test_the_server_answers_once_it_has_reported_ready_and_reports_that_it_stops(
    start: Start, at: str, manager: socket.socket, workers: int | None
) -> None:
    process = start(workers)
    assert manager.recv(4096).decode() == f"READY=1\nSTATUS=serving at {at}"
    answer = sidecall.open(at).predict({"name": "NOTIFY_SOCKET"})["prediction"]
    # Workers do not see the variable, so they cannot report to the manager.
    assert answer == ("" if workers else address_of(manager))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert everything(manager) == ["STOPPING=1\nSTATUS=draining"]


@pytest.mark.parametrize("workers", [None, 1])
def test_the_server_notifies_the_watchdog_while_it_answers_at_its_address(
    start: Start, at: str, manager: socket.socket, workers: int | None
) -> None:
    process = start(workers, WATCHDOG_USEC="200000")
    assert manager.recv(4096).startswith(b"READY=1")
    for _ in range(3):
        assert manager.recv(4096) == b"WATCHDOG=1"
    # Without the socket no client can reach the server, so the server must stop its notifications:
    # the manager then restarts it.
    Path(at.removeprefix("shm:")).unlink()
    manager.settimeout(1)
    with pytest.raises(TimeoutError):
        for _ in range(3):  # at most two messages were under way
            manager.recv(4096)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def test_the_server_does_not_notify_the_watchdog_of_another_process(
    start: Start, at: str, manager: socket.socket
) -> None:
    process = start(None, WATCHDOG_USEC="2000", WATCHDOG_PID=str(os.getpid()))
    sidecall.open(at, wait=60).predict({"name": "x"})
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert [text.split("\n")[0] for text in everything(manager)] == ["READY=1", "STOPPING=1"]


def test_a_server_that_does_not_block_the_program_reports_nothing(
    at: str, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program is the service, so only the program knows when the service is ready."""
    monkeypatch.setenv("NOTIFY_SOCKET", address_of(manager))
    with sidecall.serve("serving_parts:double", at, block=False, log=None):
        assert sidecall.open(at).predict({"amount": 2}) == {"prediction": 4.0}
    assert everything(manager) == []
