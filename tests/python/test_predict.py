"""Records and frames: missing values, numbers, names, and all faults together."""

from __future__ import annotations

import collections
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sidecall
from sidecall import errors
from vector_files import MODELS

RECORD = {"a": 1, "b": 2, "c": True, "d": 0.5}
Load = Callable[..., sidecall.Model]


def test_predict_takes_a_record_a_list_and_a_tuple(matrix: sidecall.Model, backend: str) -> None:
    assert matrix.predict(RECORD) == {"prediction": 621.0}
    assert matrix.predict([RECORD, RECORD]) == [{"prediction": 621.0}] * 2
    assert matrix.predict((RECORD,)) == [{"prediction": 621.0}]


TOO_MANY = """
import asyncio, resource, sys
import numpy as np
import sidecall
from sidecall import errors

model = sidecall.open(sys.argv[1], backend=sys.argv[2])
record = {"a": 1, "b": 2, "c": True, "d": 0.5}
model.predict(record)
asyncio.run(model.apredict(record))  # starts the threads, whose stacks would not fit later
many = [record] * 300_000
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (16 << 20), resource.RLIM_INFINITY))
calls = (
    lambda: model.predict(many),
    lambda: asyncio.run(model.apredict(many)),
    lambda: model.run(np.zeros((100_000_000, 4), "f4")),
)
for call in calls:
    try:
        call()
    except errors.OutOfMemory as error:
        assert error.code == "OUT_OF_MEMORY" and error.retryable
        print(error)
    except MemoryError:
        print("bare")
del many
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert model.predict([record] * 1000) == [{"prediction": 621.0}] * 1000
"""


def test_too_many_records_for_the_memory_raise_out_of_memory(backend: str) -> None:
    """Runs under a memory limit. NumPy raises MemoryError if it cannot allocate an array itself."""
    path = Path(__file__).parents[1] / "vectors/models/matrix.onnx"
    done = subprocess.run(
        [sys.executable, "-c", TOO_MANY, str(path), backend],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    message = "records: too many rows for the available memory: pass them in batches"
    assert done.stdout.splitlines() == [message, message, "bare"]


def test_the_order_of_keys_and_the_kind_of_mapping_do_not_matter(
    matrix: sidecall.Model, backend: str
) -> None:
    turned = dict(reversed(RECORD.items()))
    for record in (turned, collections.OrderedDict(turned), types.MappingProxyType(turned)):
        assert matrix.predict(record) == {"prediction": 621.0}
    assert matrix.predict([types.MappingProxyType(turned)]) == [{"prediction": 621.0}]


@pytest.mark.parametrize(
    "table",
    [
        np.array([[1, 2, True, 0.5]], object),
        np.asfortranarray(np.array([[1, 2, True, 0.5]] * 3, object))[1:2],
        np.ma.masked_array(np.array([[1, 2, True, 0.5]], object), mask=False),
    ],
    ids=["objects", "strided", "masked"],
)
def test_predict_takes_an_array_with_a_column_for_each_feature(
    table: Any, matrix: sidecall.Model, backend: str
) -> None:
    answer = matrix.predict(table)
    assert list(answer) == [column.name for column in matrix.columns]
    assert answer["prediction"].tolist() == [621.0]


def test_an_array_of_numbers_has_missing_values_where_it_is_nan_or_masked(load: Load) -> None:
    model = load("finite.onnx")
    width = len(model.features)
    table = np.linspace(0, 1, 2 * width).reshape(2, width)
    names = [feature.name for feature in model.features]
    expected = model.predict(pd.DataFrame(table, columns=names))
    for column, values in model.predict(table).items():
        assert values.tolist() == expected[column].tolist()
    for missing in (np.where(table == 0, np.nan, table), np.ma.masked_equal(table, 0)):
        with pytest.raises(errors.MissingValue, match=rf"feature '{names[0]}'.*\(row 0\)"):
            model.predict(missing)


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 5), (1, 4, 1)], ids=str)
def test_an_array_of_another_shape_is_refused(
    shape: tuple[int, ...], matrix: sidecall.Model, backend: str
) -> None:
    with pytest.raises(errors.ShapeMismatch, match=r"shape \[rows, 4\].*got \["):
        matrix.predict(np.zeros(shape))


