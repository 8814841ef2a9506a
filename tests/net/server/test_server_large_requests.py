"""Large requests: the memory that it takes to read them, and what happens to others meanwhile."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
import sidecall
from own_server import MODEL, RECORD, OwnServer, Start, wait_until
from peer import messages

pytestmark = pytest.mark.usefixtures("network_library")
MIB = 1024 * 1024


def peak_bytes(own: OwnServer) -> int:
    status = Path(f"/proc/{own.process.pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("infer", b'{"inputs":[],"other":[' + b"1," * (4 * MIB) + b"1]}"),
        ("infer", b'{"inputs":[' + b"{}," * (2 * MIB) + b"{}]}"),
        ("predict", b"[" + b"{}," * (2 * MIB) + b"{}]"),
    ],
    ids=["numbers", "objects", "records"],
)
def test_a_request_that_takes_too_much_memory_to_read_is_refused(
    start: Start, path: str, body: bytes
) -> None:
    own = start("penguins.onnx", "--http", "127.0.0.1:0", "--max-memory", "32")
    assert own.post(f"{MODEL}/predict", RECORD)[0] == 200
    before = peak_bytes(own)
    status, answer = own.post(f"{MODEL}/{path}", body)
    assert status == 503
    assert answer["status"] == "OUT_OF_MEMORY"
    assert "needs about" in answer["error"]
    # A sanitizer keeps memory of its own for the memory of the server.
    limit = 80 if "SIDECALL_SANITIZE" in os.environ else 40
    assert peak_bytes(own) - before < limit * MIB
    assert own.post(f"{MODEL}/predict", RECORD)[0] == 200
    assert own.metric("sidecall_held_bytes") < MIB


def test_a_message_of_grpc_that_takes_too_much_memory_to_read_is_refused(start: Start) -> None:
    request_type = messages()[0].ModelInferRequest
    own = start("penguins.onnx", "--grpc", "127.0.0.1:0", "--max-memory", "32")
    request = request_type(model_name="penguins")
    tensor = request.inputs.add(name="year", datatype="INT64", shape=[4 * MIB, 1])
    tensor.contents.int64_contents.extend([1] * (4 * MIB))
    with grpc.insecure_channel(f"127.0.0.1:{own.port('grpc')}") as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=request_type.SerializeToString,
        )
        with pytest.raises(grpc.RpcError) as caught:
            call(request)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert own.process.poll() is None


@pytest.mark.parametrize("path", ["infer", "predict"])
def test_a_large_request_is_answered_like_a_small_one(start: Start, path: str) -> None:
    own = start("penguins.onnx", "--http", "127.0.0.1:0")
    expected = own.post(f"{MODEL}/predict", RECORD)[1]
    status, answers = own.post(f"{MODEL}/predict", [RECORD] * 5000)
    assert status == 200
    assert answers == [expected] * 5000
    with sidecall.open(own.uri("http", "penguins")) as model:
        assert model.predict([RECORD] * 5000) == [expected] * 5000


def test_a_fault_in_a_large_request_is_told(start: Start) -> None:
    own = start("penguins.onnx", "--http", "127.0.0.1:0")
    records: list[dict[str, Any]] = [dict(RECORD) for _ in range(5000)]
    records[4321]["island"] = 7
    status, answer = own.post(f"{MODEL}/predict", records)
    assert status == 400
    assert answer["num_faults"] == 1
    assert answer["faults"][0]["row"] == 4321


def test_others_are_answered_while_a_large_request_is_read(start: Start) -> None:
    own = start("penguins.onnx", "--http", "127.0.0.1:0", "--threads", "1")
    body = b"[" + b'{"unknown": 1},' * 1_000_000 + b"{}]"
    answers = []
    large = threading.Thread(target=lambda: answers.append(own.post(f"{MODEL}/predict", body)))
    before = own.metric("sidecall_held_bytes")
    large.start()
    while large.is_alive() and own.metric("sidecall_held_bytes") < before + len(body):
        pass
    num_answered = 0
    while large.is_alive():
        assert own.post(f"{MODEL}/predict", RECORD)[0] == 200
        num_answered += large.is_alive()
    assert answers[0][0] == 400
    assert num_answered > 3


def test_a_client_that_goes_away_during_a_large_request_leaves_nothing(start: Start) -> None:
    own = start("penguins.onnx", "--http", "127.0.0.1:0")
    body = b"[" + b"{}," * 300_000 + b"{}]"
    head = f"POST {MODEL}/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    for _ in range(5):
        with own.connect() as client:
            client.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
    wait_until(lambda: own.metric("sidecall_held_bytes") < MIB, 20)
    wait_until(own.has_no_work, 20)
    assert own.post(f"{MODEL}/predict", RECORD)[0] == 200


def test_the_server_ends_while_a_large_request_is_read(start: Start) -> None:
    own = start("penguins.onnx", "--http", "127.0.0.1:0", "--drain-timeout", "1")
    body = b"[" + b"{}," * 1_000_000 + b"{}]"
    head = f"POST {MODEL}/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with own.connect() as client:
        client.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        # 4: the request was still being read when the time to drain was over.
        assert own.end() in (0, 4)
