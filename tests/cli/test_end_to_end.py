"""A pipeline from a pickle to answers in the shell: check, export, info, verify and predict.

Uses the real Python package.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import joblib
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a pipeline, its rows as CSV, and the answers of the pipeline itself."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    folder = tmp_path_factory.mktemp("trained")
    rows = pd.DataFrame(
        {
            "size": [1.5, None, 3.25, 4.0, 0.5, 2.0] * 20,
            "town": ["Ulm", "Köln", "Ulm", "Bonn", "Köln", "Bonn"] * 20,
        }
    )
    rows["weight"] = [float(i % 17) for i in range(len(rows))]
    labels = [
        "big" if w + (s if s == s else 2) > 10 else "small"
        for w, s in zip(rows["weight"], rows["size"], strict=True)
    ]
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    columns = make_column_transformer(
        (numbers, ["size", "weight"]), (OneHotEncoder(handle_unknown="ignore"), ["town"])
    )
    pipeline = make_pipeline(columns, LogisticRegression()).fit(rows, labels)
    joblib.dump(pipeline, folder / "pipeline.joblib")
    rows.to_csv(folder / "rows.csv", index=False)
    return folder, pipeline, rows


@pytest.fixture
def python(sidecall):
    sidecall.env["SIDECALL_PYTHON"] = sys.executable
    return sidecall


def test_a_pickle_is_exported_checked_and_called(python, trained):
    folder, pipeline, rows = trained
    python.cwd = folder
    checked = python("check", "pipeline.joblib", "--trust-pickle")
    assert checked.code == 0, checked.err
    assert "StandardScaler" in checked.out

    exported = python(
        "export", "pipeline.joblib", "-o", "model.onnx", "--data", "rows.csv", "--trust-pickle"
    )
    assert exported.code == 0, exported.err

    verified = python("verify", "model.onnx")
    assert (verified.code, verified.err) == (0, "")
    info = json.loads(python("info", "model.onnx", "--json").out)
    assert [feature["name"] for feature in info["contract"]["features"]] == [
        "size",
        "town",
        "weight",
    ]

    records = [{k: v for k, v in record.items() if v == v} for record in rows.to_dict("records")]
    done = python(
        "predict", "model.onnx", stdin="\n".join(json.dumps(record) for record in records)
    )
    assert (done.code, done.err) == (0, "")
    answers = [json.loads(line) for line in done.lines()]
    assert [answer["label"] for answer in answers] == list(pipeline.predict(rows))
    expected = pipeline.predict_proba(rows)
    assert [list(answer["probabilities"]) for answer in answers] == [["big", "small"]] * len(rows)
    for answer, row in zip(answers, expected.tolist(), strict=True):
        assert list(answer["probabilities"].values()) == pytest.approx(row, abs=1e-5)
    assert python("diff", "model.onnx", "model.onnx").code == 0


def test_a_pickle_is_not_loaded_without_trust_pickle(python, trained):
    folder, _, _ = trained
    python.cwd = folder
    done = python("check", "pipeline.joblib")
    assert (done.code, done.out) == (2, "")
    assert "--trust-pickle" in done.err


def test_a_missing_pickle_is_reported(python, tmp_path):
    done = python("export", "none.joblib", "-o", "model.onnx", "--trust-pickle")
    assert (done.code, done.out) == (2, "")
    assert "none.joblib" in done.err
    assert not Path(tmp_path / "model.onnx").exists()


def test_a_step_that_does_not_convert_fails_with_code_1(python, tmp_path):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    joblib.dump(
        make_pipeline(StandardScaler(), FunctionTransformer(str)).fit([[1.0], [2.0]]),
        tmp_path / "odd.joblib",
    )
    done = python("check", "odd.joblib", "--trust-pickle")
    assert done.code == 1
    assert "FunctionTransformer" in done.out + done.err
