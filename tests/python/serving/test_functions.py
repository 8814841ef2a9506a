"""Served functions and their errors. Type hints, data or tensor types describe a function."""

from __future__ import annotations

import asyncio
import os
import re
import time
from typing import Any

import numpy as np
import pytest
import serving_parts
import sidecall
from serving_parts import (
    area,
    double,
    judge,
    judge_all,
    misbehave,
    rows_of,
    taxed,
    taxed_all,
    taxed_goods,
)
from sidecall import errors


def test_each_parameter_is_a_feature(serve, at, each_backend):
    serve(double)
    client = sidecall.open(at)
    assert client.predict({"amount": 21}) == {"prediction": 42.0}
    assert client.predict([{"amount": 1}, {"amount": 2.5}]) == [
        {"prediction": 2.0},
        {"prediction": 5.0},
    ]
    with pytest.raises(
        errors.DtypeMismatch, match="feature 'amount': expected float64, got string"
    ):
        client.predict({"amount": "21"})
    with pytest.raises(errors.MissingValue, match="feature 'amount'"):
        client.predict({})


@pytest.mark.parametrize("function", [judge, judge_all])
def test_a_function_over_records_is_served(serve, at, function, each_backend):
    serve(function)
    client = sidecall.open(at)
    assert [(f.name, f.dtype, f.nullable) for f in client.features] == [
        ("amount", "float64", False),
        ("country", "string", False),
        ("retries", "int64", True),
    ]
    payment = {"amount": 75.0, "country": "DE", "retries": None}
    assert client.predict(payment) == judge(payment)  # type: ignore[arg-type]
    many = [payment | {"amount": float(i), "retries": i} for i in range(5)]
    assert client.predict(many) == [judge(each) for each in many]  # type: ignore[arg-type]


def test_a_dataclass_describes_features_and_defaults(serve, at):
    serve(area)
    client = sidecall.open(at)
    assert client.predict({"width": 2.5, "height": 4}) == {"square": 10.0, "is_large": False}
    assert client.predict({"width": 1, "height": 1, "name": "large"}) == {
        "square": 1.0,
        "is_large": True,
    }
    with pytest.raises(errors.DtypeMismatch):
        client.predict({"width": 2.5, "height": 4.5})


@pytest.mark.parametrize("function", [taxed, taxed_goods, taxed_all])
def test_a_default_replaces_a_missing_value(serve, at, function):
    serve(function)
    client = sidecall.open(at)
    assert [(f.name, f.nullable) for f in client.features] == [
        ("price", False),
        ("rate", True),
        ("count", True),
        ("country", True),
    ]
    for left_out in ({}, {"rate": None, "count": None, "country": None}):
        assert client.predict({"price": 10} | left_out) == {"prediction": 24.0}
    assert client.predict([{"price": 10, "count": 1}, {"price": 10, "rate": 0.0}]) == [
        {"prediction": 12.0},
        {"prediction": 20.0},
    ]
    assert client.predict({"price": 10, "country": "CH"}) == {"prediction": 20.0}
    with pytest.raises(errors.MissingValue, match="feature 'price'"):
        client.predict({"rate": 0.5})


def test_a_default_replaces_a_missing_value_for_features_from_data(serve, at):
    def taxed(price, rate=0.25):
        return price * (1 + rate)

    serve(
        taxed, data=[{"price": 10.0, "rate": None}, {"price": 20.0, "rate": 0.5}, {"price": 30.0}]
    )
    client = sidecall.open(at)
    assert client.predict([{"price": 2.0}, {"price": 2.0, "rate": 0.5}]) == [
        {"prediction": 2.5},
        {"prediction": 3.0},
    ]