def test_an_array_of_other_types_is_refused(matrix: sidecall.Model, backend: str) -> None:
    for table, got in ((np.full((1, 4), "1"), "string"), (np.zeros((1, 4), complex), "complex128")):
        with pytest.raises(errors.DtypeMismatch, match=f"'a': expected float32, got {got}"):
            matrix.predict(table)


def test_a_record_that_is_cleared_while_it_is_read_is_read_safely(
    matrix: sidecall.Model,
) -> None:
    class Name(str):
        def __hash__(self) -> int:
            if is_read:
                record.clear()
            return str.__hash__(self)

        __eq__ = str.__eq__

    is_read = False
    record: dict[str, Any] = {
        Name("d"): float("0.5"),
        Name("c"): True,
        Name("b"): int("2000"),
        Name("a"): float("1.5"),
    }
    is_read = True
    with pytest.raises(errors.Error):
        matrix.predict(record)


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, np.float32("nan"), pd.NA])
def test_every_kind_of_missing_value_counts_as_an_absent_key(
    matrix: sidecall.Model, backend: str, missing: object
) -> None:
    assert matrix.predict({**RECORD, "a": missing}) == matrix.predict(
        {k: v for k, v in RECORD.items() if k != "a"}
    )
    for name in ("c", "d"):
        with pytest.raises(errors.MissingValue, match=f"feature '{name}'"):
            matrix.predict({**RECORD, name: missing})


@pytest.mark.parametrize(
    "number", [3, 3.0, np.float32(3), np.float64(3), np.int8(3), np.uint64(3), np.int64(3)]
)
def test_whole_numbers_of_every_type_are_accepted(
    matrix: sidecall.Model, backend: str, number: object
) -> None:
    assert matrix.predict({**RECORD, "a": number})["prediction"] == 623
    assert matrix.predict({**RECORD, "b": number})["prediction"] == 631


@pytest.mark.parametrize(
    ("name", "value", "kind", "got"),
    [
        ("a", "1", errors.DtypeMismatch, "string"),
        ("a", True, errors.DtypeMismatch, "bool"),
        ("a", np.True_, errors.DtypeMismatch, "bool"),
        ("a", [1], errors.DtypeMismatch, "array"),
        ("a", {"x": 1}, errors.DtypeMismatch, "object"),
        ("a", b"1", errors.DtypeMismatch, "bytes"),
        ("a", 1 + 2j, errors.DtypeMismatch, "complex"),
        ("a", 10**400, errors.DtypeMismatch, "an integer beyond float64"),
        ("b", 2.5, errors.DtypeMismatch, "float64"),
        ("b", 2**70, errors.OutOfRange, None),
        ("c", 1, errors.DtypeMismatch, "int64"),
        ("c", "true", errors.DtypeMismatch, "string"),
    ],
)
def test_values_of_another_type_or_range_are_refused(
    matrix: sidecall.Model,
    backend: str,
    name: str,
    value: object,
    kind: type[errors.Error],
    got: str | None,
) -> None:
    with pytest.raises(kind) as caught:
        matrix.predict({**RECORD, name: value})
    assert caught.value.name == name
    assert got in (None, caught.value.got)
    assert matrix.predict(RECORD) == {"prediction": 621.0}


def test_all_faults_of_a_call_are_listed_without_values(
    matrix: sidecall.Model, backend: str
) -> None:
    with pytest.raises(errors.Error) as caught:
        matrix.predict(
            [RECORD, {"a": "secret", "b": 0.5, "c": 1, "d": None, "colour": "secret"}, {}]
        )
    faults = caught.value.faults
    assert {(fault.row, fault.name) for fault in faults} == {
        (1, "a"),
        (1, "b"),
        (1, "c"),
        (1, "d"),
        (1, "colour"),
        (2, "c"),
        (2, "d"),
    }
    assert "secret" not in repr(faults) + str(caught.value)
    assert (caught.value.row, caught.value.code) == (faults[0].row, faults[0].code)


