"""Models that other processes serve, opened from Python with both backends, on each route.

Options, arrays, asyncio, errors, and servers that restart.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sidecall
from sidecall import errors
from vector_servers import Servers

ROW = {"a": 1, "b": 2, "c": True, "d": 0.5}


@pytest.fixture(scope="module")
def servers(network_library: Path) -> Iterator[Servers]:
    assert network_library.is_file()
    started = Servers(network=True)
    yield started
    started.close()


@pytest.fixture
def served(servers: Servers, backend: str) -> Callable[..., sidecall.Model]:
    return lambda name, **options: sidecall.open(
        servers.address(name), backend=backend, wait=30, **options
    )


@pytest.fixture(params=["shm", "http", "grpc"])
def routed(
    servers: Servers, backend: str, request: pytest.FixtureRequest
) -> Callable[..., sidecall.Model]:
    """Opens a served model over each of the routes."""
    return lambda name: sidecall.open(
        servers.address_over(request.param, name), backend=backend, wait=30
    )


def test_opening_an_address_without_a_server_raises_unreachable(
    backend: str, tmp_path: Path
) -> None:
    with pytest.raises(errors.Unreachable) as caught:
        sidecall.open(f"shm:{tmp_path}/absent.sock", backend=backend)
    assert isinstance(caught.value, ConnectionError)
    assert caught.value.retryable
    start = time.monotonic()
    with pytest.raises(errors.Unreachable):
        sidecall.open(f"shm:{tmp_path}/absent.sock", backend=backend, wait=0.05)
    assert time.monotonic() - start >= 0.05


@pytest.mark.parametrize("wait", [-1, -0.5, float("nan")])
def test_an_invalid_wait_is_refused(backend: str, wait: float) -> None:
    with pytest.raises(errors.InvalidArgument, match="wait_ns"):
        sidecall.open("shm:absent", backend=backend, wait=wait)


def test_exec_needs_allow_exec(backend: str) -> None:
    with pytest.raises(errors.InvalidArgument, match="allow_exec"):
        sidecall.open("exec:true", backend=backend)
    with pytest.raises(errors.Unreachable):
        sidecall.open("exec:/nonexistent/program", backend=backend, allow_exec=True)


def test_a_pathlike_is_never_an_address(backend: str, tmp_path: Path) -> None:
    with pytest.raises(errors.FileNotFound):
        sidecall.open(tmp_path / "shm:x", backend=backend)


def test_a_served_model_equals_the_file(
    served: Callable[..., sidecall.Model], load: Callable[..., sidecall.Model]
) -> None:
    here, there = load("penguins.onnx"), served("penguins.onnx")
    assert (here.id, here.contract, here.signature, here.name) == (
        there.id,
        there.contract,
        there.signature,
        there.name,
    )
    assert there.verify()["rows"] == here.verify()["rows"]


def test_arrays_of_a_served_call_stay_valid(served: Callable[..., sidecall.Model]) -> None:
    model = served("matrix.onnx")
    with model.call(rows=2) as call:
        x = call.inputs["X"]
        for run in range(3):
            x[:] = [[run, 0, 0, 0], [0, 0, 0, 1]]
            call.run()
            assert call.outputs["prediction"].tolist() == [[run], [1000]]
        small = call.outputs["prediction"]
        small[0] = 5  # `small` is the memory of the call, so it is writable
    assert x[1, 3] == 1  # the memory is still valid
    with model.call(rows=100_000) as call:
        call.inputs["X"][:] = 1
        call.run()
        large = call.outputs["prediction"]
        assert large[99_999, 0] == 1111
        with pytest.raises(ValueError, match="read-only"):
            large[0] = 1
    assert large[0, 0] == 1111
    assert model.run({"X": np.ones((100_000, 4), np.float32)})["prediction"].flags.writeable


def test_asynchronous_calls_leave_no_thread(routed: Callable[..., sidecall.Model]) -> None:
    model = routed("matrix.onnx")

    async def many() -> list[object]:
        return list(await asyncio.gather(*[model.apredict(ROW | {"a": i}) for i in range(200)]))

    threads = threading.active_count()
    for _ in range(3):
        assert asyncio.run(many()) == [{"prediction": 620.0 + i} for i in range(200)]
    assert threading.active_count() <= threads  # those of other tests may end meanwhile


def test_asynchronous_calls_time_out_while_the_server_is_stopped(backend: str) -> None:
    servers = Servers()
    try:
        with sidecall.open(servers.address("matrix.onnx"), backend=backend, wait=30) as model:
            servers.stop("matrix.onnx")
            try:
                asyncio.run(asyncio.wait_for(run_until_timeout(model), 20))
            finally:
                servers.signal("matrix.onnx", signal.SIGCONT)
            assert asyncio.run(model.apredict(ROW)) == {"prediction": 621.0}
    finally:
        servers.close()


def num_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_abandoned_runs_hold_no_descriptors(backend: str) -> None:
    servers = Servers()
    try:
        with sidecall.open(servers.address("matrix.onnx"), backend=backend, wait=30) as model:
            servers.stop("matrix.onnx")
            num_files = num_descriptors()
            try:
                outcomes = asyncio.run(give_up(model))
                assert {type(outcome) for outcome in outcomes} == {errors.Timeout}
                # The exceptions in `outcomes` must not hold descriptors either.
                assert num_descriptors() <= num_files
            finally:
                servers.signal("matrix.onnx", signal.SIGCONT)
    finally:
        servers.close()


async def give_up(model: sidecall.Model) -> list[object]:
    tasks = [asyncio.ensure_future(model.apredict(ROW, timeout=0.05)) for _ in range(50)]
    await asyncio.sleep(0)  # now all of them wait
    time.sleep(0.3)  # the loop is blocked while their deadlines pass
    return list(await asyncio.gather(*tasks, return_exceptions=True))


async def run_until_timeout(model: sidecall.Model) -> None:
    """No run has a connection yet, and the stopped server accepts no new connection."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    turning = asyncio.create_task(count_turns())
    patient = asyncio.create_task(model.apredict(ROW))
    await asyncio.sleep(0.01)
    num_files = num_descriptors()  # may not include the connection that `patient` requests
    for _ in range(3):
        with pytest.raises(errors.Timeout) as caught:
            await model.arun({"X": np.ones((1, 4), np.float32)}, timeout=0.05)
        assert caught.value.retryable
    outcomes = await asyncio.gather(
        *[model.apredict(ROW, timeout=0.05) for _ in range(50)], return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [errors.Timeout] * 50
    assert num_descriptors() <= num_files + 1  # abandoned runs hold no descriptors
    waiting = asyncio.create_task(model.apredict(ROW))
    await asyncio.sleep(0.01)
    for task in (waiting, patient):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    turning.cancel()
    assert turns > 20


def test_asynchronous_runs_end_at_the_deadline_and_at_cancellation(
    routed: Callable[..., sidecall.Model],
) -> None:
    model = routed("slow.onnx")
    inputs = {"x": np.full(10_000, 0.5, np.float32), "n": np.array(20_000, np.int64)}

    async def in_time() -> None:
        with pytest.raises(errors.Timeout) as caught:
            await model.arun(inputs, timeout=0.02)
        assert isinstance(caught.value, TimeoutError)
        run = asyncio.create_task(model.arun(inputs))
        await asyncio.sleep(0.02)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert (await model.arun(inputs | {"n": np.array(0, np.int64)}))["y"][0] == 0.5

    asyncio.run(in_time())


def test_the_model_stays_usable_after_a_deadline(routed: Callable[..., sidecall.Model]) -> None:
    model = routed("slow.onnx")
    inputs = {"x": np.full(10_000, 0.5, np.float32), "n": np.array(20_000, np.int64)}
    with pytest.raises(errors.Timeout):
        model.run(inputs, timeout=0.01)
    assert model.run(inputs | {"n": np.array(0, np.int64)})["y"][0] == 0.5


def test_a_call_connects_again_after_a_server_restart(backend: str) -> None:
    servers = Servers()
    try:
        with (
            sidecall.open(servers.address("matrix.onnx"), backend=backend, wait=30) as model,
            model.call() as call,
        ):
            call.inputs["X"][:] = [[1, 2, 1, 0.5]]
            call.run()
            servers.restart("matrix.onnx", signal.SIGKILL)
            call.run()  # the option `wait` also applies here
            assert call.outputs["prediction"].tolist() == [[621]]
            assert model.predict(ROW) == {"prediction": 621.0}
    finally:
        servers.close()


def test_a_forked_child_must_open_the_model_again(routed: Callable[..., sidecall.Model]) -> None:
    model = routed("matrix.onnx")
    model.predict(ROW)
    child = os.fork()
    if child == 0:
        wrong = 1
        try:
            model.predict(ROW)
        except errors.Forked:
            wrong = 0
        finally:
            os._exit(wrong)
    assert os.waitpid(child, 0)[1] == 0
    assert model.predict(ROW) == {"prediction": 621.0}