def test_data_describes_the_features_of_a_function(serve, at):
    def price(record: dict[str, Any]) -> Any:
        rooms = 1 if record["rooms"] is None else record["rooms"]
        return {"prediction": record["size"] * rooms, "parts": [record["size"], float(rooms)]}

    rows = [{"size": 10.5, "rooms": 2}, {"size": 20.0, "rooms": None}, {"size": 7.25, "rooms": 3}]
    serve(price, data=rows)
    client = sidecall.open(at)
    assert client.predict(rows[0]) == {"prediction": 21.0, "parts": [10.5, 2.0]}
    assert client.predict({"size": 20.0}) == {"prediction": 20.0, "parts": [20.0, 1.0]}
    contract = client.contract
    assert contract is not None
    assert contract["verification"]["rows"] > 0
    with pytest.raises(errors.MissingValue):
        client.predict({"rooms": 1})


def test_a_function_over_arrays_is_served(serve, at, each_backend):
    serve(
        rows_of, inputs={"X": "float32[N,3]"}, outputs={"total": "float32[N]", "names": "string[N]"}
    )
    client = sidecall.open(at)
    answer = client.run({"X": np.ones((2, 3), np.float32)})
    assert answer["total"].tolist() == [3.0, 3.0]
    assert answer["names"].tolist() == ["row 0", "row 1"]
    with pytest.raises(errors.NoContract):
        client.predict({"X": 1})
    with pytest.raises(errors.ShapeMismatch):
        client.run({"X": np.ones((2, 4), np.float32)})


def test_a_function_may_keep_and_change_its_arrays(serve, at):
    kept: list[np.ndarray] = []

    def keep(x: np.ndarray) -> np.ndarray:
        kept.append(x)
        x += 1
        return x.sum(axis=1)

    server = serve(keep, inputs={"X": "float64[N,2]"}, outputs={"y": "float64[N]"})
    client = sidecall.open(at)
    for i in range(5):
        client.run({"X": np.full((1, 2), float(i))})
    client.close()
    server.close()
    assert [array.tolist() for array in kept] == [[[i + 1.0, i + 1.0]] for i in range(5)]


def test_a_function_with_a_large_answer_runs_once_per_call(serve, at):
    calls: list[int] = []

    def grow(n: np.ndarray) -> np.ndarray:
        calls.append(1)
        return np.arange(int(n[0]), dtype=np.float64)

    serve(grow, inputs={"n": "int64[1]"}, outputs={"y": "float64[M]"})
    client = sidecall.open(at)
    for size in (1, 10, 1_000_000, 5):
        assert len(client.run({"n": np.array([size])})["y"]) == size
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ("raise", errors.Engine, "the served object failed with ValueError: secret of the server"),
        ("refuse", errors.OutOfRange, "how: expected something else"),
        ("busy", errors.Busy, "too much to do"),
        (
            "not run",
            errors.Internal,
            "the served function failed with NOT_RUN: expected a status that describes a failed request",
        ),
        ("exit", errors.Engine, "the served object failed with SystemExit: 3"),
        ("interrupt", errors.Engine, "the served object failed with KeyboardInterrupt"),
        ("text", errors.Engine, "output 'prediction': expected float64, got string"),
    ],
)
def test_an_exception_of_the_function_reaches_the_caller_without_traceback(
    serve, at, how, error, message, each_backend, capfd
):
    serve(misbehave)
    client = sidecall.open(at)
    for _ in range(2):
        with pytest.raises(error) as caught:
            client.predict({"how": how})
        assert str(caught.value) == message
        assert "Traceback" not in str(caught.value)
        with pytest.raises(error, match=re.escape(message)):
            asyncio.run(asyncio.wait_for(client.apredict({"how": how}), 20))
        with pytest.raises(error, match=re.escape(message)):
            asyncio.run(asyncio.wait_for(client.arun({"how": [[how]]}, timeout=20), 20))
    if how == "refuse":
        assert (caught.value.name, caught.value.expected, caught.value.got) == (
            "how",
            "something else",
            "this",
        )
    assert client.predict({"how": "fine"}) == {"prediction": float(os.getpid())}
    assert capfd.readouterr().err == ""


def test_the_traceback_goes_to_the_log(at, capfd):
    with sidecall.serve(misbehave, at, block=False, log="json"), pytest.raises(errors.Engine):
        sidecall.open(at).predict({"how": "raise"})
    lines = capfd.readouterr().err
    assert "object.failed" in lines
    assert "serving_parts.py" in lines
    assert "second line" in lines


