"""NaN, None and pd.NA are one thing for callers and three for encoders: which one fit saw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .columns import is_missing
from .original import Original
from .steps import estimators_in

_SAMPLE = 100


def to_pandas(data: Any) -> tuple[Any, bool]:
    """A frame or series of another library as one of pandas, and True; anything else and False."""
    if hasattr(data, "to_pandas") and not hasattr(data, "iloc"):
        return data.to_pandas(), True
    return data, False


def as_fitted(frame: Any, model: Any, *, is_converted: bool = False) -> tuple[Any, list[str]]:
    """The frame with the missing values of text and booleans as fit saw them, and the names of
    the columns that were changed.

    The nullable types of pandas, and the conversion of another library's frame (`is_converted`),
    dictate how a missing value is written, which then says nothing of the model's training. Where
    the categories of its encoders hold one kind of missing value, it is that one; otherwise the
    first kind that the model accepts. Python objects of a pandas frame stay as they are.
    """
    places = [i for i, dtype in enumerate(frame.dtypes) if _is_dictated(dtype, is_converted)]
    known = {type(value): value for value in missing_categories(model)}
    if not places:
        return frame, []
    if len(known) == 1:
        return _written(frame, places, next(iter(known.values())))
    missing = np.flatnonzero(frame.iloc[:, places].isna().any(axis=1).to_numpy())[:_SAMPLE]
    sample = np.union1d(missing, np.arange(min(_SAMPLE, len(frame))))
    original = Original(model)
    if not original.accepts(frame.iloc[sample]):
        for sentinel in (np.nan, None):
            if original.accepts(_written(frame.iloc[sample], places, sentinel)[0]):
                return _written(frame, places, sentinel)
    return frame, []


def fitted_categories(model: Any) -> Iterator[list[Any]]:
    """The categories of each column of every fitted encoder anywhere inside."""
    for item in estimators_in(model):
        categories = vars(item).get("categories_")
        for group in categories if isinstance(categories, (list, tuple)) else ():
            yield np.asarray(group, dtype=object).tolist()


def missing_categories(model: Any) -> list[Any]:
    """The missing values among the categories of text and of booleans."""
    groups = [
        group
        for group in fitted_categories(model)
        if any(isinstance(value, (str, bool)) for value in group)
    ]
    return [value for group in groups for value in group if is_missing(value)]


def _is_dictated(dtype: Any, is_converted: bool) -> bool:
    """Text or booleans in a type of pandas or pyarrow; a categorical keeps NaN."""
    if isinstance(dtype, np.dtype):
        return is_converted and dtype.kind == "O"
    if hasattr(dtype, "categories"):
        return False
    return getattr(dtype, "type", None) is str or getattr(dtype, "kind", "") in "Ub"


def _written(frame: Any, places: list[int], sentinel: Any) -> tuple[Any, list[str]]:
    import pandas

    changed = [
        i
        for i in places
        if type(getattr(frame.dtypes.iloc[i], "na_value", None)) is not type(sentinel)
    ]
    if not changed:
        return frame, []
    frame = frame.copy(deep=False)
    for i in changed:
        series = frame.iloc[:, i]
        values = series.to_numpy(dtype=object, copy=True)
        values[series.isna().to_numpy(dtype=bool)] = sentinel
        frame.isetitem(i, pandas.Series(values, index=series.index, dtype=object))
    return frame, [str(frame.columns[i]) for i in changed]
