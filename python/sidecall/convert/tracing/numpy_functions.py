"""The functions of numpy, other than ufuncs, that placeholders know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..graph.frame import Frame
from .columns import Untraceable, Whole, small, whole
from .placeholders import (
    FUNCTIONS,
    TYPES,
    Array,
    Table,
    elementwise,
    kind_of,
    matrix_of,
    operand,
    part_of,
)


def implements(function: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers what placeholders do with a function of numpy."""

    def register(body: Callable[..., Any]) -> Callable[..., Any]:
        FUNCTIONS[function] = body
        return body

    return register


@implements(np.where)
def _where(condition: Any, yes: Any, no: Any) -> Any:
    """np.where with three arguments, for arrays, columns and tables."""
    if isinstance(condition, Table) or isinstance(yes, Table) or isinstance(no, Table):
        table = next(x for x in (condition, yes, no) if isinstance(x, Table))
        names = table.columns
        return Table(
            table.g,
            {
                name: _where(
                    *(part_of(x, name, k, len(names)) for x in (condition, yes, no))
                ).tensor
                for k, name in enumerate(names)
            },
        )
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
        # np.where takes Python's numbers as weak ones.
        examples = [x if type(x) in (int, float) else np.empty(0, kind_of(x)) for x in (yes, no)]
        dtype = str(np.result_type(*examples))
    exact = small if dtype == "int32" else whole
    dtype = "int64" if dtype == "int32" else dtype
    if dtype not in (*TYPES, "string"):
        raise Untraceable(f"np.where computes in {dtype}, which is not supported")
    is_whole = dtype == "int64" and any(isinstance(x.tensor, Whole) for x in arrays)
    if is_whole:
        dtype = "float64"
    chosen = g.where(test, operand(g, yes, dtype), operand(g, no, dtype))
    return Array(g, exact(g, chosen) if is_whole else chosen, ndim)


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
    if low is not None:
        x = elementwise(x.g, np.maximum, (x, low))
    return x if high is None else elementwise(x.g, np.minimum, (x, high))


def _beside(arrays: Sequence[Any], ndim_of_columns: int) -> Array:
    """Arrays side by side. `ndim_of_columns`: the dimensions that each of them must have, or 0."""
    parts = [x.values if isinstance(x, Table) else x for x in arrays]
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
def _expand_dims(x: Array, axis: int) -> Array:
    if x.ndim != 1 or axis not in (1, -1):
        raise Untraceable("it changes the shape of its array")
    return Array(x.g, x.tensor, 2)


@implements(np.nan_to_num)
def _nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    dtype = "float64" if isinstance(x, Table) else str(x.dtype)
    if not dtype.startswith("float"):
        return x
    limits = np.finfo(dtype)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    infinite = _where(x > 0, high, low)
    return _where(np.isnan(x), nan, _where(np.isinf(x), infinite, x))


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
    np.reshape: lambda x, shape: x.reshape(shape),
    np.ravel: lambda x: x.ravel(),
    np.isin: lambda x, values: x.isin(values),
    np.shape: lambda x: x.shape,
    np.ndim: lambda x: x.ndim,
}