def test_remaining_returns_the_time_left_for_the_call(serve, at, each_backend):
    serve(misbehave)
    client = sidecall.open(at)
    assert 4.0 < client.predict({"how": "left"}, timeout=5)["prediction"] <= 5.0
    # Without a timeout, the default timeout for served models applies.
    assert 20.0 < client.predict({"how": "left"})["prediction"] <= 30.0
    with pytest.raises(errors.Timeout):
        client.predict({"how": "sleep 0.5"}, timeout=0.05)
    assert client.predict({"how": "fine"})["prediction"] == os.getpid()


def test_a_function_without_hints_data_or_contract_is_refused(at):
    for function in (lambda x: x, lambda: 1.0, print):
        with pytest.raises(errors.ContractInvalid, match="expected"):
            sidecall.serve(function, at, block=False, log=None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"features": ' + b"[" * 200_000, "expected JSON of at most 64 levels, got more"),
        (b'{"features": [', "expected JSON"),
        (b'{"features": [], "outputs": [], "x": ' + b"9" * 5000 + b"}", "expected JSON"),
        (b'{"features": "\xff"}', "expected JSON"),
        (b"[]", "expected a contract with features and outputs"),
        (b" " * ((64 << 20) + 1), "expected at most 64 MiB, got more"),
    ],
)
def test_a_file_without_a_valid_contract_is_refused(at, tmp_path, text, message):
    (tmp_path / "x.contract.json").write_bytes(text)
    with pytest.raises(errors.ContractInvalid, match=message):
        sidecall.serve(
            over_arrays, at, contract=tmp_path / "x.contract.json", block=False, log=None
        )


def bad_feature(x: complex) -> float:
    return 0.0


def bad_answer(x: float) -> complex:
    return 0j


def over_arrays(x: np.ndarray) -> np.ndarray:
    return x


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (bad_feature, {}),
        (bad_answer, {}),
        (over_arrays, {}),
        (rows_of, {"inputs": {"X": "float32[N,3]"}}),
        (rows_of, {"inputs": {"X": "float32"}, "outputs": {"y": "float32[N]"}}),
        (rows_of, {"inputs": {"X": "float31[N]"}, "outputs": {"y": "float32[N]"}}),
        (rows_of, {"inputs": {}, "outputs": {}}),
        (judge, {"data": [1, 2]}),
        (lambda r: 1.0, {"data": [{"a": [1]}]}),
        (lambda r: 1.0, {"data": [{"a": None}]}),
        (lambda r: None, {"data": [{"a": 1}]}),
    ],
)
def test_unsupported_hints_and_tensors_are_refused(at, function, options):
    with pytest.raises(errors.Error) as caught:
        sidecall.serve(function, at, block=False, log=None, **options)
    assert "expected" in str(caught.value)


def test_answers_that_do_not_fit_the_outputs_raise_engine(serve, at):
    answers: list[Any] = [
        {"total": np.ones(1, np.float32)},
        (np.ones(1, np.float32),),
        np.ones(1, np.float32),
        None,
        {"total": "x", "names": 1},
    ]

    def wrong(X: np.ndarray) -> Any:  # noqa: N803
        return answers.pop()

    serve(
        wrong, inputs={"X": "float32[N,3]"}, outputs={"total": "float32[N]", "names": "string[N]"}
    )
    client = sidecall.open(at)
    while answers:
        with pytest.raises(errors.Engine, match="expected"):
            client.run({"X": np.ones((1, 3), np.float32)})


@pytest.mark.parametrize(
    ("dtype", "answer"),
    [
        ("int64", np.array([[1.0, 2.5]])),
        ("int64", np.array([[1, 2.5]], dtype=object)),
        ("int64", np.array([[1.0, np.nan]])),
        ("int64", np.array([[1, 1 << 63]], dtype=np.uint64)),
        ("int8", np.array([[1, 300]])),
        ("uint8", np.array([[1, -1]])),
        ("bool", np.array([[1, 2]])),
    ],
)
def test_a_number_that_the_output_type_cannot_hold_raises_engine(serve, at, dtype, answer):
    serve(lambda x: answer, inputs={"X": "float32[N,3]"}, outputs={"y": f"{dtype}[N,2]"})
    with pytest.raises(
        errors.Engine,
        match=f"^output 'y': expected {dtype}, got numbers that this type cannot hold",
    ):
        sidecall.open(at).run({"X": np.ones((1, 3), np.float32)})


