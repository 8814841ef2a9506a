"""Holds the user's data twice: in its own container for the model, as columns for the schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from .columns import Column, column_of_array, is_missing
from .dates import column_of_dates, values_of_dates
from .missing import as_fitted, to_pandas
from .unused import readable, with_advice


class Data:
    """Rows of features.

    `columns` is the canonical form. `original` and `build` make rows that the model itself takes.
    """

    columns: list[Column]
    layout: str  # "array", "frame" or "text"
    notes: list[str]
    # The columns that the model does not use and that no feature can hold, by their index among the
    # model's own columns.
    left_out: list[int]

    def __init__(self, columns: list[Column]) -> None:
        self.columns = columns
        self.notes = []
        self.left_out = []
        # The value that stands for a missing one in object columns. A probe may find that the model
        # expects another value.
        self.sentinels: list[object] = [np.nan] * len(columns)

    @property
    def rows(self) -> int:
        return len(self.columns[0])

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def original(self, rows: Any) -> Any:
        """Returns the user's own rows, by a slice or an array of row numbers."""
        raise NotImplementedError

    def build(self, columns: list[Column]) -> Any:
        """Returns rows of `columns` in the container and with the types of the user's data."""
        raise NotImplementedError

    def changed(self, base: list[Column], changes: Sequence[tuple[int, Any]]) -> Any:
        """Returns one row for each change (index of a column, value): the row of `base` with this
        value. None is a missing value.
        """
        same = np.zeros(len(changes), dtype=np.intp)
        columns = [column.take(same) for column in base]
        for row, (i, value) in enumerate(changes):
            columns[i].missing[row] = value is None
            if value is not None:
                columns[i].values[row] = value
        return self.build(columns)

    def holds_objects(self, index: int) -> bool:
        """Whether the column can hold more than one kind of missing value."""
        raise NotImplementedError

    def holds(self, index: int, value: Any) -> bool:
        """Whether both the column's own type and int64 can hold `value`, if it is an integer.

        True for any value that is not an integer.
        """
        low, high = self.limits(index) or (-(2**63), 2**63 - 1)
        return not isinstance(value, int) or low <= value <= high

    def limits(self, index: int) -> tuple[int, int] | None:
        """The smallest and the largest number of the column's own integer type, up to int64."""
        dtype = self._dtype(index)
        if getattr(dtype, "kind", "O") not in "iu":
            return None
        info = np.iinfo(np.dtype(f"{dtype.kind}{dtype.itemsize}"))
        return int(info.min), min(int(info.max), 2**63 - 1)

    def parts(self, columns: list[Column]) -> list[np.ndarray]:
        """The positions of the rows to build together, so that `build` changes no narrow type.

        A missing value makes numbers of an integer column floats in all rows that are built
        together, and floats do not wrap around as integers do.
        """
        narrow = [c.missing for i, c in enumerate(columns) if self._is_narrow(i)]
        if not narrow:
            return [np.arange(len(columns[0]))]
        _, group = np.unique(np.column_stack(narrow), axis=0, return_inverse=True)
        return [np.flatnonzero(group.ravel() == k) for k in range(group.max(initial=-1) + 1)]

    def _is_narrow(self, index: int) -> bool:
        dtype = self._dtype(index)
        return isinstance(dtype, np.dtype) and dtype.kind in "iu" and dtype.itemsize < 8

    def _dtype(self, index: int) -> Any:
        raise NotImplementedError


class ArrayData(Data):
    layout = "array"

    def __init__(self, array: np.ndarray, names: list[str]) -> None:
        super().__init__([column_of_array(name, array[:, i]) for i, name in enumerate(names)])
        self.array = array
        if array.dtype.kind == "O":
            self.sentinels = [_first_missing(array[:, i]) for i in range(array.shape[1])]

    def original(self, rows: Any) -> np.ndarray:
        result: np.ndarray = self.array[rows]
        return result

    def build(self, columns: list[Column]) -> np.ndarray:
        kind = self.array.dtype.kind
        if kind in "fiub":
            # If a probe sets a missing value, or a number that is not whole, the array becomes one
            # of floats.
            missing = any(
                column.missing.any() or (column.kind == "float" and kind != "f")
                for column in columns
            )
            values = np.column_stack(
                [
                    column.as_float() if missing or kind == "f" else column.values
                    for column in columns
                ]
            )
            with np.errstate(over="ignore"):  # a probe may try a number that overflows the type
                return values.astype(np.float64 if missing and kind != "f" else self.array.dtype)
        result = np.empty((len(columns[0]), len(columns)), dtype=object)
        for i, column in enumerate(columns):
            result[:, i] = column.as_objects(self.sentinels[i])
        return result

    def changed(self, base: list[Column], changes: Sequence[tuple[int, Any]]) -> np.ndarray:
        if self.array.dtype.kind != "f":
            rows: np.ndarray = super().changed(base, changes)
            return rows
        # The same without a column for each feature, because there may be thousands.
        rows = np.repeat(self.build(base), len(changes), axis=0)
        indices = np.array([i for i, _ in changes], dtype=np.intp)
        values = np.array([np.nan if v is None else v for _, v in changes], dtype=np.float64)
        with np.errstate(over="ignore"):  # a probe may try a number that overflows the type
            rows[np.arange(len(rows)), indices] = values.astype(self.array.dtype)
        return rows

    def holds_objects(self, index: int) -> bool:
        return self.array.dtype.kind not in "fiub"

    def _dtype(self, index: int) -> Any:
        return self.array.dtype


