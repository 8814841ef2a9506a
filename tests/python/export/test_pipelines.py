"""Real pipelines: each exports, opens in plain onnxruntime and gives the original's answers."""

from __future__ import annotations

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from contract_reader import File, check_contract, records
from export_data import houses, messages, payments
from palmerpenguins import load_penguins
from sidecall.exporting import export
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeRegressor


def preprocess(numbers, categories, **encoder):
    """The usual first step of the pipelines."""
    return ColumnTransformer(
        [
            ("num", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            (
                "cat",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"),
                    OneHotEncoder(handle_unknown="ignore", **encoder),
                ),
                categories,
            ),
        ]
    )


def with_edges(frame, text=(), numbers=()):
    """A copy of the rows with an unknown category in each column of `text`.

    Each column of `text` and `numbers` also gets a missing value.
    """
    frame = frame.copy()
    for i, name in enumerate(text):
        frame.loc[frame.index[2 * i], name] = "never seen"
        frame.loc[frame.index[2 * i + 1], name] = np.nan
    for i, name in enumerate(numbers):
        frame.loc[frame.index[i + 10], name] = np.nan
    return frame


def assert_same(model, path, fresh, rows=None):
    """Checks that the file answers like the model, within the tolerance of float32."""
    file = File(path)
    check_contract(file)
    if rows is None:
        rows = records(fresh) if hasattr(fresh, "to_dict") else [{"text": text} for text in fresh]
    got = file.ask(rows)
    if (refused := got.pop("refused", None)) is not None:
        assert not refused.any(), "the model answers these rows"
    method = {
        "label": "predict",
        "prediction": "predict",
        "probabilities": "predict_proba",
        "scores": "decision_function",
    }
    for name, answer in got.items():
        expected = getattr(model, method[name] if hasattr(model, method[name]) else "transform")(
            fresh
        )
        expected = np.asarray(expected).reshape(len(rows), -1)
        answer = answer.reshape(len(rows), -1)
        if name == "label":
            assert (expected.astype(str) == answer.astype(str)).mean() == 1.0
        else:
            np.testing.assert_allclose(
                answer,
                expected,
                rtol=2e-5,
                atol=2e-5 if name == "probabilities" else 2e-5 * np.abs(expected).mean(),
            )
    return file


def feature(file, name):
    return next(entry for entry in file.contract["features"] if entry["name"] == name)


def test_the_penguins_pipeline_is_exported(tmp_path):
    frame = load_penguins()
    target = frame.pop("species")
    numbers = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year"]
    model = make_pipeline(
        preprocess(numbers, ["island", "sex"]), LogisticRegression(max_iter=1000)
    ).fit(frame, target)
    report = export(
        model, tmp_path / "penguins.onnx", frame, version="1", metadata={"owner": "ecology"}
    )
    fresh = with_edges(
        frame.sample(60, random_state=3), text=["island", "sex"], numbers=numbers[:4]
    )
    file = assert_same(model, tmp_path / "penguins.onnx", fresh)
    assert [entry["name"] for entry in file.contract["features"]] == list(frame.columns)
    assert feature(file, "island")["missing"] == {"value": "\ufdd0"}
    assert feature(file, "bill_length_mm")["seen"] == {"min": 32.1, "max": 59.6}
    assert (
        file.contract["model"]["metadata"] == {"owner": "ecology"}
        and file.contract["model"]["name"] == "penguins"
    )
    assert report.weak and "weak: 344 rows" in str(report)


def test_calibrated_lightgbm_after_a_column_transformer_is_exported(tmp_path):
    frame, target = payments(1500)
    booster = CalibratedClassifierCV(lightgbm.LGBMClassifier(n_estimators=20, verbose=-1), cv=3)
    model = make_pipeline(
        preprocess(["amount", "epoch", "age", "hour"], ["country", "card type"]), booster
    ).fit(frame, target)
    export(model, tmp_path / "m.onnx", frame)
    fresh, _ = payments(400, seed=1)
    file = assert_same(
        model,
        tmp_path / "m.onnx",
        with_edges(fresh, text=["country", "card type"], numbers=["age", "amount"]),
    )
    assert feature(file, "card type")["input"] == "card type"
    assert feature(file, "vip")["nullable"] is True, "the model never reads it"


def test_hist_gradient_boosting_with_missing_values_and_double_thresholds_is_exported(tmp_path):
    frame, target = payments(3000)
    numbers = frame[["amount", "age", "hour"]].assign(
        exact=np.random.default_rng(5).normal(size=len(frame))
    )
    model = HistGradientBoostingClassifier(max_iter=40).fit(numbers, target)
    export(model, tmp_path / "m.onnx", numbers)
    file = assert_same(
        model, tmp_path / "m.onnx", with_edges(numbers.iloc[::7], numbers=list(numbers.columns))
    )
    assert [entry["name"] for entry in file.contract["features"]] == [
        "amount",
        "age",
        "hour",
        "exact",
    ]
    assert all(entry["nullable"] and entry["input"] == "X" for entry in file.contract["features"])
    assert file.inputs["X"][0] == "float64"