def test_a_module_path_and_a_model_file_are_served(serve, at, models):
    with sidecall.serve("serving_parts:double", at, block=False, log=None):
        assert sidecall.open(at).predict({"amount": 2}) == {"prediction": 4.0}
        assert sidecall.open(at).name == "double"
    with sidecall.serve(models / "matrix.onnx", at, block=False, log=None) as server:
        assert sidecall.open(at).predict({"a": 1, "b": 2, "c": True, "d": 0.5}) == {
            "prediction": 621.0
        }
        assert server.status()["verified"] is True
    assert serving_parts.slow(1.0) == 1.0


@pytest.mark.parametrize("workers", [None, 1])
@pytest.mark.parametrize(("query", "options"), [("", {"engine": "native"}), ("?engine=native", {})])
def test_a_model_file_is_served_by_the_native_engine(
    at, models, monkeypatch, workers, query, options
):
    monkeypatch.delenv("SIDECALL_ENGINE", raising=False)
    monkeypatch.setenv("SIDECALL_ONNXRUNTIME", "/no/libonnxruntime.so")
    target = f"{models / 'matrix.onnx'}{query}"
    with sidecall.serve(target, at, workers=workers, block=False, log=None, **options):
        assert sidecall.open(at, wait=60).predict({"a": 1, "b": 2, "c": True, "d": 0.5}) == {
            "prediction": 621.0
        }


def test_a_pickle_needs_trust_pickle(at, tmp_path):
    import joblib
    from sklearn.linear_model import Ridge

    rows = np.arange(20.0).reshape(10, 2)
    model = Ridge().fit(rows, rows[:, 1])
    joblib.dump(model, tmp_path / "ridge.joblib")
    with pytest.raises(errors.InvalidArgument, match="trust_pickle"):
        sidecall.serve(tmp_path / "ridge.joblib", at, data=rows, block=False, log=None)
    with sidecall.serve(
        tmp_path / "ridge.joblib", at, data=rows, trust_pickle=True, block=False, log=None
    ):
        assert (
            sidecall.open(at).predict({"x0": 2.0, "x1": 3.0})["prediction"]
            == model.predict([[2.0, 3.0]])[0]
        )
        assert sidecall.open(at).name == "ridge"
    (tmp_path / "broken.pkl").write_bytes(b"no pickle")
    with pytest.raises(errors.FileInvalid):
        sidecall.serve(
            tmp_path / "broken.pkl", at, data=rows, trust_pickle=True, block=False, log=None
        )


def test_a_closed_server_refuses_status_and_clients_cannot_connect(serve, at):
    server = serve(double)
    assert server.at == at
    assert server.drain(1.0) is True
    server.close()
    server.close()
    with pytest.raises(errors.InvalidArgument, match="closed"):
        server.status()
    with pytest.raises(errors.Unreachable):
        sidecall.open(at)


def test_a_running_server_keeps_its_address(serve, at):
    serve(double)
    with pytest.raises(errors.Busy, match="another server is there"):
        sidecall.serve(double, at, block=False, log=None)
    assert sidecall.open(at).predict({"amount": 1}) == {"prediction": 2.0}


def test_status_is_read_through_the_address(serve, at):
    from sidecall.serving import status

    with pytest.raises(errors.Unreachable):
        status(at)
    serve(double)
    sidecall.open(at).predict({"amount": 1})
    deadline = time.monotonic() + 10  # counters are updated just after the answer
    while (answer := status(at))["calls"] == 0 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert (answer["calls"], answer["errors"], answer["ready"], answer["workers"]) == (
        1,
        0,
        True,
        1,
    )
