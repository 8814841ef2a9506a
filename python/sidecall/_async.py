"""Waits for runs on an event loop, for `Model.arun` and `Model.apredict`.

Each loop has a completion queue of the library. A run never blocks the loop: the library starts it,
connects to another process if need be, and makes the handle of the queue readable when it ends.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sidecall import errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecall import _backend

_RETRY_S = 0.001  # if no descriptors are left
_PATIENCE_NS = 50_000_000  # of a thread that waits for runs, which may all have been abandoned


async def outcome_of(
    backend: _backend.Backend, start: Callable[[_backend.Queue], _backend.Pending]
) -> Any:
    """Starts a run, and returns its answer. Cancelling the await cancels the run.

    This coroutine never waits for the engine to stop: if the run is not over when this coroutine
    ends, `close` leaves the run to the library.
    """
    loop = asyncio.get_running_loop()
    runs = _runs_of(backend, loop)
    try:
        pending = start(runs.queue)
        try:
            await runs.wait(pending.run, loop)
            return pending.result()
        finally:
            pending.close()
            runs.forget(pending.run)
    finally:
        # The traceback of an exception refers to this frame, which must not keep the queue open.
        del runs


class _Runs:
    """The runs that one event loop waits for.

    The loop owns this object through its reader, so the queue is closed when the loop is.
    """

    def __init__(self, backend: _backend.Backend, loop: asyncio.AbstractEventLoop) -> None:
        self.queue = backend.Queue()
        self._futures: dict[int, asyncio.Future[None]] = {}
        self._has_turn = False
        self._has_reader = True
        try:
            loop.add_reader(self.queue.handle(), self._turn, loop)
        except NotImplementedError:  # for example the loop of Windows
            self._has_reader = False
        self._lock = threading.Lock()
        self._has_thread = False

    def wait(self, run: int, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Returns a future that is done when the run has an outcome."""
        future = self._futures[run] = loop.create_future()
        if self._has_reader:
            self._turn_soon(loop)
        else:
            self._start_thread(loop)
        return future

    def forget(self, run: int) -> None:
        self._futures.pop(run, None)

    def _end(self, runs: list[int]) -> None:
        for run in runs:
            future = self._futures.pop(run, None)
            if future is not None and not future.done():
                future.set_result(None)

    # ---- With a reader ----

    def _turn_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._has_turn:
            self._has_turn = True
            loop.call_soon(self._next_turn, loop)

    def _next_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._has_turn = False
        self._turn(loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Takes the outcomes that are there, or lets the loop sleep until there is one."""
        runs = self.queue.take(0)
        self._end(runs)
        # After an outcome, its waiter goes on first, because it may start the next run.
        if runs:
            self._turn_soon(loop)
        elif self._futures:
            try:
                if self.queue.arm() >= 0:
                    self._turn_soon(loop)
            except errors.OutOfMemory:
                loop.call_later(_RETRY_S, self._turn_soon, loop)

    # ---- With a thread, for a loop that has no readers ----

    def _start_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if self._has_thread:
                return
            try:
                # A daemon, because the program may end while the thread waits for a server.
                name = "sidecall-runs"
                threading.Thread(target=self._work, args=(loop,), name=name, daemon=True).start()
            except RuntimeError as error:  # or the interpreter is shutting down
                text = "cannot create a thread that waits for runs"
                raise errors.OutOfMemory(text, retryable=True) from error
            self._has_thread = True

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._is_needed():
            runs = self.queue.take(_PATIENCE_NS)
            try:
                loop.call_soon_threadsafe(self._end, runs)
            except RuntimeError:  # the loop is closed
                return

    def _is_needed(self) -> bool:
        with self._lock:
            self._has_thread = bool(self._futures)
            return self._has_thread


_Loops = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, "weakref.ref[_Runs]"]
_loops: defaultdict[_backend.Backend, _Loops] = defaultdict(weakref.WeakKeyDictionary)
# A child process opens queues of its own.
os.register_at_fork(after_in_child=_loops.clear)


def _runs_of(backend: _backend.Backend, loop: asyncio.AbstractEventLoop) -> _Runs:
    known = _loops[backend].get(loop)
    runs = None if known is None else known()
    if runs is None:
        runs = _Runs(backend, loop)
        _loops[backend][loop] = weakref.ref(runs)
    return runs
