"""One column of data in canonical form, from any container.

Used by the schema, the probes and the inputs of the graph.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sidecall.convert.dates import MISSING_DATE, DateType

from ..errors import DataError

# Stands for a missing value in a string tensor, because ONNX has no null. It is a Unicode
# noncharacter, so no text contains it.
MISSING_STRING = "\ufdd0"


@dataclass
class Column:
    """The values of one feature: float64, int64, bool or object (str), depending on `kind`.

    The kinds are "float", "int", "bool", "string", and "datetime", whose values are counts. Where
    `missing` is True, the value has no meaning.
    """

    name: str
    kind: str
    values: np.ndarray
    missing: np.ndarray
    # Whether the source has float32 or a narrower type, so that float32 holds every value exactly.
    narrow: bool = False
    # The unit and the zone of dates.
    dates: DateType | None = None

    @property
    def dtype(self) -> str:
        """The type of a float tensor that holds these numbers, with NaN for missing values."""
        return "float32" if self.narrow else "float64"

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Any) -> Column:
        return replace(self, values=self.values[rows], missing=self.missing[rows])

    def present(self) -> np.ndarray:
        result: np.ndarray = self.values[~self.missing]
        return result

    def as_float(self) -> np.ndarray:
        """Returns float64, with NaN for missing values. Not for strings."""
        values: np.ndarray = self.values.astype(np.float64)
        values[self.missing] = np.nan
        return values

    def as_objects(self, missing: object = None) -> np.ndarray:
        """Returns Python values, with `missing` for missing values."""
        values = np.empty(len(self), dtype=object)
        values[:] = self.values.tolist()
        values[self.missing] = missing
        return values


def column_of(
    name: str,
    kind: str,
    values: Iterable[Any],
    narrow: bool = False,
    dates: DateType | None = None,
) -> Column:
    """Makes a column from Python values; None means missing."""
    items = list(values)
    missing = np.array([value is None for value in items], dtype=bool)
    empty, dtype = {
        "float": (np.nan, np.float64),
        "int": (0, np.int64),
        "bool": (False, np.bool_),
        "string": ("", object),
        "datetime": (MISSING_DATE, np.int64),
    }[kind]
    filled: np.ndarray = np.empty(len(items), dtype=dtype)
    for i, value in enumerate(items):
        filled[i] = empty if value is None else value
    return Column(name, kind, filled, missing, narrow, dates)


def is_missing(value: object) -> bool:
    return (
        value is None
        or (isinstance(value, (float, np.floating)) and value != value)
        or type(value).__name__ in ("NAType", "NaTType")
    )


def column_of_array(name: str, array: np.ndarray) -> Column:
    """Makes a column from a numpy array.

    The array holds numbers, booleans, text, or objects of one of these kinds and missing values.
    """
    kind = array.dtype.kind
    if kind == "f":
        if array.dtype.itemsize > 8:
            raise DataError(
                f"column '{name}': expected float64 or narrower, got {array.dtype}", name
            )
        values = array.astype(np.float64)
        return Column(name, "float", values, np.isnan(values), narrow=array.dtype.itemsize <= 4)
    if kind in "iu":
        return Column(name, "int", _as_int64(name, array), np.zeros(len(array), dtype=bool))
    if kind == "b":
        return Column(name, "bool", array.astype(np.bool_), np.zeros(len(array), dtype=bool))
    if kind in "UT":
        return _checked(
            Column(name, "string", array.astype(object), np.zeros(len(array), dtype=bool))
        )
    if kind == "O":
        return _column_of_objects(name, array)
    raise DataError(
        f"column '{name}': expected numbers, strings or booleans, got {_word(array.dtype)}", name
    )


def _as_int64(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "u" and len(array) and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(
            f"column '{name}': expected integers in the range of int64, got one outside of it", name
        )
    return array.astype(np.int64)


def _column_of_objects(name: str, array: np.ndarray) -> Column:
    items = [None if is_missing(value) else value for value in array]
    types = {type(value) for value in items if value is not None}
    if all(issubclass(t, str) for t in types):
        return _checked(column_of(name, "string", (None if v is None else str(v) for v in items)))
    if all(issubclass(t, (bool, np.bool_)) for t in types):
        return column_of(name, "bool", items)
    if any(issubclass(t, (bool, np.bool_)) or not issubclass(t, numbers.Real) for t in types):
        words = ", ".join(sorted({_type_word(t) for t in types}))
        advice = ""
        if types and all(_type_word(t).startswith("datetime") for t in types):
            advice = "; convert it with pandas.to_datetime"
        raise DataError(
            f"column '{name}': expected only numbers, only strings or only booleans, got {words}"
            + advice,
            name,
        )
    if all(issubclass(t, numbers.Integral) for t in types):
        limit = np.iinfo(np.int64)
        if any(v is not None and not limit.min <= v <= limit.max for v in items):
            raise DataError(
                f"column '{name}': expected integers in the range of int64, got one outside of it",
                name,
            )
        return column_of(name, "int", items)
    return column_of(name, "float", items)


def _checked(column: Column) -> Column:
    for text in set(column.present().tolist()):
        if "\0" in text:
            raise DataError(
                f"column '{column.name}': expected text without NUL, got NUL inside a string",
                column.name,
            )
        if text == MISSING_STRING:
            raise DataError(
                f"column '{column.name}': expected text other than U+FDD0, which is reserved for missing values, got U+FDD0",
                column.name,
            )
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"column '{column.name}': expected Unicode text, got a lone surrogate", column.name
            ) from None
    return column


def _word(dtype: np.dtype) -> str:
    return {
        "M": "datetime",
        "m": "timedelta",
        "c": "complex",
        "S": "bytes",
        "V": "a structured type",
    }.get(dtype.kind, str(dtype))


def _type_word(cls: type) -> str:
    if issubclass(cls, str):
        return "strings"
    if issubclass(cls, (bool, np.bool_)):
        return "booleans"
    if (
        cls.__module__ in ("datetime", "pandas", "pandas._libs.tslibs.timestamps")
        or cls is np.datetime64
    ):
        return f"datetime ({cls.__name__})"
    return "numbers" if issubclass(cls, numbers.Real) else f"{cls.__name__} values"
