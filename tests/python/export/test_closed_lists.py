"""Which integers a table-lookup model accepts: the contract lists them, so the engine sees no
others.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sidecall
from contract_reader import File, check_contract
from sidecall import errors
from sidecall.exporting import export
from sidecall.exporting.inputs.codes import accepted_codes
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import CategoricalNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder


def codes(rows=200, levels=4, columns=3):
    data = np.random.default_rng(5).integers(0, levels, size=(rows, columns))
    return data, data[:, 0] > 1


def features_of(path, model, data):
    export(model, path, data)
    file = File(path)
    check_contract(file)
    return {entry["name"]: entry for entry in file.contract["features"]}


@pytest.mark.parametrize("value", [7777, 4, -1])
def test_a_code_outside_the_table_of_the_model_is_an_unknown_category(tmp_path, value):
    data, target = codes()
    model = CategoricalNB().fit(data, target)
    assert features_of(tmp_path / "m.onnx", model, data)["x0"]["allowed"] == [0, 1, 2, 3]
    with pytest.raises((IndexError, ValueError)):
        model.predict([[value, 1, 2]])
    with (
        sidecall.open(tmp_path / "m.onnx") as opened,
        pytest.raises(errors.UnknownCategory) as caught,
    ):
        opened.predict({"x0": value, "x1": 1, "x2": 2})
    assert str(value) not in str(caught.value)
    assert caught.value.name == "x0"


def test_codes_that_are_in_the_model_but_not_in_the_data_are_allowed(tmp_path):
    data, target = codes()
    model = CategoricalNB(min_categories=9).fit(data, target)
    assert features_of(tmp_path / "m.onnx", model, data[data[:, 1] < 2])["x1"]["allowed"] == list(
        range(9)
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "Int8", "Int64", "int16[pyarrow]"])
def test_codes_of_a_narrow_type_are_listed(tmp_path, dtype):
    data, target = codes()
    frame = pd.DataFrame(data, columns=["a", "b", "c"]).astype(dtype)
    features = features_of(tmp_path / "m.onnx", CategoricalNB().fit(frame, target), frame)
    assert [feature["allowed"] for feature in features.values()] == [[0, 1, 2, 3]] * 3


@pytest.mark.parametrize("value", [7777.0, -1.0])
def test_a_float_outside_the_table_fails_without_a_list_in_the_contract(tmp_path, value):
    data, target = codes()
    model = CategoricalNB().fit(data.astype(float), target)
    assert "allowed" not in features_of(tmp_path / "m.onnx", model, data.astype(float))["x0"], (
        "the original answers for 1.5"
    )
    with sidecall.open(tmp_path / "m.onnx") as opened:
        for answered in (1.5, -0.5):
            assert (
                opened.predict({"x0": answered, "x1": 1, "x2": 2})["label"]
                == model.predict([[answered, 1, 2]])[0]
            )
        with pytest.raises(errors.OutOfRange) as caught:
            opened.predict({"x0": value, "x1": 1, "x2": 2})
    assert "7777" not in str(caught.value)


class LookupTable(TransformerMixin, BaseEstimator):
    """A table that is indexed by position. Negative positions count from its end."""

    def fit(self, rows, labels=None):
        return self

    def transform(self, rows):
        return np.arange(5.0)[np.asarray(rows)]


def test_the_integers_that_a_served_lookup_table_accepts_are_listed(tmp_path):
    data, target = codes()
    model = make_pipeline(LookupTable(), LogisticRegression()).fit(data, target)
    at = f"shm:{tmp_path}/looked.sock"
    with sidecall.serve(model, at, data=data, block=False, log=None), sidecall.open(at) as opened:
        assert opened.predict({"x0": -5, "x1": 4, "x2": 0})["label"] in (False, True)
        for value in (5, -6):
            with pytest.raises(errors.UnknownCategory):
                opened.predict({"x0": value, "x1": 4, "x2": 0})


def test_encoded_codes_keep_the_list_of_the_encoder(tmp_path):
    data, target = codes()
    model = make_pipeline(OrdinalEncoder(), CategoricalNB()).fit(data * 10, target)
    assert features_of(tmp_path / "m.onnx", model, data * 10)["x0"]["allowed"] == [0, 10, 20, 30]


def test_the_list_contains_categories_of_the_encoder_that_the_data_lacks(tmp_path):
    frame = pd.DataFrame({"i": np.arange(60) % 6, "n": np.arange(60) / 10})
    first = make_column_transformer(
        (OneHotEncoder(handle_unknown="error"), ["i"]), remainder="passthrough"
    )
    model = make_pipeline(first, LinearRegression()).fit(frame, frame["n"])
    features = features_of(tmp_path / "m.onnx", model, frame[frame["i"] < 3])
    assert features["i"]["allowed"] == [0, 1, 2, 3, 4, 5], (
        "the encoder knows more than the data shows"
    )


def test_integers_that_the_model_computes_with_have_no_list(tmp_path):
    data, target = codes()
    assert (
        "allowed"
        not in features_of(tmp_path / "m.onnx", LogisticRegression().fit(data, target), data)["x0"]
    )


def test_the_search_finds_both_ends_and_leaves_gaps_out():
    assert accepted_codes(lambda values: [-3 <= v <= 11 and v != 5 for v in values], 0, 8) == [
        *range(-3, 5),
        *range(6, 12),
    ]


def test_an_unbounded_range_gives_no_list():
    assert accepted_codes(lambda values: [v < 7 for v in values], 0, 3) is None
    assert accepted_codes(lambda values: [0 <= v < 10**6 for v in values], 0, 3) is None
