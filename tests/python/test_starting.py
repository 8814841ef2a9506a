"""Runs that a thread starts while the event loop abandons them."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sidecall._starting import Starter


class SlowRun:
    """A run whose start waits until it is cancelled.

    `cancel` takes longer than the thread needs to close the run.
    """

    fd = -1
    is_started = False

    def __init__(self) -> None:
        self.is_starting = threading.Event()
        self.is_cancelled = threading.Event()
        self.is_closed = threading.Event()
        self.was_closed_while_cancelling = False

    def start(self, timeout_ns: int) -> None:
        self.is_starting.set()
        assert self.is_cancelled.wait(60)

    def cancel(self) -> None:
        self.is_cancelled.set()
        self.was_closed_while_cancelling = self.is_closed.wait(0.2)

    def close(self) -> None:
        self.is_closed.set()

    def finish(self) -> bool:
        return True

    def result(self) -> None:
        pass


@pytest.mark.parametrize("ends_by", ["cancelling", "deadline"])
def test_a_run_is_not_closed_while_it_is_cancelled(ends_by: str) -> None:
    run = SlowRun()

    async def give_up() -> None:
        starting = asyncio.ensure_future(
            Starter().start(run, -1 if ends_by == "cancelling" else 50_000_000)
        )
        while not run.is_starting.is_set():
            await asyncio.sleep(0.001)
        if ends_by == "cancelling":
            starting.cancel()
        await asyncio.wait([starting])
        assert starting.cancelled() or starting.exception() is not None

    asyncio.run(give_up())
    assert run.is_closed.wait(60)
    assert not run.was_closed_while_cancelling
