"""Runs in another process, started off the event loop: starting one may have to connect, and then waits for that process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from sidecall import errors

if TYPE_CHECKING:
    from sidecall import _backend

_CONNECT_NS = 30_000_000_000  # what the library gives a run in another process that has no deadline


class Starter:
    """Starts the runs of one model. One thread at a time, or a server that stands still would hold one for each run; it ends when nothing waits.

    A daemon thread: a program may end while the thread waits for a server.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Start] = deque()
        self._is_busy = False

    async def start(self, pending: _backend.Pending, timeout_ns: int) -> None:
        """When this returns the run is under way. When it raises, the run is closed, or the thread will close it."""
        start = _Start(pending, timeout_ns)
        with self._lock:
            self._waiting.append(start)
            is_first, self._is_busy = not self._is_busy, True
        if is_first:
            self._start_thread()
        await start.finish()

    def _start_thread(self) -> None:
        try:
            threading.Thread(target=self._work, name="sidecall-start", daemon=True).start()
        except RuntimeError:  # no thread is left, or the interpreter is ending
            with self._lock:
                failed, self._waiting, self._is_busy = self._waiting, deque(), False
            for start in failed:
                start.hand_back(
                    errors.OutOfMemory(
                        "no thread is left to start a run in another process", retryable=True
                    )
                )

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_busy = False
                    return
                start = self._waiting.popleft()
            start.run()


class _State(Enum):
    WAITING = 1
    STARTING = 2
    HANDED_BACK = 3
    GIVEN_UP = 4


class _Start:
    """One run that is to be started. Either the thread hands it back to the event loop, or the loop has given it up: `_lock` decides."""

    def __init__(self, pending: _backend.Pending, timeout_ns: int) -> None:
        self._pending, self._timeout_ns = pending, timeout_ns
        self._begin = time.monotonic_ns()
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._lock = threading.Lock()
        self._state = _State.WAITING

    # ---- On the event loop ----

    async def finish(self) -> None:
        patience = _CONNECT_NS if self._timeout_ns < 0 else self._timeout_ns
        expiry = self._loop.call_later(patience / 1e9, self._expire)
        try:
            await self._over
        except BaseException:
            # Close here: the exception's traceback would keep the run's descriptors open for as long as somebody keeps the exception.
            if not self._give_up():
                self._pending.close()
            raise
        finally:
            expiry.cancel()

    def _expire(self) -> None:
        if not self._over.done() and self._give_up():
            self._over.set_exception(
                errors.Timeout("the deadline passed before the run was over", retryable=True)
            )

    def _give_up(self) -> bool:
        """False where the thread is done with the run, which the caller then has to close."""
        with self._lock:
            before = self._state
            if before is _State.HANDED_BACK:
                return False
            self._state = _State.GIVEN_UP
            if before is _State.STARTING:
                self._pending.cancel()  # The thread closes the run, but only after it has had this lock.
        if before is _State.WAITING:
            self._pending.close()  # nothing runs
        return True

    def _end(self, error: BaseException | None) -> None:
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)

    # ---- On the thread ----

    def run(self) -> None:
        with self._lock:
            if self._state is _State.GIVEN_UP:
                return
            self._state = _State.STARTING
        error: BaseException | None = None
        try:
            self._pending.start(self._remaining_ns())
        except BaseException as caught:
            error = caught
        if not self.hand_back(error):
            self._pending.close()

    def hand_back(self, error: BaseException | None) -> bool:
        """Gives the run back to the event loop. False where the loop has given it up, or is closed."""
        with self._lock:
            if self._state is _State.GIVEN_UP:
                return False
            self._state = _State.HANDED_BACK
            try:
                self._loop.call_soon_threadsafe(self._end, error)
            except RuntimeError:
                return False  # the loop is closed
            return True

    def _remaining_ns(self) -> int:
        if self._timeout_ns < 0:
            return self._timeout_ns
        return max(1, self._timeout_ns - (time.monotonic_ns() - self._begin))
