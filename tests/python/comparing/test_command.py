"""`python -m sidecall.comparing compare`, as the native command runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import sidecall
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor


def run(folder, *arguments):
    paths = [str(Path(sidecall.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    words = [sys.executable, "-P", "-m", "sidecall.comparing", "compare", *arguments]
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """old.joblib is the original of m.onnx; new.joblib answers 10 of the 200 rows differently."""
    path = tmp_path_factory.mktemp("command")
    frame = pd.DataFrame({"a": np.arange(200.0)})
    target = np.floor(frame["a"] / 2)
    old = DecisionTreeRegressor(random_state=0).fit(frame, target)
    sidecall.export(old, path / "m.onnx", frame)
    joblib.dump(old, path / "old.joblib")
    joblib.dump(
        DecisionTreeRegressor(random_state=0).fit(frame, target + (frame["a"] >= 190)),
        path / "new.joblib",
    )
    joblib.dump(
        LinearRegression().fit(frame.rename(columns={"a": "b"}), target), path / "other.joblib"
    )
    joblib.dump({"not": "a model"}, path / "dict.joblib")
    frame.to_csv(path / "rows.csv", index=False)
    frame.to_parquet(path / "rows.parquet")
    (path / "bad.csv").write_text("a\nx\n")
    return path


NEW = ["m.onnx", "rows.csv", "--original", "new.joblib", "--trust-pickle"]


def test_the_command_prints_the_report(folder):
    done = run(folder, "m.onnx", "rows.parquet", "--original", "old.joblib", "--trust-pickle")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout.startswith("m.onnx against DecisionTreeRegressor\n")
        and "0 of 200 rows" in done.stdout
    )


@pytest.mark.parametrize(
    ("most", "code"), [("0", 1), ("9", 1), ("10", 0), ("4.9%", 1), ("5%", 0), ("100%", 0)]
)
def test_the_exit_code_depends_on_max_moved(folder, most, code):
    done = run(folder, *NEW, "--max-moved", most, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_the_json_report_follows_the_options(folder):
    done = run(folder, *NEW, "--json", "--worst", "2", "--chunk", "50", "--stability", "all")
    assert (done.returncode, done.stderr) == (1, "")
    found = json.loads(done.stdout)
    assert (found["rows"], found["moved"], found["checked"], found["holds"]) == (
        200,
        10,
        200,
        False,
    )
    assert [row["row"] for row in found["worst"]] == [190, 191]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["m.onnx", "rows.csv", "--original", "old.joblib"], 2, "--trust-pickle"),
        (
            ["m.onnx", "none.csv", "--original", "old.joblib", "--trust-pickle"],
            2,
            "none.csv: no such file",
        ),
        (
            ["m.onnx", "rows.csv", "--original", "none.joblib", "--trust-pickle"],
            2,
            "none.joblib: no such file",
        ),
        (
            ["m.onnx", "bad.csv", "--original", "old.joblib", "--trust-pickle"],
            2,
            "no row was answered by both models",
        ),
        (["none.onnx", "rows.csv", "--original", "old.joblib", "--trust-pickle"], 3, "none.onnx"),
        (["rows.csv", "rows.csv", "--original", "old.joblib", "--trust-pickle"], 3, "rows.csv"),
        (
            ["m.onnx", "rows.csv", "--original", "dict.joblib", "--trust-pickle"],
            3,
            "expected a fitted model",
        ),
        (["m.onnx", "rows.csv"], 1, "--original"),
        (
            [*NEW, "--max-moved", "some"],
            1,
            "expected a number of rows or a percentage such as 0.1%, got 'some'",
        ),
        ([*NEW, "--max-moved", "1.5"], 1, "expected a number of rows"),
        ([*NEW, "--stability", "most"], 1, "expected a number of rows or 'all'"),
        (
            [*NEW, "--dtype", "float32", "--dtype", "a=float64"],
            2,
            "expected one type for all features",
        ),
        ([*NEW, "--dtype", "b=float64"], 2, "dtypes: expected names of features, got 'b'"),
        ([*NEW, "--chunk", "0"], 2, "chunk: expected a number of at least 1"),
        (["shm:no-server-here", *NEW[1:]], 4, "no-server-here"),
    ],
)
def test_an_error_gives_an_exit_code_and_a_message(folder, arguments, code, message):
    done = run(folder, *arguments)
    assert done.returncode == code and message in done.stderr
    assert done.stderr.count("Traceback") == 0


def test_no_code_of_the_current_folder_runs_without_trust_pickle(folder, tmp_path):
    (tmp_path / "sklearn.py").write_text("print('ran')")
    (tmp_path / "old.joblib").write_bytes((folder / "old.joblib").read_bytes())
    done = run(tmp_path, "m.onnx", "rows.csv", "--original", "old.joblib")
    assert done.returncode == 2 and "ran" not in done.stdout
