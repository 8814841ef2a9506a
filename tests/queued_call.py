"""A call and a completion queue of the C ABI, for tests of what the bindings hide."""

from __future__ import annotations

import ctypes
import select
from pathlib import Path

OK, NOT_RUN, CANCELLED, TIMEOUT = 0, 12, 13, 51
SECOND = 1_000_000_000
LIBRARY = Path(__file__).parents[1] / "build/lib/libsidecall.so"


class View(ctypes.Structure):
    """sidecall_view."""

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


class Completion(ctypes.Structure):
    """sidecall_completion."""

    _fields_ = (
        ("tag", ctypes.c_uint64),
        ("run", ctypes.c_uint64),
        ("call", ctypes.c_void_p),
        ("status", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
    )


class QueuedCall:
    """A call for one row of a model, and a queue for its runs."""

    def __init__(self, uri: str) -> None:
        self.library = ctypes.CDLL(str(LIBRARY))
        self.library.sidecall_status_name.restype = ctypes.c_char_p
        self.model, self.call, self.queue = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        self.number, handle = ctypes.c_uint64(), ctypes.c_ssize_t()
        assert self("model_open", uri.encode(), None, ctypes.byref(self.model)) == OK
        assert self("call_open", self.model, ctypes.c_int64(1), ctypes.byref(self.call)) == OK
        assert self("queue_open", None, ctypes.byref(self.queue)) == OK
        assert self("queue_handle", self.queue, ctypes.byref(handle)) == OK
        self.handle = handle.value

    def __call__(self, name: str, *arguments: object) -> int:
        """Calls a function of the C ABI without room for an error, and returns its status."""
        return int(getattr(self.library, f"sidecall_{name}")(*arguments, None))

    def submit(self, seconds: float) -> int:
        timeout = ctypes.c_int64(int(seconds * SECOND))
        tag = ctypes.c_uint64(0)
        return self("queue_submit", self.queue, self.call, timeout, tag, ctypes.byref(self.number))

    def take(self, seconds: float = 0, run: int = 0) -> int | None:
        """Returns the status of the run, or None if there is no outcome in this time."""
        done, count = Completion(), ctypes.c_int64()
        status = self(
            "queue_take",
            self.queue,
            ctypes.c_uint64(run),
            ctypes.byref(done),
            ctypes.c_size_t(ctypes.sizeof(done)),
            ctypes.c_int64(1),
            ctypes.c_int64(int(seconds * SECOND)),
            ctypes.byref(count),
        )
        if status != OK:
            return status
        return int(done.status) if count.value == 1 else None

    def arm(self) -> bool:
        """Returns whether the program may sleep until the handle is readable."""
        look_ns = ctypes.c_int64()
        assert self("queue_arm", self.queue, ctypes.byref(look_ns)) == OK
        return look_ns.value < 0

    def is_readable(self, seconds: float = 0) -> bool:
        return bool(select.select([self.handle], [], [], seconds)[0])

    def run(self) -> int:
        return self("call_run", self.call, ctypes.c_int64(5 * SECOND))

    def cancel(self) -> None:
        self.library.sidecall_queue_cancel(self.queue, self.number)

    def name(self, status: int) -> str:
        return str(self.library.sidecall_status_name(status).decode())

    def close(self) -> None:
        self.library.sidecall_queue_close(self.queue)
        self.library.sidecall_call_close(self.call)
        self.library.sidecall_model_close(self.model)
