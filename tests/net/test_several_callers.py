"""Runs of several threads at the same time. A thread that waits for its run also sends and receives
for the others, until its own run is over."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sidecall
from own_server import Start
from peer import MODELS, Peer, PeerProcess
from sidecall import errors

pytestmark = pytest.mark.usefixtures("network_library")
ROUTES = ["http", "grpc"]
MODEL = "penguins.onnx"


@pytest.fixture
def peer() -> Iterator[Peer]:
    started = Peer(MODELS)
    yield started
    started.close()


@pytest.mark.parametrize("route", ROUTES)
def test_a_run_goes_on_when_the_thread_that_received_for_it_times_out(
    peer: Peer, route: str, record: dict
) -> None:
    with sidecall.open(peer.uri(route, MODEL)) as model, ThreadPoolExecutor(2) as pool:
        expected = model.predict(record)
        peer.delay = 0.8
        first = pool.submit(model.predict, record, timeout=0.3)
        time.sleep(0.1)
        second = pool.submit(model.predict, record, timeout=10)
        with pytest.raises(errors.Timeout):
            first.result()
        assert second.result() == expected


def test_a_run_goes_on_when_the_thread_that_received_for_it_is_cancelled(
    peer: Peer, record: dict
) -> None:
    with sidecall.open(peer.uri("http", MODEL)) as model, model.call(1) as call:
        expected = model.predict(record)
        peer.delay = 0.8
        with ThreadPoolExecutor(2) as pool:
            for name, value in record.items():
                call.set(0, name, value)
            first = pool.submit(call.run)
            time.sleep(0.1)
            second = pool.submit(model.predict, record)
            time.sleep(0.1)
            call.cancel()
            with pytest.raises(errors.Cancelled):
                first.result()
            assert not second.done()
            assert second.result() == expected


@pytest.mark.parametrize("route", ROUTES)
def test_threads_and_coroutines_get_their_own_answers(peer: Peer, route: str, record: dict) -> None:
    records = [record | {"body_mass_g": 2700.0 + 40 * i} for i in range(40)]

    async def all_at_once(model: sidecall.Model) -> list[dict]:
        return await asyncio.gather(*(model.apredict(each) for each in records))

    with sidecall.open(MODELS / MODEL) as local:
        expected = [local.predict(each) for each in records]
    with sidecall.open(peer.uri(route, MODEL)) as model, ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(model.predict, each) for each in records * 3]
        coroutines = asyncio.run(all_at_once(model))
        assert [each.result() for each in waiting] == expected * 3
        assert coroutines == expected


STARTS_WITHOUT_DESCRIPTORS = """
import json, os, resource, sidecall, sys, threading, time
slow, quick, record = *sys.argv[1:3], json.loads(sys.argv[3])
try:
    sidecall.open(quick + "?unknown=1")  # loads the library, and starts nothing
except sidecall.errors.InvalidArgument:
    pass
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
free = os.dup(0)
os.close(free)
resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
try:
    sidecall.open(quick, onnxruntime="not looked for")
except sidecall.errors.Error as error:
    print(error)
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
with sidecall.open(slow) as first, sidecall.open(quick) as second:
    print("open", flush=True)
    sys.stdin.readline()
    waiting = threading.Timer(0, first.predict, [record], {"timeout": 20})
    waiting.start()
    time.sleep(0.5)
    second.predict(record, timeout=1)
    print("second", flush=True)
    waiting.join()
"""


def test_a_library_that_once_had_no_descriptor_delays_no_run_later(
    peers: list[Peer], record: dict
) -> None:
    addresses = [each.uri("http", MODEL) for each in peers]
    program = subprocess.Popen(
        [sys.executable, "-c", STARTS_WITHOUT_DESCRIPTORS, *addresses, json.dumps(record)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == "cannot start the network thread\n"
        assert program.stdout.readline() == "open\n"
        peers[0].delay = 5
        program.stdin.write("\n")
        program.stdin.flush()
        assert program.stdout.readline() == "second\n"
    assert program.returncode == 0


WRITES_TO_A_CLOSED_CONNECTION = """
import signal, sidecall, sys
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
model = sidecall.open(sys.argv[1])
print("open", flush=True)
for line in sys.stdin:
    try:
        model.predict(eval(line), timeout=5)
        print("answer", flush=True)
    except sidecall.errors.Error as error:
        print(type(error).__name__, flush=True)
