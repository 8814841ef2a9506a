"""Python objects over HTTP and gRPC: answers, faults, errors of the object, and who may call."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sidecall
from own_server import OBJECTS, OwnServer, Start, wait_until
from sidecall import errors

pytestmark = pytest.mark.usefixtures("network_library")
sys.path.insert(0, str(OBJECTS))

PROTOCOLS = ("http", "grpc")
JUDGE, MISBEHAVE = "/v2/models/judge", "/v2/models/misbehave"
PAYMENT = {"amount": 80.0, "country": "DE", "retries": None}


def fails_to_start(*options: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "sidecall.serving", "serve", "serving_parts:double", *options],
        env=os.environ | {"PYTHONPATH": str(OBJECTS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    return done


@contextlib.contextmanager
def served(function: str, folder: Path, workers: int | None) -> Iterator[OwnServer]:
    """A server of a function of serving_parts.py, without workers or with so many."""
    options = [] if workers is None else ["--workers", str(workers)]
    started = OwnServer(f"serving_parts:{function}", folder, *options)
    yield started
    assert started.end() == 0, started.log()


@pytest.fixture(scope="module", params=[None, 2])
def judge(
    tmp_path_factory: pytest.TempPathFactory, network_library: Path, request: pytest.FixtureRequest
) -> Iterator[OwnServer]:
    with served("judge", tmp_path_factory.mktemp("server"), request.param) as started:
        yield started


@pytest.fixture(scope="module", params=[None, 1])
def misbehaved(
    tmp_path_factory: pytest.TempPathFactory, network_library: Path, request: pytest.FixtureRequest
) -> Iterator[OwnServer]:
    with served("misbehave", tmp_path_factory.mktemp("server"), request.param) as started:
        yield started


# Answers.


def test_records_over_http_give_what_the_function_returns(judge: OwnServer) -> None:
    from serving_parts import Payment
    from serving_parts import judge as function

    payment = Payment(amount=80.0, country="DE", retries=None)
    assert judge.post(f"{JUDGE}/predict", PAYMENT) == (200, function(payment))
    assert judge.post(f"{JUDGE}/predict", [PAYMENT] * 3) == (200, [function(payment)] * 3)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_our_client_gets_contract_and_answers(judge: OwnServer, protocol: str) -> None:
    with sidecall.open(judge.uri(protocol, "judge")) as model:
        assert [feature.name for feature in model.features] == ["amount", "country", "retries"]
        answer = model.predict(PAYMENT)
    assert answer["label"] == "yes" and answer["reason"] == "DE first"
    assert answer["probabilities"] == {"no": pytest.approx(0.2), "yes": 0.8}


def test_all_faults_of_a_record_are_in_the_error(judge: OwnServer) -> None:
    status, answer = judge.post(f"{JUDGE}/predict", [PAYMENT, {"amount": "much", "land": "DE"}])
    assert status == 400 and answer["num_faults"] == 3
    faults = {(fault["feature"], fault["status"], fault["row"]) for fault in answer["faults"]}
    assert faults == {
        ("amount", "DTYPE_MISMATCH", 1),
        ("country", "MISSING_VALUE", 1),
        ("land", "UNKNOWN_NAME", 1),
    }
    assert "much" not in json.dumps(answer)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_faults_are_those_of_the_route_over_shared_memory(
    start: Start, tmp_path: Path, protocol: str
) -> None:
    own = start(
        "serving_parts:judge",
        *("--at", f"shm:{tmp_path}/judge.sock", "--workers", "1"),
        *("--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"),
    )
    texts = []
    for uri in (f"shm:{tmp_path}/judge.sock", own.uri(protocol, "judge")):
        with sidecall.open(uri) as model, pytest.raises(errors.Error) as caught:
            model.predict([PAYMENT, {"amount": "much", "land": "DE"}])
        texts.append((type(caught.value), str(caught.value), len(caught.value.faults)))
    assert texts[0] == texts[1]


def test_a_function_over_arrays_has_its_own_name(tmp_path: Path) -> None:
    with (
        sidecall.serve(
            "serving_parts:rows_of",
            http="127.0.0.1:0",
            inputs={"X": "float64[N,3]"},
            outputs={"total": "float64[N]", "names": "string[N]"},
            block=False,
            log=None,
        ) as server,
        sidecall.open(address_of(server) + "/rows_of") as model,
    ):
        answer = model.run({"X": np.arange(6.0).reshape(2, 3)})
        assert answer["total"].tolist() == [3.0, 12.0]
        assert answer["names"].tolist() == ["row 0", "row 1"]
        with pytest.raises(errors.ShapeMismatch):
            model.run({"X": np.zeros((2, 4))})
        with pytest.raises(errors.NoContract):
            model.predict({"X": 1})


# Errors.


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_errors_of_the_function_reach_the_caller(misbehaved: OwnServer, protocol: str) -> None:
    with sidecall.open(misbehaved.uri(protocol, "misbehave")) as model:
        with pytest.raises(errors.OutOfRange) as refused:
            model.predict({"how": "refuse"})
        assert [fault.name for fault in refused.value.faults] == ["how"]
        with pytest.raises(errors.Busy) as busy:
            model.predict({"how": "busy"})
        assert busy.value.retryable
        with pytest.raises(errors.Engine, match="ValueError: secret of the server") as failed:
            model.predict({"how": "raise"})
        assert "second line" not in str(failed.value) and "Traceback" not in str(failed.value)
        for how in ("exit", "interrupt", "text"):
            with pytest.raises(errors.Engine):
                model.predict({"how": how})
        assert model.predict({"how": "fine"})["prediction"] > 0


@pytest.mark.parametrize(("how", "status"), [("refuse", 400), ("busy", 503), ("raise", 500)])
def test_errors_of_the_function_have_a_status_of_http(
    misbehaved: OwnServer, how: str, status: int
) -> None:
    assert misbehaved.post(f"{MISBEHAVE}/predict", {"how": how})[0] == status


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_function_knows_the_deadline(misbehaved: OwnServer, protocol: str) -> None:
    with sidecall.open(misbehaved.uri(protocol, "misbehave")) as model:
        assert 0 < model.predict({"how": "left"}, timeout=5)["prediction"] <= 5
        with pytest.raises(errors.Timeout):
            model.predict({"how": "sleep 1"}, timeout=0.1)
        assert model.predict({"how": "fine"}, timeout=20)["prediction"] > 0
    status, answer = misbehaved.post(
        f"{MISBEHAVE}/predict", {"how": "sleep 1"}, sidecall_timeout_ms="100"
    )
    assert (status, answer["status"]) == (504, "TIMEOUT")


def test_a_client_that_leaves_ends_its_run(misbehaved: OwnServer) -> None:
    with misbehaved.connect() as client:
        body = b'{"how": "sleep 5"}'
        head = f"POST {MISBEHAVE}/predict HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        wait_until(lambda: misbehaved.metric("sidecall_runs") == 1)
    wait_until(lambda: misbehaved.metric("sidecall_runs") == 0, 4)


def test_a_function_that_holds_the_gil_does_not_stop_the_server(misbehaved: OwnServer) -> None:
    with sidecall.open(misbehaved.uri("grpc", "misbehave")) as model:
        thread = threading.Thread(target=lambda: model.predict({"how": "hold 3"}, timeout=20))
        thread.start()
        wait_until(lambda: misbehaved.metric("sidecall_runs") == 1)
        assert misbehaved.get("/v2/health/ready")[0] == 200
        assert misbehaved.metric("sidecall_runs") == 1
        thread.join(20)


def test_a_request_beyond_the_limit_is_refused(start: Start) -> None:
    own = start("serving_parts:misbehave", "--max-call", "0.01", "--workers", "1")
    assert own.post(f"{MISBEHAVE}/predict", {"how": "x" * 20_000})[0] == 413
    assert own.post(f"{MISBEHAVE}/predict", {"how": "fine"})[0] == 200


# What clients are told.


def properties(own: OwnServer, name: str) -> dict[str, str]:
    status, answer = own.get(f"/v2/models/{name}")
    assert status == 200
    return dict(answer["properties"])


def has_ended(servers: list[OwnServer]) -> bool:
    return any(each.process.poll() is not None for each in servers)


def test_a_function_is_not_called_twice(start: Start, tmp_path: Path) -> None:
    """Even if its contract has an id, as that of a file: the server says what it runs."""
    (tmp_path / "one").mkdir()
    first = start("serving_parts:misbehave")
    contract = json.loads(properties(first, "misbehave")["sidecall.contract"])
    contract["model"] |= {"id": "0" * 64, "name": "misbehave"}
    (tmp_path / "a.contract.json").write_text(json.dumps(contract))
    options = ("--contract", str(tmp_path / "a.contract.json"))
    servers = [start("serving_parts:misbehave", *options) for _ in range(2)]
    assert all(properties(each, "misbehave")["sidecall.repeatable"] == "no" for each in servers)
    for protocol in PROTOCOLS:
        hosts = ",".join(f"127.0.0.1:{each.port(protocol)}" for each in servers)
        with (
            sidecall.open(f"{protocol}://{hosts}/misbehave") as model,
            pytest.raises(errors.PeerDied),
        ):
            model.predict({"how": "kill"})
        wait_until(partial(has_ended, servers))
        assert [each.process.poll() is None for each in servers].count(True) == 1
        servers = [each for each in servers if each.process.poll() is None]
        servers.append(start("serving_parts:misbehave", *options))


def test_files_and_estimators_may_be_called_twice(start: Start, tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    rows = np.random.default_rng(0).normal(size=(50, 2))
    model = LogisticRegression().fit(rows, rows[:, 0] > 0)
    with sidecall.serve(model, http="127.0.0.1:0", data=rows, block=False, log=None) as server:
        assert server.status()["network"][0]["model"] == "LogisticRegression"
        own = OwnServer.__new__(OwnServer)
        own.at = {"http": address_of(server)}
        assert properties(own, "LogisticRegression")["sidecall.repeatable"] == "yes"
        with sidecall.open(own.uri("http", "LogisticRegression")) as client:
            assert client.run({"X": rows})["label"].tolist() == model.predict(rows).tolist()
    assert properties(start("penguins.onnx"), "penguins")["sidecall.repeatable"] == "yes"


@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
def test_callers_need_a_token(start: Start, tmp_path: Path, workers: list[str]) -> None:
    (tmp_path / "tokens").write_text("right\n")
    own = start("serving_parts:judge", "--tokens", str(tmp_path / "tokens"), *workers)
    uri = own.uri("http", "judge")
    with pytest.raises(errors.Denied):
        sidecall.open(uri)
    with sidecall.open(f"{uri}?token={tmp_path}/tokens") as model:
        assert model.predict(PAYMENT)["label"] == "yes"


@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
def test_runs_over_http_use_up_no_connections_of_local_users(
    start: Start, workers: list[str], tmp_path: Path
) -> None:
    at = f"shm:{tmp_path}/socket"
    options = ("--at", at, "--http", "127.0.0.1:0", "--max-connections-per-user", "1")
    own = start("serving_parts:misbehave", *options, *workers)
    assert own.post(f"{MISBEHAVE}/predict", {"how": "fine"})[0] == 200
    # The server for HTTP keeps its connection.
    with sidecall.open(at) as model:
        assert model.predict({"how": "fine"})["prediction"] > 0


@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--http", "0.0.0.0:0"], "expected tokens=FILE, client_ca=FILE or insecure=yes"),
        (["--http", "127.0.0.1"], "expected HOST:PORT, got no port"),
        (["--grpc", "127.0.0.1:0", "--tls-cert", "none.pem"], "expected cert=FILE and key=FILE"),
        (["--http", "127.0.0.1:0", "--tokens", "none"], "tokens: expected a file"),
    ],
)
def test_addresses_that_cannot_be_served_are_refused(
    workers: list[str], options: list[str], message: str
) -> None:
    assert message in fails_to_start(*options, *workers).stderr


def test_an_address_in_use_is_named(judge: OwnServer) -> None:
    done = fails_to_start("--http", f"127.0.0.1:{judge.port()}")
    assert done.returncode == 4 and "expected a free address, got one in use" in done.stderr


# The Python API.


def address_of(server: sidecall.Server, index: int = 0) -> str:
    return str(server.status()["network"][index]["at"])


@pytest.fixture(params=["native", "cffi"])
def each_backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECALL_PYTHON_BACKEND", request.param)


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., sidecall.Server]:
    def begin(**options: Any) -> Any:
        return sidecall.serve("serving_parts:double", block=False, log=None, **options)

    return begin


@pytest.mark.usefixtures("each_backend")
@pytest.mark.parametrize("workers", [None, 1])
@pytest.mark.parametrize("with_shm", [True, False])
def test_one_call_serves_at_several_addresses(
    serve: Callable[..., sidecall.Server], tmp_path: Path, workers: int | None, with_shm: bool
) -> None:
    at = f"shm:{tmp_path}/double.sock" if with_shm else None
    with serve(
        at=at, http=["127.0.0.1:0", f"{tmp_path}/http"], grpc="127.0.0.1:0", workers=workers
    ) as server:
        status = server.status()
        assert server.at == (at or "http://127.0.0.1:0")
        uris = [f"{each['at']}/double" for each in status["network"]]
        assert len(uris) == 3
        for uri in [*uris, *([at] if at else [])]:
            with sidecall.open(uri) as model:
                assert model.predict({"amount": 21}) == {"prediction": 42.0}
        # All of them run in the same server, which counts a call just after its answer.
        wait_until(lambda: server.status()["calls"] == 3 + with_shm)
        assert server.drain(5) is True
        with pytest.raises(errors.Unreachable):
            sidecall.open(uris[0])
    assert not [path.name for path in tmp_path.iterdir() if path.is_socket()]


def test_an_address_with_its_options_can_be_the_first_argument(
    serve: Callable[..., sidecall.Server],
) -> None:
    with (
        serve(at="http://127.0.0.1:0?name=twice") as server,
        sidecall.open(address_of(server) + "/twice") as model,
    ):
        assert model.predict({"amount": 2}) == {"prediction": 4.0}


def test_a_failure_at_one_address_ends_the_others(
    serve: Callable[..., sidecall.Server], tmp_path: Path
) -> None:
    for workers in (None, 1):
        with pytest.raises(errors.Denied):
            serve(at=f"shm:{tmp_path}/a.sock", http="0.0.0.0:0", workers=workers)
        with pytest.raises(errors.Unreachable):
            sidecall.open(f"shm:{tmp_path}/a.sock")


FORKS = """
import os, sys, sidecall
with sidecall.serve("serving_parts:double", http="127.0.0.1:0", workers={workers}, block=False,
                    log=None) as server:
    if (child := os.fork()) == 0:
        sys.exit(0)  # also leaves the with block
    assert os.waitpid(child, 0)[1] == 0
    with sidecall.open(server.status()["network"][0]["at"] + "/double") as model:
        print(model.predict({{"amount": 1}}))
"""


@pytest.mark.parametrize("workers", [None, 1])
def test_a_forked_child_that_ends_does_not_affect_the_server(workers: int | None) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS.format(workers=workers)],
        env=os.environ | {"PYTHONPATH": str(OBJECTS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "{'prediction': 2.0}\n"), done.stderr
