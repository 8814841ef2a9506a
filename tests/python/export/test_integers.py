"""Exported functions of narrow integers answer as Python does for the type of the column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sidecall
from sidecall.errors import OutOfRange
from sidecall.exporting import StepError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeRegressor

ENGINES = ("onnxruntime", "native")


def minutes(dtype="int16"):
    return pd.DataFrame({"minutes": np.arange(100, dtype=dtype)})


@pytest.mark.parametrize(
    ("function", "final", "dtype", "values"),
    [
        (lambda d: d * 600, LinearRegression(), "int16", [600, -32768, 32767]),
        (np.square, LinearRegression(), "int16", [600, -32768]),
        (lambda d: d * 40, DecisionTreeRegressor(), "int8", [100, -128, 127]),
        (lambda d: d * 30_000_000, LinearRegression(), "int32", [1000, -(2**31)]),
    ],
)
def test_results_wrap_around_on_both_engines(tmp_path, function, final, dtype, values):
    data = minutes(dtype)
    model = make_pipeline(FunctionTransformer(function), final).fit(data, np.arange(100.0))
    sidecall.export(model, tmp_path / "m.onnx", data, progress=False)
    rows = pd.DataFrame({"minutes": np.array(values, dtype=dtype)})
    for engine in ENGINES:
        with sidecall.open(tmp_path / "m.onnx", engine=engine) as opened:
            got = [opened.predict({"minutes": value})["prediction"] for value in values]
            assert got == pytest.approx(model.predict(rows).tolist(), rel=1e-9, abs=1e-9)
            with pytest.raises(OutOfRange, match="minutes"):
                opened.predict({"minutes": int(np.iinfo(dtype).max) + 1})


def test_a_column_that_is_converted_to_floats_first_has_no_limit(tmp_path):
    data = minutes("int8")
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(data, np.arange(100.0))
    report = sidecall.export(model, tmp_path / "m.onnx", data, progress=False)
    with sidecall.open(tmp_path / "m.onnx") as opened:
        assert opened.predict({"minutes": 300})["prediction"] == pytest.approx(300.0)
    (rows,) = report.contract["verification"]["features"]
    assert {-128, 127} <= set(rows)


@pytest.mark.parametrize("dtype", ["uint8", "UInt8"])
def test_golden_rows_have_the_answers_for_the_type_of_the_column(tmp_path, dtype):
    data = pd.DataFrame({"a": [9, 8, 7, 200] * 10, "b": [150, 2, 90, 4] * 10}).astype(dtype)
    model = FunctionTransformer(lambda d: (d["a"] - d["b"]).to_frame())
    report = sidecall.export(model, tmp_path / "m.onnx", data, progress=False)
    part = report.contract["verification"]
    answers = [row[0] for row in part["outputs"]["transformed"]]
    wrapped = 0
    for a, b, answer in zip(*part["features"], answers, strict=True):
        assert answer == ("nan" if a is None or b is None else (a - b) % 256)
        wrapped += a is not None and b is not None and a < b
    assert wrapped and "nan" in answers
    for engine in ENGINES:
        with sidecall.open(tmp_path / "m.onnx", engine=engine) as opened:
            assert opened.predict({"a": 2, "b": 5})["transformed"] == pytest.approx([253.0])


def test_arithmetic_with_filled_columns_is_refused_with_advice(tmp_path):
    model = FunctionTransformer(lambda d: d.fillna(0) * 600)
    with pytest.raises(StepError, match=r"int16.*\.astype\('int64'\)"):
        sidecall.export(model, tmp_path / "m.onnx", minutes(), progress=False)
    model = FunctionTransformer(lambda d: d.fillna(0).astype("float64") * 600)
    sidecall.export(model, tmp_path / "m.onnx", minutes(), progress=False)


def test_a_step_that_computes_in_float16_is_refused_by_this_name(tmp_path):
    data = pd.DataFrame({"a": np.linspace(1, 90, 60).astype("float16")})
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(data, np.arange(60.0))
    with pytest.raises(StepError, match="float16"):
        sidecall.export(model, tmp_path / "m.onnx", data, progress=False)


def test_relative_features_of_unsigned_integers_wrap_around(tmp_path):
    creation = pytest.importorskip("feature_engine.creation")
    data = pd.DataFrame({"a": [9, 8, 7, 200] * 10, "b": [1, 2, 3, 4] * 10}, dtype="uint8")
    made = creation.RelativeFeatures(["a"], ["b"], ["sub", "mul"])
    model = make_pipeline(made, LinearRegression()).fit(data, np.arange(40.0))
    sidecall.export(model, tmp_path / "m.onnx", data, progress=False)
    rows = pd.DataFrame({"a": [2, 255], "b": [5, 255]}, dtype="uint8")
    with sidecall.open(tmp_path / "m.onnx") as opened:
        got = [opened.predict({"a": a, "b": b})["prediction"] for a, b in rows.to_numpy().tolist()]
    assert got == pytest.approx(model.predict(rows).tolist(), rel=1e-9, abs=1e-9)


def test_an_array_that_validate_makes_keeps_its_type(tmp_path):
    data = minutes("int8")
    model = FunctionTransformer(lambda x: x * 40, validate=True).fit(data)
    sidecall.export(model, tmp_path / "m.onnx", data, progress=False)
    with sidecall.open(tmp_path / "m.onnx") as opened:
        assert opened.predict({"minutes": 100})["transformed"] == pytest.approx([-96.0])


@pytest.mark.parametrize("validate", [False, True])
def test_numpys_square_of_int64_wraps_around(tmp_path, validate):
    data = pd.DataFrame({"bytes": np.arange(1, 101), "n": np.arange(100) % 7})
    square = FunctionTransformer(np.square, validate=validate)
    model = make_pipeline(square, LinearRegression()).fit(data, data["n"])
    sidecall.export(model, tmp_path / "m.onnx", data, progress=False)
    rows = pd.DataFrame({"bytes": [3_000_000, 4_000_000_000, -5_000_000_000], "n": [1, 2, 3]})
    for engine in ENGINES:
        with sidecall.open(tmp_path / "m.onnx", engine=engine) as opened:
            got = opened.predict(rows)["prediction"]
            np.testing.assert_allclose(got, model.predict(rows), rtol=1e-9)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
@pytest.mark.parametrize("wanted", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("others", [[], ["x"]])
def test_conversions_to_an_unsigned_type_take_negative_numbers(tmp_path, dtype, wanted, others):
    data = pd.DataFrame({"age": np.arange(1, 91).astype(dtype), "x": np.linspace(0, 1, 90)})
    data = data[["age", *others]]
    convert = FunctionTransformer(lambda d: d.assign(age=d["age"].astype(wanted)))
    model = make_pipeline(convert, LinearRegression()).fit(data, np.arange(90.0))
    sidecall.export(model, tmp_path / "m.onnx", data, progress=False)
    info = np.iinfo(dtype)
    values = [-5, 3, 100] + ([int(info.min), int(info.max)] if dtype != "int64" else [])
    rows = pd.DataFrame({"age": np.array(values, dtype), "x": 0.5})[["age", *others]]
    with sidecall.open(tmp_path / "m.onnx") as opened:
        got = opened.predict(rows)["prediction"]
        np.testing.assert_allclose(got, model.predict(rows), rtol=1e-9)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32"])
def test_a_conversion_of_bools_asks_for_no_range_of_a_bool(tmp_path, dtype):
    data = pd.DataFrame({"vip": [True, False] * 20})
    model = FunctionTransformer(lambda d: d[["vip"]].astype(dtype) * 100)
    sidecall.export(model, tmp_path / "m.onnx", data, progress=False)
    for engine in ENGINES:
        with sidecall.open(tmp_path / "m.onnx", engine=engine) as opened:
            np.testing.assert_array_equal(opened.predict(data), model.transform(data))


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("function", [np.log10, np.sqrt, np.tanh])
def test_a_function_that_computes_in_float64_takes_every_int64(tmp_path, function, missing):
    data = pd.DataFrame({"bytes": np.arange(1, 101), "x": np.where(missing, np.nan, 1.0)})
    model = FunctionTransformer(function).fit(data)
    sidecall.export(model, tmp_path / "m.onnx", data, progress=False)
    values = [2**53 - 1, 2**53, 2**53 + 1, 2**62 + 1, 2**63 - 1, 3]
    rows = pd.DataFrame({"bytes": values, "x": data["x"][: len(values)]})
    for engine in ENGINES:
        with sidecall.open(tmp_path / "m.onnx", engine=engine) as opened:
            answers = np.asarray(opened.predict(rows))
            np.testing.assert_allclose(answers, model.transform(rows), rtol=1e-15)
            for value, answer in zip(values, answers, strict=True):
                record = {"bytes": value, "x": None if missing else 1.0}
                np.testing.assert_array_equal(opened.predict(record)["transformed"], answer)
