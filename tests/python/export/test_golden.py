"""Golden rows: where their answers come from, how many, how large, and what is left out."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import sidecall
from contract_reader import File, check_contract
from export_data import houses, messages, payments
from sidecall.exporting import DataError, export
from sidecall.exporting.model.original import Output
from sidecall.exporting.parity.compare import compare, tolerated
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler


@pytest.fixture
def paid():
    frame, target = payments(400)
    frame = frame[["amount", "age", "country"]]
    first = make_column_transformer(
        (SimpleImputer(), ["amount", "age"]), (OneHotEncoder(handle_unknown="ignore"), ["country"])
    )
    return make_pipeline(first, LogisticRegression(max_iter=500)).fit(frame, target), frame


def exported(tmp_path, model, data, **options):
    export(model, tmp_path / "m.onnx", data, **options)
    file = File(tmp_path / "m.onnx")
    check_contract(file)
    return file


def test_synthetic_rows_contain_edge_cases(tmp_path, paid):
    model, frame = paid
    file = exported(tmp_path, model, frame)
    part = file.contract["verification"]
    amount, age, country = part["features"]
    assert part["source"] == "synthetic" and part["rows"] == 32
    assert frame["amount"].min() in amount and frame["amount"].max() in amount and None in amount
    assert "unknown category" in country and None in country and None in age


def test_golden_answers_are_those_of_the_original(tmp_path, paid):
    model, frame = paid
    part = exported(tmp_path, model, frame).contract["verification"]
    rows = pd.DataFrame(dict(zip(frame.columns, part["features"], strict=True))).astype(
        frame.dtypes
    )
    rows.loc[rows["country"].isna(), "country"] = np.nan
    np.testing.assert_allclose(
        part["outputs"]["probabilities"], model.predict_proba(rows), atol=1e-7
    )
    assert part["outputs"]["label"] == model.predict(rows).tolist()


def test_the_option_golden_chooses_real_rows_or_no_rows(tmp_path, paid):
    model, frame = paid
    part = exported(tmp_path, model, frame, golden="real").contract["verification"]
    assert part["source"] == "real" and set(part["features"][0]) <= set(frame["amount"])
    none = exported(tmp_path, model, frame, golden="none").contract["verification"]
    assert none["source"] == "none" and none["rows"] == 0
    with pytest.raises(DataError, match="expected 'synthetic', 'real' or 'none', got 'some'"):
        export(model, tmp_path / "m.onnx", frame, golden="some")
    with pytest.raises(DataError, match="expected data for 'real' rows"):
        export(LinearRegression().fit([[0.0]], [1.0]), tmp_path / "m.onnx", golden="real")


def test_without_ranges_the_file_contains_no_number_of_the_data(tmp_path, paid):
    model, frame = paid
    contract = exported(tmp_path, model, frame, ranges=False).contract
    assert all("seen" not in feature for feature in contract["features"])
    drawn = {value for value in contract["verification"]["features"][0] if value is not None}
    assert len(drawn) > 10 and not drawn & set(frame["amount"].tolist())


def test_free_text_is_not_copied_into_the_file(tmp_path):
    texts, labels = messages(300)
    contract = exported(
        tmp_path, make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels), texts
    ).contract
    golden = contract["verification"]["features"][0]
    assert "" in golden and not {text for text in golden if len(text.split()) > 3} & set(texts)
    assert "seen" not in contract["features"][0]


def test_the_number_of_wide_golden_rows_is_reduced_to_the_size_limit(tmp_path):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 3000))
    file = exported(tmp_path, LinearRegression().fit(data, data[:, 0]), data)
    part = file.contract["verification"]
    assert 1 <= part["rows"] < 32
    assert len(json.dumps(part, separators=(",", ":"))) <= 64 * 1024


def test_a_row_larger_than_the_size_limit_leaves_no_golden_rows(tmp_path):
    data = np.random.default_rng(0).normal(size=(30, 4500))
    report = export(
        LinearRegression().fit(data, data[:, 0]), tmp_path / "m.onnx", data, golden="real"
    )
    assert report.contract["verification"] == {
        "source": "none",
        "rows": 0,
        "features": [],
        "outputs": {},
        "tolerance": {},
    }
    assert "not verified on open" in str(report)


def test_the_tolerance_is_four_times_the_measured_difference(tmp_path):
    frame, target = houses(1500)
    numbers = frame[["area", "rooms"]]
    report = export(
        make_pipeline(StandardScaler(), LinearRegression()).fit(numbers, target),
        tmp_path / "m.onnx",
        numbers,
    )
    measured = report.parity["outputs"][0]["largest"]
    tolerance = report.contract["verification"]["tolerance"]["prediction"]
    assert measured > 0 and tolerance["absolute"] >= 4 * measured and tolerance["relative"] == 1e-9
    assert not report.weak and "measured on 1500 rows" in str(report)


def test_outputs_have_the_shapes_of_the_model(tmp_path):
    rng = np.random.default_rng(0)
    data = np.round(rng.normal(size=(200, 3)), 2)
    several = LinearRegression().fit(data, data @ rng.normal(size=(3, 2)))
    assert exported(tmp_path, several, data).contract["outputs"] == [
        {"name": "prediction", "role": "prediction", "type": "float64", "width": 2}
    ]
    (output,) = exported(tmp_path, PCA(2).fit(data), data).contract["outputs"]
    assert output["role"] == "transformed" and output["width"] == 2
    marks = (data[:, :2] > 0).astype(int)
    names = [
        entry["name"]
        for entry in exported(
            tmp_path, MultiOutputClassifier(LogisticRegression()).fit(data, marks), data
        ).contract["outputs"]
    ]
    assert names == ["label"]
    label, probabilities = exported(
        tmp_path, OneVsRestClassifier(LogisticRegression()).fit(data, marks), data
    ).contract["outputs"]
    assert label["width"] == 2 and "classes" not in label and probabilities["classes"] == [0, 1]


@pytest.mark.parametrize("precision", ["original", "float32"])
def test_a_transformer_that_answers_true_and_false_opens(tmp_path, precision):
    frame = pd.DataFrame({"a": np.arange(60.0) % 7, "b": np.arange(60.0) % 5})
    model = FunctionTransformer(lambda df: pd.DataFrame({"c": df["a"] > df["b"]})).fit(frame)
    export(model, tmp_path / "m.onnx", frame, precision=precision)
    opened = sidecall.open(tmp_path / "m.onnx")
    answers = [opened.predict({"a": a, "b": 2.0})["transformed"] for a in (1.0, 2.0, 3.0)]
    assert answers == [[0.0], [0.0], [1.0]]


@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        ([0.0, 1.0, 2.0], "int64", [0, 1, 2]),
        (["b", "a", "c"], "string", ["a", "b", "c"]),
        ([10, -3, 7], "int64", [-3, 7, 10]),
    ],
)
def test_labels_keep_their_type(tmp_path, labels, kind, classes):
    data = np.arange(90, dtype=float).reshape(-1, 1)
    file = exported(
        tmp_path, RandomForestClassifier(5, random_state=0).fit(data, np.array(labels * 30)), data
    )
    label, probabilities = file.contract["outputs"]
    assert label["type"] == kind and label["classes"] == classes == probabilities["classes"]
    assert {type(value) for value in file.contract["verification"]["outputs"]["label"]} == {
        str if kind == "string" else int
    }


class Noisy(LinearRegression):
    """Returns a different number on each call."""

    calls = 0

    def predict(self, rows):
        Noisy.calls += 1
        return super().predict(rows) + Noisy.calls


def test_an_output_that_differs_between_runs_is_marked(tmp_path, monkeypatch):
    import sidecall.convert

    data = np.round(np.random.default_rng(0).normal(size=(50, 2)), 2)
    plain = LinearRegression().fit(data, data[:, 0])
    real = sidecall.convert.to_graph
    monkeypatch.setattr(
        sidecall.convert, "to_graph", lambda model, *rest, **options: real(plain, *rest, **options)
    )
    noisy = Noisy().fit(data, data[:, 0])
    report = export(noisy, tmp_path / "m.onnx", data)
    assert report.contract["outputs"][0]["deterministic"] is False
    assert report.contract["verification"]["outputs"] == {}
    assert "not deterministic, not verified" in str(report)


def test_a_forest_with_threads_is_verified(tmp_path):
    data = np.random.default_rng(0).normal(size=(400, 4))
    model = RandomForestClassifier(60, n_jobs=2, random_state=0).fit(data, data[:, 0] > 0)
    part = exported(tmp_path, model, data).contract["verification"]
    assert set(part["outputs"]) == {"label", "probabilities"}


def test_a_label_may_differ_at_a_tie_but_not_elsewhere():
    rule = {"rule": "argmax", "output": "probabilities"}
    label = Output("label", "predict", "string", ["a", "b"], decision=rule, computed_in="float32")
    scores = Output("probabilities", "predict_proba", "float32", ["a", "b"], computed_in="float32")
    expected = {
        "label": np.array(["a", "a"]),
        "probabilities": np.array([[0.5 + 1e-9, 0.5 - 1e-9], [0.6, 0.4]]),
    }
    got = {
        "label": np.array(["b", "b"]),
        "probabilities": expected["probabilities"].astype(np.float32),
    }
    difference = compare([label, scores], expected, got)
    assert difference[0].bad.tolist() == [False, True] and difference[0].differs.all()
    assert not difference[1].bad.any()
    label.decision = None
    assert compare([label], expected, got)[0].bad.all(), (
        "without a decision rule, labels are compared exactly"
    )


def test_the_tolerance_follows_the_magnitude_of_each_column():
    prediction = Output("prediction", "predict", "float64")
    small = np.full(10, 1e-8)
    assert tolerated(prediction, small).max() < 1e-15
    assert tolerated(prediction, np.array([0.0, 10.0])).ravel().tolist() == [1e-8, 11e-8]
    columns = np.column_stack([np.full(10, 1e9), np.full(10, 0.5)])
    assert (
        tolerated(Output("transformed", "transform", "float32", computed_in="float32"), columns)[
            :, 1
        ].max()
        < 1e-4
    )
    enormous = Output("scores", "decision_function", "float64", computed_in="float32")
    assert tolerated(enormous, np.array([1e200, -1e200])).max() < 1e196
    odd = {"prediction": np.array([np.nan, np.inf, 1.0])}
    assert not compare([prediction], odd, odd)[0].bad.any()
    assert compare([prediction], odd, {"prediction": np.array([0.0, -np.inf, np.nan])})[0].bad.all()


def test_columns_of_phrases_may_hold_missing_values(tmp_path):
    phrases = [f"kind {k} of plane" for k in range(12)]
    frame = pd.DataFrame(
        {f"c{k}": pd.Series([*phrases, None] * 4, dtype=object) for k in range(12)}
    )
    encode = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    model = encode.fit(frame, np.arange(len(frame)) % 2)
    file = exported(tmp_path, model, frame)
    assert all(feature["nullable"] for feature in file.contract["features"])
