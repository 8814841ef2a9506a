"""A server whose descriptors run out: idle connections make room, and the log says why."""

from __future__ import annotations

import os
import resource
import shlex
import socket
from collections.abc import Callable
from pathlib import Path

import own_server
import pytest
from own_server import MODEL, RECORD, OwnServer, Start
from vector_servers import command_path

pytestmark = pytest.mark.usefixtures("network_library")
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def few_descriptors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Servers start with `ulimit -n 64`."""
    if "address" in os.environ.get("SIDECALL_SANITIZE", ""):
        pytest.skip("UndefinedBehaviorSanitizer ends a process that has no free descriptor")
    script = tmp_path / "sidecall"
    script.write_text(f'#!/bin/sh\nulimit -n 64\nexec {shlex.quote(str(command_path()))} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setattr(own_server, "command_path", lambda: str(script))


def num_descriptors(own: OwnServer) -> int:
    return len(list(Path(f"/proc/{own.process.pid}/fd").iterdir()))


def is_answered(connection: socket.socket, request: bytes = LIVE) -> bool:
    try:
        connection.sendall(request)
        return connection.recv(65536).startswith(b"HTTP/1.1 200")
    except (ConnectionError, TimeoutError):
        return False


def open_120(own: OwnServer, use: Callable[[socket.socket], object]) -> list[socket.socket]:
    connections = []
    for _ in range(120):
        connections.append(own.connect())
        use(connections[-1])
    return connections


@pytest.mark.parametrize("has_called", [False, True])
@pytest.mark.usefixtures("few_descriptors")
def test_idle_connections_make_room_for_a_new_one(start: Start, has_called: bool) -> None:
    own = start()
    begun = own.connect()
    begun.sendall(LIVE[:10])
    idle = open_120(own, is_answered if has_called else lambda _: None)
    assert own.post(f"{MODEL}/predict", RECORD)[0] == 200
    assert is_answered(begun, LIVE[10:]), "a request that has begun goes on"
    assert is_answered(idle[-1]), "the connection that was used last is open"
    assert not is_answered(idle[0]), "the one that has been idle for longest is closed"
    (event,) = own.await_events("server.exhausted")
    assert event["level"] == "warning" and "raise ulimit -n" in event["message"]
    assert num_descriptors(own) < 64
    for each in [*idle, begun]:
        each.close()
    assert own.end() == 0


@pytest.mark.usefixtures("few_descriptors")
def test_connections_with_requests_are_not_closed_for_others(start: Start) -> None:
    own = start()
    busy = []
    for _ in range(20):
        busy.append(own.connect())
        busy[-1].sendall(LIVE[:10])
    assert own.is_alive()  # so it has read what arrived before
    others = open_120(own, lambda connection: connection.sendall(LIVE[:10]))
    own.await_events("server.exhausted")
    assert all(is_answered(each, LIVE[10:]) for each in busy)
    assert own.post(f"{MODEL}/predict", RECORD)[0] == 200
    for each in [*busy, *others]:
        each.close()
    assert own.end() == 0


def test_a_server_without_any_descriptor_accepts_again_once_it_has_some(start: Start) -> None:
    own = start()
    known = own.connect()
    assert is_answered(known)
    known.sendall(LIVE[:10])
    before = resource.prlimit(own.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(own.process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    waiting = own.connect()
    own.await_events("server.exhausted")
    assert is_answered(known, LIVE[10:]), "it goes on with the connections that it has"
    known.sendall(LIVE[:10])
    resource.prlimit(own.process.pid, resource.RLIMIT_NOFILE, before)
    assert is_answered(waiting)
    assert len(own.events("server.exhausted")) == 1
    known.close()
    waiting.close()
    assert own.end() == 0