"""


@pytest.mark.parametrize("route", ROUTES)
def test_a_program_that_does_not_ignore_sigpipe_survives_the_end_of_a_server(
    start_peer: Callable[..., PeerProcess], route: str, record: dict
) -> None:
    peer = start_peer()
    uri = f"{route}://{peer.authority(route)}/{MODEL}"
    words = [sys.executable, "-c", WRITES_TO_A_CLOSED_CONNECTION, uri]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as program:
        assert program.stdin is not None and program.stdout is not None
        assert program.stdout.readline() == "open\n"
        said = []
        for number in range(4):
            if number == 1:
                peer.kill()
            program.stdin.write(f"{record!r}\n")
            program.stdin.flush()
            said.append(program.stdout.readline().strip())
        program.stdin.close()
        assert program.wait() == 0
    assert said[0] == "answer"
    assert set(said[1:]) <= {"Unreachable", "PeerDied"}


def test_runs_go_on_after_the_first_one_on_a_connection_was_cancelled(
    start: Start, record: dict
) -> None:
    first = start(MODEL, "--grpc", "127.0.0.1:0")
    with sidecall.open(first.uri("grpc", "penguins")) as model:
        first.end()
        second = start(MODEL, "--grpc", f"127.0.0.1:{first.port('grpc')}")
        second.process.send_signal(signal.SIGSTOP)

        async def cancel() -> None:
            run = asyncio.create_task(model.apredict(record, timeout=20))
            await asyncio.sleep(0.3)
            run.cancel()

        asyncio.run(cancel())
        second.process.send_signal(signal.SIGCONT)
        for _ in range(3):
            model.predict(record, timeout=5)


def test_a_caller_keeps_its_deadline_while_others_begin_many_runs(peer: Peer, record: dict) -> None:
    with sidecall.open(peer.uri("http", MODEL)) as model, ThreadPoolExecutor(33) as pool:
        peer.delay = 3
        late = pool.submit(run_until_timeout, model, record, 0.3)
        time.sleep(0.1)
        others = [pool.submit(run_until_timeout, model, record, 1) for _ in range(32)]
        assert 0.29 < late.result() < peer.delay
        assert all(each.result() < peer.delay for each in others)


def run_until_timeout(model: sidecall.Model, record: dict, timeout: float) -> float:
    begin = time.monotonic()
    with pytest.raises(errors.Timeout):
        model.predict(record, timeout=timeout)
    return time.monotonic() - begin


@pytest.mark.parametrize("route", ROUTES)
def test_threads_that_begin_at_the_same_moment_are_all_answered(
    peer: Peer, route: str, record: dict
) -> None:
    with sidecall.open(peer.uri(route, MODEL)) as model, ThreadPoolExecutor(4) as pool:
        expected = model.predict(record)
        barrier = threading.Barrier(4)

        def together(_: int) -> dict:
            barrier.wait()
            return model.predict(record, timeout=20)

        assert list(pool.map(together, range(200))) == [expected] * 200


@pytest.mark.long
def test_the_tests_of_this_file_pass_while_threads_poll_and_never_sleep() -> None:
    environment = os.environ | {"SIDECALL_SPIN_US": "1000000"}
    options = ["-p", "no:xdist", "-p", "no:cacheprovider", "-q", "-m", "not long"]
    # Threads of the peer, which gRPC keeps, can abort the process while the interpreter ends.
    program = (
        "import os, pytest, sys\n"
        "code = pytest.main(sys.argv[1:])\n"
        "sys.stdout.flush()\n"
        "os._exit(code)"
    )
    words = [sys.executable, "-c", program, *options, __file__]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
