"""Finds which kind of missing value fit saw: NaN, None or pd.NA.

The three are the same for callers, but encoders distinguish them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..model.original import Original
from ..model.steps import estimators_in, is_xgboost
from .columns import is_missing

_SAMPLE = 100


def to_pandas(data: Any) -> tuple[Any, bool]:
    """Converts a frame or series of another library to pandas. Also returns whether it did so."""
    if hasattr(data, "to_pandas") and not hasattr(data, "iloc"):
        return data.to_pandas(), True
    return data, False


def as_fitted(frame: Any, model: Any, *, is_converted: bool = False) -> tuple[Any, list[str]]:
    """Returns the frame with missing values of the kind that fit saw, and the changed columns.

    Only columns of text and booleans are changed. The nullable types of pandas, and the conversion
    of another library's frame (`is_converted`), determine how a missing value is written, so the
    frame does not show which kind the model was trained with. If the categories of the model's
    encoders hold one kind of missing value, that kind is used; otherwise the first kind that the
    model accepts.
    Python objects of a pandas frame stay as they are.
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
    """Yields the categories of each column of every fitted encoder and XGBoost in the model."""
    from sidecall.convert.families.boosting.xgboost import categories_of

    boosters = [model] if is_xgboost(model) and not hasattr(model, "get_params") else []
    for item in (*boosters, *estimators_in(model)):
        if is_xgboost(item):
            yield from categories_of(item).values()
            continue
        categories = vars(item).get("categories_")
        for group in categories if isinstance(categories, (list, tuple)) else ():
            yield np.asarray(group, dtype=object).tolist()
        for name in ("encoder_dict_", "category_dict_"):  # of feature_engine
            by_column = vars(item).get(name)
            for group in by_column.values() if isinstance(by_column, dict) else ():
                yield list(group)


def missing_categories(model: Any) -> list[Any]:
    """Returns the missing values among the categories of text and booleans."""
    groups = [
        group
        for group in fitted_categories(model)
        if any(isinstance(value, (str, bool)) for value in group)
    ]
    return [value for group in groups for value in group if is_missing(value)]


def _is_dictated(dtype: Any, is_converted: bool) -> bool:
    """Whether the type, not the user, determines how missing text or booleans are written.

    A categorical type always uses NaN.
    """
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