def test_epoch_seconds_get_float64(tmp_path):
    frame, _ = payments(2000)
    numbers = frame[["epoch", "amount"]]
    target = (numbers["epoch"] % 2) * 10.0 + numbers["amount"]
    model = DecisionTreeRegressor(max_depth=6).fit(numbers, target)
    linear = make_pipeline(StandardScaler(), Ridge()).fit(numbers, target)
    for candidate in (model, linear):
        export(candidate, tmp_path / "m.onnx", numbers)
        file = assert_same(
            candidate, tmp_path / "m.onnx", payments(300, seed=2)[0][["epoch", "amount"]]
        )
        assert file.inputs["X"][0] == "float64"
        assert (
            feature(file, "epoch")["type"] == "int64"
            and feature(file, "amount")["type"] == "float64"
        )


def test_a_text_pipeline_is_exported(tmp_path):
    texts, labels = messages(1200)
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression()).fit(
        texts, labels
    )
    export(model, tmp_path / "m.onnx", texts)
    fresh = [*messages(200, seed=4)[0], "", "win WIN win", "nothing known here"]
    file = assert_same(model, tmp_path / "m.onnx", fresh)
    assert file.contract["features"] == [
        {"name": "text", "type": "string", "nullable": False, "input": "text", "column": 0}
    ]


def test_stacking_of_three_kinds_of_models_is_exported(tmp_path):
    frame, target = payments(1200)
    members = [
        ("forest", RandomForestClassifier(20, max_depth=6, random_state=0)),
        ("xgb", xgboost.XGBClassifier(n_estimators=15, max_depth=3)),
        ("linear", LogisticRegression(max_iter=500)),
    ]
    model = make_pipeline(
        preprocess(["amount", "age", "hour"], ["country", "card type"]),
        StackingClassifier(members, cv=3),
    ).fit(frame, target)
    export(model, tmp_path / "m.onnx", frame)
    assert_same(
        model,
        tmp_path / "m.onnx",
        with_edges(payments(300, seed=6)[0], text=["country", "card type"], numbers=["age"]),
    )


@pytest.mark.parametrize("kind", ["tuned", "fixed"])
def test_classifiers_with_a_threshold_are_exported(tmp_path, kind):
    frame, target = payments(1500)
    words = np.where(target == 1, "fraud", "fine")
    inner = make_pipeline(
        preprocess(["amount", "age", "hour"], ["country", "card type"]),
        LogisticRegression(max_iter=500),
    )
    if kind == "tuned":
        model = TunedThresholdClassifierCV(inner, scoring="balanced_accuracy", cv=3).fit(
            frame, target
        )
        threshold, classes = model.best_threshold_, [0, 1]
    else:
        model = FixedThresholdClassifier(inner, threshold=0.23, pos_label="fraud").fit(frame, words)
        threshold, classes = 0.23, ["fine", "fraud"]
    export(model, tmp_path / "m.onnx", frame)
    file = assert_same(
        model,
        tmp_path / "m.onnx",
        with_edges(payments(400, seed=7)[0], text=["country"], numbers=["age"]),
    )
    label = file.contract["outputs"][0]
    column = classes.index("fraud") if kind == "fixed" else 1
    assert label["classes"] == classes
    assert label["decision"] == {
        "rule": "threshold",
        "output": "probabilities",
        "column": column,
        "threshold": pytest.approx(threshold),
    }


def test_xgboost_with_an_ordinal_encoder_and_missing_values_is_exported(tmp_path):
    frame, target = houses(1500)
    encode = ColumnTransformer(
        [("city", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["city"])],
        remainder="passthrough",
    )
    model = make_pipeline(encode, xgboost.XGBRegressor(n_estimators=30, max_depth=4)).fit(
        frame, target
    )
    export(model, tmp_path / "m.onnx", frame)
    file = assert_same(
        model,
        tmp_path / "m.onnx",
        with_edges(houses(300, seed=8)[0], text=["city"], numbers=["year", "area"]),
    )
    assert file.contract["model"]["task"] == "regression"
    assert feature(file, "year")["nullable"]


def test_voting_with_a_target_encoder_is_exported(tmp_path):
    frame, target = houses(1200)
    first = ColumnTransformer(
        [
            ("city", TargetEncoder(random_state=0), ["city"]),
            ("num", make_pipeline(SimpleImputer(), StandardScaler()), ["area", "rooms", "year"]),
        ]
    )
    members = [
        ("ridge", Ridge()),
        ("near", KNeighborsRegressor(5)),
        ("tree", DecisionTreeRegressor(max_depth=5, random_state=0)),
    ]
    model = make_pipeline(first, VotingRegressor(members)).fit(frame, target)
    export(model, tmp_path / "m.onnx", frame)
    assert_same(
        model, tmp_path / "m.onnx", with_edges(frame.iloc[::9], text=["city"], numbers=["year"])
    )


