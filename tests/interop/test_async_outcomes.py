"""Asynchronous calls end, whatever the server answers or fails to answer.

Tested in Python over both backends, in C and in Node.js.
"""

import asyncio
import ctypes
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sidecall
from queued_call import NOT_RUN, OK, QueuedCall, View
from served import ServerProcess, Start, environment
from sidecall import errors

HERE = Path(__file__).resolve().parent
TIMEOUT = 0.5  # seconds
GRACE = 5.0  # seconds beyond the timeout, for a busy machine
INPUTS = {"x": np.ones((1, 2), np.float32), "text": np.array(["a"], dtype=object)}

Outcome = tuple[str, str, float]  # way, code of the outcome, seconds
CASES = {
    "busy": {"BUSY"},
    "not-run": {"PROTOCOL"},
    "unknown": {"UNKNOWN", "INTERNAL"},  # a number that is no status
    "garbage": {"PROTOCOL"},
    "silent": {"TIMEOUT"},
    "deaf": {"TIMEOUT"},
    # The client eventually treats spurious wake-ups as a violation.
    "ringing": {"TIMEOUT", "PROTOCOL"},
    "stopped": {"TIMEOUT"},
    "killed": {"PEER_DIED", "UNREACHABLE"},
}


def disturb(server: ServerProcess, how: str) -> None:
    if how == "stopped":
        server.stop()
    elif how == "killed":
        server.end(signal.SIGKILL)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(start: Start, case: str) -> ServerProcess:
    return start("misbehaving", case) if case not in ("stopped", "killed") else start("toy")


def check(outcomes: list[Outcome], case: str) -> None:
    for way, code, seconds in outcomes:
        assert code in CASES[case], way
        assert seconds < TIMEOUT + GRACE, way
        if CASES[case] == {"TIMEOUT"}:
            assert seconds >= TIMEOUT * 0.99, way


async def outcome_of(way: str, ask: Callable[[], object]) -> Outcome:
    begin = time.monotonic()
    try:
        await asyncio.wait_for(ask(), TIMEOUT + 20)
        code = "OK"
    except errors.Error as error:
        code = error.code
    return way, code, time.monotonic() - begin


@pytest.mark.parametrize("backend", ["native", "cffi"])
def test_python_calls_end_with_the_expected_outcome(
    server: ServerProcess, case: str, backend: str
) -> None:
    async def ask(model: sidecall.Model) -> list[Outcome]:
        return [
            await outcome_of(f"arun {i}", lambda: model.arun(INPUTS, timeout=TIMEOUT))
            for i in range(2)
        ]

    with sidecall.open(server.address, backend=backend) as model:
        disturb(server, case)
        check(asyncio.run(ask(model)), case)


def test_node_calls_end_with_the_expected_outcome(server: ServerProcess, case: str) -> None:
    words = ["node", str(HERE / "async_client.js"), server.address, str(int(TIMEOUT * 1000))]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
    ) as client:
        assert client.stdin and client.stdout
        try:
            assert client.stdout.readline() == "ready\n"
            disturb(server, case)
            client.stdin.write("go\n")
            client.stdin.flush()
            said, _ = client.communicate(timeout=60)
        finally:
            client.kill()
    check([(way, code, milliseconds / 1000) for way, code, milliseconds in json.loads(said)], case)


@pytest.mark.parametrize("way", ["by the handle", "in take"])
def test_c_calls_end_with_the_expected_outcome(server: ServerProcess, case: str, way: str) -> None:
    """Calls the C ABI directly, like a program with an event loop and like one with a thread."""
    call = QueuedCall(server.address)
    view = View(ctypes.sizeof(View))
    offsets = (ctypes.c_int64 * 2)(0, 1)
    assert call("call_input", call.call, 0, ctypes.byref(view)) == OK
    assert call("call_set_strings", call.call, 1, b"a", offsets, ctypes.c_int64(1)) == OK
    disturb(server, case)
    begin = time.monotonic()
    assert call.submit(TIMEOUT) == OK
    status = call.take(60) if way == "in take" else take_by_handle(call)
    assert status is not None
    check([(way, call.name(status), time.monotonic() - begin)], case)
    assert call.take(run=call.number.value) == NOT_RUN
    call.close()


def take_by_handle(call: QueuedCall) -> int:
    end = time.monotonic() + 60
    while (status := call.take()) is None:
        assert time.monotonic() < end
        if call.arm():
            assert call.is_readable(60)
    return status


@pytest.mark.parametrize("backend", ["native", "cffi"])
def test_asynchronous_calls_wait_for_a_server_that_restarts(start: Start, backend: str) -> None:
    """Calls wait within their own deadline for a server that restarts half a second later.

    This holds for calls with and without a connection.
    """

    async def ask(model: sidecall.Model) -> list[Outcome]:
        runs = [outcome_of("arun", lambda: model.arun(INPUTS, timeout=30)) for _ in range(4)]
        short = outcome_of("short", lambda: model.arun(INPUTS, timeout=0.05))
        outcomes = asyncio.gather(*runs, short)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(start, "toy")
        return list(await outcomes)

    server = start("toy")
    with sidecall.open(server.address, backend=backend, wait=30) as model:
        asyncio.run(model.arun(INPUTS))
        server.end(signal.SIGKILL)
        outcomes = asyncio.run(ask(model))
    assert [code for _, code, _ in outcomes[:-1]] == ["OK"] * 4
    assert outcomes[-1][1] in ("TIMEOUT", "UNREACHABLE")
    assert outcomes[-1][2] < 0.5 + GRACE
