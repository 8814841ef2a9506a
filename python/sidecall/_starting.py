"""Starts runs in another process without blocking the event loop, for `Model.arun`.

Before such a run starts, the library may have to connect to the other process and wait for it. So a
separate thread starts the run.
"""

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

# The deadline that the library gives to a run in another process if the caller gives none.
_CONNECT_NS = 30_000_000_000


class Starter:
    """Starts the runs of one model, one after the other, on one thread.

    If each run had its own thread, a server that hangs would block as many threads as there are
    runs. The thread ends when no run waits to be started. It is a daemon thread, because the
    program may end while the thread waits for a server.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[_Start] = deque()
        self._is_busy = False

    async def start(self, pending: _backend.Pending, timeout_ns: int) -> None:
        """Returns when the run is under way.

        If this function raises, the run is closed, or the thread will close it.
        """
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
        except RuntimeError:  # no thread can be created, or the interpreter is shutting down
            with self._lock:
                failed, self._waiting, self._is_busy = self._waiting, deque(), False
            for start in failed:
                start.hand_back(
                    errors.OutOfMemory(
                        "cannot create a thread that starts a run in another process",
                        retryable=True,
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
    """One run that is to be started.

    Either the thread hands it back to the event loop, or the loop gives it up. `_lock` guards that
    decision.
    """

    def __init__(self, pending: _backend.Pending, timeout_ns: int) -> None:
        self._pending, self._timeout_ns = pending, timeout_ns
        self._begin = time.monotonic_ns()
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._lock = threading.Lock()
        self._state = _State.WAITING

    # ---- Called on the event loop ----

    async def finish(self) -> None:
        patience = _CONNECT_NS if self._timeout_ns < 0 else self._timeout_ns
        expiry = self._loop.call_later(patience / 1e9, self._expire)
        try:
            await self._over
        except BaseException:
            # Close the run here: the traceback of the exception refers to the run, so the run's
            # descriptors would otherwise stay open for as long as the exception is referenced.
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
        """Gives the run up. False if the run was handed back: the caller must then close it."""
        with self._lock:
            before = self._state
            if before is _State.HANDED_BACK:
                return False
            self._state = _State.GIVEN_UP
            if before is _State.STARTING:
                # The thread closes the run, but only after this function has released the lock.
                self._pending.cancel()
        if before is _State.WAITING:
            self._pending.close()  # the thread has not begun to start it
        return True

    def _end(self, error: BaseException | None) -> None:
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)

    # ---- Called on the thread ----

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
        """Gives the run back to the event loop. False if the loop has given it up or is closed."""
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