def test_infrequent_categories_bins_and_ufuncs_are_exported(tmp_path):
    frame, target = payments(1500)
    first = ColumnTransformer(
        [
            (
                "rare",
                OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=100),
                ["country", "card type"],
            ),
            (
                "bins",
                KBinsDiscretizer(6, encode="onehot-dense", quantile_method="averaged_inverted_cdf"),
                ["hour"],
            ),
            ("log", make_pipeline(FunctionTransformer(np.log1p), StandardScaler()), ["amount"]),
        ]
    )
    model = make_pipeline(first, LogisticRegression(max_iter=500)).fit(frame, target)
    export(model, tmp_path / "m.onnx", frame)
    file = assert_same(
        model,
        tmp_path / "m.onnx",
        with_edges(payments(300, seed=9)[0], text=["country", "card type"]),
    )
    assert feature(file, "hour") == {
        "name": "hour",
        "type": "int64",
        "nullable": False,
        "input": "hour",
        "column": 0,
        "seen": {"min": 0, "max": 23},
    }
    assert not feature(file, "amount")["nullable"]


def test_an_isolation_forest_is_exported(tmp_path):
    frame, _ = payments(1200)
    numbers = frame[["amount", "hour"]]
    model = make_pipeline(StandardScaler(), IsolationForest(n_estimators=30, random_state=0)).fit(
        numbers
    )
    export(model, tmp_path / "m.onnx", numbers)
    file = assert_same(model, tmp_path / "m.onnx", numbers.iloc[::5])
    label, scores = file.contract["outputs"]
    assert label["classes"] == [-1, 1] and label["decision"] == {
        "rule": "threshold",
        "output": "scores",
        "column": 0,
        "threshold": 0.0,
    }
    assert "width" not in scores and "classes" not in scores


def test_k_means_is_exported(tmp_path):
    frame, _ = houses(1000)
    numbers = frame[["area", "rooms"]]
    model = make_pipeline(StandardScaler(), KMeans(4, n_init=2, random_state=0)).fit(numbers)
    export(model, tmp_path / "m.onnx", numbers)
    file = assert_same(model, tmp_path / "m.onnx", houses(200, seed=3)[0][["area", "rooms"]])
    assert file.contract["model"]["task"] == "clustering"
    assert file.contract["outputs"][1]["width"] == 4


def test_histogram_regression_after_an_imputer_is_exported(tmp_path):
    frame, target = houses(2500)
    numbers = frame[["area", "rooms", "year"]]
    model = make_pipeline(SimpleImputer(), HistGradientBoostingRegressor(max_iter=30)).fit(
        numbers, target
    )
    export(model, tmp_path / "m.onnx", numbers)
    file = assert_same(model, tmp_path / "m.onnx", with_edges(numbers.iloc[::3], numbers=["year"]))
    assert {entry["type"] for entry in file.contract["features"]} == {"float64", "int64"}


def test_a_model_with_boolean_labels_and_array_data_is_exported(tmp_path):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(1100, 4)).astype(np.float32)
    model = LogisticRegression().fit(data, data[:, 0] > 0)
    export(model, tmp_path / "m.onnx", data, feature_names=["a", "b", "c", "d"])
    rows = [dict(zip("abcd", row, strict=True)) for row in data[:50].tolist()]
    file = assert_same_labels(model, tmp_path / "m.onnx", data[:50], rows)
    label = file.contract["outputs"][0]
    assert label["type"] == "bool" and label["classes"] == [False, True]
    assert all(type(value) is bool for value in file.contract["verification"]["outputs"]["label"])
    assert [entry["name"] for entry in file.contract["features"]] == ["a", "b", "c", "d"]


def assert_same_labels(model, path, fresh, rows):
    file = File(path)
    check_contract(file)
    assert (file.ask(rows)["label"].ravel().astype(bool) == model.predict(fresh)).all()
    return file


def test_column_order_of_the_data_does_not_matter(tmp_path):
    frame, target = payments(300)
    model = Pipeline(
        [("pre", preprocess(["amount", "age"], ["country"])), ("clf", LogisticRegression())]
    ).fit(frame, target)
    report = export(
        model,
        tmp_path / "m.onnx",
        pd.concat([frame[frame.columns[::-1]], pd.Series(target, name="target")], axis=1),
    )
    file = assert_same(model, tmp_path / "m.onnx", frame.iloc[:50])
    assert [entry["name"] for entry in file.contract["features"]] == list(frame.columns)
    assert "target" in str(report) and any("target" in note for note in report.notes)
