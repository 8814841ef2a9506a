"""A served estimator answers exactly as in process, for any container of training data."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import sidecall
from serving_parts import Ratio
from sidecall import errors
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


@pytest.fixture(scope="module")
def penguins() -> tuple[Any, Any, Any]:
    """A pipeline with a step that does not convert, its rows and labels."""
    from palmerpenguins import load_penguins

    rows = load_penguins()
    labels = rows.pop("species")
    columns = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
                [*NUMBERS, "year", "ratio"],
            ),
            ("island", OneHotEncoder(), ["island"]),
            (
                "sex",
                make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
                ["sex"],
            ),
        ]
    )
    return (
        make_pipeline(Ratio(), columns, LogisticRegression(max_iter=1000)).fit(rows, labels),
        rows,
        labels,
    )


def record_of(row: Any) -> dict[str, Any]:
    return {name: None if value != value or value is None else value for name, value in row.items()}


def test_a_pipeline_that_does_not_convert_is_served_with_its_answers(
    serve, at, penguins, each_backend
):
    model, rows, _ = penguins
    serve(model, data=rows, name="penguins", version="3")
    client = sidecall.open(at)
    assert (client.name, client.version) == ("penguins", "3")
    some = rows.iloc[::40]
    got = client.predict([record_of(row) for row in some.to_dict("records")])
    expected = model.predict_proba(some)
    assert [answer["label"] for answer in got] == model.predict(some).tolist()
    for answer, scores in zip(got, expected, strict=True):
        assert list(answer["probabilities"].values()) == scores.tolist()


def test_a_frame_is_answered_with_a_frame(serve, at, penguins):
    model, rows, _ = penguins
    serve(model, data=rows)
    some = rows.iloc[5:25]
    frame = sidecall.open(at).predict(some)
    assert frame.index.equals(some.index)
    assert frame["label"].tolist() == model.predict(some).tolist()


def test_invalid_records_are_refused_as_in_process(serve, at, penguins):
    model, rows, _ = penguins
    serve(model, data=rows)
    client = sidecall.open(at)
    good = record_of(rows.iloc[0].to_dict())
    with pytest.raises(
        errors.UnknownCategory, match=r"feature 'island': expected a known category"
    ):
        client.predict(good | {"island": "Atlantis"})
    with pytest.raises(errors.MissingValue, match="feature 'island'"):
        client.predict({name: value for name, value in good.items() if name != "island"})
    with pytest.raises(errors.DtypeMismatch, match="feature 'year': expected int64, got string"):
        client.predict(good | {"year": "2007"})
    with pytest.raises(errors.UnknownName, match="'extra'"):
        client.predict(good | {"extra": 1})


def test_arrays_are_passed_in_the_types_of_training(serve, at, each_backend):
    rows, labels = load_iris(return_X_y=True)
    model = GradientBoostingClassifier(n_estimators=5).fit(rows, labels)
    serve(model, data=rows)
    client = sidecall.open(at)
    answer = client.run({"X": rows[:50].astype(client.inputs[0].dtype)})
    assert np.array_equal(answer["probabilities"], model.predict_proba(rows[:50]))
    assert np.array_equal(answer["label"], model.predict(rows[:50]))
    with pytest.raises(errors.ShapeMismatch):
        client.run({"X": np.zeros((1, 5), dtype=client.inputs[0].dtype)})


def test_a_regressor_gets_missing_values(serve, at):
    rows, target = load_diabetes(return_X_y=True)
    rows[::7, 2] = np.nan
    model = HistGradientBoostingRegressor(max_iter=10).fit(rows, target)
    serve(model, data=rows)
    client = sidecall.open(at)
    given = rows.astype(client.inputs[0].dtype)
    assert np.array_equal(client.run(given)["prediction"], model.predict(given.astype(np.float64)))
    assert client.features[2].nullable


def test_a_text_pipeline_gets_strings(serve, at):
    texts = ["good film", "bad film", "good plot", "bad acting"] * 5
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(
        texts, ["yes", "no", "yes", "no"] * 5
    )
    serve(model, data=texts)
    client = sidecall.open(at)
    answer = client.predict({"text": "a good bad good film ä"})
    assert answer["label"] == model.predict(["a good bad good film ä"])[0]
    with pytest.raises(errors.DtypeMismatch):
        client.predict({"text": 1})


def test_a_transformer_is_served(serve, at):
    rows = np.arange(20.0).reshape(10, 2)
    model = StandardScaler().fit(rows)
    serve(model, data=rows)
    got = sidecall.open(at).predict({"x0": 3.0, "x1": 4.0})["transformed"]
    assert np.allclose(got, model.transform([[3.0, 4.0]])[0])


@pytest.mark.parametrize("kind", [GaussianNB, SVC, LogisticRegression])
def test_labels_equal_those_of_predict(serve, at, kind):
    rows, labels = load_iris(return_X_y=True)
    model = (kind(probability=True, random_state=0) if kind is SVC else kind()).fit(rows, labels)
    serve(model, data=rows)
    client = sidecall.open(at)
    assert np.array_equal(
        client.run(rows.astype(client.inputs[0].dtype))["label"], model.predict(rows)
    )


def test_a_tie_gets_the_label_of_predict(serve, at):
    """Both probabilities are one half: only predict knows which class to choose."""
    from sklearn.tree import DecisionTreeClassifier

    rows = np.array([[0.0], [0.0], [1.0], [1.0], [1.0]])
    model = DecisionTreeClassifier().fit(rows, ["b", "a", "b", "b", "b"])
    assert model.predict_proba([[0.0]]).tolist() == [[0.5, 0.5]]
    serve(model, data=rows)
    assert sidecall.open(at).predict({"x0": 0.0})["label"] == model.predict([[0.0]])[0]


def test_a_refused_row_fails_only_its_call(serve, at):
    rows = np.arange(20.0).reshape(10, 2)
    model = Ridge().fit(rows, rows[:, 0])
    serve(model, data=rows)
    client = sidecall.open(at)
    with pytest.raises(errors.MissingValue):
        client.predict({"x0": 1.0})
    assert client.predict({"x0": 1.0, "x1": 2.0})["prediction"] == model.predict([[1.0, 2.0]])[0]


def test_the_contract_has_the_fields_of_an_export(serve, at, penguins):
    model, rows, _ = penguins
    serve(model, data=rows, name="penguins", metadata={"owner": "ecology"})
    contract = sidecall.open(at).contract
    assert contract is not None
    assert contract["model"]["metadata"] == {"owner": "ecology"}
    assert contract["model"]["task"] == "classification"
    assert contract["verification"]["rows"] > 0
    assert [feature["name"] for feature in contract["features"]] == list(rows.columns)
    assert contract["parity"]["outputs"][1]["largest"] == 0.0
    assert len(contract["model"]["id"]) == 64


def test_a_contract_file_replaces_data(serve, at, penguins, tmp_path):
    model, rows, _ = penguins
    server = serve(model, data=rows, name="penguins")
    contract = sidecall.open(at).contract
    server.close()
    (tmp_path / "penguins.contract.json").write_text(json.dumps(contract))
    with sidecall.serve(
        model, at, contract=tmp_path / "penguins.contract.json", block=False, log=None
    ):
        client = sidecall.open(at)
        some = rows.iloc[::50]
        got = client.predict([record_of(row) for row in some.to_dict("records")])
        assert [answer["label"] for answer in got] == model.predict(some).tolist()


def test_a_contract_of_another_model_fails_verification(at, penguins):
    """If the model does not give the answers of the golden rows, the address is not created."""
    model, rows, labels = penguins
    with sidecall.serve(model, at, data=rows, block=False, log=None):
        contract = sidecall.open(at).contract
    other = make_pipeline(Ratio(), model.steps[1][1], LogisticRegression(C=0.01)).fit(rows, labels)
    with pytest.raises(errors.VerificationFailed, match="verification: golden row"):
        sidecall.serve(other, at, contract=contract, block=False, log=None)
    with pytest.raises(errors.Unreachable):
        sidecall.open(at)
    with sidecall.serve(
        other, at, contract=contract, verify="off", block=False, log=None
    ) as server:
        assert server.status()["verified"] is False


def test_a_text_pipeline_needs_data_or_a_contract(at):
    from sidecall.exporting import DataError

    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(
        ["good film", "bad film"], [0, 1]
    )
    with pytest.raises(DataError):
        sidecall.serve(model, at, block=False, log=None)


@pytest.mark.parametrize(
    ("target", "options", "error"),
    [
        (object(), {}, errors.InvalidArgument),
        (3, {}, errors.InvalidArgument),
        (StandardScaler, {}, errors.Error),
        ("nothing.joblib", {}, errors.FileNotFound),
        ("nothing.onnx", {}, errors.FileNotFound),
        ("no_such_module_at_all:x", {}, errors.InvalidArgument),
        ("serving_parts:no_such_name", {}, errors.InvalidArgument),
        ("serving_parts:double", {"workers": 0}, errors.InvalidArgument),
        ("serving_parts:double", {"copy": "never"}, errors.InvalidArgument),
        ("serving_parts:double", {"verify": "maybe"}, errors.InvalidArgument),
        ("serving_parts:double", {"engine": "fast"}, errors.InvalidArgument),
        ("serving_parts:double", {"engine": "native"}, errors.InvalidArgument),
        ("serving_parts:double", {"group": "no such group"}, errors.InvalidArgument),
        ("serving_parts:double", {"drain_timeout": 0}, errors.InvalidArgument),
        ("serving_parts:double", {"log_level": "loud"}, errors.InvalidArgument),
        ("serving_parts:double", {"contract": "nothing.contract.json"}, errors.FileNotFound),
        ("serving_parts:double", {"contract": {}}, errors.Error),
    ],
)
def test_wrong_targets_and_options_are_refused(at, target, options, error):
    with pytest.raises(error):
        sidecall.serve(target, at, block=False, **({"log": None} | options))


def test_an_invalid_address_is_refused():
    with pytest.raises(errors.InvalidArgument, match="at: expected shm:NAME"):
        sidecall.serve("serving_parts:double", "double", block=False, log=None)
