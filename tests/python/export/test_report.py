"""Output for people: the report, check, progress. Also tests that the import is cheap."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import sidecall
from export_data import houses, payments
from sidecall.exporting import CheckReport, ModelError, Report, check, export
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler


def model_and_data(rows=1200):
    frame, target = payments(rows)
    frame = frame[["amount", "country"]]
    first = make_column_transformer(
        (StandardScaler(), ["amount"]), (OneHotEncoder(handle_unknown="ignore"), ["country"])
    )
    return make_pipeline(first, LogisticRegression(max_iter=500)).fit(frame, target), frame


def odd(rows):
    return rows.round(1) + len(str(rows))


def test_the_report_is_plain_text_with_tables(tmp_path):
    model, frame = model_and_data()
    report = export(model, tmp_path / "fraud.onnx", frame, version="7")
    text = str(report)
    assert (
        isinstance(report, Report)
        and "\x1b" not in text
        and text.startswith("fraud 7 (classification) -> ")
    )
    for part in (
        report.id,
        "amount   float64",
        "no label differs",
        "measured on 1200 rows",
        "float64: the same as in the model",
        "32 synthetic rows",
        "scikit-learn 1.",
    ):
        assert part in text, part
    assert (
        report.size_bytes == (tmp_path / "fraud.onnx").stat().st_size
        and report.parity["rows"] == 1200
    )


def test_check_names_each_step():
    model, frame = model_and_data()
    report = check(model)
    assert isinstance(report, CheckReport) and report.ok and len(report.steps) >= 3
    assert "LogisticRegression" in str(report) and "yes" in str(report)
    assert check(model, frame).report is not None and "no label differs" in str(check(model, frame))


def test_check_names_the_step_that_does_not_convert():
    frame, target = houses(50)
    numbers = frame[["area", "rooms"]]
    model = make_pipeline(FunctionTransformer(odd), StandardScaler(), LinearRegression()).fit(
        numbers, target
    )
    report = check(model)
    assert not report.ok and [row.converts for row in report.steps].count(False) == 1
    assert next(row for row in report.steps if not row.converts).reason
    with_data = check(model, numbers)
    assert not with_data.ok and with_data.report is None and "cannot export" in str(with_data)


def test_check_refuses_objects_that_are_not_models():
    for thing in (object(), 5, "text"):
        try:
            check(thing)
        except ModelError as error:
            assert "expected a fitted model" in str(error)
        else:
            raise AssertionError(thing)


def test_progress_counts_rows(tmp_path):
    data = np.round(np.random.default_rng(0).normal(size=(25_000, 2)), 2)
    seen = []
    export(
        LinearRegression().fit(data, data[:, 0]),
        tmp_path / "m.onnx",
        data,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(10_000, 25_000), (20_000, 25_000), (25_000, 25_000)]


def test_export_prints_nothing(tmp_path, capfd):
    model, frame = model_and_data(300)
    export(model, tmp_path / "m.onnx", frame)
    assert capfd.readouterr() == ("", "")


def test_the_package_offers_export_without_heavy_imports():
    assert (
        sidecall.export is export
        and sidecall.check is check
        and issubclass(sidecall.ExportError, ValueError)
    )
    code = "import sys, sidecall.exporting; print([name for name in ('sklearn', 'onnx', 'onnxruntime', 'pandas', 'numpy.ma') if name in sys.modules])"
    heavy = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "sklearn" not in heavy and "onnx" not in heavy and "pandas" not in heavy


def test_data_and_model_are_unchanged(tmp_path):
    model, frame = model_and_data(300)
    before, answers = frame.copy(), model.predict_proba(frame)
    export(model, tmp_path / "m.onnx", frame)
    pd.testing.assert_frame_equal(frame, before)
    np.testing.assert_array_equal(model.predict_proba(frame), answers)
