"""Leaves out columns that no feature can hold, such as periods, if the model does not use them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import DataError, ModelError
from ..model.original import Original
from .columns import Column

_ROWS = 10_000  # the model answers at most this many rows, with and without the column


def readable(
    frame: Any, names: list[str], model: Any, read: Callable[[str, Any], Column]
) -> tuple[list[Column], list[int]]:
    """Returns the columns that features can hold, and the places of the others.

    Raises DataError for a column that no feature can hold but that the model uses.
    """
    columns, left_out = [], []
    for place, name in enumerate(names):
        try:
            columns.append(read(name, frame.iloc[:, place]))
        except DataError as error:
            if not _is_unused(frame, place, model):
                raise with_advice(error) from None
            left_out.append(place)
    return columns, left_out


def with_advice(error: DataError) -> DataError:
    """Returns the same error with advice on what to do about the column."""
    return DataError(
        f"{error}; before fit, drop the column or convert it to numbers, text, booleans or datetime64",
        error.name,
    )


def _is_unused(frame: Any, place: int, model: Any) -> bool:
    """Whether the model gives identical answers without the column.

    This is so if a ColumnTransformer drops the column, or if the first step selects other columns
    by name.
    """
    sample = frame.iloc[:_ROWS]
    without = sample.drop(columns=sample.columns[place])
    try:
        original = Original(model)
        original.describe(sample)
        expected, got = original.ask(sample), original.ask(without)
    except ModelError:
        return False
    return all(
        np.array_equal(expected[name], got[name], equal_nan=expected[name].dtype.kind == "f")
        for name in expected
    )
