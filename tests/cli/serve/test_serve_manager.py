"""sidecall serve under a service manager: what it reports, in systemd's notify protocol."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import models
import pytest

from serving import row_of, serving


@pytest.fixture
def at(tmp_path: Path) -> str:
    return f"shm:{tmp_path}/jobs.sock"


class Manager:
    """A service manager: the socket to which its services report."""

    def __init__(self, name: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(60)
        self.socket.bind("\0" + name[1:] if name[0] == "@" else name)
        self.environment = {"NOTIFY_SOCKET": name}

    def next(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def rest(self) -> list[list[str]]:
        """Everything that has arrived and was not read yet."""
        self.socket.setblocking(False)
        found = []
        while True:
            try:
                found.append(self.next())
            except BlockingIOError:
                return found


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(f"{tmp_path}/notify" if request.param == "path" else f"@{tmp_path}/notify")
    yield made
    made.socket.close()


def test_the_server_is_ready_when_it_says_so_and_reports_that_it_stops(sidecall, jobs, at, manager):
    with serving(sidecall, jobs, at, ready=False, env=manager.environment) as served:
        assert manager.next() == ["READY=1", f"STATUS=serving at {at}"]
        assert sidecall("status", at, "--ready").code == 0
        assert served.end() == 0
    assert manager.rest() == [["STOPPING=1", "STATUS=draining"]]


def test_a_server_that_does_not_start_is_never_ready(sidecall, at, manager, tmp_path):
    def spoil(contract):
        contract["verification"]["outputs"]["probabilities"][0] = [0.25, 0.75]

    models.classifier(tmp_path / "wrong.onnx", change=spoil)
    assert sidecall("serve", "wrong.onnx", "--at", at, env=manager.environment).code == 3
    assert manager.rest() == []


def test_a_server_that_a_client_started_reports_nothing_to_the_manager_of_the_client(
    sidecall, jobs, manager, command_path
):
    done = sidecall(
        "predict",
        f"exec:{command_path} serve {jobs}",
        "--allow-exec",
        stdin=row_of(sidecall, jobs),
        env=manager.environment,
    )
    assert done.code == 0
    assert "serve.ready" in done.err  # the log of the server
    assert manager.rest() == []


def test_the_watchdog_is_fed_while_the_server_answers_at_its_address(
    sidecall, jobs, at, manager, tmp_path
):
    env = manager.environment | {"WATCHDOG_USEC": "200000"}
    with serving(sidecall, jobs, at, ready=False, env=env) as served:
        assert manager.next()[0] == "READY=1"
        for _ in range(3):
            assert manager.next() == ["WATCHDOG=1"]
        # The manager must restart a server that no client can reach, so the server stops feeding.
        (tmp_path / "jobs.sock").unlink()
        manager.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            for _ in range(3):  # at most two reports were still under way
                manager.next()
        assert served.end() == 0


def test_the_watchdog_of_another_process_is_not_fed(sidecall, jobs, at, manager):
    env = manager.environment | {"WATCHDOG_USEC": "2000", "WATCHDOG_PID": "1"}
    with serving(sidecall, jobs, at, env=env) as served:
        served.end()
    assert [lines[0] for lines in manager.rest()] == ["READY=1", "STOPPING=1"]


def test_a_manager_that_does_not_read_delays_neither_calls_nor_the_end(sidecall, jobs, at, manager):
    env = manager.environment | {"WATCHDOG_USEC": "2000"}
    with serving(sidecall, jobs, at, env=env) as served:
        # The queue of the socket is full after a few datagrams.
        assert sidecall("predict", at, stdin=row_of(sidecall, jobs)).code == 0
        assert served.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("name", ["", "relative", "@", "/no/such/socket", "/" + "x" * 200])
def test_a_server_without_a_reachable_manager_starts_and_ends_as_usual(sidecall, jobs, at, name):
    env = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "x"}
    with serving(sidecall, jobs, at, env=env) as served:
        assert served.end() == 0
