"""Functions of Python in an export: what they answer, and what they refuse."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sidecall
from sidecall.exporting import ModelError
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder


def export(function, data, path):
    model = FunctionTransformer(function).fit(data)
    return model, sidecall.export(model, path, data, progress=False)


def test_a_missing_week_is_nan_like_every_missing_number(tmp_path):
    def parts(df):
        when = df["when"].dt
        return pd.DataFrame({"year": when.year, "week": when.isocalendar().week})

    data = pd.DataFrame({"when": pd.date_range("2023-12-25", periods=40, freq="31D")})
    model, _ = export(parts, data, tmp_path / "m.onnx")
    file = sidecall.open(tmp_path / "m.onnx")
    np.testing.assert_array_equal(file.predict(data), model.transform(data).astype(float))
    assert np.isnan(file.predict({"when": None})["transformed"]).all()


def test_bools_that_cannot_be_missing_are_computed_with(tmp_path):
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"flag": rng.random(60) < 0.5, "n": rng.integers(0, 9, 60)})
    model, _ = export(lambda df: (df["flag"] & (df["n"] > 3)).to_frame(), data, tmp_path / "m.onnx")
    file = sidecall.open(tmp_path / "m.onnx")
    assert not file.features[0].nullable
    np.testing.assert_array_equal(file.predict(data), model.transform(data).astype(float))
    with pytest.raises(sidecall.errors.MissingValue, match="feature 'flag'"):
        file.predict({"flag": None, "n": 3})


def test_a_branch_that_data_does_not_show_is_not_guessed(tmp_path):
    def vip(df):
        try:
            found = df["name"].str.startswith("VIP").astype(int)
        except Exception:
            found = 0
        return df.assign(vip=found)[["vip"]]

    data = pd.DataFrame({"name": ["Ann", "Bob", "Cleo"] * 9})
    with pytest.raises(sidecall.ExportError, match=r"it uses \.str"):
        export(vip, data, tmp_path / "m.onnx")


def test_a_caught_refusal_of_a_date_is_not_a_branch(tmp_path):
    def hour(df):
        try:
            found = df["when"].dt.strftime("%H").astype(int)
        except Exception:
            found = 0
        return df.assign(hour=found)[["hour"]]

    data = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=30, freq="D")})
    with pytest.raises(sidecall.ExportError, match=r"it uses \.dt\.strftime.*such as \.dt\.year"):
        export(hour, data, tmp_path / "m.onnx")


class Fails(TransformerMixin, BaseEstimator):
    def __init__(self, text=""):
        self.text = text

    def fit(self, rows, target=None):
        return self

    def transform(self, rows):
        raise TypeError(self.text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("clip() got an unexpected keyword argument 'lower'", True),
        ("could not convert string to float: 'secret'", False),
        ("expected less than 4711.5", False),
        ("expected 3 columns", True),
    ],
)
def test_an_error_of_the_model_is_quoted_unless_it_holds_a_value(tmp_path, text, shown):
    data = pd.DataFrame({"name": ["secret", "other"] * 20, "amount": [4711.5, 7.0] * 20})
    with pytest.raises(ModelError, match="TypeError in transform") as caught:
        sidecall.export(Fails(text).fit(data), tmp_path / "m.onnx", data)
    assert (text in str(caught.value)) == shown
    assert "secret" not in str(caught.value) and "4711" not in str(caught.value)


def test_an_object_without_predict_is_refused_with_what_to_do(tmp_path):
    class CoxModel:
        pass

    with pytest.raises(ModelError, match=r"got CoxModel of .*; write a class .*serve"):
        sidecall.export(CoxModel(), tmp_path / "m.onnx", pd.DataFrame({"a": [1.0, 2.0]}))


def numbers_of(table):
    return pd.DataFrame(table).astype(object).where(lambda x: x.notna(), np.nan).astype(float)


def nullable_data(dtype):
    ages = [10, None, 50, 18, None, 7, 30, 18] * 5
    return pd.DataFrame({"age": pd.array(ages, dtype), "x": np.arange(40.0) % 3})


THREE_VALUED = {
    "raw": lambda d: (d["age"] < 18).to_frame(),
    "not equal": lambda d: (d["age"] != 18).to_frame(),
    "filled": lambda d: (d["age"] < 18).fillna(True).to_frame(),
    "filled before": lambda d: pd.DataFrame({"q": np.where(d["age"].fillna(0) < 18, 1, d["x"])}),
    "or": lambda d: ((d["age"] < 18) | (d["x"] > 1)).to_frame(),
    "and": lambda d: ((d["x"] > 1) & (d["age"] < 18)).fillna(True).to_frame(),
    "not": lambda d: (~(d["age"] < 18) ^ (d["x"] > 1)).to_frame(),
    "of a frame": lambda d: (d[["age"]] * 2 < 36).fillna(True),
    "a NaN becomes NA": lambda d: (d["age"].fillna(0) / (d["x"] * 0) > 1).fillna(True).to_frame(),
    "between": lambda d: d["age"].between(1, 18).fillna(True).to_frame(),
    "of a sum": lambda d: (d[["age", "x"]].mean(axis=1) > 8).fillna(True).to_frame(),
    "numbers": lambda d: (d["age"] < 18).astype(float).to_frame(),
    "members": lambda d: d.assign(
        a=d["age"].isin([10, pd.NA]), b=d["age"].isin([10, None]), c=d["age"].isin([10, np.nan])
    ),
    "type": lambda d: d[["x"]] * (2 if d["age"].dtype == "int64" else 3),
}


@pytest.mark.parametrize("dtype", ["Int64", "Float32", "int64[pyarrow]", "double[pyarrow]"])
@pytest.mark.parametrize("name", THREE_VALUED)
def test_comparisons_with_missing_values_are_missing_as_in_pandas(tmp_path, name, dtype):
    data = nullable_data(dtype)
    model, _ = export(THREE_VALUED[name], data, tmp_path / "m.onnx")
    answers = sidecall.open(tmp_path / "m.onnx").predict(data)
    np.testing.assert_array_equal(np.asarray(answers), numbers_of(model.transform(data)))


@pytest.mark.parametrize("dtype", ["string", "string[pyarrow]", "str"])
@pytest.mark.parametrize(
    "function",
    [
        lambda d: (d["t"] != "x").to_frame(),
        lambda d: (d["t"] != "x").fillna(False).to_frame(),
        lambda d: ((d["t"] == "x") | (d["x"] > 1)).fillna(True).to_frame(),
        lambda d: d["t"].isin(["x", None]).to_frame(),
        lambda d: (d["t"].map({"x": 1}) != 1).fillna(False).to_frame(),
    ],
)
def test_comparisons_with_missing_texts_are_missing_as_in_pandas(tmp_path, function, dtype):
    texts = pd.array(["x", None, "y", "z"] * 10, dtype)
    data = pd.DataFrame({"t": texts, "x": np.arange(40.0) % 3})
    model, _ = export(function, data, tmp_path / "m.onnx")
    answers = sidecall.open(tmp_path / "m.onnx").predict(data)
    np.testing.assert_array_equal(np.asarray(answers), numbers_of(model.transform(data)))


@pytest.mark.parametrize("dtype", ["Int64", "string"])
def test_conditions_refuse_the_missing_values_that_the_original_refuses(tmp_path, dtype):
    data = pd.DataFrame({"age": pd.array(["10", "50"] * 20, "string").astype(dtype), "x": 1.0})
    limit = "10" if dtype == "string" else 10

    def function(d):
        return pd.DataFrame({"q": np.where(d["age"] == limit, 1.0, d["x"] * 3)})

    model, _ = export(function, data, tmp_path / "m.onnx")
    file = sidecall.open(tmp_path / "m.onnx")
    np.testing.assert_array_equal(file.predict(data), model.transform(data))
    with pytest.raises(sidecall.errors.MissingValue, match="feature 'age'"):
        file.predict({"age": None, "x": 1.0})


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda d: ((d["age"] < 18) * 1).to_frame(), r"d\['age'\].fillna\(0\) < 18"),
        (lambda d: np.isnan(d["age"]).to_frame(), r"\.isna\(\)"),
        (lambda d: np.fmax(d["age"], 3).to_frame(), r"fill the column first"),
        (lambda d: (d["age"] ** 0).to_frame(), r"fill the column first"),
        (lambda d: d["age"].values.reshape(-1, 1), r"\.to_numpy\(\)"),
    ],
)
def test_functions_that_take_na_in_another_way_are_refused(tmp_path, function, reason):
    with pytest.raises(sidecall.ExportError, match=reason):
        export(function, nullable_data("Float64"), tmp_path / "m.onnx")


def test_arrays_of_several_columns_with_na_are_arrays_of_objects(tmp_path):
    data = nullable_data("Int64").fillna(3)
    with pytest.raises(sidecall.ExportError, match=r"d\.astype\(float\)\.to_numpy\(\)"):
        export(lambda d: d.to_numpy().max(axis=1).reshape(-1, 1), data, tmp_path / "m.onnx")


@pytest.mark.parametrize("dtype", ["UInt8", "Int32", "int8[pyarrow]"])
def test_sums_whose_type_depends_on_the_values_are_refused_with_what_to_write(tmp_path, dtype):
    data = nullable_data("Int64").astype(dtype)
    with pytest.raises(sidecall.ExportError, match=r"d\.astype\(float\)\.sum\(axis=1\)"):
        export(lambda d: d.sum(axis=1).to_frame(), data, tmp_path / "m.onnx")
    model, _ = export(lambda d: d.astype(float).sum(axis=1).to_frame(), data, tmp_path / "m.onnx")
    answers = sidecall.open(tmp_path / "m.onnx").predict(data)
    np.testing.assert_array_equal(answers, model.transform(data))


def sparse_or_dense(x):
    is_dense = isinstance(x, np.ndarray)
    is_sparse = scipy.sparse.issparse(x)
    is_matrix = isinstance(x, scipy.sparse.spmatrix)
    dense = x.toarray() if is_sparse else x
    return dense * (1 + is_dense + 2 * is_sparse + 4 * is_matrix)


@pytest.mark.parametrize("sparse_output", [True, False])
@pytest.mark.parametrize("validate", [True, False])
def test_a_function_of_sparse_rows_gets_a_sparse_matrix(tmp_path, sparse_output, validate):
    data = pd.DataFrame({"s": ["a", "b", "c", "a"] * 10})
    encoder = OneHotEncoder(sparse_output=sparse_output)
    step = FunctionTransformer(sparse_or_dense, validate=validate, accept_sparse=True)
    model = make_pipeline(encoder, step).fit(data)
    sidecall.export(model, tmp_path / "m.onnx", data, progress=False)
    answers = sidecall.open(tmp_path / "m.onnx").predict(data)
    np.testing.assert_array_equal(answers, model.transform(data))


@pytest.mark.parametrize(
    "function", [lambda x: x * 2, lambda x: x.power(2), lambda x: np.log1p(x) + 0 * x]
)
def test_operators_of_sparse_rows_are_refused(tmp_path, function):
    data = pd.DataFrame({"s": ["a", "b", "c", "a"] * 10})
    model = make_pipeline(OneHotEncoder(), FunctionTransformer(function, accept_sparse=True))
    with pytest.raises(sidecall.ExportError, match=r"call \.toarray\(\) first"):
        sidecall.export(model.fit(data), tmp_path / "m.onnx", data, progress=False)
