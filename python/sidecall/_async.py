"""Runs that an event loop waits for. A run never blocks the loop: the library's own threads, or another process, make a descriptor readable.
Starting one that has to wait for another process first is the work of _starting.py."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sidecall import _backend


async def finish(pending: _backend.Pending) -> Any:
    """The outcome of a run that was started. Cancelling the await cancels the run."""
    loop = asyncio.get_running_loop()
    while True:
        over: asyncio.Future[None] = loop.create_future()
        loop.add_reader(pending.fd, _wake, over)
        try:
            await over
        except asyncio.CancelledError:
            pending.cancel()
            loop.remove_reader(pending.fd)
            reap(pending)
            raise
        loop.remove_reader(pending.fd)
        try:
            is_over = pending.finish()  # False: the descriptor may become readable without an outcome
        except TimeoutError:
            reap(pending)
            raise
        if is_over:
            return pending.result()


def _wake(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def reap(pending: _backend.Pending) -> None:
    # The engine may still be between two nodes of the graph, and closing waits for it.
    threading.Thread(target=pending.close, name="sidecall-reap", daemon=True).start()
