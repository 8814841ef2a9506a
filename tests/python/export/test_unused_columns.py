"""Columns whose types no feature can have.

They are left out if the model does not use them, and are otherwise refused with advice.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sidecall
from contract_reader import File, check_contract
from sidecall.exporting import DataError
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

ROWS = 300
WHEN = pd.Series(pd.date_range("2024-02-27", periods=ROWS))
PERIODS = WHEN.dt.to_period("D")
UNREADABLE = {
    "timedelta": WHEN - WHEN[0],
    "dates as objects": WHEN.dt.date.astype(object),
    "period": PERIODS,
    "timestamp of pyarrow": WHEN.astype("timestamp[us][pyarrow]"),
    "lists": pd.Series([[1, 2]] * ROWS),
    "mixed": pd.Series(["a", 1, None] * (ROWS // 3), dtype=object),
}


def data(when=PERIODS):
    rng = np.random.default_rng(1)
    amount = np.round(rng.normal(size=ROWS), 2)
    frame = pd.DataFrame(
        {
            "amount": amount,
            "when": when,
            "label": rng.choice(["x", "y"], ROWS),
            "count": rng.integers(0, 9, ROWS),
        }
    )
    return frame, (amount > 0) ^ (frame["label"] == "x")


def numbers(columns=("amount", "count")):
    return StandardScaler(), list(columns)


def weekday(frame):
    return frame[["amount"]].assign(day=frame["when"].dt.day_of_week)


def chosen(frame):
    return frame[["amount", "count"]]


STEPS = {
    "remainder": make_column_transformer(numbers(), (OneHotEncoder(), ["label"])),
    "by name": make_column_transformer(
        numbers(), (OneHotEncoder(), ["label"]), ("drop", ["when"]), remainder="passthrough"
    ),
    "by position": make_column_transformer(numbers([0, 3]), (OneHotEncoder(), [2])),
    "only numbers are used": make_column_transformer(numbers()),
    "union": FeatureUnion(
        [(name, ColumnTransformer([(name, *numbers([name]))])) for name in ("amount", "count")]
    ),
}


@pytest.mark.parametrize("steps", STEPS)
def test_a_column_that_the_model_drops_is_not_a_feature(tmp_path, steps):
    frame, target = data()
    model = make_pipeline(STEPS[steps], LogisticRegression()).fit(frame, target)
    report = sidecall.export(model, tmp_path / "m.onnx", frame)
    check_contract(File(tmp_path / "m.onnx"))
    assert [feature["name"] for feature in report.contract["features"]] == [
        "amount",
        "label",
        "count",
    ]
    assert any(note.endswith("were left out: when") for note in report.notes)
    with sidecall.open(tmp_path / "m.onnx") as opened:
        answers = opened.predict(frame.drop(columns="when"))["probabilities.true"]
    np.testing.assert_allclose(answers, model.predict_proba(frame)[:, 1], rtol=1e-8)
    assert sidecall.check(model, frame).ok
    comparison = sidecall.compare(model, tmp_path / "m.onnx", frame, progress=False)
    assert (comparison.rows, comparison.moved) == (ROWS, 0)


def test_columns_around_a_dropped_column_keep_their_places(tmp_path):
    frame, target = data()
    frame = frame.drop(columns="label")
    model = make_pipeline(
        make_column_transformer((StandardScaler(), ["count"]), remainder="drop"),
        LogisticRegression(),
    ).fit(frame, target)
    sidecall.export(model, tmp_path / "m.onnx", frame)
    with sidecall.open(tmp_path / "m.onnx") as opened:
        answers = opened.predict(frame.drop(columns="when"))["probabilities.true"]
    np.testing.assert_allclose(answers, model.predict_proba(frame)[:, 1], rtol=1e-8)


@pytest.mark.parametrize("kind", UNREADABLE)
def test_unused_columns_of_every_unsupported_type_are_left_out(tmp_path, kind):
    frame, target = data(UNREADABLE[kind])
    model = make_pipeline(STEPS["remainder"], LogisticRegression()).fit(frame, target)
    report = sidecall.export(model, tmp_path / "m.onnx", frame)
    assert [feature["name"] for feature in report.contract["features"]] == [
        "amount",
        "label",
        "count",
    ]


@pytest.mark.parametrize("first", ["remainder", "selects by name"])
def test_serve_also_leaves_out_unused_columns(tmp_path, first):
    frame, target = data()
    step = FunctionTransformer(chosen) if first == "selects by name" else STEPS[first]
    model = make_pipeline(step, LogisticRegression()).fit(frame, target)
    at = f"shm:{tmp_path}/m.sock"
    with sidecall.serve(model, at, data=frame, block=False, log=None), sidecall.open(at) as opened:
        answers = opened.predict(frame.drop(columns="when"))["probabilities.true"]
    np.testing.assert_allclose(answers, model.predict_proba(frame)[:, 1], atol=1e-12)


@pytest.mark.parametrize("kind", ["period", "timestamp of pyarrow"])
def test_a_used_column_of_an_unsupported_type_is_refused_with_advice(tmp_path, kind):
    frame, target = data(UNREADABLE[kind])
    model = make_pipeline(FunctionTransformer(weekday), LogisticRegression()).fit(frame, target)
    message = "before fit, drop the column or convert it to numbers, text, booleans or datetime64"
    with pytest.raises(DataError, match=message) as caught:
        sidecall.export(model, tmp_path / "m.onnx", frame)
    assert caught.value.name == "when" and not (tmp_path / "m.onnx").exists()
    with pytest.raises(DataError, match=message):
        sidecall.serve(model, f"shm:{tmp_path}/m.sock", data=frame, block=False, log=None)
    report = sidecall.check(model, frame)
    assert not report.ok and message in str(report)


class Sometimes(TransformerMixin, BaseEstimator):
    """Uses the column `when` for some rows only, and works without this column."""

    def fit(self, frame, target=None):
        return self

    def transform(self, frame):
        rare = frame["when"].dt.day == 29 if "when" in frame else np.zeros(len(frame))
        return np.column_stack([frame["amount"], rare * 1.0])


def test_a_column_that_changes_the_answers_is_refused(tmp_path):
    frame, target = data()
    model = make_pipeline(Sometimes(), LogisticRegression()).fit(frame, target)
    model.predict(frame.drop(columns="when"))
    with pytest.raises(DataError, match="column 'when'"):
        sidecall.export(model, tmp_path / "m.onnx", frame)


def test_an_array_with_an_unsupported_column_is_refused_with_advice(tmp_path):
    frame, target = data()
    model = LogisticRegression().fit(frame[["amount", "count"]].to_numpy(), target)
    with pytest.raises(DataError, match=r"column 'x1'.*before fit, drop the column"):
        sidecall.export(model, tmp_path / "m.onnx", frame[["amount", "when"]].to_numpy())
    assert "column 'x1'" in str(sidecall.check(model, frame[["amount", "when"]].to_numpy()))


@pytest.mark.parametrize(
    "rows",
    [[], [{"amount": 1.0}], pd.DataFrame({"other": [1.0]})],
    ids=["none", "records", "other columns"],
)
def test_check_reports_invalid_data(rows):
    frame, target = data()
    model = LogisticRegression().fit(frame[["amount", "count"]], target)
    report = sidecall.check(model, rows)
    assert not report.ok and "expected" in report.refusal
