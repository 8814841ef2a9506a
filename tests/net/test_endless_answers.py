"""Servers that send more than the request can need: the client stops reading, and says why."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sidecall
from peer import MODELS
from raw_http2 import DATA, END_HEADERS, HEADERS, RawHttp2Server, literal, send_frame
from raw_server import METADATA, RawServer, answer
from sidecall import errors

pytestmark = pytest.mark.usefixtures("network_library")
MIB = 1 << 20
PART = b'"' + b"x" * (64 * 1024 - 1)
INPUT = {"x": np.array([[1.0, 2.0]])}
RIGHT = {"outputs": [{"name": "y", "datatype": "FP64", "shape": [1], "data": [3.5]}]}
# An output whose size is known before the run.
ONE_NUMBER = METADATA | {"outputs": [{"name": "y", "datatype": "FP64", "shape": [1]}]}
OK = b"HTTP/1.1 200 OK\r\n"

Send = Callable[[socket.socket], None]


def endless(head: bytes, part: bytes = PART) -> Send:
    def send(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(part)

    return send


BODIES = {
    "without a length": endless(OK + b"Connection: close\r\n\r\n"),
    "of the length that it tells": endless(OK + b"Content-Length: 99999999999999\r\n\r\n"),
    "in chunks": endless(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n" % (len(PART), PART)
    ),
    "in one chunk": endless(OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n"),
    "of an error": endless(b"HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n"),
}
HEADS = {
    "headers": endless(OK, b"a: b\r\n" * 1000),
    "one header": endless(OK + b"a: "),
    "trailers": endless(
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n", b"a: b\r\n" * 1000
    ),
    "interim answers": endless(b"", b"HTTP/1.1 103 Early Hints\r\na: b\r\n\r\n" * 1000),
}


@contextlib.contextmanager
def memory_at_most(mib: int) -> Iterator[None]:
    """Fails if this process at any moment holds `mib` MiB more than at the beginning."""
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_mib("VmRSS")
    yield
    assert resident_mib("VmHWM") - before <= mib


def resident_mib(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


@pytest.fixture
def server() -> Iterator[RawServer]:
    started = RawServer(answer(RIGHT), m=answer(ONE_NUMBER))
    yield started
    started.close()


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(
    ("path", "limit"), [("/ready", 64 * 1024), ("/v2", 64 * 1024), ("/m", 64 * MIB)]
)
def test_opening_reads_no_more_than_the_request_needs(
    server: RawServer, name: str, path: str, limit: int
) -> None:
    server.answers[path] = BODIES[name]
    expected = f"expected an answer of at most {limit} bytes, got more: check the address"
    with memory_at_most(48 + limit // MIB), pytest.raises(errors.Protocol, match=expected):
        sidecall.open(server.uri)


@pytest.mark.parametrize("name", BODIES)
def test_a_run_reads_no_more_than_its_outputs_need(server: RawServer, name: str) -> None:
    with sidecall.open(server.uri) as model:
        server.answers["/infer"] = BODIES[name]
        expected = "expected an answer of at most 1048640 bytes, got more: .* fewer rows"
        with memory_at_most(16), pytest.raises(errors.Protocol, match=expected):
            model.run(INPUT, timeout=30)
        server.answers["/infer"] = answer(RIGHT)
        assert model.run(INPUT, timeout=30)["y"].tolist() == [3.5]


@pytest.mark.parametrize("name", HEADS)
def test_headers_without_end_are_not_kept(server: RawServer, name: str) -> None:
    with sidecall.open(server.uri) as model:
        server.answers["/infer"] = HEADS[name]
        with memory_at_most(16), pytest.raises(errors.Protocol):
            model.run(INPUT, timeout=30)
        server.answers["/infer"] = answer(RIGHT)
        assert model.run(INPUT, timeout=30)["y"].tolist() == [3.5]


def test_a_message_of_grpc_is_limited_too() -> None:
    def reply(connection: socket.socket, stream: int) -> None:
        ok = b"\x88" + literal(b"content-type", b"application/grpc")
        send_frame(connection, HEADERS, END_HEADERS, stream, ok)
        send_frame(connection, DATA, 0, stream, b"\0" + struct.pack(">I", MIB))
        for _ in range(16):
            send_frame(connection, DATA, 0, stream, b"\0" * 16000)

    server = RawHttp2Server(MODELS / "penguins.onnx", reply)
    server.describe_nothing()
    with pytest.raises(errors.Protocol, match="expected an answer of at most 65536 bytes"):
        sidecall.open(f"grpc://{server.authority('')}/penguins.onnx")
    server.close()


def test_json_with_more_values_than_any_answer_has_is_refused(server: RawServer) -> None:
    values = b"[" + b"0," * 400_000 + b"0]"
    with sidecall.open(server.uri) as model:
        server.answers["/infer"] = answer(b'{"outputs": [], "more": ' + values + b"}")
        with memory_at_most(12), pytest.raises(errors.Protocol, match="too many values"):
            model.run(INPUT, timeout=30)


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("FP64", [131072, 1, 1], [[[0.5]]] * 131072),
        ("BYTES", [100_000], [",:[{" * 20] * 100_000),
    ],
)
def test_json_with_as_many_values_as_the_outputs_have_is_read(
    server: RawServer, datatype: str, shape: list[int], data: list[Any]
) -> None:
    output = {"name": "y", "datatype": datatype, "shape": shape}
    server.answers["/m"] = answer(METADATA | {"outputs": [output]})
    server.answers["/infer"] = answer({"outputs": [output | {"data": data}]})
    with sidecall.open(server.uri) as model:
        assert model.run(INPUT, timeout=60)["y"].tolist() == data


def test_the_text_of_a_server_that_lacks_memory_is_kept(server: RawServer) -> None:
    text = "request: reading it needs about 12 MiB, more than --max-memory leaves: send fewer rows"
    refusal = {"error": text, "status": "OUT_OF_MEMORY"}
    server.answers["/infer"] = answer(refusal, "503 Service Unavailable")
    with sidecall.open(server.uri) as model, pytest.raises(errors.OutOfMemory) as caught:
        model.run(INPUT, timeout=30)
    assert str(caught.value) == text


@pytest.mark.long  # it fills 1 GiB
def test_a_model_whose_servers_fill_its_share_leaves_memory_to_the_others() -> None:
    held = threading.Semaphore(0)
    end = threading.Event()

    def fill(connection: socket.socket) -> None:
        connection.sendall(OK + b"Connection: close\r\n\r\n")
        for _ in range(250 * MIB // len(PART)):
            connection.sendall(PART)
        held.release()
        end.wait(60)

    bad, good = RawServer(fill), RawServer(answer(RIGHT))
    with sidecall.open(bad.uri) as filled, sidecall.open(good.uri) as other:
        with ThreadPoolExecutor(4) as pool:
            runs = [pool.submit(filled.run, INPUT, timeout=60) for _ in range(4)]
            for _ in runs:
                held.acquire()
            with pytest.raises(errors.OutOfMemory, match="send fewer rows at once"):
                filled.run(INPUT, timeout=60)
            assert other.run(INPUT, timeout=60)["y"].tolist() == [3.5]
            end.set()
            for run in runs:
                with pytest.raises(errors.Protocol):
                    run.result()
        bad.answers["/infer"] = answer(RIGHT)
        assert filled.run(INPUT, timeout=60)["y"].tolist() == [3.5]
    bad.close()
    good.close()
