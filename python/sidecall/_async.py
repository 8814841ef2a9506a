"""Waits for runs on an event loop, for `Model.arun` and `Model.apredict`.

A run never blocks the loop: when it ends, a thread of the library or another process makes a
descriptor readable. _starting.py starts a run that first has to wait for another process.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sidecall import _backend


async def finish(pending: _backend.Pending) -> Any:
    """Returns the outcome of a run that was started. Cancelling the await cancels the run.

    This coroutine never waits for the engine to stop: if the run is not over when this coroutine
    ends, `close` leaves the run to the library.
    """
    loop = asyncio.get_running_loop()
    try:
        while True:
            over: asyncio.Future[None] = loop.create_future()
            loop.add_reader(pending.fd, _wake, over)
            try:
                await over
            finally:
                # The loop is closed if the coroutine is discarded after the end of the loop.
                if not loop.is_closed():
                    loop.remove_reader(pending.fd)
            if pending.finish():  # False: the descriptor may become readable spuriously
                return pending.result()
    finally:
        pending.close()


def _wake(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
