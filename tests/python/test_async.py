"""arun and apredict: they never block the event loop, deadlines and cancellation end a run, and
abandoned runs leave no thread and no descriptor.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sidecall
from sidecall import _async, errors

ENDLESS = {"x": np.ones(2, dtype=np.float32), "n": np.array(1 << 40, dtype=np.int64)}
RECORD = {"a": 1, "b": 2, "c": True, "d": 0.5}
Load = Callable[..., sidecall.Model]


class LoopWithoutReaders(asyncio.SelectorEventLoop):
    """An event loop that cannot wait for descriptors, like the one of Windows."""

    def add_reader(self, *args: Any) -> None:
        raise NotImplementedError


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


def test_a_loop_that_waits_for_a_run_sleeps(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load("slow.onnx")
    num_turns = 0
    turn = _async._Runs._turn

    def count(runs: _async._Runs, loop: asyncio.AbstractEventLoop) -> None:
        nonlocal num_turns
        num_turns += 1
        turn(runs, loop)

    monkeypatch.setattr(_async._Runs, "_turn", count)
    with pytest.raises(errors.Timeout):
        asyncio.run(model.arun(ENDLESS, timeout=0.3))
    assert 1 <= num_turns <= 10


def test_loops_of_several_threads_run_at_once(load: Load) -> None:
    model = load("matrix.onnx")

    async def many() -> list[Any]:
        return list(await asyncio.gather(*(model.apredict(RECORD | {"a": i}) for i in range(100))))

    answers: list[list[Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(asyncio.run(many()))) for _ in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[{"prediction": 620.0 + i} for i in range(100)]] * 4


def test_runs_of_both_backends_share_a_loop() -> None:
    path = Path(__file__).parents[1] / "vectors/models/matrix.onnx"
    both = [sidecall.open(path, backend=name) for name in ("native", "cffi")]  # type: ignore[arg-type]

    async def main() -> list[Any]:
        return list(await asyncio.gather(*(model.apredict(RECORD) for model in both * 20)))

    assert asyncio.run(main()) == [{"prediction": 621.0}] * 40


def test_a_loop_without_readers_gets_the_outcomes_from_a_thread(load: Load) -> None:
    matrix, slow = load("matrix.onnx"), load("slow.onnx")

    async def main() -> None:
        answers = await asyncio.gather(*(matrix.apredict(RECORD | {"a": i}) for i in range(100)))
        assert answers == [{"prediction": 620.0 + i} for i in range(100)]
        with pytest.raises(errors.Timeout):
            await slow.arun(ENDLESS, timeout=0.05)
        with pytest.raises(errors.MissingInput):
            await matrix.arun({})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow.arun(ENDLESS), timeout=0.05)
        while any(thread.name == "sidecall-runs" for thread in threading.enumerate()):
            await asyncio.sleep(0.01)
        assert await matrix.apredict(RECORD) == {"prediction": 621.0}

    with asyncio.Runner(loop_factory=LoopWithoutReaders) as runner:
        runner.run(main())


def test_a_queue_is_closed_with_its_loop(load: Load) -> None:
    model = load("matrix.onnx")
    asyncio.run(model.apredict(RECORD))
    gc.collect()
    before = num_descriptors()
    for _ in range(10):
        asyncio.run(model.apredict(RECORD))
        with pytest.raises(errors.MissingInput):
            asyncio.run(model.arun({}))
    gc.collect()
    assert num_descriptors() <= before


def test_a_forked_child_has_runs_of_its_own(load: Load) -> None:
    model = load("matrix.onnx", engine="native")

    async def main() -> None:
        runs = [asyncio.ensure_future(model.apredict(RECORD)) for _ in range(64)]
        await asyncio.sleep(0)
        assert exit_code_of_child(lambda: asyncio.run(model.apredict(RECORD))) == 0
        assert await asyncio.gather(*runs) == [{"prediction": 621.0}] * 64

    asyncio.run(main())


def test_a_forked_child_can_go_on_with_an_idle_loop(load: Load) -> None:
    model = load("matrix.onnx", engine="native")
    with asyncio.Runner() as runner:
        runner.run(model.apredict(RECORD))
        assert exit_code_of_child(lambda: runner.run(model.apredict(RECORD))) == 0
        assert runner.run(model.apredict(RECORD)) == {"prediction": 621.0}


def exit_code_of_child(predict: Callable[[], Any]) -> int:
    """Forks a child that ends with 0 if it gets the answer to RECORD."""
    child = os.fork()
    if child == 0:
        wrong = 1
        try:
            wrong = int(predict() != {"prediction": 621.0})
        finally:
            os._exit(wrong)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_new_route_needs_nothing_from_this_package(backend: str) -> None:
    """test: is a folder of engines/ that only test builds have, and that no language knows."""
    with sidecall.open("test:double?open_ms=10&run_ms=20", backend=backend) as model:
        assert model.run({"x": [1, -2]})["y"].tolist() == [2, -4]

        async def many() -> list[float]:
            runs = (model.arun({"x": np.full(1, i, dtype=np.float32)}) for i in range(40))
            return [float(answer["y"][0]) for answer in await asyncio.gather(*runs)]

        assert asyncio.run(many()) == [2.0 * i for i in range(40)]
        again = pickle.loads(pickle.dumps(model))
        assert again.run({"x": [3]})["y"].tolist() == [6]
    with sidecall.open("test:double?run_ms=60000", backend=backend) as model:
        with pytest.raises(errors.Timeout):
            model.run({"x": [1]}, timeout=0.02)
        with pytest.raises(errors.Timeout):
            asyncio.run(model.arun({"x": [1]}, timeout=0.02))
    with pytest.raises(errors.InvalidArgument, match="expected test:double"):
        sidecall.open("test:triple", backend=backend)
