"""Frames with pandas' nullable types, Arrow tables and polars frames, at export, check, compare and
serve.

They hold text, integers, floats and booleans, each with missing values.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
import sidecall
from contract_reader import File, check_contract
from sidecall.exporting import DataError
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

ROWS = 300
KINDS = ["numpy_nullable", "pyarrow", "arrow table", "polars"]


def rows(dtype=object, missing=np.nan):
    """Training data in the usual form: number columns with NaN; text and booleans as objects."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {"i": rng.integers(0, 50, ROWS).astype(float), "f": np.round(rng.normal(size=ROWS), 2)}
    )
    frame["t"] = pd.Series(rng.choice(["a", "b", "c"], ROWS), dtype=object)
    frame["b"] = pd.Series(rng.random(ROWS) < 0.5, dtype=object)
    for k, name in enumerate(frame):
        frame.loc[k::7, name] = np.nan
    for name in ("t", "b"):
        values = frame[name].to_numpy(dtype=object, copy=True)
        values[pd.isna(values)] = missing
        frame[name] = pd.Series(values, dtype=object)
    return frame.astype({"t": dtype}), (frame["i"].fillna(20) > 25) ^ (frame["t"] == "a")


def fitted(frame, target):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    first = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["t", "b"]), (numbers, ["i", "f"])
    )
    return make_pipeline(first, LogisticRegression()).fit(frame, target)


def converted(frame, kind):
    nullable = frame.convert_dtypes(dtype_backend="numpy_nullable")
    if kind == "numpy_nullable":
        return nullable
    if kind == "pyarrow":
        return frame.convert_dtypes(dtype_backend="pyarrow")
    table = pyarrow.Table.from_pandas(nullable)
    return polars.from_arrow(table) if kind == "polars" else table


@pytest.fixture(scope="module")
def trained():
    frame, target = rows()
    return frame, fitted(frame, target)


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_treats_missing_values_as_fit_saw_them(tmp_path, trained, kind):
    frame, model = trained
    report = sidecall.export(model, tmp_path / "m.onnx", converted(frame, kind))
    check_contract(File(tmp_path / "m.onnx"))
    types = {
        feature["name"]: (feature["type"], feature["nullable"])
        for feature in report.contract["features"]
    }
    # In pandas, a polars column of integers becomes a column of floats if a value is missing.
    whole = "float64" if kind == "polars" else "int64"
    assert types == {
        "i": (whole, True),
        "f": ("float64", True),
        "t": ("string", True),
        "b": ("bool", True),
    }
    with sidecall.open(tmp_path / "m.onnx") as opened:
        # A pandas frame is passed as it is. An Arrow table or a polars frame is replaced by the
        # pandas frame that it was made from.
        source = frame if kind in ("arrow table", "polars") else converted(frame, kind)
        answers = opened.predict(source)["probabilities.true"].to_numpy()
    np.testing.assert_allclose(answers, model.predict_proba(frame)[:, 1], rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_check_and_compare_accept_each_kind_of_frame(tmp_path, trained, kind):
    frame, model = trained
    data = converted(frame, kind)
    assert sidecall.check(model, data).ok
    sidecall.export(model, tmp_path / "m.onnx", frame)
    comparison = sidecall.compare(model, tmp_path / "m.onnx", data, progress=False)
    assert (comparison.rows, comparison.moved) == (ROWS, 0)
    assert comparison.refused_by_original == comparison.refused_by_model == 0


@pytest.mark.parametrize("kind", KINDS)
def test_serve_accepts_each_kind_of_frame(tmp_path, trained, kind):
    frame, model = trained
    at = f"shm:{tmp_path}/m.sock"
    with (
        sidecall.serve(model, at, data=converted(frame, kind), block=False, log=None),
        sidecall.open(at) as opened,
    ):
        answers = opened.predict(frame)["probabilities.true"].to_numpy()
    np.testing.assert_allclose(answers, model.predict_proba(frame)[:, 1], rtol=1e-8)


def test_a_model_that_was_trained_on_polars_is_exported(tmp_path):
    """An encoder that is fitted on a polars frame sees a null as None.

    In the pandas frame that polars makes of it, the null is NaN.
    """
    frame, target = rows(missing=None)
    frame = polars.from_pandas(frame)
    model = fitted(frame, target)
    report = sidecall.export(model, tmp_path / "m.onnx", frame)
    assert any("in the form that fit saw: t" in note for note in report.notes)
    with sidecall.open(tmp_path / "m.onnx") as opened:
        answers = [answer["probabilities"]["true"] for answer in opened.predict(frame.to_dicts())]
    np.testing.assert_allclose(answers, model.predict_proba(frame)[:, 1], rtol=1e-8)
    at = f"shm:{tmp_path}/m.sock"
    with sidecall.serve(model, at, data=frame, block=False, log=None), sidecall.open(at) as opened:
        answers = [answer["probabilities"]["true"] for answer in opened.predict(frame.to_dicts())]
    np.testing.assert_allclose(answers, model.predict_proba(frame)[:, 1], rtol=1e-8)


def test_a_model_that_refuses_pandas_na_gets_nan(tmp_path):
    frame, target = rows()
    fill = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    model = make_pipeline(make_column_transformer((fill, ["t"])), LogisticRegression()).fit(
        frame[["t"]], target
    )
    data = frame[["t"]].convert_dtypes(dtype_backend="pyarrow")
    with pytest.raises(TypeError):
        model.predict(data)
    report = sidecall.export(model, tmp_path / "m.onnx", data)
    assert report.contract["features"][0]["nullable"]


def test_text_without_missing_values_keeps_its_type(tmp_path):
    frame, target = rows()
    frame = frame[["t"]].fillna("d").astype("string[pyarrow]")
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, target)
    report = sidecall.export(model, tmp_path / "m.onnx", frame)
    assert report.contract["features"][0]["allowed"] == ["a", "b", "c", "d"] and not report.notes


def test_an_arrow_dictionary_of_text_is_accepted(tmp_path):
    frame, target = rows()
    frame = frame[["t"]].fillna("d")
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, target)
    data = frame.astype(pd.ArrowDtype(pyarrow.dictionary(pyarrow.int32(), pyarrow.string())))
    report = sidecall.export(model, tmp_path / "m.onnx", data)
    assert report.contract["features"][0]["allowed"] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([b"x"], pyarrow.binary(), "got bytes values"),
        ([[1]], pyarrow.list_(pyarrow.int32()), "got list values|got ndarray values"),
        ([1], pyarrow.decimal128(5, 2), "got Decimal values"),
        ([1], pyarrow.timestamp("us"), "got datetime"),
        ([1], pyarrow.duration("s"), "got duration"),
    ],
)
def test_unsupported_arrow_types_are_refused(tmp_path, values, kind, message):
    frame, target = rows()
    frame = frame[["f"]].fillna(0).assign(v=1.0)
    model = LogisticRegression().fit(frame, target)
    data = frame.assign(v=pd.Series(values * ROWS, dtype=pd.ArrowDtype(kind)))
    with pytest.raises(DataError, match=message) as caught:
        sidecall.export(model, tmp_path / "m.onnx", data)
    assert caught.value.name == "v"
