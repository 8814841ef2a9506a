"""DataFrames of pandas and polars, and arrays, as records, for `Model.predict`.

Neither package is imported here: a caller who passes a DataFrame has imported its package.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from sidecall import errors
from sidecall._data.arrays import is_masked
from sidecall._data.datetimes import Instant, counts_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    import polars as pl
    from numpy.typing import NDArray

    from sidecall import _backend
    from sidecall._signature import Feature

    FrameColumn = tuple[str, NDArray[Any] | None, NDArray[np.bool_] | None, str | None]

_NAMES_IN_MESSAGE = 5
_PLAIN: dict[str, type] = {"f": np.float64, "i": np.int64, "u": np.int64, "b": np.bool_}


def is_frame(value: object) -> TypeGuard[pd.DataFrame | pl.DataFrame]:
    """Whether this is a DataFrame of pandas or polars; False if its package was never imported."""
    return _is_of("pandas", value) or _is_of("polars", value)


def _is_of(package: str, value: object) -> bool:
    module = sys.modules.get(package)
    return module is not None and isinstance(value, module.DataFrame)


def require_columns(features: tuple[Feature, ...], columns: Iterable[object]) -> None:
    """Raises MissingInput if a table with these columns lacks features; it names them."""
    given = {str(name) for name in columns}
    absent = [feature.name for feature in features if feature.name not in given]
    if not absent:
        return
    names = ", ".join(f"'{name}'" for name in absent[:_NAMES_IN_MESSAGE])
    more = len(absent) - _NAMES_IN_MESSAGE
    message = (
        f"feature {names}: expected a column, got none"
        if len(absent) == 1
        else f"features {names}{f' and {more} more' if more > 0 else ''}: expected columns, got none"
    )
    status = errors.MissingInput.status
    faults = [
        (status, None, name, "a column", "none", f"feature '{name}': expected a column, got none")
        for name in absent
    ]
    raise errors.make(
        status,
        f"{message} (sidecall.open(..., absent='missing') takes "
        f"{'it' if len(absent) == 1 else 'them'} as missing)",
        False,
        *faults[0][1:5],
        faults,
    )


def predict_frame(
    model: _backend.Model, frame: Any, features: tuple[Feature, ...], timeout_ns: int
) -> Any:
    """Predicts a DataFrame, and returns a DataFrame of the same package.

    The result has the flat columns of the outputs and, in pandas, the index of `frame`.
    """
    datetimes = {feature.name: feature for feature in features if feature.dtype == "datetime"}
    if _is_of("polars", frame):
        columns = [_from_polars(series, datetimes.get(series.name)) for series in frame]
        return type(frame)(dict(model.predict_columns(columns, len(frame), timeout_ns)))
    if not frame.columns.is_unique:
        raise errors.InvalidArgument("a DataFrame: expected each column once, got one twice")
    columns = [
        column_of(str(name), series, datetimes.get(str(name))) for name, series in frame.items()
    ]
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
        if column.dtype.kind == "M" and mask is not None:
            column, mask = np.where(mask, np.datetime64("NaT"), column), None
        name, values, _, refused = column_of_numpy(feature.name, column, feature)
        columns.append((name, values, mask, refused))
    return dict(model.predict_columns(columns, len(table) if table.ndim else 1, timeout_ns))


def _from_polars(series: pl.Series, datetime: Feature | None) -> FrameColumn:
    dtype, name = series.dtype, series.name
    unit = getattr(dtype, "time_unit", None)
    if datetime is not None and unit is not None and str(dtype).startswith("Datetime"):
        counts = series.to_physical().fill_null(np.iinfo(np.int64).min).to_numpy()
        has_zone = getattr(dtype, "time_zone", None) is not None
        return column_of_instants(name, counts.view(f"M8[{unit}]"), has_zone, str(dtype), datetime)
    is_boolean = str(dtype) == "Boolean"
    if is_boolean or dtype.is_integer() or dtype.is_float():
        mask = np.ascontiguousarray(series.is_null().to_numpy())
        _, values, _, refused = column_of_numpy(
            name, series.fill_null(False if is_boolean else 0).to_numpy()
        )
        return name, values, mask, refused
    if dtype.is_temporal() or dtype.is_nested() or dtype.is_decimal():
        return name, None, None, str(dtype)
    values = np.empty(len(series), dtype=object)
    values[:] = series.to_list()
    return name, values, None, None


def column_of(name: str, series: pd.Series[Any], datetime: Feature | None = None) -> FrameColumn:
    """Returns a column as the backends take it.

    The tuple is (name, values, mask of missing values, name of a type that no feature accepts).
    Values are float64, int64, bool or Python objects; the conversion changes no number. For the
    feature `datetime` they may also be datetime64 in its unit.
    """
    dtype: Any = series.dtype
    if isinstance(dtype, np.dtype):
        return column_of_numpy(name, series.to_numpy(), datetime)
    # The dates of pyarrow have no attribute for a zone; they are refused below.
    if datetime is not None and hasattr(getattr(dtype, "pyarrow_dtype", dtype), "tz"):
        instants, has_zone = _instants_of(series)
        return column_of_instants(name, instants, has_zone, str(dtype), datetime)
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


def _instants_of(series: pd.Series[Any]) -> tuple[NDArray[Any], bool]:
    """The values of a pandas column that has a zone or lies in pyarrow, in UTC."""
    dtype: Any = series.dtype
    arrow = getattr(dtype, "pyarrow_dtype", None)
    if arrow is None:
        return series.to_numpy(dtype=f"M8[{dtype.unit}]"), True
    counts = series.astype("int64[pyarrow]").to_numpy(
        dtype=np.int64, na_value=np.iinfo(np.int64).min
    )
    return counts.view(f"M8[{arrow.unit}]"), arrow.tz is not None


def column_of_instants(
    name: str, values: NDArray[Any], has_zone: bool, dtype: str, feature: Feature
) -> FrameColumn:
    if has_zone != (feature.zone is not None):
        return name, None, None, f"{dtype} {'with' if has_zone else 'without'} a zone"
    counts = counts_of(values, feature.unit or "")
    if counts is not None:
        return name, counts.view(f"M8[{feature.unit}]"), None, None
    # Value by value, so that the library says which row the unit cannot hold.
    instants = np.empty(len(values), dtype=object)
    instants[:] = [Instant(value, has_zone) for value in values]
    return name, instants, None, None


def column_of_numpy(name: str, values: NDArray[Any], feature: Feature | None = None) -> FrameColumn:
    kind = values.dtype.kind
    if kind == "M" and feature is not None and feature.dtype == "datetime":
        return column_of_instants(name, values, False, str(values.dtype), feature)
    if kind == "O":
        return name, np.ascontiguousarray(values), None, None
    if kind not in _PLAIN:
        return name, None, None, str(values.dtype)
    if kind == "u" and values.size and int(values.max()) > np.iinfo(np.int64).max:
        return name, values.astype(object), None, None
    return name, np.ascontiguousarray(values, dtype=_PLAIN[kind]), None, None
