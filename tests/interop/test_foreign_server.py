"""sidecall's own client against a server that was written from shm/PROTOCOL.md alone."""

import asyncio
import signal
import threading
from collections.abc import Generator

import numpy as np
import pytest
import sidecall
from served import ServerProcess, Start
from sidecall import errors

BACKENDS = ("native", "cffi")


@pytest.fixture
def toy(start: Start) -> ServerProcess:
    return start("toy")


@pytest.fixture(params=BACKENDS)
def model(
    request: pytest.FixtureRequest, toy: ServerProcess
) -> Generator[sidecall.Model, None, None]:
    with sidecall.open(toy.address, backend=request.param, timeout=20) as opened:
        yield opened


def inputs_of(rows: int, text: str = "é") -> dict[str, np.ndarray]:
    x = np.stack([np.arange(rows, dtype=np.float32), np.full(rows, 0.5, np.float32)], axis=1)
    return {"x": x, "text": np.array([text] * rows, dtype=object)}


def check(result: dict[str, np.ndarray], rows: int, text: str = "é") -> None:
    assert result["sum"].tolist() == [i + 0.5 for i in range(rows)]
    assert result["text"].tolist() == [text] * rows


def test_calls_of_all_sizes_are_answered(model: sidecall.Model) -> None:
    # The largest answers arrive as one-shot files or in larger slots.
    for rows in (
        1,
        2,
        1,
        5000,
        3,
        40_000,
        1,
    ):
        check(model.run(inputs_of(rows)), rows)


def test_repeated_calls_with_the_same_layout_are_answered(model: sidecall.Model) -> None:
    for turn in range(200):
        check(model.run(inputs_of(2, str(turn % 10))), 2, str(turn % 10))


def test_an_error_reaches_the_caller_unchanged(model: sidecall.Model) -> None:
    with pytest.raises(errors.ShapeMismatch) as failure:
        model.run({"x": np.zeros((2, 2), np.float32), "text": np.array(["a"], dtype=object)})
    assert (failure.value.name, failure.value.expected, failure.value.got) == (
        "text",
        "2 rows",
        "1 rows",
    )
    check(model.run(inputs_of(3)), 3)


def test_concurrent_threads_get_their_own_answers(model: sidecall.Model) -> None:
    failures: list[BaseException] = []

    def call_often(number: int) -> None:
        try:
            for _ in range(30):
                check(model.run(inputs_of(number)), number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=call_often, args=(i + 1,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_asynchronous_calls_are_answered(model: sidecall.Model) -> None:
    async def run_all() -> list[dict[str, np.ndarray]]:
        return list(await asyncio.gather(*[model.arun(inputs_of(i)) for i in range(1, 6)]))

    for rows, result in enumerate(asyncio.run(run_all()), 1):
        check(result, rows)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_call_after_a_timeout_is_answered(start: Start, backend: str) -> None:
    with sidecall.open(start("toy", "--delay-ms 300").address, backend=backend) as model:
        with pytest.raises(errors.Timeout):
            model.run(inputs_of(1), timeout=0.02)
        check(model.run(inputs_of(2), timeout=20), 2)


def test_a_server_restart_does_not_affect_the_caller(
    start: Start, toy: ServerProcess, model: sidecall.Model
) -> None:
    check(model.run(inputs_of(1)), 1)
    toy.end(signal.SIGKILL)
    start("toy")
    check(model.run(inputs_of(1)), 1)


def test_the_death_of_the_server_during_a_call_raises_peer_died(start: Start) -> None:
    server = start("toy", "--delay-ms 5000")
    with sidecall.open(server.address) as model:
        timer = threading.Timer(0.3, server.end, [signal.SIGKILL])
        timer.start()
        with pytest.raises(errors.PeerDied):
            model.run(inputs_of(1))
        timer.join()
        with pytest.raises(errors.Unreachable):
            model.run(inputs_of(1))


def test_another_signature_raises_contract_changed(
    start: Start, toy: ServerProcess, model: sidecall.Model
) -> None:
    model.run(inputs_of(1))
    toy.end(signal.SIGKILL)
    start("toy", "--signature new")
    with pytest.raises(errors.ContractChanged):
        model.run(inputs_of(1))
