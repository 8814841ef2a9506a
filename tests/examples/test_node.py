"""The services of examples/node, on a port that the kernel chooses, with typical client requests.

The requests are good, invalid, malformed or too large.
"""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest
import sidecall

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build")).resolve()
MODEL = ROOT / "tests" / "vectors" / "models" / "penguins.onnx"
RECORD = {
    "island": "Biscoe",
    "bill_length_mm": 48.2,
    "bill_depth_mm": 14.3,
    "flipper_length_mm": 215,
    "body_mass_g": 4900,
    "year": 2009,
}
SERVICES = ["http.js", "fastify.js"]


class Service:
    """A running service. `ask` opens a connection for each request."""

    def __init__(self, process: subprocess.Popen):
        self.process = process
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:"), line
        self.port = int(line.rsplit(":", 1)[1])

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(
        self, body: object, *, method: str = "POST", path: str = "/predict"
    ) -> tuple[int, object]:
        """`body` is sent verbatim if it is bytes or None, otherwise as JSON.

        A service answers 503 if a prediction takes longer than 250 ms, as may happen on a busy
        machine. This client then asks again.
        """
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        deadline = time.monotonic() + 60
        status, answer = self._ask_once(method, path, raw)
        while status == 503 and time.monotonic() < deadline:
            status, answer = self._ask_once(method, path, raw)
        return status, answer

    def _ask_once(self, method: str, path: str, raw: bytes | None) -> tuple[int, object]:
        connection = self.connect()
        try:
            connection.request(
                method, path, raw, {"content-type": "application/json"} if raw is not None else {}
            )
            return read(connection)
        finally:
            connection.close()


def read(connection: HTTPConnection) -> tuple[int, object]:
    response = connection.getresponse()
    assert response.getheader("content-type").startswith("application/json")
    return response.status, json.loads(response.read())


@contextmanager
def started(script: str) -> Generator[Service, None, None]:
    environment = os.environ | {
        "SIDECALL_NODE_ADDON": str(BUILD / "lib" / "sidecall.node"),
        "SIDECALL_ONNXRUNTIME": find_library(),
    }
    command = ["node", ROOT / "examples" / "node" / script, MODEL, "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield Service(process)
        finally:
            process.kill()


def find_library() -> str:
    return str(
        next(
            Path(importlib.util.find_spec("onnxruntime").origin).parent.glob(
                "capi/libonnxruntime.so.*"
            )
        )
    )


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest) -> Generator[Service, None, None]:
    with started(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def model() -> sidecall.Model:
    return sidecall.open(MODEL)


def test_a_record_gets_the_same_answer_as_in_python(
    service: Service, model: sidecall.Model
) -> None:
    status, answer = service.ask(RECORD)
    assert status == 200
    expected = model.predict(RECORD)
    assert answer["label"] == expected["label"] == "Gentoo"
    assert answer["probabilities"] == pytest.approx(expected["probabilities"], rel=1e-6)


def test_records_are_answered_in_order(service: Service) -> None:
    adelie = RECORD | {
        "island": "Torgersen",
        "bill_length_mm": 36.7,
        "bill_depth_mm": 19.3,
        "flipper_length_mm": 193,
        "body_mass_g": 3450,
    }
    status, answers = service.ask([RECORD, adelie])
    assert status == 200
    assert [answer["label"] for answer in answers] == ["Gentoo", "Adelie"]


def test_the_route_of_the_model_lists_its_features(service: Service) -> None:
    status, described = service.ask(None, method="GET", path="/model")
    assert (status, described["name"]) == (200, "penguins")
    assert {feature["name"] for feature in described["features"]} == {*RECORD, "sex"}


def test_all_faults_of_a_record_are_named(service: Service) -> None:
    status, answer = service.ask([RECORD, RECORD | {"bill_length_mm": "secret", "colour": "black"}])
    assert status == 400
    assert answer["error"] == answer["faults"][0]["code"]
    faults = {(fault["code"], fault["row"], fault["feature"]) for fault in answer["faults"]}
    assert faults == {("DTYPE_MISMATCH", 1, "bill_length_mm"), ("UNKNOWN_NAME", 1, "colour")}
    typed = next(fault for fault in answer["faults"] if fault["code"] == "DTYPE_MISMATCH")
    assert (typed["expected"], typed["got"]) == ("float32", "string")
    assert "secret" not in json.dumps(answer)


@pytest.mark.parametrize("body", [b'{"island": ', b"", b"\xff", b"nonsense"])
def test_a_body_that_is_not_json_is_refused(service: Service, body: bytes) -> None:
    status, answer = service.ask(body)
    assert (status, set(answer)) == (400, {"error", "message"})


@pytest.mark.parametrize("body", [5, "text", None, True, [], [5], [RECORD, None], [[RECORD]]])
def test_json_that_is_not_a_record_is_refused(service: Service, body: object) -> None:
    status, answer = service.ask(b"null" if body is None else body)
    assert status == 400
    assert "error" in answer


def test_a_body_that_is_too_large_is_refused(service: Service) -> None:
    status, answer = service.ask(RECORD | {"island": "x" * 100_000})
    assert (status, set(answer)) == (413, {"error", "message"})
    assert service.ask(RECORD)[0] == 200


def test_other_routes_are_answered_with_404(service: Service) -> None:
    assert service.ask(None, method="GET", path="/predict")[0] == 404
    assert service.ask(RECORD, path="/other")[0] == 404


def test_concurrent_requests_get_the_answers_of_single_requests(service: Service) -> None:
    records = [RECORD | {"body_mass_g": 4000 + i} for i in range(64)]
    expected = [service.ask(record) for record in records]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(service.ask, records)) == expected


@pytest.mark.parametrize("script", SERVICES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_progress_is_answered_before_the_service_ends(
    script: str, number: signal.Signals
) -> None:
    with started(script) as service:
        idle = service.connect()  # a kept-alive connection must not delay the exit
        idle.request("GET", "/model")
        assert read(idle)[0] == 200
        body = json.dumps(RECORD).encode()
        connection = service.connect()
        connection.putrequest("POST", "/predict")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body[:10])
        assert service.ask(RECORD)[0] == 200, "by now the half request has arrived"
        service.process.send_signal(number)
        wait_until_refused(service.port)
        connection.send(body[10:])
        assert read(connection)[0] == 200
        assert service.process.wait(timeout=30) == 0
        assert service.process.stderr.read() == ""


def wait_until_refused(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.01)
    raise AssertionError("the service still takes connections")


def test_a_service_without_its_model_file_fails_at_start(tmp_path: Path) -> None:
    for script in SERVICES:
        command = ["node", ROOT / "examples" / "node" / script, tmp_path / "absent.onnx", "0"]
        environment = os.environ | {"SIDECALL_NODE_ADDON": str(BUILD / "lib" / "sidecall.node")}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=60, check=False
        )
        assert done.returncode != 0
        assert "FILE_NOT_FOUND" in done.stderr
