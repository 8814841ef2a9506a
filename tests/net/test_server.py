"""The server for HTTP and gRPC: its routes, who may call, limits, and how it ends."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import sidecall
from own_server import MODEL, RECORD, OwnServer, Start, exchange
from sidecall import errors
from vector_servers import MODELS, command_environment, command_path

pytestmark = pytest.mark.usefixtures("network_library")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network_library: Path) -> Iterator[OwnServer]:
    started = OwnServer("penguins.onnx", tmp_path_factory.mktemp("server"))
    yield started
    assert started.end() == 0, started.log()


def fails_to_start(*options: str) -> str:
    done = subprocess.run(
        [command_path(), "serve", str(MODELS / "penguins.onnx"), *options],
        env=command_environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode != 0
    return done.stderr.splitlines()[-1]


# Routes over HTTP.


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server_names_its_extensions(server: OwnServer, path: str) -> None:
    status, answer = server.get(path)
    assert status == 200 and answer["name"] == "sidecall"
    assert "binary_tensor_data" in answer["extensions"]


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", f"{MODEL}/ready"])
def test_the_server_and_its_model_are_ready(server: OwnServer, path: str) -> None:
    assert server.get(path)[0] == 200
    assert server.request("HEAD", path, None, {}) == (200, "")


def test_the_metadata_have_the_contract(server: OwnServer) -> None:
    status, answer = server.get(MODEL)
    assert status == 200 and answer["name"] == "penguins"
    assert {"name": "year", "datatype": "FP32", "shape": [-1, 1]} in answer["inputs"]
    assert json.loads(answer["properties"]["sidecall.contract"])["features"]
    with sidecall.open(MODELS / "penguins.onnx") as model:
        assert answer["properties"]["sidecall.model_id"] == model.id
    assert server.get(f"{MODEL}/versions/{answer['versions'][0]}")[1] == answer


def test_the_description_has_the_paths_of_the_model(server: OwnServer) -> None:
    status, answer = server.get("/openapi.json")
    assert status == 200 and answer["openapi"] == "3.1.0"
    assert f"{MODEL}/predict" in answer["paths"]


def test_metrics_count_requests_by_route_and_status(server: OwnServer) -> None:
    before = server.metric("sidecall_requests_total")
    server.post(f"{MODEL}/predict", RECORD)
    server.post(f"{MODEL}/predict", {"island": 1})
    text = server.get("/metrics")[1]
    assert server.metric("sidecall_requests_total") >= before + 2
    assert re.search(r'route="predict",status="4xx"} \d', text)
    assert text.count("# TYPE sidecall_request_seconds histogram") == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", f"{MODEL}/versions/999", 404),
        ("GET", f"{MODEL}/infer", 405),
        ("POST", "/v2", 405),
        ("DELETE", MODEL, 405),
        ("POST", "/v2/models/other/predict", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("GET", f"{MODEL}/ready/more", 404),
        ("GET", "/v2/models/../../etc/passwd", 404),
    ],
)
def test_other_paths_and_methods_are_refused(
    server: OwnServer, method: str, path: str, status: int
) -> None:
    body = "{}" if method == "POST" else None
    answer = server.request(method, path, body, {"content-type": "application/json"})
    words = {404: "this server has ", 405: "expected "}[status]
    assert answer[0] == status and words in answer[1]["error"]


def test_the_refusal_of_another_model_names_the_one_that_is_served(server: OwnServer) -> None:
    for path in ("/v2/models/other", f"{MODEL}/versions/999"):
        assert "this server has only the model 'penguins'" in server.get(path)[1]["error"]
    assert "the model 'penguins'" in server.post("/v2/models/other/predict", RECORD)[1]["error"]


# Records.


def test_a_record_gives_what_the_library_gives(server: OwnServer) -> None:
    with sidecall.open(MODELS / "penguins.onnx") as model:
        assert server.post(f"{MODEL}/predict", RECORD) == (200, model.predict(RECORD))
        assert server.post(f"{MODEL}/predict", [RECORD] * 3) == (200, model.predict([RECORD] * 3))


def test_all_faults_are_in_the_error(server: OwnServer) -> None:
    status, answer = server.post(f"{MODEL}/predict", [RECORD, {"island": 1, "isle": 2}])
    assert status == 400 and answer["status"] == "DTYPE_MISMATCH" and answer["num_faults"] == 2
    assert answer["faults"][0] == {
        "row": 1,
        "status": "DTYPE_MISMATCH",
        "feature": "island",
        "expected": "string",
        "got": "int64",
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [("[]", "SHAPE_MISMATCH"), ("{", "INVALID_JSON"), ("", "INVALID_JSON"), ("3", None)],
)
def test_other_bodies_are_refused(server: OwnServer, body: str, status: str | None) -> None:
    code, answer = server.post(f"{MODEL}/predict", body)
    assert code == 400 and (status is None or answer["status"] == status)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_records_must_be_json(server: OwnServer, kind: str) -> None:
    assert server.post(f"{MODEL}/predict", RECORD, kind)[0] == 415


@pytest.mark.parametrize("kind", ["Application/JSON", "application/json ; charset=utf-8"])
def test_the_type_of_records_has_any_case_and_parameters(server: OwnServer, kind: str) -> None:
    assert server.post(f"{MODEL}/predict", RECORD, kind)[0] == 200


def test_records_without_a_contract_are_refused(start: Start) -> None:
    own = start("add.onnx", "--http", "127.0.0.1:0")
    status, answer = own.post("/v2/models/add/predict", {"x": 1})
    assert status == 400 and answer["status"] == "NO_CONTRACT"


# Tensors.


def infer(server: OwnServer, **changes: Any) -> tuple[int, Any]:
    inputs = [
        {"name": name, "datatype": kind, "shape": [1, 1], "data": [RECORD[name]]}
        for name, kind in {
            "island": "BYTES",
            "sex": "BYTES",
            "bill_length_mm": "FP32",
            "bill_depth_mm": "FP32",
            "flipper_length_mm": "FP32",
            "body_mass_g": "FP32",
            "year": "FP32",
        }.items()
    ]
    return server.post(f"{MODEL}/infer", {"id": "7", "inputs": inputs} | changes)


def test_tensors_as_json(server: OwnServer) -> None:
    status, answer = infer(server)
    assert status == 200 and answer["id"] == "7" and answer["model_name"] == "penguins"
    assert answer["parameters"]["sidecall.model_id"]
    assert {output["name"]: output["data"] for output in answer["outputs"]}["label"] == ["Adelie"]


def test_only_the_outputs_that_are_named(server: OwnServer) -> None:
    answer = infer(server, outputs=[{"name": "probabilities"}])[1]
    assert [output["name"] for output in answer["outputs"]] == ["probabilities"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"inputs": []}, "MISSING_INPUT"),
        ({"inputs": "x"}, "PROTOCOL"),
        (
            {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]},
            "UNKNOWN_NAME",
        ),
        ({"outputs": [{"name": "no"}]}, "UNKNOWN_NAME"),
        ({"outputs": [{"name": "label"}] * 2}, "PROTOCOL"),
        (
            {"outputs": [{"name": "label", "parameters": {"classification": 2}}]},
            "UNSUPPORTED",
        ),
    ],
)
def test_wrong_requests_for_tensors(
    server: OwnServer, changes: dict[str, Any], status: str
) -> None:
    code, answer = infer(server, **changes)
    assert code == 400 and answer["status"] == status, answer


@pytest.mark.parametrize(
    "tensor",
    [
        {"datatype": "FP32", "shape": [1, 1], "data": ["x"]},
        {"datatype": "FP32", "shape": [1, 2], "data": [1]},
        {"datatype": "FP32", "shape": [-1, 1], "data": []},
        {"datatype": "FP32", "shape": [1 << 62, 1 << 62], "data": []},
        {"datatype": "FP64", "shape": [1 << 58, 1], "parameters": {"binary_data_size": 0}},
        {"datatype": "FP99", "shape": [1, 1], "data": [1]},
        {"datatype": "FP32", "shape": [1, 1]},
        {"datatype": "FP32", "shape": [1, 1], "data": [1e300]},
        {"datatype": "FP32", "shape": [1, 1], "parameters": {"binary_data_size": 4}},
        {"datatype": "BYTES", "shape": [1, 1], "data": ["1"]},
        {"datatype": "FP32", "shape": [2, 1], "data": [1, 2]},
        {"shape": [1, 1], "data": [1]},
    ],
)
def test_wrong_tensors(server: OwnServer, tensor: dict[str, Any]) -> None:
    good = [{"name": "year", "datatype": "FP32", "shape": [1, 1], "data": [2008]}]
    code, answer = infer(server, inputs=[*good, {"name": "bill_length_mm"} | tensor])
    assert code == 400 and answer["error"], answer
    assert "1e300" not in answer["error"]


def test_numbers_that_are_not_finite_travel_in_binary_or_fail(start: Start) -> None:
    own = start("floats_float64.onnx")
    name = own.get("/openapi.json")[1]["info"]["title"]
    with sidecall.open(own.uri("http", name)) as model:
        inputs = {
            spec.name: np.full(
                [size if isinstance(size, int) else 1 for size in spec.shape], np.inf
            )
            for spec in model.inputs
        }
        expected = model.run(inputs)
    assert any(not np.isfinite(output).all() for output in expected.values())
    with (
        sidecall.open(own.uri("http", name) + "?format=json", verify="off") as model,
        pytest.raises(errors.Unsupported, match="finite numbers"),
    ):
        model.run(inputs)


# Who may call.


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example"])
def test_other_names_of_the_host_are_refused(server: OwnServer, host: str) -> None:
    status, answer = server.get("/v2", host=host)
    assert status == 421 and "--allow-host" in answer["error"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8000", "10.0.0.1"])
def test_the_local_name_and_ip_addresses_are_taken(server: OwnServer, host: str) -> None:
    assert server.get("/v2", host=host)[0] == 200


def test_an_allowed_name_is_taken(start: Start) -> None:
    own = start("penguins.onnx", "--http", "127.0.0.1:0", "--allow-host", "models.internal")
    assert own.get("/v2", host="Models.Internal:80")[0] == 200
    assert own.get("/v2", host="other.internal")[0] == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_pages_of_other_sites_cannot_call(server: OwnServer, headers: dict[str, str]) -> None:
    assert server.post(f"{MODEL}/predict", RECORD, **headers)[0] == 403


def test_a_page_of_this_server_can_call(server: OwnServer) -> None:
    origin = f"http://127.0.0.1:{server.port()}"
    headers = {"origin": origin, "sec_fetch_site": "same-origin"}
    assert server.post(f"{MODEL}/predict", RECORD, **headers)[0] == 200


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--http", "0.0.0.0:0"), "insecure=yes"),
        (("--grpc", "0.0.0.0:0"), "insecure=yes"),
        (("--http", "[::]:0"), "insecure=yes"),
        (("--http", "127.0.0.1:99999"), "a port"),
        (("--http", "127.0.0.1"), "HOST:PORT"),
        (("--http", "no.such.host.invalid:0", "--insecure"), "cannot be resolved"),
        (("--http", "127.0.0.1:0", "--tokens", "/nothing"), "tokens"),
        (("--http", "127.0.0.1:0", "--tls-cert", "/nothing"), "key=FILE"),
        (("--http", "relative/path.sock"), "path"),
        ((), "--at, --http or --grpc"),
    ],
)
def test_addresses_that_are_refused(options: tuple[str, ...], text: str) -> None:
    assert text in fails_to_start(*options)


def test_an_address_in_use_is_refused(server: OwnServer) -> None:
    assert "in use" in fails_to_start("--http", f"127.0.0.1:{server.port()}")


def test_sockets(start: Start, tmp_path: Path) -> None:
    paths = [tmp_path / "http.sock", tmp_path / "grpc.sock"]
    own = start("penguins.onnx", "--http", str(paths[0]), "--grpc", str(paths[1]))
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in paths)
    for protocol, path in zip(("http", "grpc"), paths, strict=True):
        with sidecall.open(f"{protocol}+unix:{path}/penguins") as model:
            assert model.predict(RECORD)["label"] == "Adelie"
    assert "in use" in fails_to_start("--http", str(paths[0]))
    own.end(signal.SIGKILL)
    assert paths[0].exists()
    own = start("penguins.onnx", "--http", str(paths[0]))
    assert own.end() == 0
    assert not paths[0].exists()


# Limits.


def test_a_large_request_is_refused_at_once(start: Start) -> None:
    own = start("penguins.onnx", "--max-call", "0.01")
    assert own.post(f"{MODEL}/predict", " " * 20000)[0] == 413
    chunks = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    head = (
        f"POST {MODEL}/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    assert exchange(own.connect(), head.encode() + chunks).startswith(b"HTTP/1.1 413 ")
    with (
        sidecall.open(own.uri("grpc", "penguins"), verify="off") as model,
        pytest.raises(errors.OutOfRange, match="a smaller request"),
    ):
        model.predict([RECORD] * 1000)
    assert own.is_alive()


def test_the_number_of_connections_is_limited(start: Start) -> None:
    own = start("penguins.onnx", "--http", "127.0.0.1:0", "--max-connections", "3")
    held = [own.connect() for _ in range(3)]
    for each in held:
        each.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert each.recv(1000)
    with own.connect() as refused, contextlib.suppress(ConnectionResetError):
        assert refused.recv(1) == b""
    for each in held:
        each.close()
    deadline = time.monotonic() + 5
    while True:
        with contextlib.suppress(OSError):
            assert own.metric("sidecall_connections_refused_total") >= 1
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_memory_for_requests_is_limited(start: Start) -> None:
    own = start("penguins.onnx", "--http", "127.0.0.1:0", "--max-memory", "1")
    head = f"POST {MODEL}/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n"
    held = [own.connect() for _ in range(2)]
    for each in held:
        each.sendall(head.encode() + b" " * 700_000)
    time.sleep(0.3)
    assert own.is_alive()
    assert own.metric("sidecall_held_bytes") <= 2 * 1024 * 1024
    answers = []
    for each in held:
        each.settimeout(0.5)
        try:
            answers.append(each.recv(100))
        except TimeoutError:
            answers.append(b"")
        each.close()
    assert sorted(answer[:13] for answer in answers) == [b"", b"HTTP/1.1 503 "]
    time.sleep(0.2)
    assert own.metric("sidecall_held_bytes") < 100_000


# Clients of others.


def test_curl(server: OwnServer) -> None:
    words = ["curl", "--silent", "--data", json.dumps(RECORD)]
    words += ["--header", "Content-Type: application/json"]
    done = subprocess.run(
        [*words, f"http://127.0.0.1:{server.port()}{MODEL}/predict"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert json.loads(done.stdout)["label"] == "Adelie"


def test_curl_with_a_large_body_that_it_announces(server: OwnServer) -> None:
    records = json.dumps([RECORD] * 20_000)
    words = ["curl", "--silent", "--data-binary", "@-", "--header", "Expect: 100-continue"]
    words += ["--header", "Content-Type: application/json"]
    done = subprocess.run(
        [*words, f"http://127.0.0.1:{server.port()}{MODEL}/predict"],
        input=records,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert len(json.loads(done.stdout)) == 20_000


def test_the_health_service_of_grpc(server: OwnServer) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.port('grpc')}") as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert check(b"", timeout=10) == b"\x08\x01"
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/grpc.health.v1.Health/Other")(b"", timeout=10)
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
