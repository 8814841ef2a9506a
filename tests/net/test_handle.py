"""The handle of a queue with runs on another host: when it is readable, and when it is not."""

from __future__ import annotations

import ctypes
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from queued_call import CANCELLED, OK, TIMEOUT, QueuedCall, View
from raw_server import RawServer, answer, read_request

pytestmark = pytest.mark.usefixtures("network_library")
FLOAT64 = 11
RIGHT = {"outputs": [{"name": "y", "datatype": "FP64", "shape": [1], "data": [3.5]}]}


class BoundCall(QueuedCall):
    """A call whose input is in memory of the test."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.numbers, self.dims = (ctypes.c_double * 2)(1, 2), (ctypes.c_int64 * 2)(1, 2)
        view = View(
            ctypes.sizeof(View),
            FLOAT64,
            2,
            0,
            ctypes.addressof(self.dims),
            ctypes.addressof(self.numbers),
            16,
        )
        assert self("call_bind_input", self.call, 0, ctypes.byref(view)) == OK


@pytest.fixture
def server() -> Iterator[RawServer]:
    """Answers each run when `release` is set."""
    release = threading.Event()

    def reply(connection: socket.socket) -> None:
        while True:
            release.wait(10)
            connection.sendall(answer(RIGHT))
            if read_request(connection) is None:
                return

    started = RawServer(reply)
    started.release = release
    yield started
    release.set()
    started.close()


def arm(call: QueuedCall) -> None:
    """Waits until the queue has begun the run and is armed."""
    while not call.arm():
        assert call.take() is None


def test_it_becomes_readable_when_a_run_is_over_and_not_before(server: RawServer) -> None:
    call = BoundCall(server.uri)
    assert not call.is_readable()
    for _ in range(3):
        server.release.clear()
        assert call.submit(10) == OK
        arm(call)
        assert not call.is_readable(0.1)
        assert call.take() is None
        arm(call)
        assert not call.is_readable(0.1)
        server.release.set()
        assert call.is_readable(5)
        assert call.take() == OK
        assert not call.is_readable()
    call.close()


def test_it_becomes_readable_when_a_run_is_cancelled(server: RawServer) -> None:
    call = BoundCall(server.uri)
    assert call.submit(30) == OK
    arm(call)
    threading.Timer(0.1, call.cancel).start()
    assert call.is_readable(5)
    assert call.take() == CANCELLED
    server.release.set()
    assert call.run() == OK
    call.close()


def test_it_becomes_readable_at_the_deadline(server: RawServer) -> None:
    call = BoundCall(server.uri)
    begin = time.monotonic()
    assert call.submit(0.2) == OK
    arm(call)
    assert call.is_readable(5)
    assert time.monotonic() - begin < 3
    assert call.take() == TIMEOUT
    call.close()


def test_a_run_that_its_thread_awaits_leaves_it_unreadable(server: RawServer) -> None:
    server.release.set()
    call = BoundCall(server.uri)
    arm(call)
    for _ in range(3):
        assert call.run() == OK
        assert not call.is_readable()
    call.close()
