"""Tables in predict that lack the column of a feature."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sidecall
from sidecall import errors
from vector_files import MODELS

ROWS = pd.DataFrame({"d": [0.5, 1.0], "c": [True, False], "b": [2, 0], "a": [1.0, 0.0]})
TABLES = {
    "pandas": lambda table: table,
    "polars": pl.from_pandas,
    "arrow": pa.Table.from_pandas,
    "batch": pa.RecordBatch.from_pandas,
}


@pytest.mark.parametrize("made", TABLES.values(), ids=TABLES)
def test_a_table_without_the_column_of_a_feature_is_refused(
    matrix: sidecall.Model, backend: str, made: Callable[[pd.DataFrame], Any]
) -> None:
    for names, text in (
        ("a", "feature 'a': expected a column, got none"),
        ("ab", "features 'a', 'b': expected columns, got none"),
        ("abcd", "features 'a', 'b', 'c', 'd': expected columns, got none"),
    ):
        with pytest.raises(errors.MissingInput, match=text) as caught:
            matrix.predict(made(ROWS.assign(other=1).drop(columns=list(names))))
        assert [fault.name for fault in caught.value.faults] == list(names)
        assert "absent='missing'" in str(caught.value)


@pytest.mark.parametrize("made", TABLES.values(), ids=TABLES)
def test_such_a_column_is_missing_on_request(
    load: Callable[..., sidecall.Model], backend: str, made: Callable[[pd.DataFrame], Any]
) -> None:
    model = load("matrix.onnx", absent="missing")
    rows = made(ROWS.drop(columns="a"))
    for each in (model, pickle.loads(pickle.dumps(model))):
        assert each.predict(rows)["prediction"].to_numpy()[0] == 619.0  # a missing `a` is -1
    with pytest.raises(errors.MissingValue, match="feature 'c'"):
        model.predict(made(ROWS.drop(columns="c")))


def test_an_absent_key_of_a_record_is_a_missing_value(matrix: sidecall.Model, backend: str) -> None:
    record = {"b": 2, "c": True, "d": 0.5}
    assert matrix.predict(record) == matrix.predict({**record, "a": None})


def test_a_wide_table_names_some_of_the_columns(load: Callable[..., sidecall.Model]) -> None:
    model = load("gbm.onnx")
    with pytest.raises(errors.MissingInput, match=r"'x4' and \d+ more: expected columns") as caught:
        model.predict(pd.DataFrame({"other": [1.0]}))
    assert len(caught.value.faults) == len(model.features)


def test_absent_takes_one_of_two_words() -> None:
    with pytest.raises(errors.InvalidArgument, match="absent: expected 'error' or 'missing', got"):
        sidecall.open(MODELS / "matrix.onnx", absent="ignore")  # type: ignore[arg-type]
