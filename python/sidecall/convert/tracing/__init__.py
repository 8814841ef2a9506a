"""Calls a user's function once with placeholders, and records what it computes with numpy.

Placeholders stand for the array or the DataFrame that a FunctionTransformer gives to its function.
Each operation on them adds nodes to the graph, in the types in which numpy computes it. Whatever
cannot be recorded raises Untraceable: numbers of rows, the values themselves (`if`, `float()`,
`len()`), several rows together, and functions of numpy that have no converter. So a function either
is recorded as a whole, or is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from traceback import walk_tb
from typing import Any

import numpy as np

from ..dates import type_of_dates
from ..graph.builder import Tensor
from ..graph.dates import Dates
from ..graph.frame import Frame
from ..graph.promotion import DATES
from ..registry import Conversion
from . import (
    dates,  # noqa: F401
    numpy_functions,  # noqa: F401
)
from .columns import EXACT_RULE, Flag, Untraceable, whole
from .frames import making_tables
from .placeholders import Array, Table, matrix_of

__all__ = ["Untraceable", "trace"]


def trace(
    g: Conversion, function: Callable[..., Any], args: dict[str, Any], x: Frame, example: Any
) -> Frame:
    """The columns that function(x, **args) returns. Raises Untraceable.

    `example` is a row as the function of the original gets it: a DataFrame or an array. It decides
    the container and the types of the numbers; without it the function gets an array.
    """
    source: Any
    if hasattr(example, "columns"):
        names = [str(name) for name in example.columns]
        if len(set(names)) != len(names) or len(names) != len(x):
            raise Untraceable("the names of its columns are not unique")
        types = [_type_of(dtype) for dtype in example.dtypes] or [None] * len(names)
        columns = [x.column(k) for k in range(len(x))]
        for column, dtype in zip(columns, example.dtypes, strict=False):
            _check_dates(column, dtype)
        parts = [_given(g, column, dtype) for column, dtype in zip(columns, types, strict=True)]
        source = Table(g, dict(zip(names, parts, strict=True)))
    else:
        dtype = _type_of(example.dtype) if hasattr(example, "dtype") else None
        parts = [_given(g, part, dtype) for part in x.parts]
        source = Array(g, matrix_of(g, Frame(g, parts)), 2)
    try:
        result = making_tables(function)(source, **args)
    except Exception as error:
        if called := _estimator_called(error):
            raise Untraceable(called) from error
        if isinstance(error, Untraceable):
            raise
        raise Untraceable(f"{type(error).__name__}: {error}") from error
    if isinstance(result, Table):
        return Frame(g, [_narrow(g, x) for x in result.parts.values()])
    if isinstance(result, Array) and result.ndim == 2:
        return Frame(g, [_narrow(g, result.tensor)])
    raise Untraceable(f"it returns {type(result).__name__}, expected an array or a DataFrame")


def _estimator_called(error: BaseException) -> str:
    """Says which method of an estimator raised the error; "" if none did."""
    for frame, _ in walk_tb(error.__traceback__):
        # Traced arrays and tables raise for attributes that they lack, so their class is asked.
        kind = type(frame.f_locals.get("self"))
        if hasattr(kind, "get_params") and hasattr(kind, "fit"):
            call = f"{kind.__name__}.{frame.f_code.co_name}"
            return (
                f"it calls {call}, and an estimator converts only as a step of its own: put it into "
                "the pipeline"
            )
    return ""


def _narrow(g: Conversion, x: Tensor) -> Tensor:
    return g.narrow(x) if x.dtype.startswith("float") else x


def _check_dates(x: Tensor, dtype: Any) -> None:
    """Compares the type of a column with the one that the function of the original gets."""
    expected = type_of_dates(dtype)
    if isinstance(x, Dates) and expected is not None and str(x.kind) == str(expected):
        return
    if isinstance(x, Dates) or expected is not None:
        kind = x.kind if isinstance(x, Dates) else x.dtype
        raise Untraceable(f"a column of {dtype} is one of {kind} in the graph")


def _type_of(dtype: Any) -> str | None:
    """The type of a tensor for a column or an array of this type."""
    kind = getattr(dtype, "kind", "O")
    if kind == "f":
        return str(np.dtype(getattr(dtype, "numpy_dtype", dtype)))
    return {"i": "int64", "u": "int64", "b": "bool"}.get(kind)


def _given(g: Conversion, x: Tensor, dtype: str | None) -> Tensor:
    """A column in the type in which the function of the original gets it."""
    if x.dtype in ("string", DATES):
        return x
    if dtype in ("int64", "bool") and x.dtype.startswith("float"):
        doubles = g.cast(x, "float64")
        if x.range is not None and not x.range.missing.any():
            g.require(Frame(g, [doubles]), EXACT_RULE)
            return g.cast(doubles, dtype)
        if dtype == "bool":
            return Flag(g, doubles.name, "float64", doubles.width)
        return whole(g, doubles)
    if dtype is None:
        computes_in_double = g.steps is None or g.real == "float64"
        dtype = "float64" if x.dtype == "float32" and computes_in_double else x.dtype
    if dtype not in ("float32", "float64", "int64", "bool"):
        raise Untraceable(f"it computes with numbers of type {dtype}")
    return g.cast(x, dtype)
