"""sidecall lambda in Lambda's own Runtime Interface Emulator."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import models
import pytest
from lambda_api import http_event
from lambda_emulator import EMULATOR, Function

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not EMULATOR.exists(), reason=f"{EMULATOR} is missing: make test-long"),
]


@pytest.fixture
def folder(command_path: str, jobs_file: Path, tmp_path: Path) -> Path:
    """The folder of a function, as it is in its zip file."""
    shutil.copy(command_path, tmp_path / "bootstrap")
    shutil.copy(jobs_file, tmp_path / "jobs.onnx")
    return tmp_path


def bootstrap(
    folder: Path, handler: str = "jobs.onnx?engine=native", **environment: str
) -> Function:
    return Function([str(folder / "bootstrap")], folder, _HANDLER=handler, **environment)


def test_records_and_requests_are_answered(folder):
    with bootstrap(folder) as function:
        expected = models.answer(models.FEATURES, models.ROWS[0])
        for _ in range(3):
            answer, _ = function.invoke(json.dumps(models.ROWS[0]).encode())
            assert json.loads(answer)["label"] == expected["label"]
        many, _ = function.invoke(json.dumps(models.ROWS * 2000).encode())
        assert len(json.loads(many)) == 2000 * len(models.ROWS)
        for payload in ("1.0", "2.0"):
            event = http_event(models.ROWS[0], payload)
            answer = json.loads(function.invoke(json.dumps(event).encode())[0])
            assert answer["statusCode"] == 200
            assert json.loads(answer["body"])["label"] == expected["label"]
        assert function.init_ms() > 0


def test_a_bad_event_is_an_error_and_the_function_goes_on(folder):
    with bootstrap(folder) as function:
        for _ in range(2):
            answer, headers = function.invoke(b'{"age": "old"}')
            assert json.loads(answer)["errorType"] == "DTYPE_MISMATCH"
            assert headers.get("X-Amz-Function-Error", "Unhandled") == "Unhandled"
            answer, _ = function.invoke(json.dumps(models.ROWS[0]).encode())
            assert "label" in json.loads(answer)


def test_a_model_that_does_not_open_ends_the_start(folder):
    with bootstrap(folder, "none.onnx") as function:
        answer, _ = function.invoke(b"{}")
        assert json.loads(answer)["errorType"] == "FILE_NOT_FOUND"
        assert "none.onnx" in json.loads(answer)["errorMessage"]


def test_a_file_of_onnxruntime_is_answered(folder, sidecall):
    engine = sidecall.env["SIDECALL_ONNXRUNTIME"]
    with bootstrap(folder, "jobs.onnx?engine=onnxruntime", SIDECALL_ONNXRUNTIME=engine) as function:
        answer, _ = function.invoke(json.dumps(models.ROWS[0]).encode())
        assert "label" in json.loads(answer)
