"""Inputs of type float32 and float64 take numbers of both types.

A number gets the same answer in a float32 array, a float64 array, a list, a record and a DataFrame,
and also if it is an integer.
"""

from __future__ import annotations

import asyncio
import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sidecall
from sidecall import errors

Load = Callable[..., sidecall.Model]
WIDTHS = ["float32", "float64"]
NUMBERS = [
    0.1,
    7.315,
    -1e-3,
    1 + 2**-24,
    1 + 3 * 2**-24,
    1e-45,
    5e-324,
    16777217.5,
    3.4e38,
    0.0,
    -0.0,
]
BEYOND = [3.4028235677973366e38, 1e39, -1e39, float(np.finfo(np.float64).max)]
LARGE = 100_000  # elements; a run reads so large an array in place if its type is that of the input

FRAMES: dict[str, Callable[[np.ndarray], Any]] = {
    "pandas": lambda x: pd.DataFrame({"x": x, "n": 1}),
    "nullable": lambda x: pd.DataFrame({"x": pd.array(x, dtype="Float32" if x.dtype == np.float32 else "Float64"), "n": 1}),
    "pyarrow": lambda x: pd.DataFrame({"x": pd.Series(x).astype(pd.ArrowDtype(pa.from_numpy_dtype(x.dtype))), "n": 1}),
    "objects": lambda x: pd.DataFrame({"x": pd.Series(list(x), dtype=object), "n": 1}),
    "polars": lambda x: pl.DataFrame({"x": x, "n": np.ones(len(x), np.int64)}),
}  # fmt: skip


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(load: Load, width: str) -> sidecall.Model:
    return load(f"floats_{width}.onnx")


def held(x: np.ndarray, width: str) -> np.ndarray:
    """The numbers after rounding to the type `width`, as exact float64 values."""
    return x.astype(width).astype(np.float64)


def assert_same(got: Any, expected: np.ndarray) -> None:
    got = np.asarray(got, np.float64)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))


@pytest.mark.parametrize("given", WIDTHS)
def test_arrays_of_either_float_type_give_the_answers_of_records(
    model: sidecall.Model, width: str, given: str, backend: str
) -> None:
    x = np.array(NUMBERS, dtype=given)
    expected = held(x, width)
    tensor = np.column_stack([x, np.ones(len(x), given)])
    for _ in range(3):  # a reused call takes the fast path
        assert_same(model.run({"X": tensor})["transformed"][:, 0], expected)
        assert_same(model.run(tensor)["transformed"][:, 0], expected)
    assert_same(asyncio.run(model.arun({"X": tensor}))["transformed"][:, 0], expected)
    assert_same(model.run({"X": tensor.tolist()})["transformed"][:, 0], expected)
    for records in (
        [{"x": value, "n": 1} for value in x],
        [{"x": value.item(), "n": 1} for value in x],
    ):
        assert_same([answer["transformed"][0] for answer in model.predict(records)], expected)
    text = json.loads(json.dumps([{"x": value, "n": 1} for value in x.tolist()]))
    assert_same([answer["transformed"][0] for answer in model.predict(text)], expected)
    with model.call(rows=len(x)) as call:
        call.inputs["X"] = tensor
        call.run()
        assert_same(call.outputs["transformed"][:, 0], expected)


@pytest.mark.parametrize("given", WIDTHS)
@pytest.mark.parametrize("kind", FRAMES)
def test_frames_of_every_kind_give_the_answers_of_records(
    model: sidecall.Model, width: str, given: str, kind: str, backend: str
) -> None:
    x = np.array(NUMBERS, dtype=given)
    frame = FRAMES[kind](x)
    answer = model.predict(frame)
    assert type(answer) is type(frame)
    assert_same(answer["transformed.0"], held(x, width))


@pytest.mark.parametrize("given", WIDTHS)
def test_nan_and_infinities_are_passed_to_the_model(
    model: sidecall.Model, given: str, backend: str
) -> None:
    x = np.array([[np.nan, 1], [np.inf, 1], [-np.inf, 1]], dtype=given)
    np.testing.assert_array_equal(model.run(x)["transformed"], x.astype(np.float64))