def test_five_hundred_faults_are_all_listed(matrix: sidecall.Model, backend: str) -> None:
    with pytest.raises(errors.DtypeMismatch) as caught:
        matrix.predict([{**RECORD, "a": "x"}] * 500)
    assert [fault.row for fault in caught.value.faults] == list(range(500))


def test_unknown_features_are_refused_or_ignored_as_requested(load: Load) -> None:
    with pytest.raises(errors.UnknownName, match="colour"):
        load("matrix.onnx").predict({**RECORD, "colour": 1})
    with pytest.raises(errors.UnknownName):
        load("matrix.onnx").predict({**RECORD, 7: 1})
    assert load("matrix.onnx", extra="ignore").predict({**RECORD, "colour": object()}) == {
        "prediction": 621.0
    }


@pytest.mark.parametrize("records", [3, "text", b"bytes", None, {1, 2}])
def test_objects_that_are_not_records_are_refused(
    matrix: sidecall.Model, backend: str, records: object
) -> None:
    with pytest.raises(errors.DtypeMismatch, match="expected a record"):
        matrix.predict(records)  # type: ignore[call-overload]
    with pytest.raises(errors.DtypeMismatch, match="expected a record, got"):
        matrix.predict([RECORD, records])  # type: ignore[list-item]


def test_no_rows_and_a_model_without_a_contract_are_refused(
    matrix: sidecall.Model, load: Load, backend: str
) -> None:
    for no_rows in ([], pd.DataFrame({name: [] for name in RECORD})):
        with pytest.raises(errors.ShapeMismatch):
            matrix.predict(no_rows)
    with pytest.raises(errors.NoContract):
        load("add.onnx").predict({"x": 1})


def test_labels_keep_their_type(load: Load) -> None:
    for file, kind in (
        ("label_bool.onnx", bool),
        ("label_bool_int.onnx", bool),
        ("label_int.onnx", int),
        ("label_string.onnx", str),
    ):
        model = load(file)
        record = {feature.name: 1 for feature in model.features}
        assert type(model.predict(record)["label"]) is kind, file
        column = model.predict(pd.DataFrame([record]))["label"]
        assert isinstance(
            column.iloc[0],
            (np.bool_, bool) if kind is bool else (np.int64, int) if kind is int else str,
        )


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {"d": [0.5, 1.0], "c": [True, False], "b": [2, 0], "a": [1.0, 0.0]}, index=["p", "q"]
    )


def test_an_answer_keeps_the_index_of_the_frame(matrix: sidecall.Model, backend: str) -> None:
    answer = matrix.predict(frame())
    assert answer["prediction"].tolist() == [621.0, 1000.0]
    assert list(answer.index) == ["p", "q"]
    assert list(answer.columns) == [column.name for column in matrix.columns]
    assert answer["prediction"].dtype == np.float32


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("a", np.array([1, 0], dtype=np.int32)),
        ("a", np.array([1, 0], dtype=np.float16)),
        ("a", np.array([1, 0], dtype=np.uint64)),
        ("a", pd.array([1, 0], dtype="Int64")),
        ("a", pd.array([1, 0], dtype="UInt8")),
        ("a", pd.array([1, 0], dtype="Float32")),
        ("a", np.array([1, 0.0], dtype=object)),
        ("a", pd.Categorical([1.0, 0.0])),
        ("b", np.array([2.0, 0.0])),
        ("c", pd.array([True, False], dtype="boolean")),
        ("c", np.array([True, False], dtype=object)),
    ],
)
def test_frame_columns_of_every_type_are_accepted(
    matrix: sidecall.Model, backend: str, name: str, column: object
) -> None:
    assert matrix.predict(frame().assign(**{name: column}))["prediction"].tolist() == [
        621.0,
        1000.0,
    ]


