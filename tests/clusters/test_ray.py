"""Ray with two nodes: answers, bad rows, a served model, and a killed node.

Ray is imported inside the tests, because only `make test-long` installs it.
"""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import sidecall.ray
from flights_model import Flights
from scaleout.clusters import ADDRESS, ray_cluster, raylets_of, run_and_kill
from sidecall import errors

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    pytest.importorskip("ray", reason="needs Ray: make .venv/.clusters")
    with ray_cluster(2) as cluster:
        yield cluster


@pytest.fixture
def few(cluster: Any, flights: Flights) -> Any:
    import ray

    table = pa.Table.from_pandas(flights.rows.iloc[:20], preserve_index=False)
    return ray.data.from_arrow(table)


def test_kept_columns_come_before_the_answers(few, flights: Flights):
    found = sidecall.ray.predict(few, flights.model, keep=["id"], error=None).to_pandas()
    pd.testing.assert_frame_equal(found, flights.answers.iloc[:20], check_dtype=False)


def test_blocks_of_pandas_get_the_same_answers(cluster, flights: Flights):
    import ray

    rows = ray.data.from_pandas(flights.rows.iloc[:20])
    found = sidecall.ray.predict(rows, flights.model, keep=["id"], error=None).to_pandas()
    pd.testing.assert_frame_equal(found, flights.answers.iloc[:20], check_dtype=False)


def test_map_batches_takes_the_class_itself(few, flights: Flights):
    arguments = {"model": flights.model, "keep": ["id"]}
    scored = few.map_batches(
        sidecall.ray.Predictor, fn_constructor_kwargs=arguments, batch_format="pyarrow"
    )
    found = scored.to_pandas()
    assert found["label"].tolist() == flights.answers["label"].tolist()[:20]
    assert found["error"].isna().all()


def test_bad_rows_have_an_error_and_no_answer(cluster, flights: Flights):
    import ray

    rows = ray.data.from_pandas(flights.with_bad_rows())
    flights.check_bad_rows(sidecall.ray.predict(rows, flights.model, keep=["id"]).to_pandas())


def test_bad_rows_fail_the_job_without_a_column_for_errors(cluster, flights: Flights):
    import ray

    rows = ray.data.from_pandas(flights.with_bad_rows())
    with pytest.raises(Exception, match=r"OutOfRange.*feature 'dep_delay'"):
        sidecall.ray.predict(rows, flights.model, error=None).take_all()


def test_columns_are_checked_before_the_job(few, flights: Flights):
    import ray

    with pytest.raises(errors.MissingInput, match="feature 'dest': expected a column, got none"):
        sidecall.ray.predict(few.drop_columns(["dest"]), flights.model)
    texts = ray.data.from_pandas(flights.rows.iloc[:20].astype({"month": str}))
    with pytest.raises(errors.DtypeMismatch, match=r"'month': expected int64, got .*string"):
        sidecall.ray.predict(texts, flights.model)
    with pytest.raises(errors.UnknownName, match="got 'other'"):
        sidecall.ray.predict(few, flights.model, keep=["other"])
    with pytest.raises(errors.FileNotFound):
        sidecall.ray.predict(few, "none.onnx")


def test_a_block_with_a_column_of_another_type_fails_the_job(cluster, flights: Flights):
    import ray

    rows = flights.rows.head(1000)  # so many are looked at on the driver
    odd = rows.head(4).assign(distance=rows["distance"].head(4).astype(str))
    blocks = ray.data.from_pandas([rows, odd])
    with pytest.raises(Exception, match="DtypeMismatch: feature 'distance'"):
        sidecall.ray.predict(blocks, flights.model, keep=["id"]).take_all()
    few = ray.data.from_pandas([rows.head(4), odd])
    with pytest.raises(
        errors.DtypeMismatch, match="feature 'distance': expected int64, got object"
    ):
        sidecall.ray.predict(few, flights.model, keep=["id"])


def test_a_column_may_be_empty_in_the_first_rows_of_pandas(cluster, flights: Flights):
    import ray

    rows = flights.rows.head(2)
    empty = rows.assign(carrier=None)
    scored = sidecall.ray.predict(ray.data.from_pandas([empty, rows]), flights.model, keep=["id"])
    found = scored.to_pandas()
    assert found["label"].notna().sum() >= 2


def test_a_job_fails_with_the_error_of_its_workers(few, wrong_model: Path):
    scored = sidecall.ray.predict(few, wrong_model)
    with pytest.raises(Exception, match=r"VerificationFailed.*golden row"):
        scored.take_all()


