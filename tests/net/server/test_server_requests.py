"""What requests for runs over HTTP may contain: each mistake has an error of its own that says what
to do, and null stands for a missing value.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sidecall
from own_server import MODEL, RECORD, OwnServer, Start, exchange
from sidecall import errors

pytestmark = pytest.mark.usefixtures("network_library")
KINDS = "/v2/models/kinds"
TENSORS = {
    "f32": "FP32",
    "f64": "FP64",
    "i64": "INT64",
    "flag": "FP32",
    "word": "BYTES",
    "f32_must": "FP32",
    "f64_must": "FP64",
    "i64_must": "INT64",
    "flag_must": "BOOL",
    "word_must": "BYTES",
}
VALUES = {"FP32": 1.5, "FP64": 2.5, "INT64": 3, "BOOL": True, "BYTES": "a"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network_library: Path) -> Iterator[OwnServer]:
    started = OwnServer("penguins.onnx", tmp_path_factory.mktemp("server"))
    yield started
    assert started.end() == 0, started.log()


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory, network_library: Path) -> Iterator[OwnServer]:
    started = OwnServer("kinds.onnx", tmp_path_factory.mktemp("kinds"))
    yield started
    assert started.end() == 0, started.log()


def run_kinds(server: OwnServer, **values: Any) -> tuple[int, Any]:
    inputs = [
        {"name": name, "datatype": kind, "shape": [1, 1], "data": [values.get(name, VALUES[kind])]}
        for name, kind in TENSORS.items()
    ]
    return server.post(f"{KINDS}/infer", {"inputs": inputs})


# The text of the body.


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("", "got no text (byte 0)"),
        ('{"year": NaN}', "got NaN: write a missing number as null (byte 9)"),
        ('{"year": nan}', "got NaN: write a missing number as null"),
        ('{"year": Infinity}', "got Infinity, which JSON does not have (byte 9)"),
        ('{"year": -Infinity}', "got Infinity, which JSON does not have"),
        ('{"year": None}', "got a word for a missing value: write null (byte 9)"),
        ('{"year": 20', "got text that ends within an object (byte 11)"),
        ('{"year"', "got text that ends within an object (byte 7)"),
        ('{"year": ', "got text that ends within a value or before it (byte 9)"),
        ('{"year": 20.', "got text that ends within a number (byte 12)"),
        ('{"island": "Bis', "got text that ends within a string"),
        ('[{"year": 2008}', "got text that ends within a list (byte 15)"),
        ('{"year": 2008}}', "got other text: "),
        ('{"year": 2,008}', "got other text: "),
    ],
)
@pytest.mark.parametrize("route", ["predict", "infer"])
def test_text_that_is_not_json_has_an_error_of_its_own(
    server: OwnServer, route: str, body: str, text: str
) -> None:
    code, answer = server.post(f"{MODEL}/{route}", body)
    assert code == 400 and answer["status"] == ("INVALID_JSON", "PROTOCOL")[route == "infer"]
    assert f"expected JSON, {text}" in answer["error"]


@pytest.mark.parametrize("route", ["predict", "infer"])
def test_compressed_bodies_are_named(server: OwnServer, route: str) -> None:
    code, answer = server.post(f"{MODEL}/{route}", gzip.compress(json.dumps(RECORD).encode()))
    assert code == 400 and "compressed with gzip: send it uncompressed" in answer["error"]


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip", "zstd"])
@pytest.mark.parametrize("route", ["predict", "infer"])
def test_encoded_bodies_are_refused(server: OwnServer, route: str, encoding: str) -> None:
    body = gzip.compress(json.dumps(RECORD).encode())
    code, answer = server.post(f"{MODEL}/{route}", body, content_encoding=encoding)
    assert code == 415 and answer["error"].startswith("header Content-Encoding: ")


def test_bodies_with_the_encoding_identity_are_taken(server: OwnServer) -> None:
    assert server.post(f"{MODEL}/predict", RECORD, content_encoding="Identity")[0] == 200


@pytest.mark.parametrize(
    ("body", "got"),
    [("[]", "a list"), ("null", "null"), ("3", "a number"), ('"x"', "a string"), ("true", "true")],
)
def test_json_that_is_no_request_for_tensors(server: OwnServer, body: str, got: str) -> None:
    code, answer = server.post(f"{MODEL}/infer", body)
    assert code == 400 and f"expected a JSON object, got {got}" in answer["error"]


@pytest.mark.parametrize("body", ["[]", "null", "3", "[null]"])
def test_records_that_are_none_name_no_feature(server: OwnServer, body: str) -> None:
    code, answer = server.post(f"{MODEL}/predict", body)
    assert code == 400 and answer["error"].startswith("records: expected ")
    assert "feature" not in json.dumps(answer)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 400, "1e99999999999999999999"])
def test_a_number_beyond_float64_is_a_fault_of_its_feature(server: OwnServer, number: str) -> None:
    good = json.dumps(RECORD)
    bad = good.replace('"body_mass_g": 4000', f'"body_mass_g": {number}').replace("40,", '"x\\"",')
    code, answer = server.post(f"{MODEL}/predict", f"[{good}, {bad}]")
    faults = {(each["row"], each["feature"], each["status"]) for each in answer["faults"]}
    assert code == 400 and faults == {
        (1, "bill_length_mm", "DTYPE_MISMATCH"),
        (1, "body_mass_g", "OUT_OF_RANGE"),
    }
    assert number not in answer["error"]


# Headers of a run.


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", "1.5", "1s", "x", "1e3", "99999999999999999999", "0x10", "1 2"]
)
@pytest.mark.parametrize("route", ["predict", "infer"])
def test_a_timeout_that_is_no_number_is_refused(server: OwnServer, route: str, value: str) -> None:
    answer = raw_run(server, route, f"Sidecall-Timeout-Ms: {value}\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and b"header Sidecall-Timeout-Ms: " in answer
    assert b"INVALID_ARGUMENT" in answer


def test_a_timeout_that_occurs_twice_is_refused(server: OwnServer) -> None:
    answer = raw_run(server, "predict", "Sidecall-Timeout-Ms: 9000\r\n" * 2)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"got the header twice" in answer


@pytest.mark.parametrize("value", ["60000", "9223372036854775807", "007000"])
def test_a_timeout_may_be_any_number_of_milliseconds(server: OwnServer, value: str) -> None:
    answer = raw_run(server, "predict", f"sidecall-timeout-ms: {value}\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_timeout_of_zero_has_passed(server: OwnServer) -> None:
    answer = raw_run(server, "predict", "Sidecall-Timeout-Ms: 0\r\n")
    assert answer.startswith(b"HTTP/1.1 504 ") and b"TIMEOUT" in answer


def raw_run(server: OwnServer, route: str, headers: str) -> bytes:
    body = json.dumps(RECORD).encode()
    head = (
        f"POST {MODEL}/{route} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    )
    with server.connect() as connection:
        return exchange(connection, head.encode() + body)


# Data of tensors.


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2, 1], [[1.0, 2.0], []]),
        ([2, 1], [[1.0, 2.0]]),
        ([2, 1], [[1.0], 2.0]),
        ([2, 1], [1.0, [2.0]]),
        ([2, 1], [[[1.0]], [[2.0]]]),
        ([2, 1], [[1.0], [2.0], []]),
        ([2, 1], [1.0]),
        ([2, 1], [1.0, 2.0, 3.0]),
        ([2, 1], 1.0),
        ([2, 1], {"0": 1.0}),
        ([2, 1], []),
    ],
)
def test_data_must_be_flat_or_nested_as_the_shape(
    server: OwnServer, shape: list[int], data: Any
) -> None:
    tensor = {"name": "year", "datatype": "FP32", "shape": shape, "data": data}
    code, answer = server.post(f"{MODEL}/infer", {"inputs": [tensor]})
    assert code == 400 and answer["status"] == "PROTOCOL" and "input 'year'" in answer["error"]


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ([2, 2], [1, 2, 3, 4]),
        ([2, 2], [[1, 2], [3, 4]]),
        ([1, 2], [[1, 2]]),
        ([0, 2], []),
    ],
)
def test_flat_and_nested_data_are_taken(start: Start, shape: list[int], data: Any) -> None:
    own = start("add.onnx", "--http", "127.0.0.1:0")
    tensor = {"name": "x", "datatype": "FP32", "shape": shape, "data": data}
    code, answer = own.post("/v2/models/add/infer", {"inputs": [tensor]})
    if shape[0] == 0:
        assert code == 400 and "at least 1 row" in answer["error"]
    else:
        assert code == 200 and answer["outputs"][0]["shape"] == shape


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"binary_data_size": "4"}, "binary_data_size"),
        ({"binary_data_size": -4}, "binary_data_size"),
        ({"binary_data_size": 8}, "8 bytes of input 'year' after the JSON, got 4"),
        ({"binary_data_size": 4}, "either 'data' or the parameter 'binary_data_size'"),
        ({"shared_memory_region": "r"}, "shared memory"),
        ({"shared_memory_offset": 1}, "shared memory"),
        ({"sequence_id": 1}, "sequences of requests"),
        ([], "an object 'parameters'"),
    ],
)
def test_parameters_of_an_input_that_cannot_be_followed_are_refused(
    server: OwnServer, parameters: Any, text: str
) -> None:
    tensor = {"name": "year", "datatype": "FP32", "shape": [1, 1], "parameters": parameters}
    if "either" in text:
        tensor["data"] = [1]
    body = json.dumps({"inputs": [tensor]}).encode()
    code, answer = server.post(
        f"{MODEL}/infer",
        body + bytes(4),
        "application/octet-stream",
        inference_header_content_length=str(len(body)),
    )
    assert code == 400 and text in answer["error"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"parameters": {"sequence_id": 7}}, "UNSUPPORTED"),
        ({"parameters": {"sequence_start": True}}, "UNSUPPORTED"),
        ({"parameters": {"binary_data_output": "yes"}}, "PROTOCOL"),
        ({"outputs": [{"name": "label", "parameters": {"binary_data": 1}}]}, "PROTOCOL"),
        ({"outputs": [{"name": "label", "parameters": {"classification": 1}}]}, "UNSUPPORTED"),
        (
            {"outputs": [{"name": "label", "parameters": {"shared_memory_byte_size": 1}}]},
            "UNSUPPORTED",
        ),
    ],
)
def test_parameters_of_a_request_that_cannot_be_followed_are_refused(
    server: OwnServer, changes: dict[str, Any], status: str
) -> None:
    tensor = {"name": "year", "datatype": "FP32", "shape": [1, 1], "data": [1]}
    code, answer = server.post(f"{MODEL}/infer", {"inputs": [tensor]} | changes)
    assert code == 400 and answer["status"] == status, answer


def test_members_that_are_null_are_absent(server: OwnServer) -> None:
    inputs = [
        {"name": name, "shape": [1, 1], "data": [value], "parameters": None}
        | {"datatype": "BYTES" if isinstance(value, str) else "FP32"}
        for name, value in RECORD.items()
    ]
    body = {"id": None, "inputs": inputs, "outputs": None, "parameters": None}
    code, answer = server.post(f"{MODEL}/infer", body)
    assert code == 200 and "id" not in answer, answer
    del inputs[0]["parameters"]
    inputs[0]["data"] = None
    code, answer = server.post(f"{MODEL}/infer", body)
    assert code == 400 and "expected data of input 'island', got none" in answer["error"]


# Missing values.


def test_null_is_a_missing_value(kinds: OwnServer) -> None:
    values = dict.fromkeys(("f32", "f64", "i64", "flag", "word"))
    code, answer = run_kinds(kinds, **values)
    assert code == 200, answer
    data = answer["outputs"][0]["data"]
    record = values | {"f32_must": 1.5, "f64_must": 2.5, "i64_must": 3, "flag_must": True}
    with sidecall.open(kinds.uri("http", "kinds")) as model:
        expected = model.predict(record | {"word_must": "a"})["transformed"]
    assert data[:2] == [None, None]
    numbers = [math.nan if each is None else each for each in data]
    np.testing.assert_array_equal(numbers, expected)


@pytest.mark.parametrize("name", ["f32_must", "f64_must", "i64_must", "word_must"])
def test_null_is_refused_where_a_value_must_be(kinds: OwnServer, name: str) -> None:
    code, answer = run_kinds(kinds, **{name: None})
    assert code == 400 and answer["status"] == "MISSING_VALUE", answer
    assert [fault["feature"] for fault in answer["faults"]] == [name]


def test_null_in_a_bool_is_refused(kinds: OwnServer) -> None:
    code, answer = run_kinds(kinds, flag_must=None)
    assert code == 400 and "flag_must" in answer["error"]


@pytest.mark.parametrize(("model", "kind"), [("string", "BYTES"), ("int64", "INT64")])
def test_null_without_a_contract_is_refused_if_it_is_no_float(
    start: Start, model: str, kind: str
) -> None:
    own = start(f"identity_{model}.onnx", "--http", "127.0.0.1:0")
    path = f"/v2/models/identity_{model}"
    (spec,) = own.get(path)[1]["inputs"]
    shape = [1 for _ in spec["shape"]]
    tensor = {"name": spec["name"], "datatype": kind, "shape": shape, "data": [None]}
    code, answer = own.post(f"{path}/infer", {"inputs": [tensor]})
    assert code == 400 and answer["status"] == "MISSING_VALUE" and "no contract" in answer["error"]


def test_missing_numbers_travel_as_json_between_programs_of_sidecall(start: Start) -> None:
    own = start("floats_float64.onnx", "--http", "127.0.0.1:0")
    given = {"X": np.array([[np.nan, 1.0]])}
    assert "sidecall.null/1" in own.get("/v2")[1]["extensions"]
    name = own.get("/openapi.json")[1]["info"]["title"]
    with sidecall.open(own.uri("http", name) + "?format=json", verify="off") as model:
        np.testing.assert_array_equal(model.run(given)["transformed"], given["X"])
        with pytest.raises(errors.Unsupported, match="finite numbers"):
            model.run({"X": np.array([[np.inf, 1.0]])})
