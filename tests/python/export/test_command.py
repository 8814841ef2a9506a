"""`python -m sidecall.exporting export|check`, as the native command runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import sidecall
from contract_reader import File, check_contract
from export_data import messages
from palmerpenguins import load_penguins
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder


def run(folder, *arguments):
    # Makes the package under test importable, even if it is not installed and its path is relative.
    paths = [str(Path(sidecall.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    return subprocess.run(
        [sys.executable, "-m", "sidecall.exporting", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("command")
    frame = load_penguins()
    first = make_column_transformer(
        (SimpleImputer(), ["bill_length_mm", "body_mass_g"]),
        (OneHotEncoder(handle_unknown="ignore"), ["island"]),
    )
    features = frame.drop(columns="species")[["island", "bill_length_mm", "body_mass_g"]]
    joblib.dump(
        make_pipeline(first, LogisticRegression(max_iter=300)).fit(features, frame["species"]),
        path / "p.joblib",
    )
    frame.to_csv(path / "p.csv", index=False)
    frame.to_json(path / "p.jsonl", orient="records", lines=True)
    (path / "list.jsonl").write_text('{"island": "Dream"}\n\n[1]\n')
    (path / "broken.jsonl").write_text('{"island": "Dream"}\n{"island"\n')
    (path / "deep.jsonl").write_text('{"island": ' + "[" * 100_000 + "\n")
    data = np.round(np.random.default_rng(0).normal(size=(50, 2)), 2)
    joblib.dump(
        make_pipeline(
            FunctionTransformer(np.random.default_rng(0).permutation), LinearRegression()
        ).fit(data, data[:, 0]),
        path / "odd.joblib",
    )
    np.save(path / "odd.npy", data)
    texts, labels = messages(200)
    joblib.dump(
        make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels),
        path / "text.joblib",
    )
    (path / "text.txt").write_text("\n".join(texts), encoding="utf-8")
    joblib.dump({"not": "a model"}, path / "dict.joblib")
    (path / "broken.joblib").write_bytes(b"\x00\x01 no pickle")
    return path


def test_export_writes_a_file_from_csv_data(folder):
    options = [
        "--name",
        "penguins",
        "--version",
        "3",
        "--metadata",
        '{"owner": "ecology"}',
        "--dtype",
        "body_mass_g=float64",
    ]
    result = run(
        folder,
        "export",
        "p.joblib",
        "--trust-pickle",
        "--data",
        "p.csv",
        "-o",
        "out.onnx",
        *options,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("penguins 3 (classification) -> out.onnx")
    file = File(folder / "out.onnx")
    check_contract(file)
    assert (
        file.contract["model"]["metadata"] == {"owner": "ecology"}
        and file.inputs["body_mass_g"][0] == "float64"
    )


def test_json_lines_and_csv_data_give_the_same_contract(folder):
    for file in ("p.csv", "p.jsonl"):
        result = run(
            folder, "export", "p.joblib", "--trust-pickle", "--data", file, "-o", f"{file}.onnx"
        )
        assert (result.returncode, result.stderr) == (0, "")
    csv, jsonl = (File(folder / f"p.{suffix}.onnx").contract for suffix in ("csv", "jsonl"))
    assert [jsonl[part] for part in ("features", "outputs", "verification")] == [
        csv[part] for part in ("features", "outputs", "verification")
    ]


def test_quiet_export_of_text_lines_prints_nothing(folder):
    result = run(
        folder,
        "export",
        "text.joblib",
        "--trust-pickle",
        "--data",
        "text.txt",
        "-o",
        "text.onnx",
        "--quiet",
        "--golden",
        "none",
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert File(folder / "text.onnx").contract["verification"]["source"] == "none"


def test_check_says_whether_all_steps_convert(folder):
    good = run(folder, "check", "p.joblib", "--trust-pickle")
    assert good.returncode == 0 and "LogisticRegression" in good.stdout
    bad = run(folder, "check", "odd.joblib", "--trust-pickle")
    assert bad.returncode == 1 and "FunctionTransformer" in bad.stdout and " no " in bad.stdout
    assert run(folder, "check", "p.joblib", "--trust-pickle", "--data", "p.csv").returncode == 0


def test_a_model_that_does_not_convert_is_refused_with_advice(folder):
    result = run(
        folder, "export", "odd.joblib", "--trust-pickle", "--data", "odd.npy", "-o", "odd.onnx"
    )
    assert (
        result.returncode == 1
        and "sidecall serve pipeline.joblib" in result.stderr
        and result.stdout == ""
    )
    assert not (folder / "odd.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["export", "p.joblib", "--data", "p.csv", "-o", "x.onnx"],
            2,
            "pass --trust-pickle if you trust the author",
        ),
        (["check", "p.joblib"], 2, "pass --trust-pickle"),
        (
            ["export", "none.joblib", "--trust-pickle", "-o", "x.onnx"],
            2,
            "none.joblib: no such file",
        ),
        (["export", ".", "--trust-pickle", "-o", "x.onnx"], 2, "got a directory"),
        (
            ["export", "p.csv", "--trust-pickle", "-o", "x.onnx"],
            2,
            "expected a fitted model as .joblib",
        ),
        (
            ["export", "broken.joblib", "--trust-pickle", "-o", "x.onnx"],
            2,
            "a file that does not load",
        ),
        (
            ["export", "dict.joblib", "--trust-pickle", "-o", "x.onnx"],
            3,
            "expected a fitted model with predict or transform, got dict",
        ),
        (
            ["export", "p.joblib", "--trust-pickle", "--data", "p.onnx", "-o", "x.onnx"],
            2,
            "p.onnx: no such file",
        ),
        (
            ["export", "p.joblib", "--trust-pickle", "--data", "broken.joblib", "-o", "x.onnx"],
            2,
            "broken.joblib",
        ),
        (
            ["export", "p.joblib", "--trust-pickle", "--data", "list.jsonl", "-o", "x.onnx"],
            2,
            "list.jsonl:3: expected a record, got list",
        ),
        (
            ["export", "p.joblib", "--trust-pickle", "--data", "broken.jsonl", "-o", "x.onnx"],
            2,
            "broken.jsonl:2: expected a record as JSON",
        ),
        (
            ["export", "p.joblib", "--trust-pickle", "--data", "deep.jsonl", "-o", "x.onnx"],
            2,
            "deep.jsonl:1: expected a record as JSON",
        ),
        (
            ["export", "p.joblib", "--metadata", '{"a":' * 20_000, "-o", "x.onnx"],
            1,
            "expected a JSON object, got text",
        ),
        (
            [
                "export",
                "p.joblib",
                "--trust-pickle",
                "--data",
                "p.csv",
                "--drop",
                "nope",
                "-o",
                "x.onnx",
            ],
            2,
            "got 'nope'",
        ),
        (
            [
                "export",
                "p.joblib",
                "--trust-pickle",
                "--data",
                "p.csv",
                "--drop",
                "island",
                "-o",
                "x.onnx",
            ],
            2,
            "data without 'island'",
        ),
        (
            ["export", "p.joblib", "--trust-pickle", "-o", "x.onnx"],
            2,
            "the model fails on synthetic numbers: pass rows as in training with --data FILE\n",
        ),
        (
            ["export", "p.joblib", "--trust-pickle", "--data", "p.csv", "-o", "no/x.onnx"],
            4,
            "cannot write x.onnx",
        ),
        (
            [
                "export",
                "p.joblib",
                "--trust-pickle",
                "--data",
                "p.csv",
                "-o",
                "x.onnx",
                "--metadata",
                "[1]",
            ],
            1,
            "expected a JSON object, got list",
        ),
        (
            [
                "export",
                "p.joblib",
                "--trust-pickle",
                "--data",
                "p.csv",
                "-o",
                "x.onnx",
                "--dtype",
                "float16",
            ],
            2,
            "expected 'float32' or 'float64'",
        ),
        (
            [
                *("export", "p.joblib", "--trust-pickle", "--data", "p.csv"),
                *("-o", "x.onnx", "--epoch", "island=ms", "--epoch", "s"),
            ],
            2,
            "epoch: expected one unit for all features, or FEATURE=UNIT for each feature",
        ),
        (
            [
                *("export", "p.joblib", "--trust-pickle", "--data", "p.csv"),
                *("-o", "x.onnx", "--epoch", "island=ms"),
            ],
            2,
            "epoch: expected None for a model without datetime features",
        ),
        (["export", "p.joblib", "--trust-pickle"], 1, "required: -o"),
        (["export"], 1, "usage: sidecall export"),
        (["check"], 1, "usage: sidecall check"),
        ([], 1, "usage: sidecall"),
    ],
)
def test_invalid_arguments_give_an_exit_code_and_a_message(folder, arguments, code, message):
    result = run(folder, *arguments)
    assert result.returncode == code and message in result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    assert not (folder / "x.onnx").exists()


def test_parquet_without_pyarrow_gives_one_line(folder, tmp_path, monkeypatch):
    (tmp_path / "pyarrow.py").write_text("raise ModuleNotFoundError(name='pyarrow')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (folder / "rows.parquet").write_bytes(b"PAR1")
    words = ["export", "p.joblib", "--trust-pickle", "--data", "rows.parquet", "-o", "x.onnx"]
    result = run(folder, *words)
    assert (result.returncode, result.stderr) == (
        4,
        "sidecall export: rows.parquet: reading Parquet needs pyarrow: pip install pyarrow\n",
    )


def test_help_lists_the_options(folder):
    result = run(folder, "export", "--help")
    assert (
        result.returncode == 0
        and result.stdout.startswith("usage: sidecall export")
        and "--trust-pickle" in result.stdout
    )
