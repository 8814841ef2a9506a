"""The functions of numpy, other than ufuncs, that placeholders know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..graph.frame import Frame
from .columns import ADVICE, NARROW, Narrow, Whole, limits, type_of, whole
from .membership import is_in
from .pandas_numbers import clipping
from .placeholders import (
    FUNCTIONS,
    TYPES,
    Array,
    Column,
    OwnColumn,
    Placeholder,
    Table,
    elementwise,
    kind_of,
    operand,
    part_of,
)
from .refusals import Untraceable
from .three_valued import condition as true_where
from .values import matrix_of, unknown_type


def implements(function: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers what placeholders do with a function of numpy."""

    def register(body: Callable[..., Any]) -> Callable[..., Any]:
        FUNCTIONS[function] = body
        return body

    return register


def _array(x: Any) -> Any:
    """x as numpy's functions get it: tables and columns become arrays."""
    if isinstance(x, Table):
        return x.values
    return x.to_numpy() if isinstance(x, Column) else x


@implements(np.where)
def _where(condition: Any, yes: Any, no: Any) -> Any:
    """np.where with three arguments. Its result is an array, also for columns and tables."""
    if isinstance(condition, Column):
        condition = Array(condition.g, true_where(condition.g, condition.tensor), 1)
    condition, yes, no = (_array(x) for x in (condition, yes, no))
    arrays = [x for x in (condition, yes, no) if isinstance(x, Array)]
    g, ndim = arrays[0].g, max(x.ndim for x in arrays)
    if any(x.ndim != ndim for x in arrays):
        raise Untraceable("it computes with arrays of different dimensions")
    if any(np.ndim(x) > ndim - 1 for x in (condition, yes, no) if not isinstance(x, Array)):
        raise Untraceable("it computes with a constant that has a number for each row")
    test = operand(g, condition, "bool")
    if all(isinstance(x, str) or _is_text(x) for x in (yes, no)):
        dtype = "string"
    elif any(isinstance(x, str) or _is_text(x) for x in (yes, no)):
        raise Untraceable("it chooses between text and numbers")
    else:
        # np.where treats Python's int and float as weakly typed: arrays decide the type (NEP 50).
        examples = [x if type(x) in (int, float) else np.empty(0, kind_of(x)) for x in (yes, no)]
        dtype = str(np.result_type(*examples))
    if dtype not in (*TYPES, *NARROW, "string"):
        raise Untraceable(unknown_type("np.where", dtype))
    is_integer = dtype in ("int64", *NARROW)
    is_whole = is_integer and any(isinstance(x.tensor, Whole) for x in arrays)
    computed = "float64" if is_whole else "int64" if is_integer else dtype
    chosen = g.where(test, operand(g, yes, computed), operand(g, no, computed))
    if is_whole:
        chosen = whole(g, chosen, dtype)
    return Array(g, Narrow(chosen, dtype) if dtype in NARROW and not is_whole else chosen, ndim)


def _is_text(x: Any) -> bool:
    return isinstance(x, Array) and x.tensor.dtype == "string"


@implements(np.clip)
def _clip(x: Any, *bounds: Any, **named: Any) -> Any:
    """np.clip, ndarray.clip and DataFrame.clip, whose arguments have different names."""
    low, high = (*bounds, None, None)[:2]
    for name, value in named.items():
        if name in ("min", "a_min", "lower"):
            low = value
        elif name in ("max", "a_max", "upper"):
            high = value
        else:
            raise Untraceable(f"it uses clip with {name}")
    return _clipped(x, low, high)


def _clipped(x: Any, low: Any, high: Any) -> Any:
    if isinstance(x, Column | Table) and all(_is_number(end) for end in (low, high)):
        low, high = min(low, high), max(low, high)  # as pandas does, and numpy does not
    if isinstance(x, Table):
        names = list(x.parts)
        parts = {
            name: _clipped(x[name], *(part_of(end, name, k, len(names)) for end in (low, high)))
            for k, name in enumerate(names)
        }
        return Table(x.g, {name: part.tensor for name, part in parts.items()})
    if isinstance(x, Column) and any(isinstance(end, Array) for end in (low, high)):
        return _clipped_by_columns(x, low, high)
    if isinstance(x, Column):
        low, high = (None if end is not None and pd.isna(end) else end for end in (low, high))
    if (dtype := type_of(x.tensor)) in NARROW:
        # numpy and pandas differ in the type of the result for other ends.
        least, most = limits(dtype)
        ends = [end for end in (low, high) if end is not None]
        if not all(isinstance(end, int) and least <= end <= most for end in ends):
            raise Untraceable(
                f"it clips {dtype} with other ends than whole numbers of this type; {ADVICE}"
            )
    elif isinstance(x, Column):
        low, high = (
            end if np.ndim(end) or isinstance(end, Placeholder) else clipping(x.tensor, end)
            for end in (low, high)
        )
    if low is not None:
        x = elementwise(x.g, np.maximum, (x, low))
    return x if high is None else elementwise(x.g, np.minimum, (x, high))


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float | np.integer | np.floating)


