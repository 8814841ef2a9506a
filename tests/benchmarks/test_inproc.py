"""Tests of benchmarks/inproc: right answers pass, wrong ones are noticed, the document is complete.

Timings are never asserted.
"""

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import common
import numpy as np
import pytest
from load_module import load_module

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
BARS = {
    "c_call_vs_raw",
    "c_call_allocations",
    "json_vs_call",
    "py_run_vs_onnxruntime",
    "py_call_vs_onnxruntime",
    "import_extra_ms",
    "import_heavy_packages",
    "open_vs_session",
    "open_close_growth_kib",
}


models = load_module("benchmarks/models.py")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    output = tmp_path_factory.mktemp("results") / "inproc.json"
    command = [
        sys.executable,
        ROOT / "benchmarks/inproc/run.py",
        "--build",
        BUILD,
        "--quick",
        "--output",
        output,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().splitlines()[-1].startswith("open_close_growth_kib"), (
        "the bars come last"
    )
    return json.loads(output.read_text(encoding="utf-8"))


def test_every_approach_was_measured_with_right_answers(document: dict) -> None:
    common.check_document(document)
    measured = {
        (row["client"], row["approach"])
        for row in document["rows"]
        if row["scenario"] == "gbm" and row["rows"] == 1
    }
    native = {
        "raw_run",
        "raw_run_arena",
        "raw_kept",
        "raw_kept_arena",
        "call",
        "setters",
        "json",
        "m2cgen",
        "lightgbm_single_row",
    }
    python = {"onnxruntime", "run", "call", "call_run", "predict", "predict_proba"}
    assert measured == {("c", name) for name in native} | {("python", name) for name in python} | {
        ("python-cffi", "call")
    }
    assert {row["rows"] for row in document["rows"]} == {0, 1, 100}


def test_the_document_has_every_bar(document: dict) -> None:
    assert {bar["name"] for bar in document["bars"]} == BARS


def test_calls_add_no_allocations_and_the_import_loads_no_heavy_package(document: dict) -> None:
    counted = {bar["name"]: bar["value"] for bar in document["bars"]}
    assert counted["c_call_allocations"] <= 0  # the difference from plain ONNX Runtime
    assert counted["import_heavy_packages"] == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bars", None),
        ("rows", [{"scenario": "gbm"}]),
        ("bars", [{"name": "a", "value": float("nan"), "limit": 1.0, "holds": False}]),
    ],
)
def test_an_incomplete_document_is_refused(document: dict, key: str, value: object) -> None:
    with pytest.raises(common.DocumentError):
        common.check_document(deepcopy(document) | {key: value})


@pytest.fixture
def workload() -> object:
    expected = np.tile([[0.9, 0.1], [0.2, 0.8]], (models.RING, 1))
    return models.Workload("made", Path(), expected, None)


def right_answers(workload: object, rows: int) -> np.ndarray:
    expected = workload.expected[:rows]
    return np.column_stack([expected.argmax(axis=1), expected])[None]


def test_right_answers_pass(workload: object) -> None:
    assert workload.check("call", 0, 4, right_answers(workload, 4)) is None


def test_answers_without_labels_pass(workload: object) -> None:
    answers = right_answers(workload, 4)
    answers[..., 0] = -1
    assert workload.check("predict_proba", 0, 4, answers) is None


@pytest.mark.parametrize("value", [0.9001, np.nan, np.inf])
def test_a_wrong_probability_is_detected(workload: object, value: float) -> None:
    answers = right_answers(workload, 4)
    answers[0, 2, 1] = value
    assert "1 answers of 4" in workload.check("call", 0, 4, answers)


def test_a_wrong_label_is_detected(workload: object) -> None:
    answers = right_answers(workload, 4)
    answers[0, 3, 0] = 0
    assert "a label" in workload.check("call", 0, 4, answers)


def test_answers_of_other_rows_are_detected(workload: object) -> None:
    assert workload.check("call", 1, 4, right_answers(workload, 4)) is not None
