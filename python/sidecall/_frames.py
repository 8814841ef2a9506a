"""DataFrames in and out. pandas is never imported here before a caller has passed one of its objects."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from sidecall import errors

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from sidecall import _backend

    FrameColumn = tuple[str, NDArray[Any] | None, NDArray[np.bool_] | None, str | None]

_PLAIN: dict[str, type] = {"f": np.float64, "i": np.int64, "u": np.int64, "b": np.bool_}


def is_frame(value: object) -> TypeGuard[pd.DataFrame]:
    """Whether this is a pandas DataFrame; False where pandas was never imported."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def predict_frame(model: _backend.Model, frame: pd.DataFrame, timeout_ns: int) -> pd.DataFrame:
    """A DataFrame with the same index and the flat columns of the outputs."""
    if not frame.columns.is_unique:
        raise errors.InvalidArgument("a DataFrame: expected each column once, got one twice")
    columns = [column_of(str(name), series) for name, series in frame.items()]
    answers = model.predict_columns(columns, len(frame), timeout_ns)
    return type(frame)(dict(answers), index=frame.index)


def column_of(name: str, series: pd.Series[Any]) -> FrameColumn:
    """A column as the backends take it: (name, values, mask of missing values, name of a type that no feature takes). Values are float64,
    int64, bool or Python objects, which changes no number."""
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
        nothing = False if kind == "b" else 0  # pyarrow takes no other type
        return name, series.to_numpy(dtype=_PLAIN[kind], na_value=nothing), np.ascontiguousarray(mask), None
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
