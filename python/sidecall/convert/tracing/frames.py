"""pandas.DataFrame for a traced function that makes a table of its columns."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pandas as pd

from .placeholders import INDEX, Array, Placeholder, Table, constant_column
from .refusals import Untraceable, called


class _TableType(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, pd.DataFrame)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, pd.DataFrame)

    def __getattr__(cls, name: str) -> Any:
        return getattr(pd.DataFrame, name)

    def __call__(cls, data: Any = None, index: Any = None, columns: Any = None, **more: Any) -> Any:
        values = data.values() if isinstance(data, dict) else [data]
        if not any(isinstance(value, Placeholder) for value in values):
            return pd.DataFrame(data, index, columns, **more)
        if more or (index is not None and index is not INDEX):
            raise Untraceable("it uses pd.DataFrame with options other than `columns`")
        return called("pandas.DataFrame", _made, data, columns)


class _TableMaker(metaclass=_TableType):
    """Stands for pandas.DataFrame; makes a placeholder from a dict or an array of placeholders."""


class _Pandas:
    """Stands for the module pandas."""

    DataFrame = _TableMaker

    def __getattr__(self, name: str) -> Any:
        return getattr(pd, name)


def making_tables(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, and the functions of its module that it calls, with other global names.

    pandas.DataFrame makes placeholders; all other names stay.
    """
    if isinstance(function, types.MethodType):
        return types.MethodType(making_tables(function.__func__), function.__self__)
    if not isinstance(function, types.FunctionType):
        return function
    names = dict(function.__globals__)
    return _with_names(function, names)


def _with_names(function: types.FunctionType, names: dict[str, Any]) -> types.FunctionType:
    """The function with `names` as its global names, which are replaced where it uses them."""
    used = _names_in(function.__code__)
    if "__class__" in used:
        raise Untraceable("it uses __class__; use isinstance()")
    given = function.__globals__
    result = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    result.__kwdefaults__ = function.__kwdefaults__
    for name in used & given.keys():
        value = given[name]
        if names[name] is not value:
            continue
        if value is pd:
            names[name] = _Pandas()
        elif value is pd.DataFrame:
            names[name] = _TableMaker
        elif isinstance(value, types.FunctionType) and value.__globals__ is given:
            names[name] = value if value is function else _with_names(value, names)
    return result


def _names_in(code: types.CodeType) -> set[str]:
    """The attributes and global names of a function and of the functions inside of it."""
    inner = (part for part in code.co_consts if isinstance(part, types.CodeType))
    return set(code.co_names).union(*map(_names_in, inner))


def _made(data: Any, columns: Any) -> Table:
    """pandas.DataFrame(data, columns=columns) of placeholders."""
    if isinstance(data, dict):
        return _of_columns(data if columns is None else {name: data[name] for name in columns})
    if not isinstance(data, Array) or columns is None or len(columns) != data.width:
        raise Untraceable("it uses pd.DataFrame without a name for each column")
    return _of_columns({name: data[:, k] for k, name in enumerate(columns)})


def _of_columns(columns: dict[Any, Any]) -> Table:
    first = next(value for value in columns.values() if isinstance(value, Placeholder))
    if not isinstance(first, Array) or not all(isinstance(name, str) for name in columns):
        raise Untraceable("it uses pd.DataFrame with names that are not text, or with tables")
    known = Table(first.g, {"": first.tensor})
    result = {}
    for name, value in columns.items():
        column = value if isinstance(value, Array) else constant_column(known, value)
        if column.width != 1:
            raise Untraceable(f"it assigns {column.width} columns to '{name}'")
        result[name] = column.tensor
    return Table(first.g, result)
