"""Runs on the server for HTTP and gRPC: deadlines, cancelling, and the end of the server."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from typing import Any

import numpy as np
import pytest
import sidecall
from own_server import MODEL, RECORD, Start, exchange, wait_until
from sidecall import errors

pytestmark = pytest.mark.usefixtures("network_library")

ROUNDS = 10_000_000


def slow_inputs(rounds: int = ROUNDS) -> dict[str, Any]:
    return {"x": np.full(10_000, 0.5, np.float32), "n": np.array(rounds, np.int64)}


def slow_request(rounds: int = ROUNDS) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [10_000], "data": [0.5] * 10_000},
            {"name": "n", "datatype": "INT64", "shape": [], "data": [rounds]},
        ]
    }


def test_a_deadline_ends_the_run_on_the_server(start: Start) -> None:
    own = start("slow.onnx")
    begun = time.monotonic()
    status, answer = own.post("/v2/models/slow/infer", slow_request(), sidecall_timeout_ms="100")
    assert status == 504 and answer["status"] == "TIMEOUT"
    assert 0.09 < time.monotonic() - begun < 1
    for protocol in ("http", "grpc"):
        with sidecall.open(own.uri(protocol, "slow")) as model:
            with pytest.raises(errors.Timeout):
                model.run(slow_inputs(), timeout=0.1)
            model.run(slow_inputs(1), timeout=5)
    wait_until(lambda: own.metric("sidecall_runs") == 0, 2)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_cancelling_reaches_the_run(start: Start, protocol: str) -> None:
    own = start("slow.onnx")
    with sidecall.open(own.uri(protocol, "slow")) as model:
        call = model.call()
        call.reshape("x", [10_000])
        call.inputs["x"] = slow_inputs()["x"]
        call.inputs["n"] = ROUNDS
        caught: list[BaseException] = []

        def run() -> None:
            try:
                call.run(timeout=30)
            except errors.Error as error:
                caught.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: own.metric("sidecall_runs") > 0)
        call.cancel()
        thread.join(5)
        assert isinstance(caught[0], errors.Cancelled)
        wait_until(lambda: own.metric("sidecall_runs") == 0)
        assert own.metric("sidecall_runs_abandoned_total") == 1


def test_a_slow_run_delays_no_other_request(start: Start) -> None:
    own = start("slow.onnx")
    with sidecall.open(own.uri("grpc", "slow")) as model:
        thread = threading.Thread(target=lambda: model.run(slow_inputs(20_000), timeout=30))
        thread.start()
        wait_until(lambda: own.metric("sidecall_runs") > 0)
        begun = time.monotonic()
        assert own.is_alive()
        model.run(slow_inputs(1))
        assert time.monotonic() - begun < 0.5
        assert own.metric("sidecall_runs") == 1
        thread.join(30)


# The end.


def test_a_signal_lets_requests_finish_and_refuses_new_ones(start: Start) -> None:
    own = start("slow.onnx")
    results: dict[str, Any] = {}

    def run(protocol: str) -> None:
        with sidecall.open(own.uri(protocol, "slow")) as model:
            results[protocol] = model.run(slow_inputs(20_000), timeout=30)["y"][0]

    threads = [threading.Thread(target=run, args=(each,)) for each in ("http", "grpc")]
    for thread in threads:
        thread.start()
    wait_until(lambda: own.metric("sidecall_runs") == 2)
    kept = own.connect()
    own.process.send_signal(signal.SIGTERM)
    assert own.process.wait(20) == 0, own.log()
    for thread in threads:
        thread.join(10)
    assert len(results) == 2
    assert kept.recv(1) == b""
    with pytest.raises(errors.Unreachable):
        sidecall.open(own.uri("http", "slow"))


@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_a_large_answer_arrives_whole_although_the_server_ends(start: Start, delay: float) -> None:
    own = start("penguins.onnx", "--http", "127.0.0.1:0")
    body = json.dumps([RECORD] * 40_000).encode()
    head = f"POST {MODEL}/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with own.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        # the run, and the one for the metrics
        wait_until(lambda: own.metric("sidecall_requests_total") >= 2, 10)
        own.process.send_signal(signal.SIGTERM)
        time.sleep(delay)
        answer = exchange(connection, b"")
    assert own.process.wait(20) == 0
    answered = answer.partition(b"\r\n\r\n")[2]
    assert len(json.loads(answered)) == 40_000


def test_a_request_that_is_on_its_way_when_the_server_ends_is_answered(start: Start) -> None:
    own = start("penguins.onnx", "--http", "127.0.0.1:0")
    kept = own.connect()
    kept.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert kept.recv(1000)
    own.process.send_signal(signal.SIGTERM)
    time.sleep(0.03)
    answer = exchange(kept, b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ") and b"connection: close" in answer
    assert own.process.wait(20) == 0


def test_runs_that_last_too_long_are_cut(start: Start) -> None:
    own = start("slow.onnx", "--drain-timeout", "0.3")
    failures: list[BaseException] = []

    def run() -> None:
        with sidecall.open(own.uri("http", "slow")) as model:
            try:
                model.run(slow_inputs(), timeout=30)
            except errors.Error as error:
                failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: own.metric("sidecall_runs") > 0)
    begun = time.monotonic()
    assert own.end() != 0
    assert time.monotonic() - begun < 5
    thread.join(10)
    assert isinstance(failures[0], errors.PeerDied)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_kept_connections_to_servers_that_were_all_replaced(
    start: Start, protocol: str, number: signal.Signals
) -> None:
    """Each server is tried again over a new connection, so the run fails nowhere."""
    servers = [start("add.onnx") for _ in range(2)]
    ports = [each.port(protocol) for each in servers]
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    with sidecall.open(f"{protocol}://{hosts}/add") as model:
        inputs = {
            spec.name: np.ones([2 if size is None else size for size in spec.shape], spec.dtype)
            for spec in model.inputs
        }
        expected = model.run(inputs)
        for _ in range(20):
            model.run(inputs)  # over kept connections to both
        for each in servers:
            each.end(number)
        for port in ports:
            start("add.onnx", f"--{protocol}", f"127.0.0.1:{port}")
        for _ in range(20):
            answer = model.run(inputs)
            assert all((answer[name] == expected[name]).all() for name in expected)