class TextData(Data):
    layout = "text"

    def __init__(self, texts: Any, name: str) -> None:
        array = np.empty(len(texts), dtype=object)
        array[:] = list(texts)
        super().__init__([column_of_array(name, array)])
        if self.columns[0].kind != "string":
            raise DataError(
                f"expected rows of features or a list of text, got a flat list of {self.columns[0].kind} values"
            )
        self.array = array
        self.sentinels = [_first_missing(array)]

    def original(self, rows: Any) -> list[Any]:
        return list(self.array[rows])

    def build(self, columns: list[Column]) -> list[Any]:
        return list(columns[0].as_objects(self.sentinels[0]))

    def holds_objects(self, index: int) -> bool:
        return True

    def _dtype(self, index: int) -> Any:
        return self.array.dtype


class FrameData(Data):
    layout = "frame"

    def __init__(self, frame: Any, columns: list[Column]) -> None:
        super().__init__(columns)
        self.frame = frame
        self.sentinels = [
            _first_missing(frame.iloc[:, i]) if self.holds_objects(i) else np.nan
            for i in range(frame.shape[1])
        ]

    def original(self, rows: Any) -> Any:
        return self.frame.iloc[rows]

    def build(self, columns: list[Column]) -> Any:
        import pandas

        parts = zip(columns, self.frame.dtypes, self.sentinels, strict=True)
        values = [_values_of(column, dtype, sentinel) for column, dtype, sentinel in parts]
        if all(isinstance(part, np.ndarray) and part.dtype == values[0].dtype for part in values):
            # With many columns, this is many times faster than adding one column at a time.
            frame = pandas.DataFrame(np.column_stack(values))
        else:
            frame = pandas.DataFrame(dict(enumerate(values)))
        frame.columns = self.frame.columns
        return frame

    def holds_objects(self, index: int) -> bool:
        return _is_objects(self.frame.dtypes.iloc[index])

    def _dtype(self, index: int) -> Any:
        return self.frame.dtypes.iloc[index]


def read_data(data: Any, model: Any, feature_names: Sequence[str] | None = None) -> Data:
    """Reads any container that a model can be trained on.

    Raises DataError, which names the column if it concerns a single one.
    """
    names = None if feature_names is None else [str(name) for name in feature_names]
    if data is None:
        raise DataError("expected data, got None")
    data, is_converted = to_pandas(data)
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        result: Data = _read_frame(data, model, names, is_converted)
    elif hasattr(data, "iloc") or _is_flat_text(data):
        result = TextData(
            data.tolist() if hasattr(data, "iloc") else data, names[0] if names else "text"
        )
    else:
        result = _read_array(data, model, names)
    if result.rows == 0:
        raise DataError("expected at least one row of data, got none")
    return result


def fitted_names(model: Any) -> list[str] | None:
    """Returns the names that the model was fitted with, or None."""
    try:
        names = model.feature_names_in_
    except (AttributeError, TypeError, ValueError):
        return None
    return None if names is None else [str(name) for name in names]


def _read_frame(frame: Any, model: Any, names: list[str] | None, is_converted: bool) -> FrameData:
    notes = []
    fitted = fitted_names(model)
    if names is not None:
        raise DataError(
            "feature_names: expected None for a DataFrame, which has column names, got names"
        )
    columns = list(frame.columns)
    if fitted is not None and set(fitted) <= set(columns):
        ignored = [str(column) for column in columns if column not in set(fitted)]
        if ignored:
            notes.append(
                "columns that the model was not trained on were left out: " + ", ".join(ignored)
            )
        if fitted != columns:
            check_names([c for c in columns if c in set(fitted)])
            frame = frame[fitted]
        columns = fitted
    elif fitted is not None and len(fitted) != len(columns):
        absent = ", ".join(f"'{name}'" for name in fitted if name not in set(columns))
        raise DataError(
            f"expected the columns that the model was trained on, got data without {absent}"
        )
    if all(isinstance(column, str) for column in columns):
        names = columns
    else:
        names = [f"x{i}" for i in range(len(columns))]
        notes.append("the column names are not text: features are named x0, x1, ...")
    check_names(names)
    frame, changed = as_fitted(frame, model, is_converted=is_converted)
    if changed:
        notes.append(
            "missing values were passed to the model in the form that fit saw: "
            + ", ".join(changed)
        )
    read, left_out = readable(frame, names, model, column_of_series)
    if left_out:
        notes.append(
            "columns of unsupported types, which the model does not use, were left out: "
            + ", ".join(names[i] for i in left_out)
        )
        frame = frame.drop(columns=[frame.columns[i] for i in left_out])
    result = FrameData(frame, read)
    result.notes, result.left_out = notes, left_out
    return result


