"""Tests of benchmarks/cli: right answers pass, wrong ones are noticed, the result document is
complete.

Timings are never asserted.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import common
import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
BARS = [
    "cold_vs_c",
    "joblib_vs_cold",
    "warm_shm_ms",
    "csv_rows_per_s",
    "csv_peak_mb",
    "pandas_vs_csv",
    "stream_us",
]


def run_benchmark(output: Path, **environment: str) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        ROOT / "benchmarks/cli/run.py",
        "--build",
        BUILD,
        "--quick",
        "--output",
        output,
    ]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    output = tmp_path_factory.mktemp("results") / "cli.json"
    done = run_benchmark(output)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().splitlines()[-1].startswith(BARS[-1]), "the bars come last"
    return json.loads(output.read_text(encoding="utf-8"))


def test_every_approach_was_measured_with_right_answers(document: dict) -> None:
    common.check_document(document)
    measured = {(row["scenario"], row["client"], row["approach"]) for row in document["rows"]}
    cold = [
        ("sidecall", "predict"),
        ("sidecall", "predict, warm shm:"),
        ("c", "onnxruntime"),
        ("python", "onnxruntime"),
    ]
    whole = [
        ("sidecall", "predict"),
        ("python", "pandas, onnxruntime"),
        ("python", "pyarrow, onnxruntime"),
    ]
    assert measured == {
        *(("cold", *name) for name in [*cold, ("python", "joblib, scikit-learn")]),
        *(("csv", *name) for name in whole),
        ("stream", "sidecall", "predict --stream"),
    }


def test_peak_memory_is_that_of_the_measured_program(document: dict) -> None:
    peaks = {row["client"]: row["peak_mb"] for row in document["rows"] if row["scenario"] == "csv"}
    assert 5 < peaks["sidecall"] < peaks["python"]


def test_the_document_has_every_bar(document: dict) -> None:
    assert [bar["name"] for bar in document["bars"]] == BARS


def test_a_wrong_answer_ends_the_run_without_a_document(tmp_path: Path) -> None:
    """The command is replaced by one that returns wrong probabilities."""
    real = f"{BUILD}/bin/sidecall"
    bent = f"""#!/bin/sh
if [ "$1" = predict ] && [ "$3" != --stream ]; then {real} "$@" | sed 's/:0\\./:0.0/g'; else exec {real} "$@"; fi
"""
    (tmp_path / "sidecall").write_text(bent, encoding="utf-8")
    (tmp_path / "sidecall").chmod(0o755)
    done = run_benchmark(tmp_path / "cli.json", BENCH_SIDECALL_CLI=str(tmp_path / "sidecall"))
    assert done.returncode == 1
    assert "wrong answers" in done.stderr and "cold, sidecall, predict" in done.stderr
    assert not (tmp_path / "cli.json").exists()