def _clipped_by_columns(x: Column, low: Any, high: Any) -> Column:
    """Series.clip by columns: a missing bound leaves the number as it is.

    pandas compares the upper bound with the original number, also if the lower bound replaced it.
    """
    result = x
    for end, is_beyond in ((low, np.less), (high, np.greater)):
        if end is None or (not isinstance(end, Array) and pd.isna(end)):
            continue
        kinds = {type_of(each.tensor) for each in (x, end) if isinstance(each, Array)}
        is_same = kinds in ({"float64"}, {"float32"}, {"int64"})
        if not is_same or x.tensor.nullable is not None or not isinstance(end, Array):
            raise Untraceable(
                "it clips a column by a column of another type, or by a column and a number; "
                "convert both columns with .astype(float), and clip twice"
            )
        chosen = FUNCTIONS[np.where](is_beyond(x, end), end, result)
        result = Column(x.g, chosen.tensor, 1)
    return result


def _beside(arrays: Sequence[Any], ndim_of_columns: int) -> Array:
    """Arrays side by side. `ndim_of_columns`: the dimensions that each of them must have, or 0."""
    parts = [_array(x) for x in arrays]
    if not all(isinstance(x, Array) for x in parts):
        raise Untraceable("it puts constants beside columns")
    if any(ndim_of_columns and x.ndim != ndim_of_columns for x in parts):
        raise Untraceable("it puts arrays of different dimensions side by side")
    g = parts[0].g
    return Array(g, matrix_of(g, Frame(g, [x.tensor for x in parts])), 2)


@implements(np.concatenate)
def _concatenate(arrays: Sequence[Any], axis: int = 0) -> Array:
    if axis not in (1, -1):
        raise Untraceable("it puts rows below other rows")
    return _beside(arrays, 2)


@implements(np.stack)
def _stack(arrays: Sequence[Any], axis: int = 0) -> Array:
    if axis not in (1, -1):
        raise Untraceable("it puts rows below other rows")
    return _beside(arrays, 1)


@implements(np.expand_dims)
def _expand_dims(x: Any, axis: int) -> Array:
    x = _array(x)
    if x.ndim != 1 or axis not in (1, -1):
        raise Untraceable("it changes the shape of its array")
    return Array(x.g, x.tensor, 2)


@implements(np.nan_to_num)
def _nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    x = _array(x)
    dtype = str(x.dtype)
    if isinstance(x.tensor, Whole):  # the original gets doubles if a number is missing
        return _where(np.isnan(x), int(nan) if float(nan).is_integer() else nan, x)
    if not dtype.startswith("float"):
        return x
    limits = np.finfo(dtype)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    infinite = _where(x > 0, high, low)
    return _where(np.isnan(x), nan, _where(np.isinf(x), infinite, x))


def _isin(x: Any, values: Any) -> Array:
    if (
        isinstance(x, OwnColumn)
        or not isinstance(x, Array | Table)
        or hasattr(type(values), "stands_for")
    ):
        raise Untraceable("it uses numpy.isin with dates or with two columns; use .isin() of one")
    source = x if isinstance(x, Column) else _array(x)
    return Array(x.g, is_in(x.g, source.tensor, values, of_numpy=True), x.ndim)


def _reduction(function: Any, name: str) -> None:
    @implements(function)
    def reduce(x: Any, axis: Any = None, **options: Any) -> Any:
        return getattr(x, name)(axis, **options)


for _function, _name in ((np.sum, "sum"), (np.mean, "mean"), (np.max, "max"), (np.min, "min")):
    _reduction(_function, _name)
FUNCTIONS |= {
    np.round: lambda x, decimals=0: x.round(decimals),
    np.around: lambda x, decimals=0: x.round(decimals),
    np.column_stack: lambda arrays: _beside(arrays, 0),
    np.hstack: lambda arrays: _beside(arrays, 2),
    np.reshape: lambda x, shape: _array(x).reshape(shape),
    np.ravel: lambda x: _array(x).ravel(),
    np.isin: _isin,
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
}
