"""sidecall lambda: events in, answers out, by the rules of Lambda's Runtime API."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import time
from pathlib import Path

import models
import pytest
from lambda_api import Api, ended, http_event
from vector_files import MODELS
from vector_servers import stop_process

from serving import serving

OLD_AGE = {"age": "old", "income": 1, "kids": 0, "job": "nurse"}
OLD_AGE_TEXT = "feature 'age': expected float32, got string"


@pytest.fixture
def api():
    with Api() as api:
        yield api


@pytest.fixture
def function(sidecall, jobs, api):
    """The process of a function whose model is the classifier of tests/cli/models.py."""
    sidecall.env["AWS_LAMBDA_RUNTIME_API"] = api.address
    with sidecall.start("lambda", jobs) as process:
        yield process
        if process.poll() is None:
            ended(process)


def is_right(answer, row) -> bool:
    expected = models.answer(models.FEATURES, row)
    return answer["label"] == expected["label"] and answer["probabilities"] == pytest.approx(
        expected["probabilities"], abs=1e-6
    )


def test_records_are_answered_as_predict_answers_them(function, api, sidecall, jobs):
    for row in models.ROWS:
        assert is_right(api.answer(row), row)
    lines = sidecall("predict", jobs, stdin="\n".join(map(json.dumps, models.ROWS))).lines()
    assert api.call(models.ROWS).body.decode() == f"[{','.join(lines)}]"


def test_one_connection_serves_all_events_and_sigterm_ends_the_function(function, api):
    for row in models.ROWS * 10:
        api.answer(row)
    assert ended(function) == (0, "")
    assert len(api.connections) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_function_that_waits(function, api, number):
    api.asked.get(timeout=20)
    assert ended(function, number) == (0, "")


def test_the_model_runs_its_golden_rows_before_the_first_event(sidecall, tmp_path, api):
    def spoil(contract):
        contract["verification"]["outputs"]["probabilities"][0] = [0.5, 0.5]

    models.classifier(tmp_path / "spoilt.onnx", change=spoil)
    sidecall.env["AWS_LAMBDA_RUNTIME_API"] = api.address
    done = sidecall("lambda", "spoilt.onnx")
    assert (done.code, done.out) == (3, "")
    sent = api.sent.get(timeout=20)
    assert sent.path == "init/error"
    assert sent.headers["Lambda-Runtime-Function-Error-Type"] == "Runtime.VERIFICATION_FAILED"
    assert sent.json()["errorType"] == "VERIFICATION_FAILED"
    assert done.err == f"sidecall: {sent.json()['errorMessage']}\n"
    assert api.asked.empty()


@pytest.mark.parametrize("how", ["off", "warn"])
def test_a_model_whose_golden_rows_fail_answers_on_request(sidecall, tmp_path, api, how):
    def spoil(contract):
        contract["verification"]["outputs"]["probabilities"][0] = [0.5, 0.5]

    models.classifier(tmp_path / "spoilt.onnx", change=spoil)
    sidecall.env["AWS_LAMBDA_RUNTIME_API"] = api.address
    with sidecall.start("lambda", "spoilt.onnx", "--verify", how) as process:
        assert is_right(api.answer(models.ROWS[0]), models.ROWS[0])
        code, err = ended(process)
    assert code == 0
    assert ("warning" in err) == (how == "warn")


def test_a_model_that_does_not_open_is_an_error_of_init(sidecall, tmp_path, api):
    (tmp_path / "torn.onnx").write_bytes(b"torn")
    models.bare(tmp_path / "bare.onnx")
    sidecall.env["AWS_LAMBDA_RUNTIME_API"] = api.address
    for words, code, status in [
        (["none.onnx"], 3, "FILE_NOT_FOUND"),
        (["torn.onnx"], 3, "FILE_INVALID"),
        (["bare.onnx"], 3, "NO_CONTRACT"),
        ([], 1, "INVALID_ARGUMENT"),
    ]:
        done = sidecall("lambda", *words)
        sent = api.sent.get(timeout=20)
        assert (done.code, sent.path, sent.json()["errorType"]) == (code, "init/error", status)
        assert done.err == f"sidecall: {sent.json()['errorMessage']}\n"
    assert "expected MODEL, or a handler that names it, got neither" in done.err


def test_the_handler_names_a_model_in_the_folder_of_the_function(sidecall, jobs, api, tmp_path):
    task = tmp_path / "task"
    task.mkdir()
    shutil.move(tmp_path / jobs, task / "fraud.onnx")
    bootstrap = tmp_path / "bootstrap"
    bootstrap.symlink_to(sidecall.path)
    sidecall.path = str(bootstrap)
    sidecall.env |= {
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "LAMBDA_TASK_ROOT": str(task),
        "_HANDLER": "fraud.onnx?engine=native",
    }
    with sidecall.start() as process:
        assert is_right(api.answer(models.ROWS[0]), models.ROWS[0])
        assert ended(process) == (0, "")


# Plain events.


@pytest.mark.parametrize(
    ("event", "status", "message"),
    [
        (OLD_AGE, "DTYPE_MISMATCH", OLD_AGE_TEXT),
        ([models.ROWS[0], OLD_AGE], "DTYPE_MISMATCH", OLD_AGE_TEXT + " (row 1)"),
        ([], "SHAPE_MISMATCH", "records: expected at least 1 row, got 0 rows"),
        (models.ROWS[0] | {"x": 1}, "UNKNOWN_NAME", None),
        (b"{", "INVALID_JSON", None),
        (b"", "INVALID_JSON", None),
        (b"null", "DTYPE_MISMATCH", None),
        (b'{"age": "\xff"}', "INVALID_JSON", None),
        (b"[" * 100000, "DTYPE_MISMATCH", None),
        (b'{"requestContext":' * 1000, "INVALID_JSON", None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_event_is_an_error_with_the_status_as_its_type(function, api, event, status, message):
    sent = api.call(event)
    assert sent.path.endswith("/error")
    assert sent.headers["Lambda-Runtime-Function-Error-Type"] == f"Function.{status}"
    assert sent.headers["Content-Type"] == "application/json"
    error = sent.json()
    assert (error["errorType"], error["stackTrace"]) == (status, [])
    assert message in (None, error["errorMessage"])
    assert is_right(api.answer(models.ROWS[0]), models.ROWS[0])  # the function goes on
    code, err = ended(function)
    request_id = sent.path.split("/")[1]
    assert code == 0
    assert err.startswith(f"sidecall: lambda: request {request_id}: {status}: ")


def test_all_faults_of_an_event_are_reported(function, api):
    error = api.error([OLD_AGE, models.ROWS[0], OLD_AGE | {"x": 1}])
    assert error["num_faults"] == 3
    fault = {"status": "DTYPE_MISMATCH", "feature": "age", "expected": "float32", "got": "string"}
    assert error["faults"][:2] == [{"row": 0} | fault, {"row": 2} | fault]
    assert error["faults"][2]["feature"] == "x"


def test_unknown_keys_are_ignored_on_request(sidecall, jobs, api):
    sidecall.env["AWS_LAMBDA_RUNTIME_API"] = api.address
    with sidecall.start("lambda", jobs, "--extra", "ignore") as process:
        assert is_right(api.answer(models.ROWS[0] | {"x": 1}), models.ROWS[0])
        ended(process)


def test_an_event_whose_deadline_has_passed_is_not_run(function, api):
    passed = str(int(time.time() * 1000) - 1)
    error = api.error(models.ROWS[0], Deadline_Ms=passed)
    assert error["errorType"] == "TIMEOUT"
    answer = api.answer(http_event(models.ROWS[0]), Deadline_Ms=passed)
    assert answer["statusCode"] == 504
    later = str(int(time.time() * 1000) + 60000)
    assert is_right(api.answer(models.ROWS[0], Deadline_Ms=later), models.ROWS[0])
    assert is_right(api.answer(models.ROWS[0], Deadline_Ms=None), models.ROWS[0])


def test_a_run_ends_before_the_deadline_of_its_event(sidecall, jobs, api, tmp_path):
    at = f"shm:{tmp_path}/jobs.sock"
    sidecall.env["AWS_LAMBDA_RUNTIME_API"] = api.address
    with serving(sidecall, jobs, at) as server, sidecall.start("lambda", at) as process:
        assert is_right(api.answer(models.ROWS[0]), models.ROWS[0])
        stop_process(server.process.pid)
        error = api.error(models.ROWS[0], Deadline_Ms=str(int(time.time() * 1000) + 300))
        server.process.send_signal(signal.SIGCONT)
        assert error["errorType"] == "TIMEOUT"
        assert is_right(api.answer(models.ROWS[0]), models.ROWS[0])
        assert ended(process)[0] == 0


def memory_of(process) -> bytes:
    """The heap of a process."""
    maps = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
    first, last = (
        int(at, 16) for at in next(m for m in maps if "[heap]" in m).split()[0].split("-")
    )
    with Path(f"/proc/{process.pid}/mem").open("rb") as memory:
        memory.seek(first)
        return memory.read(last - first)


def test_the_trace_id_of_an_event_is_in_the_environment(function, api):
    api.answer(models.ROWS[0], Trace_Id="Root=1-5bef4de7-first")
    # The kernel shows only the environment with which a process began.
    assert b"_X_AMZN_TRACE_ID=Root=1-5bef4de7-first\0" in memory_of(function)
    api.answer(models.ROWS[0], Trace_Id="Root=1-5bef4de7-second")
    assert b"_X_AMZN_TRACE_ID=Root=1-5bef4de7-second\0" in memory_of(function)


def test_an_answer_that_lambda_does_not_take_is_an_error(function, api):
    rows = models.ROWS[:1] * 120_000
    error = api.error(rows)
    assert error["errorType"] == "OUT_OF_RANGE"
    assert error["errorMessage"].startswith("answer: expected at most 6291556 bytes, got ")
    assert error["errorMessage"].endswith(": send fewer records")
    assert "num_faults" not in error
    answer = api.answer(http_event(rows))
    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["status"] == "OUT_OF_RANGE"


@pytest.fixture
def small_function(sidecall, api):
    """A function of 512 MiB whose model takes records without features."""
    sidecall.env |= {
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
    }
    large = b"x" * (500 << 20)  # of the process that starts the function; it does not count
    with sidecall.start("lambda", MODELS / "penguins.onnx") as process:
        del large
        yield process
        process.kill()


def test_an_event_that_needs_too_much_memory_is_refused(small_function, api):
    assert len(api.answer([{}] * 10_000)) == 10_000
    records = b"[" + b"{}," * 1_900_000 + b"{}]"
    refused = api.error(records)
    assert refused["errorType"] == "OUT_OF_MEMORY"
    assert "send fewer records, or give the function more memory" in refused["errorMessage"]
    over_http = api.answer(http_event(records.decode()))
    assert over_http["statusCode"] == 503
    assert json.loads(over_http["body"])["status"] == "OUT_OF_MEMORY"
    many_values = b'{"requestContext": {}, "more": [' + b"0," * 10_000_000 + b"0]}"
    assert api.answer(many_values)["statusCode"] == 503
    assert api.answer({})["label"]
    status = Path(f"/proc/{small_function.pid}/status").read_text()
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    assert peak_kib < 512 * 1024


def test_large_events_arrive_in_chunks(function, api):
    rows = models.ROWS * 500
    answers = api.answer(rows, is_chunked=True)
    assert len(answers) == len(rows)
    assert is_right(answers[-1], rows[-1])


# Events over HTTP.

PAYLOADS = pytest.mark.parametrize("payload", ["1.0", "2.0"])


@PAYLOADS
def test_a_request_over_http_is_answered_with_status_200(function, api, payload):
    answer = api.answer(http_event(models.ROWS[0], payload))
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"] == "application/json"
    assert answer["isBase64Encoded"] is False
    assert is_right(json.loads(answer["body"]), models.ROWS[0])
    answer = api.answer(http_event(models.ROWS, payload))
    assert len(json.loads(answer["body"])) == len(models.ROWS)


@PAYLOADS
def test_a_body_in_base64_is_decoded(function, api, payload):
    text = json.dumps(models.ROWS[0]).encode()
    for spaces in range(3):  # all lengths of the padding
        body = base64.b64encode(text + b" " * spaces).decode()
        answer = api.answer(http_event(body, payload) | {"isBase64Encoded": True})
        assert is_right(json.loads(answer["body"]), models.ROWS[0])


@pytest.mark.parametrize("kind", ["Application/JSON", "application/json ; charset=utf-8"])
def test_media_types_are_compared_as_http_defines_it(function, api, kind):
    event = http_event(models.ROWS[0]) | {"headers": {"content-type": kind}}
    assert api.answer(event)["statusCode"] == 200


@PAYLOADS
@pytest.mark.parametrize(
    ("changes", "code", "error"),
    [
        ({"body": "{"}, 400, None),
        ({"body": None}, 400, None),
        ({"body": json.dumps(OLD_AGE)}, 400, OLD_AGE_TEXT),
        (
            {"body": "%%%", "isBase64Encoded": True},
            400,
            "body: expected base64, because isBase64Encoded is true, got characters that are not base64",
        ),
        (
            {"headers": {"CONTENT-TYPE": "text/plain"}},
            415,
            "expected the content type application/json: set the header Content-Type to it",
        ),
        ({"headers": None}, 415, None),
        ({"headers": []}, 415, None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_request_is_an_error_over_http(function, api, payload, changes, code, error):
    answer = api.answer(http_event("", payload) | changes)
    assert answer["statusCode"] == code
    assert answer["headers"]["content-type"] == "application/json"
    assert error in (None, json.loads(answer["body"])["error"])
    assert ended(function) == (0, "")  # what the client did wrong is not in the log


def test_the_body_of_an_error_is_that_of_the_server(function, api):
    answer = api.answer(http_event([models.ROWS[0], OLD_AGE]))
    assert json.loads(answer["body"]) == {
        "error": OLD_AGE_TEXT + " (row 1)",
        "status": "DTYPE_MISMATCH",
        "num_faults": 1,
        "faults": [
            {
                "row": 1,
                "status": "DTYPE_MISMATCH",
                "feature": "age",
                "expected": "float32",
                "got": "string",
            }
        ],
    }


@pytest.mark.parametrize(
    ("payload", "changes"),
    [
        ("1.0", {"httpMethod": "GET"}),
        ("2.0", {"requestContext": {"http": {"method": "GET"}}}),
    ],
)
def test_other_methods_than_post_are_refused(function, api, payload, changes):
    answer = api.answer(http_event("", payload) | changes)
    assert (answer["statusCode"], answer["headers"]["allow"]) == (405, "POST")


@pytest.mark.parametrize("context", [{}, {"http": "POST"}, {"connectionId": "x"}], ids=str)
def test_an_event_with_another_context_is_refused(function, api, context):
    answer = api.answer({"requestContext": context, "body": json.dumps(models.ROWS[0])})
    assert answer["statusCode"] == 400
    error = "expected the event of an HTTP request, got an event without an HTTP method"
    assert json.loads(answer["body"])["error"] == error


@pytest.mark.parametrize("context", [None, 1, "x", []], ids=str)
def test_a_context_that_is_no_object_is_a_key_of_a_record(function, api, context):
    error = api.error(models.ROWS[0] | {"requestContext": context})
    assert error["errorType"] in {"UNKNOWN_NAME", "INVALID_JSON", "DTYPE_MISMATCH"}


# The command line.


def test_outside_of_lambda_the_command_says_what_is_missing(sidecall, jobs):
    done = sidecall("lambda", jobs)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(
        "sidecall: lambda: expected the address of the Runtime API in AWS_LAMBDA_RUNTIME_API"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--zip", "f.zip"], "lambda: --zip: expected MODEL, got nothing"),
        (["m.onnx", "--zip", ""], "lambda: --zip: expected a file, got an empty name"),
        (["m.onnx", "--zip", "f.zip", "--extra", "ignore"], "lambda: --extra: expected no --zip"),
        (["m.onnx", "--verify", "no"], "lambda: --verify: expected error, warn or off, got 'no'"),
        (["m.onnx", "n.onnx"], "lambda: unexpected argument: n.onnx"),
    ],
)
def test_a_wrong_command_line_is_refused(sidecall, words, message):
    done = sidecall("lambda", *words)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"sidecall: {message}")


def test_only_a_program_named_bootstrap_is_a_function(sidecall, tmp_path):
    for name, code in [("bootstrap", 1), ("strap", 1), ("bootstrap.old", 1)]:
        link = tmp_path / name
        link.symlink_to(sidecall.path)
        sidecall.path = os.fspath(link)
        done = sidecall()
        is_function = "AWS_LAMBDA_RUNTIME_API" in done.err
        assert (done.code, is_function) == (code, name == "bootstrap")
