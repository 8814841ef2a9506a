"""Tables and record batches of pyarrow in predict: the answers of records, and the same errors."""

from __future__ import annotations

import asyncio
import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sidecall
from vector_files import MODELS

ROWS = {"a": [1, None, 3], "b": [2, 5, None], "c": [True, False, True], "d": [0.5, 1.0, 2.0]}


def table(**columns: pa.Array) -> pa.Table:
    return pa.table({**{name: pa.array(values) for name, values in ROWS.items()}, **columns})


def records(rows: pa.Table) -> list[dict]:
    return rows.to_pylist()


def test_a_table_gets_a_table_with_the_answers_of_its_records(load) -> None:
    with load("matrix.onnx") as model:
        answers = model.predict(table())
        assert isinstance(answers, pa.Table)
        assert answers.to_pylist() == model.predict(records(table()))


def test_a_record_batch_gets_a_record_batch(load) -> None:
    with load("matrix.onnx") as model:
        (batch,) = table().to_batches()
        answers = model.predict(batch)
        assert isinstance(answers, pa.RecordBatch)
        assert answers.to_pylist() == model.predict(records(table()))


def test_asyncio_gets_the_same(matrix) -> None:
    assert asyncio.run(matrix.apredict(table())).equals(matrix.predict(table()))


@pytest.mark.parametrize("kind", ["int8", "uint16", "uint64", "float16", "float32", "float64"])
def test_numbers_of_each_width_are_taken_with_and_without_nulls(matrix, kind: str) -> None:
    for values in ([1, 2, 3], [1, None, 3]):
        narrow = pa.array(
            np.array([v or 0 for v in values], kind), mask=np.array([v is None for v in values])
        )
        assert matrix.predict(table(a=narrow)).equals(matrix.predict(table(a=pa.array(values))))


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())],
    ids=str,
)
def test_texts_of_each_type_are_taken(kind: pa.DataType) -> None:
    texts = pa.array(["Biscoe", None, "Dream"])
    with sidecall.open(MODELS / "penguins.onnx", absent="missing") as model:
        expected = model.predict([{"island": text} for text in texts.to_pylist()])
        answers = model.predict(pa.table({"island": texts.cast(kind)}))
        assert answers.column("label").to_pylist() == [each["label"] for each in expected]


def test_a_column_of_several_chunks_is_one_column(matrix) -> None:
    several = pa.concat_tables([table(), table().slice(1)])
    assert several.column("a").num_chunks == 2
    assert matrix.predict(several).to_pylist() == matrix.predict(records(several))


def test_a_part_of_a_table_is_read_from_its_own_rows(matrix) -> None:
    part = table().slice(1, 2)
    assert matrix.predict(part).to_pylist() == matrix.predict(records(part))


def test_a_column_of_type_null_is_missing_in_all_rows(matrix) -> None:
    expected = matrix.predict([{**row, "a": None} for row in records(table())])
    assert matrix.predict(table(a=pa.nulls(3))).to_pylist() == expected


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_timestamps_are_taken_in_each_unit_and_zone(unit: str) -> None:
    moment = datetime.datetime(2000, 1, 31, 12, 30)
    with sidecall.open(MODELS / "dates.onnx") as model:
        golden = model.contract["verification"]["features"]
        row = {f.name: values[0] for f, values in zip(model.features, golden, strict=True)}
        for feature in model.features:
            when = moment.replace(tzinfo=None if feature.zone is None else datetime.UTC)
            zone = None if feature.zone is None else "Europe/Berlin"
            column = pa.array([when, when], pa.timestamp(unit, zone))
            columns = {name: pa.array([value] * 2) for name, value in row.items()}
            answers = model.predict(pa.table(columns | {feature.name: column}))
            expected = model.predict(pd.DataFrame([{**row, feature.name: when}] * 2))
            assert answers.to_pydict() == expected.to_dict("list")


def test_a_timestamp_without_the_zone_of_the_feature_is_refused() -> None:
    with sidecall.open(MODELS / "dates.onnx", absent="missing") as model:
        zoned = next(feature for feature in model.features if feature.zone is not None)
        naive = pa.array([datetime.datetime(2000, 1, 1)], pa.timestamp("us"))
        with pytest.raises(sidecall.errors.DtypeMismatch, match="without a zone"):
            model.predict(pa.table({zoned.name: naive}))


@pytest.mark.parametrize(
    ("column", "got"),
    [
        (pa.array(["1", "2", "3"]), "string"),
        (pa.array([True, True, False]), "bool"),
        (pa.array([b"1", b"2", b"3"]), "binary"),
        (pa.array([[1], [2], [3]]), r"list<item: int64>"),
        (pa.array([1, 2, 3]).cast(pa.decimal128(21, 2)), r"decimal128\(21, 2\)"),
        (pa.array([1, 2, 3], pa.timestamp("us")), r"timestamp\[us\]"),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_a_type_that_no_number_has_is_refused(matrix, column: pa.Array, got: str) -> None:
    with pytest.raises(sidecall.errors.DtypeMismatch, match=f"feature 'a': expected .*, got {got}"):
        matrix.predict(table(a=column))


def test_a_column_that_is_no_feature_is_refused(matrix) -> None:
    with pytest.raises(sidecall.errors.UnknownName, match="'other'"):
        matrix.predict(table(other=pa.array([1, 2, 3])))


def test_a_name_that_two_columns_have_is_refused(matrix) -> None:
    columns = [*table().columns, table().column("a")]
    twice = pa.Table.from_arrays(columns, names=[*table().column_names, "a"])
    with pytest.raises(sidecall.errors.InvalidArgument, match="expected each column once"):
        matrix.predict(twice)


def test_a_table_without_rows_is_refused(matrix) -> None:
    with pytest.raises(sidecall.errors.ShapeMismatch):
        matrix.predict(table().slice(0, 0))


def test_an_integer_beyond_the_range_of_int64_is_refused(matrix) -> None:
    with pytest.raises(sidecall.errors.OutOfRange, match="'b'"):
        matrix.predict(table(b=pa.array([2**64 - 1, 1, 2], pa.uint64())))
