"""The descriptor of a call to another host: when it is readable, and when it is not.

Through the C ABI, because event loops of the bindings hide it.
"""

from __future__ import annotations

import ctypes
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from raw_server import RawServer, answer, read_request

pytestmark = pytest.mark.usefixtures("network_library")
OK, CANCELLED, PENDING, TIMEOUT = 0, 13, 14, 51
FLOAT64 = 11
SECOND = 1_000_000_000
RIGHT = {"outputs": [{"name": "y", "datatype": "FP64", "shape": [1], "data": [3.5]}]}


class View(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        ("dtype", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
        ("dims", ctypes.c_void_p),
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("offsets", ctypes.c_void_p),
    )


class Call:
    """A call of the C ABI with its input bound and its descriptor open."""

    def __init__(self, uri: str) -> None:
        library = Path(__file__).parents[2] / "build/lib/libsidecall.so"
        self.library = ctypes.CDLL(str(library))
        self.model, self.call, fd = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int32(-1)
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
        assert self("model_open", uri.encode(), None, ctypes.byref(self.model)) == OK
        assert self("call_open", self.model, ctypes.c_int64(1), ctypes.byref(self.call)) == OK
        assert self("call_bind_input", self.call, 0, ctypes.byref(view)) == OK
        assert self("call_fd", self.call, ctypes.byref(fd)) == OK
        self.fd = fd.value

    def __call__(self, name: str, *arguments: object) -> int:
        return int(getattr(self.library, f"sidecall_{name}")(*arguments, None))

    def start(self, seconds: float) -> int:
        return self("call_start", self.call, ctypes.c_int64(int(seconds * SECOND)))

    def finish(self) -> int:
        return self("call_finish", self.call, ctypes.c_int64(0))

    def run(self) -> int:
        return self("call_run", self.call, ctypes.c_int64(5 * SECOND))

    def cancel(self) -> None:
        self.library.sidecall_call_cancel(self.call)

    def is_readable(self, seconds: float = 0) -> bool:
        return bool(select.select([self.fd], [], [], seconds)[0])

    def close(self) -> None:
        self.library.sidecall_call_close(self.call)
        self.library.sidecall_model_close(self.model)


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


def test_it_becomes_readable_when_a_run_is_over_and_not_before(server: RawServer) -> None:
    call = Call(server.uri)
    assert not call.is_readable()
    for _ in range(3):
        server.release.clear()
        assert call.start(10) == OK
        assert not call.is_readable(0.1)
        assert call.finish() == PENDING
        assert not call.is_readable(0.1)
        server.release.set()
        assert call.is_readable(5)
        assert call.finish() == OK
        assert not call.is_readable()
    call.close()


def test_it_becomes_readable_when_a_run_is_cancelled(server: RawServer) -> None:
    call = Call(server.uri)
    assert call.start(30) == OK
    threading.Timer(0.1, call.cancel).start()
    assert call.is_readable(5)
    assert call.finish() == CANCELLED
    server.release.set()
    assert call.run() == OK
    call.close()


def test_it_becomes_readable_at_the_deadline(server: RawServer) -> None:
    call = Call(server.uri)
    begin = time.monotonic()
    assert call.start(0.2) == OK
    assert call.is_readable(5)
    assert time.monotonic() - begin < 3
    assert call.finish() == TIMEOUT
    call.close()


def test_a_run_that_its_thread_awaits_leaves_it_unreadable(server: RawServer) -> None:
    server.release.set()
    call = Call(server.uri)
    for _ in range(3):
        assert call.run() == OK
        assert not call.is_readable()
    call.close()
