"""A client whose server lies, breaks HTTP or the Open Inference Protocol, or falls silent.

Each answer ends the run with one typed error within its deadline, and the next call works.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sidecall
from raw_server import METADATA, READY, RawServer, answer, drip
from sidecall import errors

pytestmark = pytest.mark.usefixtures("network_library")
INPUT = {"x": np.array([[1.0, 2.0]])}
RIGHT = {"outputs": [{"name": "y", "datatype": "FP64", "shape": [1], "data": [3.5]}]}


def outputs(**changes: object) -> bytes:
    """An answer in JSON with one output that differs from the right one."""
    return answer({"outputs": [RIGHT["outputs"][0] | changes]})


def binary(head: dict | str, data: bytes, length: int | str | None = None) -> bytes:
    text = head if isinstance(head, str) else json.dumps(head)
    return answer(
        text.encode() + data,
        Inference_Header_Content_Length=str(len(text) if length is None else length),
    )


def of_size(size: object, **changes: object) -> dict:
    output = {"name": "y", "datatype": "FP64", "shape": [1]} | changes
    return {"outputs": [output | {"parameters": {"binary_data_size": size}}]}


EIGHT = np.float64(3.5).tobytes()
RIGHT_ANSWERS = {
    "json": answer(RIGHT),
    "nested data": outputs(data=[[3.5]]),
    "a single number": outputs(data=3.5),
    "an integer": outputs(data=[3]),
    "binary": binary(of_size(8), EIGHT),
    "another output too": answer(
        {
            "outputs": [
                {"name": "z", "datatype": "FP64", "shape": [1], "data": [1]},
                *RIGHT["outputs"],
            ]
        }
    ),
    "another binary output first": binary(
        {"outputs": [of_size(8, name="z")["outputs"][0], of_size(8)["outputs"][0]]},
        np.float64(9).tobytes() + EIGHT,
    ),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"%x\r\n%s\r\n0\r\n\r\n" % (len(json.dumps(RIGHT)), json.dumps(RIGHT).encode()),
    "an interim answer first": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer(RIGHT),
}
WRONG_ANSWERS = {
    # HTTP
    "garbage": (b"\x00\xff\x00 garbage\r\n\r\n", errors.Protocol),
    "another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n", errors.Protocol),
    "a bare line": (b"220 mail ready\r\n", errors.Protocol),
    "no version": (b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}", errors.Protocol),
    "a status of letters": (b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}", errors.Protocol),
    "a length of letters": (b"HTTP/1.1 200 OK\r\nContent-Length: ab\r\n\r\n{}", errors.Protocol),
    "a negative length": (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", errors.Protocol),
    "a chunk without length": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        errors.Protocol,
    ),
    "headers without end": (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000, errors.Protocol),
    "compressed": (answer(b"\x1f\x8b\x08\x00", Content_Encoding="gzip"), errors.Protocol),
    "a redirect": (answer("", "302 Found", Location="http://127.0.0.1:1/"), errors.Protocol),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", errors.Protocol),
    # Errors of servers
    "400": (answer({"error": "no such thing"}, "400 Bad Request"), errors.Engine),
    "401": (answer("", "401 Unauthorized"), errors.Denied),
    "403": (answer("", "403 Forbidden"), errors.Denied),
    "404": (answer("", "404 Not Found"), errors.Unreachable),
    "408": (answer("", "408 Request Timeout"), errors.Timeout),
    "429": (answer("", "429 Too Many Requests"), errors.Busy),
    "500": (answer("<html>", "500 Internal Server Error"), errors.Engine),
    "502": (answer("", "502 Bad Gateway"), errors.Unreachable),
    "503": (answer("", "503 Service Unavailable"), errors.Busy),
    "504": (answer("", "504 Gateway Timeout"), errors.Timeout),
    # JSON
    "an empty body": (answer(""), errors.Protocol),
    "not JSON": (answer("oops"), errors.Protocol),
    "a list": (answer("[1]"), errors.Protocol),
    "JSON that ends early": (answer('{"outputs": ['), errors.Protocol),
    "text after JSON": (answer('{"outputs": []} x'), errors.Protocol),
    "nested deeply": (answer('{"outputs": ' + "[" * 100_000), errors.Protocol),
    "data nested deeply": (outputs(data=json.loads("[" * 90 + "3.5" + "]" * 90)), errors.Protocol),
    "not UTF-8": (answer(b'{"outputs": [{"name": "\xff"}]}'), errors.Protocol),
    "no outputs": (answer({}), errors.Protocol),
    "outputs of another type": (answer({"outputs": 5}), errors.Protocol),
    "outputs without objects": (answer({"outputs": [1, "y"]}), errors.Protocol),
    "the output is missing": (answer({"outputs": []}), errors.Protocol),
    "the output twice": (answer({"outputs": RIGHT["outputs"] * 2}), errors.Protocol),
    "no datatype": (outputs(datatype=None), errors.Protocol),
    "an unknown datatype": (outputs(datatype="FP65"), errors.Protocol),
    "another datatype": (outputs(datatype="FP32"), errors.DtypeMismatch),
    "no shape": (outputs(shape=None), errors.Protocol),
    "a shape of texts": (outputs(shape=["1"]), errors.Protocol),
    "a negative shape": (outputs(shape=[-1]), errors.Protocol),
    "a shape of fractions": (outputs(shape=[1.5]), errors.Protocol),
    "a shape that overflows": (outputs(shape=[2**40, 2**40]), errors.Protocol),
    "a shape of many dimensions": (outputs(shape=[1] * 65), errors.Protocol),
    "a larger shape than data": (outputs(shape=[2]), errors.Protocol),
    "a smaller shape than data": (outputs(shape=[1], data=[1, 2]), errors.Protocol),
    "another rank": (outputs(shape=[1, 1]), errors.ShapeMismatch),
    "no data": (outputs(data=None), errors.Protocol),
    "data of texts": (outputs(data=["3.5"]), errors.Protocol),
    "data of booleans": (outputs(data=[True]), errors.Protocol),
    "NaN": (
        answer('{"outputs": [{"name": "y", "datatype": "FP64", "shape": [1], "data": [NaN]}]}'),
        errors.Protocol,
    ),
    "a number that is too large": (
        answer('{"outputs": [{"name": "y", "datatype": "FP64", "shape": [1], "data": [1e999]}]}'),
        errors.Protocol,
    ),
    # Tensors in binary
    "too few bytes": (binary(of_size(8), EIGHT[:7]), errors.Protocol),
    "fewer bytes than the shape": (binary(of_size(4), EIGHT[:4]), errors.Protocol),
    "more bytes than the shape": (binary(of_size(16), EIGHT * 2), errors.Protocol),
    "a shape whose size overflows": (binary(of_size(0, shape=[2**58]), b""), errors.Protocol),
    "a size of text": (binary(of_size("8"), EIGHT), errors.Protocol),
    "a negative size": (binary(of_size(-8), EIGHT), errors.Protocol),
    "a huge size": (binary(of_size(2**63), EIGHT), errors.Protocol),
    "JSON longer than the body": (binary(of_size(8), EIGHT, 10**6), errors.Protocol),
    "a JSON length of letters": (binary(of_size(8), EIGHT, "abc"), errors.Protocol),
    "a negative JSON length": (binary(of_size(8), EIGHT, "-1"), errors.Protocol),
    "JSON shorter than it is": (binary(of_size(8), EIGHT, 10), errors.Protocol),
}


def run(server: RawServer, timeout: float = 5) -> np.ndarray:
    with sidecall.open(server.uri) as model:
        return model.run(INPUT, timeout=timeout)["y"]


@pytest.mark.parametrize("name", RIGHT_ANSWERS)
def test_every_form_of_the_right_answer_is_read(name: str) -> None:
    server = RawServer(RIGHT_ANSWERS[name])
    assert run(server).tolist() == [3 if name == "an integer" else 3.5]
    server.close()


@pytest.mark.parametrize("name", WRONG_ANSWERS)
def test_a_wrong_answer_is_a_typed_error_and_the_next_call_works(name: str) -> None:
    wrong, expected = WRONG_ANSWERS[name]
    server = RawServer(wrong)
    with sidecall.open(server.uri) as model:
        begin = time.monotonic()
        with pytest.raises(errors.Error) as caught:
            model.run(INPUT, timeout=5)
        assert time.monotonic() - begin < 4
        assert type(caught.value) is expected, caught.value
        text = str(caught.value)
        assert "\n" not in text
        assert text[0].islower()
        server.answers["/infer"] = answer(RIGHT)
        assert model.run(INPUT, timeout=5)["y"].tolist() == [3.5]
    server.close()


def test_the_text_of_a_servers_error_is_shown_without_control_characters() -> None:
    server = RawServer(answer({"error": "first\nsecond\x1b[31m" + "x" * 5000}, "400 Bad Request"))
    with pytest.raises(errors.Engine, match="the server answered with status 400: first") as caught:
        run(server)
    assert len(str(caught.value)) < 1100
    assert all(c.isprintable() for c in str(caught.value))
    server.close()


def hang(_: socket.socket) -> None:
    time.sleep(3)


@pytest.mark.parametrize(
    "reply",
    [
        hang,
        drip(answer(RIGHT), 0.2),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b" " * 1000, 0.05),
        drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 0.02),
        drip(
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}" + b" " * 200, 0.01
        ),
    ],
    ids=["silence", "a slow answer", "a slow body", "endless interim answers", "a huge length"],
)
def test_a_slow_server_does_not_hold_a_run_beyond_its_deadline(
    reply: Callable[[socket.socket], None],
) -> None:
    server = RawServer(reply)
    with sidecall.open(server.uri) as model:
        begin = time.monotonic()
        with pytest.raises(errors.Timeout):
            model.run(INPUT, timeout=0.3)
        assert 0.29 < time.monotonic() - begin < 0.6
        server.answers["/infer"] = answer(RIGHT)
        assert model.run(INPUT, timeout=5)["y"].tolist() == [3.5]
    server.close()


@pytest.mark.parametrize(
    "sent", [0, 9, 40, -1], ids=["nothing", "a line", "headers", "a byte less"]
)
def test_a_connection_that_ends_early_is_an_error(sent: int) -> None:
    def break_off(connection: socket.socket) -> None:
        connection.sendall(answer(RIGHT)[:sent])

    server = RawServer(break_off)
    with sidecall.open(server.uri) as model, pytest.raises(errors.PeerDied):
        model.run(INPUT, timeout=5)
    server.close()


def test_a_run_of_a_model_that_may_have_effects_is_sent_once() -> None:
    server = RawServer(lambda connection: connection.close())
    with sidecall.open(server.uri) as model, pytest.raises(errors.PeerDied):
        model.run(INPUT, timeout=5)
    assert len([request for request in server.requests if b"/infer" in request]) == 1
    server.close()


def test_runs_that_meet_a_closed_connection_do_not_spoil_later_ones() -> None:
    """The server closes each connection shortly after its answer, so some runs meet a closed one.

    Such a run may fail, because the model may have effects.
    """

    def reply(connection: socket.socket) -> None:
        connection.sendall(answer(RIGHT))
        time.sleep(0.02)

    server, failed = RawServer(reply), 0
    with sidecall.open(server.uri) as model:
        for pause in (0, 0.019, 0.02, 0.021, 0, 0, 0.1) * 5:
            try:
                model.run(INPUT, timeout=5)
            except errors.PeerDied:
                failed += 1
            time.sleep(pause)
        time.sleep(0.2)
        assert model.run(INPUT, timeout=5)["y"].tolist() == [3.5]
    sent = len([request for request in server.requests if b"/infer" in request])
    assert sent <= 36
    assert failed < 36
    server.close()


def test_an_answer_of_another_run_is_refused() -> None:
    server = RawServer(answer(RIGHT | {"id": "another"}))
    with pytest.raises(errors.Protocol, match="another run"):
        run(server)
    server.close()


def test_a_negative_zero_keeps_its_sign_as_json() -> None:
    server = RawServer(outputs(data=[-0.0]))
    with sidecall.open(server.uri + "?format=json") as model:
        got = model.run({"x": np.array([[-0.0, 2.0]])}, timeout=5)["y"]
    assert np.signbit(got).tolist() == [True]
    assert b'"data":[-0.0,2]' in server.requests[-1]
    server.answers["/infer"] = answer(json.dumps(RIGHT).replace("3.5", "-0"))
    assert np.signbit(run(server)).tolist() == [True]
    server.close()


def test_a_token_that_the_server_returns_is_not_shown(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("topsecret")
    server = RawServer(answer({"error": "bad header Bearer topsecret"}, "400 Bad Request"))
    with (
        sidecall.open(f"{server.uri}?token={token}") as model,
        pytest.raises(errors.Engine, match="Bearer") as caught,
    ):
        model.run(INPUT, timeout=5)
    assert "topsecret" not in str(caught.value)
    server.close()


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_token_that_is_no_plain_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = {"pipe": tmp_path / "pipe", "device": Path("/dev/zero"), "folder": tmp_path}[kind]
    if kind == "pipe":
        os.mkfifo(path)
    server = RawServer(answer(RIGHT))
    begin = time.monotonic()
    with pytest.raises(errors.Denied, match="token"):
        sidecall.open(f"{server.uri}?token={path}")
    assert time.monotonic() - begin < 5
    server.close()


def test_open_waits_for_a_server_that_closes_or_is_silent_at_first() -> None:
    server = RawServer(answer(RIGHT))
    server.answers["/ready"] = lambda connection: connection.close()
    with pytest.raises(errors.PeerDied):
        sidecall.open(server.uri)
    threading.Timer(0.4, lambda: server.answers.update({"/ready": hang})).start()
    threading.Timer(0.8, lambda: server.answers.update({"/ready": READY})).start()
    begin = time.monotonic()
    sidecall.open(server.uri, wait=20).close()
    assert time.monotonic() - begin < 10
    server.close()


BROKEN_METADATA = {
    "not JSON": "x",
    "no inputs": {key: value for key, value in METADATA.items() if key != "inputs"},
    "no outputs": {key: value for key, value in METADATA.items() if key != "outputs"},
    "inputs of another type": METADATA | {"inputs": {"x": 1}},
    "an input without name": METADATA | {"inputs": [{"datatype": "FP64", "shape": [1]}]},
    "an input with an empty name": METADATA
    | {"inputs": [{"name": "", "datatype": "FP64", "shape": [1]}]},
    "a name with NUL": METADATA | {"inputs": [{"name": "a\0b", "datatype": "FP64", "shape": [1]}]},
    "an unknown datatype": METADATA | {"inputs": [{"name": "x", "datatype": "F", "shape": [1]}]},
    "no shape": METADATA | {"inputs": [{"name": "x", "datatype": "FP64"}]},
    "a dimension below -1": METADATA
    | {"inputs": [{"name": "x", "datatype": "FP64", "shape": [-2]}]},
}


@pytest.mark.parametrize("name", BROKEN_METADATA)
def test_broken_metadata_is_refused_when_the_model_is_opened(name: str) -> None:
    server = RawServer(answer(RIGHT), m=answer(BROKEN_METADATA[name]))
    with pytest.raises(errors.Protocol):
        sidecall.open(server.uri)
    server.close()


def test_a_contract_that_does_not_fit_the_metadata_is_refused() -> None:
    properties = {"properties": {"sidecall.contract": '{"format": 5}'}}
    server = RawServer(answer(RIGHT), m=answer(METADATA | properties))
    with pytest.raises(errors.ContractInvalid):
        sidecall.open(server.uri)
    server.close()


def test_a_server_of_http_1_is_not_one_of_grpc() -> None:
    server = RawServer(answer(RIGHT))
    refusal = answer("", "400 Bad Request", Connection="close")
    server.answers["*"] = lambda connection: connection.sendall(refusal)  # as servers do
    with pytest.raises((errors.Protocol, errors.PeerDied)):
        sidecall.open(server.uri.replace("http:", "grpc:"))
    server.close()


def test_a_token_is_never_sent_to_another_server(tmp_path: Path) -> None:
    other = RawServer(answer(RIGHT))
    redirect = answer("", "307 Temporary Redirect", Location=other.uri + "/infer")
    server = RawServer(redirect)
    token = tmp_path / "token"
    token.write_text("secret")
    with (
        sidecall.open(f"{server.uri}?token={token}") as model,
        pytest.raises(errors.Protocol),
    ):
        model.run(INPUT, timeout=5)
    assert any(b"Authorization: Bearer secret" in request for request in server.requests)
    assert not other.requests
    server.close()
    other.close()
