"""arun and apredict: they never block the event loop, deadlines and cancellation end a run, and
abandoned runs leave no thread and no descriptor.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sidecall
from sidecall import errors

ENDLESS = {"x": np.ones(2, dtype=np.float32), "n": np.array(1 << 40, dtype=np.int64)}
Load = Callable[..., sidecall.Model]


def test_arun_and_apredict_give_the_answers_of_the_model(
    matrix: sidecall.Model, backend: str
) -> None:
    async def main() -> None:
        record = {"a": 1, "b": 2, "c": True, "d": 0.5}
        assert (await matrix.arun({"X": [[1, 2, 1, 0.5]]}))["prediction"].tolist() == [[621]]
        assert await matrix.apredict(record) == {"prediction": 621}
        assert await matrix.apredict([record] * 2) == [{"prediction": 621}] * 2
        assert (await matrix.apredict(pd.DataFrame([record])))["prediction"].tolist() == [621]
        large = np.ones((100_000, 4), dtype=np.float32)
        assert (
            (await matrix.arun({"X": large}, outputs=["prediction"]))["prediction"] == 1111
        ).all()

    asyncio.run(main())


def test_many_concurrent_runs_get_their_own_answers(matrix: sidecall.Model, backend: str) -> None:
    async def one(i: int) -> float:
        while True:
            try:
                return float(
                    (await matrix.arun({"X": np.full((1, 4), i, dtype=np.float32)}))["prediction"][
                        0, 0
                    ]
                )
            except errors.Busy:
                await asyncio.sleep(0.001)

    async def main() -> list[float]:
        return await asyncio.gather(*(one(i) for i in range(200)))

    assert asyncio.run(main()) == [1111 * i for i in range(200)]


def test_the_event_loop_is_never_blocked(load: Load) -> None:
    model = load("slow.onnx")

    async def main() -> int:
        task = asyncio.create_task(model.arun(ENDLESS, timeout=0.3))
        turns = 0
        while not task.done():
            await asyncio.sleep(0.001)
            turns += 1
        with pytest.raises(errors.Timeout):
            task.result()
        return turns

    assert asyncio.run(main()) > 30


def test_cancellation_ends_the_run(load: Load) -> None:
    model = load("slow.onnx")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(model.arun(ENDLESS), timeout=0.05)
        assert (await model.arun({**ENDLESS, "n": np.array(0, dtype=np.int64)}))["y"].tolist() == [
            1,
            1,
        ]

    asyncio.run(main())


def test_an_abandoned_run_leaves_no_thread_and_no_descriptor(load: Load) -> None:
    model = load("slow.onnx")

    async def give_up() -> None:
        runs = [asyncio.ensure_future(model.arun(ENDLESS, timeout=0.01)) for _ in range(4)]
        runs += [asyncio.ensure_future(model.arun(ENDLESS)) for _ in range(4)]
        await asyncio.sleep(0.02)
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        assert {
            thread.name for thread in threading.enumerate() if "sidecall" in thread.name
        } == set()

    asyncio.run(give_up())
    before = num_descriptors()
    asyncio.run(give_up())
    expiry = time.monotonic() + 10
    while num_descriptors() > before and time.monotonic() < expiry:
        time.sleep(0.001)  # until the engine releases the run
    assert num_descriptors() <= before


def num_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_closing_the_coroutine_ends_its_run(load: Load) -> None:
    model = load("slow.onnx")

    async def begin() -> Coroutine[Any, Any, Any]:
        run = model.arun(ENDLESS)
        run.send(None)  # runs up to the first await, as in the event loop
        return run

    run = asyncio.run(begin())
    run.close()  # the event loop is closed by now
    assert asyncio.run(model.arun({**ENDLESS, "n": np.array(0, dtype=np.int64)}))["y"].tolist() == [
        1,
        1,
    ]


def test_changing_an_array_does_not_affect_a_run_that_waits(load: Load) -> None:
    model = load("slow.onnx")
    x = np.full(100_000, 0.5, dtype=np.float32)

    async def main() -> None:
        others = [
            asyncio.ensure_future(model.arun(ENDLESS)) for _ in range(2 * (os.cpu_count() or 1) + 2)
        ]
        await asyncio.sleep(0.02)  # by then these runs occupy every thread
        run = asyncio.ensure_future(model.arun({"x": x, "n": np.array(0, dtype=np.int64)}))
        await asyncio.sleep(0)
        x[:] = 7
        for other in others:
            other.cancel()
        assert (await run)["y"].max() == 0.5
        await asyncio.gather(*others, return_exceptions=True)

    asyncio.run(main())


def test_errors_are_raised_by_arun_and_apredict(matrix: sidecall.Model, backend: str) -> None:
    async def main() -> None:
        with pytest.raises(errors.DtypeMismatch):
            await matrix.arun({"X": np.ones((1, 4), dtype=np.bool_)})
        with pytest.raises(errors.MissingInput):
            await matrix.arun({})
        with pytest.raises(errors.UnknownName):
            await matrix.arun({"X": np.ones((1, 4), dtype=np.float32)}, outputs=["nope"])
        with pytest.raises(errors.Error) as caught:
            await matrix.apredict([{"a": "x", "b": 0.5}] * 20)
        assert len(caught.value.faults) == 80
        assert await matrix.apredict({"a": 0, "b": 0, "c": False, "d": 1}) == {"prediction": 1000}

    asyncio.run(main())


def test_a_run_completes_after_its_model_is_closed(load: Load) -> None:
    model = load("slow.onnx")

    async def main() -> None:
        task = asyncio.create_task(model.arun({**ENDLESS, "n": np.array(200_000, dtype=np.int64)}))
        await asyncio.sleep(0.001)
        model.close()
        assert (await task)["y"].shape == (2,)

    asyncio.run(main())