def _read_array(data: Any, model: Any, names: list[str] | None) -> ArrayData:
    if hasattr(data, "toarray"):
        data = data.toarray()
    array = data if isinstance(data, np.ndarray) else _array_of_rows(data)
    if array.ndim != 2 or array.shape[1] == 0:
        raise DataError(
            f"expected data of shape [rows, features], got a {array.ndim}-dimensional array"
        )
    if array.dtype.kind == "O" and any(
        isinstance(value, (dict, list, tuple, set, np.ndarray)) for value in array[0]
    ):
        raise DataError(
            f"expected one value per feature, got nested values ({type(array[0, 0]).__name__})"
        )
    if names is None:
        names = fitted_names(model) or [f"x{i}" for i in range(array.shape[1])]
    if len(names) != array.shape[1]:
        raise DataError(f"expected {array.shape[1]} feature names, got {len(names)}")
    check_names(names)
    try:
        return ArrayData(array, names)
    except DataError as error:
        raise with_advice(error) from None


def _array_of_rows(data: Any) -> np.ndarray:
    rows = list(data)
    if rows and isinstance(rows[0], dict):
        raise DataError("expected a DataFrame, an array or a list of text, got a list of dict")
    if len({len(row) for row in rows if isinstance(row, (list, tuple))}) > 1:
        raise DataError("expected rows of equal length, got rows of different lengths")
    mixed = any(
        isinstance(value, str) or is_missing(value)
        for row in rows
        for value in (row if isinstance(row, (list, tuple)) else ())
    )
    return np.array(rows, dtype=object) if mixed else np.array(rows)


def _is_flat_text(data: Any) -> bool:
    if isinstance(data, np.ndarray):
        return data.ndim == 1 and data.dtype.kind in "UTO"
    return isinstance(data, (list, tuple)) and any(isinstance(value, str) for value in data)


def check_names(names: list[str]) -> None:
    seen = set()
    for name in names:
        if not name or "\0" in name:
            raise DataError(
                "expected feature names that are not empty and contain no NUL, got one that "
                + ("contains NUL" if name else "is empty")
            )
        if name in seen:
            raise DataError(f"column '{name}': expected one column of that name, got several", name)
        seen.add(name)


def _is_objects(dtype: Any) -> bool:
    return isinstance(dtype, np.dtype) and dtype.kind == "O"


def _first_missing(values: Any) -> object:
    return next((value for value in values if is_missing(value)), np.nan)


def column_of_series(name: str, series: Any) -> Column:
    dtype = series.dtype
    if getattr(dtype, "kind", "O") == "M":
        return column_of_dates(name, series)
    if isinstance(dtype, np.dtype):
        return column_of_array(name, series.to_numpy())
    kind = getattr(dtype, "kind", "O")
    word = str(dtype)
    if kind not in "OUfiub" or word.startswith(("interval", "period")):
        raise DataError(
            f"column '{name}': expected numbers, strings, booleans or datetime64, got {word}", name
        )
    if kind in "OU" or hasattr(dtype, "categories"):
        return column_of_array(name, series.astype(object).to_numpy())
    missing = series.isna().to_numpy().astype(bool)
    if kind == "f":
        column = column_of_array(name, series.to_numpy(dtype=np.float64, na_value=np.nan))
        column.narrow = getattr(dtype, "itemsize", 8) <= 4
        return column
    dtypes = {"i": np.dtype(np.int64), "u": np.dtype(np.uint64), "b": np.dtype(np.bool_)}
    column = column_of_array(
        name, series.fillna(0 if kind != "b" else False).to_numpy(dtype=dtypes[kind])
    )
    column.missing = missing
    return column


def _values_of(column: Column, dtype: Any, sentinel: object) -> Any:
    """Returns an array of numbers or booleans, or a Series if only a Series can have the type."""
    import pandas

    if column.kind == "datetime":
        return values_of_dates(column)
    if isinstance(dtype, pandas.CategoricalDtype):
        # Without new categories, an unknown value would silently become missing.
        values = column.as_objects()
        new = [
            v for v in dict.fromkeys(column.present().tolist()) if v not in set(dtype.categories)
        ]
        categories = list(dtype.categories) + new
        return pandas.Series(
            pandas.Categorical(
                values, categories=categories if new else None, dtype=None if new else dtype
            )
        )
    if not isinstance(dtype, np.dtype):
        if column.kind == "float" and getattr(dtype, "kind", "") in "iu":
            return pandas.Series(column.as_float())
        return pandas.Series(pandas.array(column.as_objects(), dtype=dtype))
    if _is_objects(dtype):
        return pandas.Series(column.as_objects(sentinel), dtype=object)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):  # a probe may try a number that overflows the type
            return column.as_float().astype(dtype)
    # As in pandas, a numpy column of integers or booleans becomes float64 if it gets a missing
    # value or a number that is not whole.
    return (
        column.as_float()
        if column.missing.any() or column.kind == "float"
        else column.values.astype(dtype)
    )
