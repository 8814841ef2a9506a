"""Calls a user's function once with placeholders, and records what it computes with numpy.

Placeholders stand for the array or the DataFrame that a FunctionTransformer gives to its function.
Each operation on them adds nodes to the graph, in the types in which numpy computes it. Whatever
cannot be recorded raises Untraceable: numbers of rows, the values themselves (`if`, `float()`,
`len()`), several rows together, and functions of numpy that have no converter. So a function either
is recorded as a whole, or is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from traceback import walk_tb
from typing import Any

import numpy as np

from ..dates import type_of_dates
from ..graph.builder import Tensor
from ..graph.dates import Dates
from ..graph.frame import LEFT_OUT, Frame
from ..graph.promotion import DATES
from ..registry import Conversion
from . import (
    dates,  # noqa: F401
    numpy_functions,  # noqa: F401
)
from .classes import watched
from .columns import (
    ADVICE,
    EXACT_RULE,
    NARROW,
    Flag,
    Kleene,
    Narrow,
    Text,
    Typed,
    Wrapping,
    as_kind_of,
    as_nullable,
    may_be_missing,
    nullable_type,
    type_of,
    whole,
)
from .frames import making_tables
from .placeholders import Array, Column, Table, elementwise
from .refusals import Untraceable, remembering
from .sparse import sparse_rows
from .values import matrix_of

__all__ = ["Untraceable", "given", "of_each_column", "trace", "type_name"]


def trace(
    g: Conversion, function: Callable[..., Any], args: dict[str, Any], x: Frame, example: Any
) -> Frame:
    """The columns that function(x, **args) returns. Raises Untraceable.

    `example` is a row as the function of the original gets it: a DataFrame or an array. It decides
    the container and the types of the numbers; without it the function gets an array.
    """
    source: Any
    if example is None and x.sparse:
        raise Untraceable("it gets a sparse matrix; make the step before it return dense rows")
    if hasattr(example, "toarray"):
        parts = [given(g, part, type_name(example.dtype)) for part in x.parts]
        source = sparse_rows(g, matrix_of(g, Frame(g, parts)), type(example))
    elif hasattr(example, "columns"):
        names = [str(name) for name in example.columns]
        if len(set(names)) != len(names) or len(names) != len(x):
            raise Untraceable("the names of its columns are not unique")
        types = [type_name(dtype) for dtype in example.dtypes] or [None] * len(names)
        columns = [x.column(k) for k in range(len(x))]
        for column, dtype in zip(columns, example.dtypes, strict=False):
            _check_dates(column, dtype)
        parts = [given(g, column, dtype) for column, dtype in zip(columns, types, strict=True)]
        if len(example.dtypes):
            parts = [
                _declared(part, dtype) for part, dtype in zip(parts, example.dtypes, strict=True)
            ]
        source = Table(g, dict(zip(names, parts, strict=True)))
    else:
        source = Array(g, _matrix(g, x, example), 2)
    with remembering() as refusals:
        failure: Exception | None = None
        try:
            returned = _returned(g, watched(making_tables(function), source, **args))
        except Exception as error:
            failure = error
        first = refusals[0] if refusals else None
        if called := _estimator_called(failure) or _estimator_called(first):
            raise Untraceable(called) from (failure or first)
        if first is not None:
            raise first
        if failure is not None:
            raise Untraceable(f"{type(failure).__name__}: {failure}") from failure
        return returned


def of_each_column(g: Conversion, ufunc: np.ufunc, x: Frame, example: Any) -> Frame:
    """ufunc(x) for a function of numpy of one argument. Raises Untraceable.

    As trace() records it, but adjacent columns of one type are one tensor.
    """
    if any(dtype in ("string", DATES, LEFT_OUT) for dtype in x.dtypes):
        x.matrix("float64")  # which says what is wrong
    if hasattr(example, "columns"):
        types = [_operand_type(ufunc, dtype) for dtype in example.dtypes]
        if len(types) != len(x):
            raise Untraceable(f"it gets {len(types)} columns, but {len(x)} in the graph")
        parts = [
            given(g, part, dtype)
            for dtype, places in groupby(range(len(x)), key=lambda k: types[k])
            for part in x.select(places).parts
        ]
        tensors = [_beside(g, list(group)) for _, group in groupby(parts, key=_kind)]
    else:
        dtype = _operand_type(ufunc, example.dtype) if hasattr(example, "dtype") else None
        tensors = [matrix_of(g, Frame(g, [given(g, part, dtype) for part in x.parts]))]
    results = [elementwise(g, ufunc, (Array(g, tensor, 2),)).tensor for tensor in tensors]
    return Frame(g, [_narrow(g, result) for result in results])


def _operand_type(ufunc: np.ufunc, dtype: Any) -> str | None:
    """The type in which ufunc gets a column of this type.

    numpy converts int64 for a function that computes in float64, and rounds as every caller of the
    file does, so such integers may be beyond 2^53.
    """
    name = type_name(dtype)
    if name != "int64":
        return name
    found = ufunc.resolve_dtypes((np.dtype(name), *[None] * ufunc.nout))
    return "float64" if found[0] == np.float64 else name


def _kind(x: Tensor) -> Any:
    return type(x) if isinstance(x, Typed) else Tensor, x.dtype, type_of(x)


def _beside(g: Conversion, parts: list[Tensor]) -> Tensor:
    return as_kind_of(parts[0], g.concat(parts))


def _matrix(g: Conversion, x: Frame, example: Any) -> Tensor:
    """The array that a function gets; `example` is a row of it, or None."""
    dtype = type_name(example.dtype) if hasattr(example, "dtype") else None
    return matrix_of(g, Frame(g, [given(g, part, dtype) for part in x.parts]))


def _returned(g: Conversion, result: Any) -> Frame:
    if isinstance(result, Table):
        return Frame(g, [_narrow(g, x) for x in result.parts.values()])
    if isinstance(result, Array) and result.ndim == 2:
        return Frame(g, [_narrow(g, result.tensor)])
    if isinstance(result, Column):
        raise Untraceable("it returns a column; return a DataFrame, as .to_frame() makes it")
    if isinstance(result, Array):
        raise Untraceable("it returns an array of one dimension; return it with .reshape(-1, 1)")
    raise Untraceable(f"it returns {type(result).__name__}, expected an array or a DataFrame")


def _estimator_called(error: BaseException | None) -> str:
    """Says which method of an estimator raised the error; "" if none did."""
    if error is None:
        return ""
    for frame, _ in walk_tb(error.__traceback__):
        # Traced arrays and tables raise for attributes that they lack, so their class is asked.
        kind = type(frame.f_locals.get("self"))
        if hasattr(kind, "get_params") and hasattr(kind, "fit"):
            call = f"{kind.__name__}.{frame.f_code.co_name}"
            return (
                f"it calls {call}, and an estimator converts only as a step of its own: put it "
                "into the pipeline"
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


def _declared(x: Tensor, dtype: Any) -> Tensor:
    """A column whose type in pandas may have pd.NA, or may hold text."""
    x = Text(x, dtype) if x.dtype == "string" else x
    if nullable_type(dtype, True) is None:
        return as_nullable(x, None)
    x = Kleene(x) if isinstance(x, Flag) else x
    return as_nullable(x, nullable_type(dtype, may_be_missing(x)))


def type_name(dtype: Any) -> str | None:
    """The name of a type of numbers of numpy or pandas in numpy; None for other types."""
    if getattr(dtype, "kind", "O") not in "fiub":
        return None
    return str(np.dtype(getattr(dtype, "numpy_dtype", dtype)))


def given(g: Conversion, x: Tensor, dtype: str | None) -> Tensor:
    """A column in the type in which the function of the original gets it."""
    if x.dtype in ("string", DATES):
        return x
    if dtype in ("int64", "bool", *NARROW):
        return _given_integer(g, x, dtype)
    if dtype is None:
        computes_in_double = g.steps is None or g.real == "float64"
        dtype = "float64" if x.dtype == "float32" and computes_in_double else x.dtype
    if dtype not in ("float32", "float64", "int64", "bool"):
        raise Untraceable(f"it computes with numbers of type {dtype}; {ADVICE}")
    return g.cast(x, dtype)


def _given_integer(g: Conversion, x: Tensor, dtype: str) -> Tensor:
    tensor_type = "bool" if dtype == "bool" else "int64"
    if x.dtype.startswith("float"):
        doubles = g.cast(x, "float64")
        if x.range is None or x.range.missing.any():
            if dtype == "bool":
                return Flag(doubles)
            exact = whole(g, doubles, "int64")
            return exact if dtype == "int64" else Wrapping(doubles, dtype)
        g.require(Frame(g, [doubles]), EXACT_RULE)
        plain = g.cast(doubles, tensor_type)
        plain.range = x.range
    else:
        plain = g.cast(x, tensor_type)
    return Narrow(plain, dtype) if dtype in NARROW else plain