@pytest.fixture(scope="module")
def served(cluster: Any, flights: Flights) -> Iterator[tuple[str, Any]]:
    """The address of a deployment, and its handle."""
    from ray import serve

    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port = probe.getsockname()[1]
    serve.start(http_options={"host": ADDRESS, "port": port})
    handle = serve.run(sidecall.ray.deployment(flights.model, ray_actor_options={"num_cpus": 0}))
    url = f"http://{ADDRESS}:{port}/"
    wait_for_route(url)
    yield url, handle
    serve.shutdown()


def wait_for_route(url: str) -> None:
    """Waits until the proxy knows the deployment, which it learns after `serve.run` has returned.

    Until then it answers with 404 or 503.
    """
    deadline = time.monotonic() + 60
    while True:
        with (
            suppress(urllib.error.HTTPError),
            urllib.request.urlopen(f"{url}-/routes", timeout=60) as answer,
        ):
            if "/" in json.load(answer):
                return
        assert time.monotonic() < deadline, "expected a route within 60 s, got none"
        time.sleep(0.1)


def test_a_deployment_answers_records(served, flights: Flights):
    url, handle = served
    records = json.loads(flights.rows.drop(columns="id").iloc[:3].to_json(orient="records"))
    labels = flights.answers["label"].tolist()[:3]
    code, answer = post(url, json.dumps(records[0]).encode())
    assert (code, answer["label"]) == (200, labels[0])
    code, answers = post(url, json.dumps(records).encode())
    assert (code, [each["label"] for each in answers]) == (200, labels)
    assert handle.predict.remote(records).result() == answers


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (b'{"carrier": 1}', "DTYPE_MISMATCH", "feature 'carrier': expected string, got int64"),
        (b'{"carier": "UA"}', "UNKNOWN_NAME", "carier"),
        (b'{"distance": NaN}', "INVALID_JSON", "expected JSON"),
        (b"{", "INVALID_JSON", "expected JSON"),
        (b"1", "DTYPE_MISMATCH", "expected a record"),
    ],
)
def test_a_deployment_answers_errors_with_their_status(served, body, status: str, text: str):
    code, answer = post(served[0], body)
    assert code == 400
    assert answer["status"] == status
    assert text in answer["error"]


def test_a_fault_has_the_fields_of_other_servers(served):
    code, answer = post(served[0], b'[{"carrier": 1}, {"carier": "UA"}]')
    assert code == 400
    assert list(answer) == ["error", "status", "num_faults", "faults"]
    assert answer["num_faults"] == len(answer["faults"])
    [first, *_] = answer["faults"]
    assert list(first.items()) == [
        ("row", 0),
        ("status", "DTYPE_MISMATCH"),
        ("feature", "carrier"),
        ("expected", "string"),
        ("got", "int64"),
    ]
    unknown = [fault for fault in answer["faults"] if fault["status"] == "UNKNOWN_NAME"]
    assert [(fault["row"], fault["feature"]) for fault in unknown] == [(1, "carier")]


def test_an_error_without_faults_has_no_list_of_them(served):
    _, answer = post(served[0], b"{")
    assert list(answer) == ["error", "status"]


def test_a_fault_without_a_row_leaves_it_out():
    fault = errors.Fault("SHAPE_MISMATCH", None, None, "1 row", "0 rows", "feature '': expected")
    document = sidecall.ray._document(errors.ShapeMismatch("records: expected", faults=[fault]))
    assert document["faults"] == [
        {"status": "SHAPE_MISMATCH", "feature": "", "expected": "1 row", "got": "0 rows"}
    ]


def test_a_deployment_refuses_other_methods(served):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(served[0], timeout=60)
    assert caught.value.code == 405


def test_numbers_that_json_does_not_have_are_null():
    answer = {"scores": [float("nan"), 1.0], "probabilities": {"a": float("-inf"), "b": 0.5}}
    expected = {"scores": [None, 1.0], "probabilities": {"a": None, "b": 0.5}}
    assert sidecall.ray._without_nan(answer) == expected


def post(url: str, body: bytes) -> tuple[int, Any]:
    request = urllib.request.Request(url, data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_nightly_batch_writes_answers_and_rejected_rows(
    cluster, flights: Flights, tmp_path: Path, run_example
):
    flights.check_nightly(run_example, "nightly_ray.py", tmp_path)


def test_each_row_is_answered_once_when_a_node_is_killed(cluster, flights: Flights, tmp_path: Path):
    import ray

    out = tmp_path / "answers"
    scored = sidecall.ray.predict(
        ray.data.read_parquet(str(flights.folder)), flights.model, keep=["id"], batch_size=500
    )
    run_and_kill(
        lambda: scored.write_parquet(str(out)),
        lambda: any(out.rglob("*.parquet")),
        lambda: raylets_of(cluster),
    )
    flights.check(pd.read_parquet(out))
