"""Asynchronous calls end, whatever the server answers or fails to answer.

Tested in Python over both backends, in C and in Node.js.
"""

import asyncio
import json
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sidecall
from served import ServerProcess, Start, environment
from sidecall import _cffi_header as c
from sidecall import errors

HERE = Path(__file__).resolve().parent
TIMEOUT = 0.5  # seconds
GRACE = 5.0  # seconds beyond the timeout, for a busy machine
INPUTS = {"x": np.ones((1, 2), np.float32), "text": np.array(["a"], dtype=object)}

Outcome = tuple[str, str, float]  # way, code of the outcome, seconds
CASES = {
    "busy": {"BUSY"},
    "pending": {"PROTOCOL"},
    "not-run": {"PROTOCOL"},
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


@pytest.mark.parametrize("way", ["by the descriptor", "by looking"])
def test_c_calls_end_with_the_expected_outcome(server: ServerProcess, case: str, way: str) -> None:
    """Calls the C ABI directly, like a program with an event loop and like one that polls."""
    with sidecall.open(server.address, backend="cffi") as model:
        call = c.ffi.new("sidecall_call **")
        assert c.lib.sidecall_call_open(model._native.handle, 1, call, c.NULL) == 0
        call = c.ffi.gc(call[0], c.lib.sidecall_call_close)
        poller = Waiter(call) if way == "by the descriptor" else None
        view = c.ffi.new("sidecall_view *", {"struct_size": c.ffi.sizeof("sidecall_view")})
        assert c.lib.sidecall_call_input(call, 0, view, c.NULL) == 0
        assert (
            c.lib.sidecall_call_set_strings(
                call, 1, b"a", c.ffi.new("int64_t[2]", [0, 1]), 1, c.NULL
            )
            == 0
        )
        disturb(server, case)
        begin = time.monotonic()
        status = c.lib.sidecall_call_start(call, int(TIMEOUT * 1e9), c.NULL)
        while (
            status == 0
            and (status := c.lib.sidecall_call_finish(call, 0, c.NULL))
            == c.constants["SIDECALL_PENDING"]
        ):
            assert time.monotonic() - begin < 60
            if poller is not None:
                poller.wait()
            else:
                time.sleep(0.01)
            status = 0
        check(
            [(way, c.text_of(c.lib.sidecall_status_name(status)), time.monotonic() - begin)], case
        )
        assert c.lib.sidecall_call_finish(call, -1, c.NULL) == c.constants["SIDECALL_NOT_RUN"]


class Waiter:
    def __init__(self, call: object):
        fd = c.ffi.new("int32_t *")
        assert c.lib.sidecall_call_fd(call, fd, c.NULL) == 0
        self._epoll = select.epoll()
        self._epoll.register(fd[0], select.EPOLLIN)

    def wait(self) -> None:
        assert self._epoll.poll(60)


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
