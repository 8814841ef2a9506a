"""Numbers that pandas combines with a column, and the types of the results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph.builder import Tensor
from ..registry import Conversion
from .columns import AS_FLOATS, Flag, Objects, Whole, type_of
from .refusals import Untraceable, Valueless

# With a DataFrame, pandas makes arrays of the numbers that these functions get, so that the result
# has 64 bits. Other functions call the operator, which keeps the type of the column.
STRONG = {np.maximum, np.minimum, np.fmax, np.fmin}
# Beside a column or a DataFrame, a number of numpy counts as one of Python in these functions, but
# not in comparisons.
WEAK = {np.add, np.subtract, np.multiply, np.divide, np.power, np.floor_divide, np.remainder}


def python_number(x: Any) -> Any:
    """A number of numpy as one of Python; other values stay."""
    is_number = isinstance(x, np.generic | np.ndarray) and x.ndim == 0 and x.dtype.kind in "fiub"
    return x.item() if is_number else x


def beside_table(ufunc: np.ufunc, x: Any) -> Any:
    """A number beside a DataFrame, so that its type counts as in pandas."""
    if isinstance(x, Valueless) or np.ndim(x):
        return x
    if ufunc in WEAK:
        return python_number(x)
    return np.asarray(x)[()] if ufunc in STRONG else x


def filled(g: Conversion, x: Tensor, value: Any, chosen: Callable[[Any], Tensor]) -> Tensor:
    """A column after fillna(value). `chosen` puts something in the place of missing numbers."""
    if isinstance(x, Flag):
        if not isinstance(value, bool) or isinstance(x, Objects):
            raise Untraceable("it fills a bool column with another type")
        return g.cast(g.where(g.isnan(x), float(value), x), "bool")
    if x.dtype in ("int64", "bool"):
        return x  # nothing can be missing, so pandas does not look at the value
    if x.dtype != "string" and np.ndim(value) == 0 and not isinstance(value, Valueless):
        value = _filling(x, value)
    elif isinstance(x, Whole) and type_of(value.tensor) != type_of(x):
        raise Untraceable(f"it fills {type_of(x)} with numbers of another type {AS_FLOATS}")
    return chosen(value)


def _filling(x: Tensor, value: Any) -> Any:
    """A number for missing ones of a column. The result must have the type of the column.

    Other numbers would change this type, but only where a number is missing.
    """
    dtype = type_of(x)
    if isinstance(value, bool | np.bool_):
        raise Untraceable("it fills numbers with a bool (use 0.0 or 1.0)")
    if isinstance(x, Whole):
        if isinstance(value, float | np.floating) and float(value).is_integer():
            value = int(value)
        if not isinstance(value, int | np.integer):
            raise Untraceable(f"it fills {dtype} with a fraction {AS_FLOATS}")
    return _of_type(dtype, value, "fills")


def clipping(x: Tensor, value: Any) -> Any:
    """A number at which a column is clipped. The result must have the type of the column.

    Other numbers would change this type, but only where a number is clipped.
    """
    dtype = type_of(x)
    if dtype == "int64" and isinstance(value, float | np.floating):
        if not float(value).is_integer():
            raise Untraceable(f"it clips {dtype} with a fraction {AS_FLOATS}")
        return int(value)
    return _of_type(dtype, value, "clips")


def _of_type(dtype: str, value: Any, does: str) -> Any:
    """A number that replaces numbers of a column, and that its type can hold."""
    number = python_number(value)
    if dtype != "float32" or not isinstance(value, np.generic) or np.isnan(number):
        return number
    if number != float(np.float32(number)):
        raise Untraceable(
            f"it {does} float32 with a number of numpy that float32 does not hold (use float(x))"
        )
    return number
