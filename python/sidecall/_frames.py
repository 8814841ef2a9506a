"""DataFrames of pandas and polars, and arrays, as records, for `Model.predict`.

Neither package is imported here: a caller who passes a DataFrame has imported its package.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from sidecall import errors
from sidecall._arrays import is_masked

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from numpy.typing import NDArray

    from sidecall import _backend
    from sidecall._signature import Feature

    FrameColumn = tuple[str, NDArray[Any] | None, NDArray[np.bool_] | None, str | None]

_PLAIN: dict[str, type] = {"f": np.float64, "i": np.int64, "u": np.int64, "b": np.bool_}


def is_frame(value: object) -> TypeGuard[pd.DataFrame | pl.DataFrame]:
    """Whether this is a DataFrame of pandas or polars; False if its package was never imported."""
    return _is_of("pandas", value) or _is_of("polars", value)


def _is_of(package: str, value: object) -> bool:
    module = sys.modules.get(package)
    return module is not None and isinstance(value, module.DataFrame)


def predict_frame(model: _backend.Model, frame: Any, timeout_ns: int) -> Any:
    """Predicts a DataFrame, and returns a DataFrame of the same package.

    The result has the flat columns of the outputs and, in pandas, the index of `frame`.
    """
    if _is_of("polars", frame):
        columns = [_from_polars(series) for series in frame]
        return type(frame)(dict(model.predict_columns(columns, len(frame), timeout_ns)))
    if not frame.columns.is_unique:
        raise errors.InvalidArgument("a DataFrame: expected each column once, got one twice")
    columns = [column_of(str(name), series) for name, series in frame.items()]
    answers = model.predict_columns(columns, len(frame), timeout_ns)
    return type(frame)(dict(answers), index=frame.index)


def predict_array(
    model: _backend.Model, table: NDArray[Any], features: tuple[Feature, ...], timeout_ns: int
) -> dict[str, NDArray[Any]]:
    """Predicts an array [rows, features], and returns the flat columns of the outputs by name."""
    if features and (table.ndim != 2 or table.shape[1] != len(features)):
        raise errors.ShapeMismatch(
            f"records: expected an array of the shape [rows, {len(features)}], which has a column "
            f"for each feature, got {list(table.shape)}"
        )
    columns = []
    for feature, column in zip(features, table.T, strict=False):
        mask = None
        if is_masked(column):
            mask = np.ascontiguousarray(np.ma.getmaskarray(column))
            column = np.ma.getdata(column)
        if column.dtype.kind in "UT":
            column = column.astype(object)
        name, values, _, refused = _from_numpy(feature.name, column)
        columns.append((name, values, mask, refused))
    return dict(model.predict_columns(columns, len(table) if table.ndim else 1, timeout_ns))


def _from_polars(series: pl.Series) -> FrameColumn:
    dtype, name = series.dtype, series.name
    is_boolean = str(dtype) == "Boolean"
    if is_boolean or dtype.is_integer() or dtype.is_float():
        mask = np.ascontiguousarray(series.is_null().to_numpy())
        _, values, _, refused = _from_numpy(
            name, series.fill_null(False if is_boolean else 0).to_numpy()
        )
        return name, values, mask, refused
    if dtype.is_temporal() or dtype.is_nested() or dtype.is_decimal():
        return name, None, None, str(dtype)
    values = np.empty(len(series), dtype=object)
    values[:] = series.to_list()
    return name, values, None, None


def column_of(name: str, series: pd.Series[Any]) -> FrameColumn:
    """Returns a column as the backends take it.

    The tuple is (name, values, mask of missing values, name of a type that no feature accepts).
    Values are float64, int64, bool or Python objects; the conversion changes no number.
    """
    dtype: Any = series.dtype
    if isinstance(dtype, np.dtype):
        return _from_numpy(name, series.to_numpy())
    kind = getattr(dtype, "kind", "O")
    if hasattr(dtype, "categories"):
        return name, series.astype(object).to_numpy(), None, None
    if kind in _PLAIN:
        mask = series.isna().to_numpy(dtype=np.bool_)
        if kind == "u":
            return name, series.to_numpy(dtype=object), mask, None
        nothing = False if kind == "b" else 0  # pyarrow needs a value of the column's type
        return (
            name,
            series.to_numpy(dtype=_PLAIN[kind], na_value=nothing),
            np.ascontiguousarray(mask),
            None,
        )
    if kind in "mMc":
        return name, None, None, str(dtype)
    return name, np.ascontiguousarray(series.to_numpy(dtype=object)), None, None


def _from_numpy(name: str, values: NDArray[Any]) -> FrameColumn:
    kind = values.dtype.kind
    if kind == "O":
        return name, np.ascontiguousarray(values), None, None
    if kind not in _PLAIN:
        return name, None, None, str(values.dtype)
    if kind == "u" and values.size and int(values.max()) > np.iinfo(np.int64).max:
        return name, values.astype(object), None, None
    return name, np.ascontiguousarray(values, dtype=_PLAIN[kind]), None, None