@pytest.mark.parametrize("rows", [1, 3, LARGE, 2, LARGE + 1])
def test_large_arrays_are_copied_and_converted(load: Load, rows: int) -> None:
    doubles = np.arange(rows) / 7
    floats = doubles.astype(np.float32)
    narrow, wide = load("identity_float32.onnx"), load("identity_float64.onnx")
    for _ in range(2):
        np.testing.assert_array_equal(narrow.run({"x": doubles})["y"], floats)
        np.testing.assert_array_equal(narrow.run({"x": floats})["y"], floats)
        np.testing.assert_array_equal(wide.run({"x": floats})["y"], floats.astype(np.float64))
        np.testing.assert_array_equal(wide.run({"x": doubles})["y"], doubles)
        np.testing.assert_array_equal(asyncio.run(narrow.arun({"x": doubles}))["y"], floats)
    assert wide.run({"x": floats})["y"].dtype == np.float64
    # Arrays in another layout and in another byte order.
    other = doubles.reshape(-1, 1).repeat(2, axis=1)[:, 0]
    np.testing.assert_array_equal(narrow.run({"x": other})["y"], floats)
    np.testing.assert_array_equal(narrow.run({"x": doubles.astype(">f8")})["y"], floats)


@pytest.mark.parametrize("beyond", BEYOND)
def test_numbers_beyond_float32_are_refused_in_every_form(
    load: Load, beyond: float, backend: str
) -> None:
    model = load("floats_finite.onnx")
    record = {"x": beyond, "n": 1}
    asks: list[Callable[[], Any]] = [
        lambda: model.run({"X": np.array([[0.5, 0], [beyond, 1]])}),
        lambda: model.run({"X": [[0.5, 0], [beyond, 1]]}),
        lambda: asyncio.run(model.arun({"X": np.array([[0.5, 0], [beyond, 1]])})),
        lambda: model.predict([{"x": 0.5, "n": 0}, record]),
        lambda: model.predict(pd.DataFrame([{"x": 0.5, "n": 0}, record])),
        lambda: model.predict(pl.DataFrame([{"x": 0.5, "n": 0}, record])),
    ]
    for ask in asks:
        with pytest.raises(errors.OutOfRange) as caught, warnings.catch_warnings():
            warnings.simplefilter("error")
            ask()
        assert (
            str(caught.value)
            == "feature 'x': expected float32, got a number beyond its range (row 1)"
        )
        assert [(fault.name, fault.row) for fault in caught.value.faults] == [("x", 1)]
        assert model.run({"X": np.array([[0.5, 1]])})["transformed"].tolist() == [[0.5, 1]]
    with model.call() as call:
        with pytest.raises(
            errors.OutOfRange, match="input 'X': expected float32, got a number beyond its range"
        ):
            call.inputs["X"] = [[math.copysign(1e39, beyond), 1]]
        call.inputs["X"] = [[0.5, 1]]
        call.run()
        assert call.outputs["transformed"].tolist() == [[0.5, 1]]


def test_the_first_thousand_faults_of_an_array_are_listed_in_the_same_way_as_for_records(
    load: Load, backend: str
) -> None:
    model = load("floats_finite.onnx")
    rows = 1500
    x = np.column_stack([np.full(rows, 1e39), np.arange(rows, dtype=np.float64)])
    x[0] = 0.5, 0
    asks: list[Callable[[], Any]] = [
        lambda: model.run({"X": x}),
        lambda: model.predict([{"x": float(value), "n": int(n)} for value, n in x]),
    ]
    for ask in asks:
        with pytest.raises(errors.OutOfRange) as caught:
            ask()
        assert [(fault.name, fault.row) for fault in caught.value.faults] == [
            ("x", row) for row in range(1, 1001)
        ]
        assert (
            caught.value.faults[0].message
            == "feature 'x': expected float32, got a number beyond its range"
        )
        assert str(caught.value).endswith("; and 1496 more")


@pytest.mark.parametrize(
    "dtype",
    ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", ">i4"],
)
def test_arrays_of_every_integer_type_are_converted(
    load: Load, width: str, dtype: str, backend: str
) -> None:
    model = load(f"identity_{width}.onnx")
    for size in (3, LARGE):
        x = (np.arange(size) % 100).astype(dtype)
        for _ in range(2):
            got = model.run({"x": x})["y"]
            assert got.dtype == width
            np.testing.assert_array_equal(got, x.astype(width))