def test_every_byte_of_a_bool_column_that_is_not_zero_is_true(
    matrix: sidecall.Model, backend: str
) -> None:
    frame = pd.DataFrame([RECORD] * 3)
    expected = matrix.predict(frame.assign(c=[True, False, True]))
    odd = np.array([1, 0, 7], np.uint8).view(bool)
    pd.testing.assert_frame_equal(matrix.predict(frame.assign(c=odd)), expected)


def test_columns_that_are_not_aligned_or_have_gaps_are_read(
    matrix: sidecall.Model, backend: str
) -> None:
    frame = pd.DataFrame([RECORD] * 3).assign(a=[1.0, 2.0, 3.0])
    expected = matrix.predict(frame)
    bytes_of = np.zeros(25, np.uint8)
    moved = bytes_of[1:].view(np.float64)
    moved[:] = frame["a"]
    wide = np.zeros((3, 2))
    wide[:, 1] = frame["a"]
    for values in (moved, wide[:, 1], frame["a"].to_numpy(">f8")):
        pd.testing.assert_frame_equal(matrix.predict(frame.assign(a=values)), expected)


@pytest.mark.parametrize(
    "column",
    [
        [None, 0.0],
        pd.array([pd.NA, 0], dtype="Int64"),
        np.array([pd.NA, 0], dtype=object),
        [np.nan, 0],
    ],
)
def test_missing_values_of_every_kind_get_the_same_answer_in_a_frame_as_in_a_record(
    matrix: sidecall.Model, backend: str, column: object
) -> None:
    expected = matrix.predict({**RECORD, "a": None})["prediction"]
    assert matrix.predict(frame().assign(a=column))["prediction"].tolist() == [expected, 1000.0]


def test_invalid_frames_are_refused(matrix: sidecall.Model, backend: str) -> None:
    when = pd.to_datetime(["2026-01-01", "2026-01-02"])
    for bad, kind in (
        (frame().assign(a=when), errors.DtypeMismatch),
        (frame().assign(a=["x", "y"]), errors.DtypeMismatch),
        (frame().assign(c=[1, 0]), errors.DtypeMismatch),
        (frame().assign(colour=1), errors.UnknownName),
        (frame().drop(columns="d"), errors.MissingInput),
        (pd.concat([frame(), frame()[["a"]]], axis=1), errors.InvalidArgument),
    ):
        with pytest.raises(kind):
            matrix.predict(bad)


def test_frames_and_records_of_strings_give_the_same_answers(load: Load) -> None:
    model = load("kinds.onnx")
    record = {
        "f32": 0.5,
        "f64": 0.1,
        "i64": 7,
        "flag": True,
        "word": "a",
        "f32_must": 2,
        "f64_must": 3,
        "i64_must": 4,
        "flag_must": False,
        "word_must": "b",
    }
    records = [record, {**record, "word": None}]
    one_by_one = model.predict(records)
    for dtype in ("object", "string", "category", "str"):
        whole = pd.DataFrame(records).astype({"word": dtype, "word_must": dtype})
        assert model.predict(whole).iloc[0].tolist() == one_by_one[0]["transformed"]
        np.testing.assert_array_equal(
            model.predict(whole).iloc[1].to_numpy(float), one_by_one[1]["transformed"]
        )


def test_large_batches_are_answered_in_order(matrix: sidecall.Model, backend: str) -> None:
    rows = 3000
    whole = pd.DataFrame({"a": np.arange(rows) % 10, "b": 1, "c": True, "d": 0.0})
    expected = (whole["a"] + 110).tolist()
    assert matrix.predict(whole)["prediction"].tolist() == expected
    assert [answer["prediction"] for answer in matrix.predict(whole.to_dict("records"))] == expected


def test_a_notebook_shows_features_answers_and_engine() -> None:
    with sidecall.open(MODELS / "penguins.onnx") as model:
        html = model._repr_html_()
        assert all(feature.name in html for feature in model.features)
        assert all(column.name in html for column in model.columns)
        assert model.engine in html and "may be missing" in html
    with sidecall.open(MODELS / "add.onnx") as model:
        assert "0 features of a record" in model._repr_html_()
