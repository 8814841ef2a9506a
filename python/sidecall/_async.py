"""Runs that an event loop waits for. A run never blocks the loop: the library's own threads, or another process, make a descriptor readable.
Starting one that has to wait for another process first is the work of _starting.py."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sidecall import _backend


async def finish(pending: _backend.Pending) -> Any:
    """The outcome of a run that was started. Cancelling the await cancels the run.

    However this ends, nothing waits for a run that the engine still works on: closing leaves the run to the library.
    """
    loop = asyncio.get_running_loop()
    try:
        while True:
            over: asyncio.Future[None] = loop.create_future()
            loop.add_reader(pending.fd, _wake, over)
            try:
                await over
            finally:
                if not loop.is_closed():  # as it is where the coroutine is thrown away later
                    loop.remove_reader(pending.fd)
            if pending.finish():  # False: the descriptor may become readable without an outcome
                return pending.result()
    finally:
        pending.close()


def _wake(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