def test_integers_are_rounded_once(load: Load, backend: str) -> None:
    narrow = load("identity_float32.onnx")
    assert narrow.run({"x": np.array([16777217, 2**53])})["y"].tolist() == [16777216.0, 2.0**53]
    assert narrow.run({"x": [16777217]})["y"].tolist() == [16777216.0]
    features = load("floats_float32.onnx")
    assert features.run({"X": np.array([[1, 16777217]])})["transformed"].tolist() == [
        [1.0, 16777216.0]
    ]
    assert features.predict({"x": 1, "n": 16777217}) == {"transformed": [1.0, 16777216.0]}


@pytest.mark.parametrize("integer", [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**64 - 1])
def test_integers_beyond_2_53_are_rounded_as_numpy_does(
    load: Load, width: str, integer: int, backend: str
) -> None:
    model = load(f"identity_{width}.onnx")
    x = np.array([1, integer], dtype=np.uint64 if integer > 2**63 else np.int64)
    assert model.run({"x": x})["y"].tolist() == x.astype(width).tolist()


@pytest.mark.parametrize(
    "x",
    [
        np.array([True]),
        np.array(["1"]),
        np.array([1j]),
        np.array([None]),
        np.array(["2026-01-01"], "M8[s]"),
        [True],
        ["1"],
    ],
)
def test_values_other_than_real_numbers_are_refused(
    load: Load, width: str, x: object, backend: str
) -> None:
    model = load(f"identity_{width}.onnx")
    with pytest.raises(errors.DtypeMismatch, match=f"input 'x': expected {width}"):
        model.run({"x": x})


@pytest.mark.parametrize("given", WIDTHS)
@pytest.mark.parametrize("name", ["int64", "int32", "uint8", "bool", "float16", "string"])
def test_inputs_of_other_types_refuse_float32_and_float64_arrays(
    load: Load, name: str, given: str, backend: str
) -> None:
    with pytest.raises(errors.DtypeMismatch, match=f"input 'x': expected {name}, got {given}"):
        load(f"identity_{name}.onnx").run({"x": np.ones(2, given)})


def test_a_polars_frame_keeps_missing_values_and_refuses_unsupported_types(
    load: Load, backend: str
) -> None:
    model = load("kinds.onnx")
    record = {"f32": 0.5, "f64": 0.1, "i64": 7, "flag": True, "word": "a", "f32_must": 2.0, "f64_must": 3.0, "i64_must": 4, "flag_must": False, "word_must": "b"}  # fmt: skip
    nothing = {**record, "f32": None, "f64": None, "i64": None, "flag": None, "word": None}
    records = [record, nothing]
    expected = [answer["transformed"] for answer in model.predict(records)]
    frame = pl.DataFrame(records)
    for one in (
        frame,
        frame.cast({"i64": pl.Int16, "f64": pl.Float64}),
        frame.cast({"i64": pl.UInt64, "word": pl.Categorical}),
        frame.to_pandas(),
    ):
        np.testing.assert_array_equal(np.array(model.predict(one)), np.array(expected))
    empty = frame.with_columns(i64_must=pl.lit(None, pl.Int64))
    with pytest.raises(errors.MissingValue, match="feature 'i64_must'"):
        model.predict(empty)
    for bad in (
        pl.lit("2026-01-01").str.to_date(),
        pl.lit("x"),
        pl.lit(True),
        pl.concat_list(pl.lit(1.5)),
        pl.lit(1.5).cast(pl.Decimal(10, 2)),
    ):
        with pytest.raises(errors.DtypeMismatch, match="feature 'f32'"):
            model.predict(frame.with_columns(f32=bad))
    with pytest.raises(errors.UnknownName, match="colour"):
        model.predict(frame.with_columns(colour=1))
    with pytest.raises(errors.OutOfRange, match="feature 'i64'"):
        model.predict(frame.with_columns(i64=pl.lit(2**63, pl.UInt64)))
    assert type(asyncio.run(model.apredict(frame))) is pl.DataFrame
