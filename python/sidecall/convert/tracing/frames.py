"""pandas.DataFrame for a traced function that makes a table of its columns."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pandas as pd

from .columns import Untraceable
from .placeholders import INDEX, Array, Placeholder, Table, constant_column


class _TableType(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, pd.DataFrame)

    def __call__(cls, data: Any = None, index: Any = None, columns: Any = None, **more: Any) -> Any:
        values = data.values() if isinstance(data, dict) else [data]
        if not any(isinstance(value, Placeholder) for value in values):
            return pd.DataFrame(data, index, columns, **more)
        if more or (index is not None and index is not INDEX):
            raise Untraceable("it uses pd.DataFrame with options other than `columns`")
        if isinstance(data, dict):
            return _of_columns(data if columns is None else {name: data[name] for name in columns})
        if not isinstance(data, Array) or columns is None or len(columns) != data.width:
            raise Untraceable("it uses pd.DataFrame without a name for each column")
        return _of_columns({name: data[:, k] for k, name in enumerate(columns)})


class _TableMaker(metaclass=_TableType):
    """Stands for pandas.DataFrame; makes a placeholder from a dict or an array of placeholders."""


class _Pandas:
    """Stands for the module pandas."""

    DataFrame = _TableMaker

    def __getattr__(self, name: str) -> Any:
        return getattr(pd, name)


def making_tables(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with pandas.DataFrame replaced in its global names; others stay as they are."""
    if not isinstance(function, types.FunctionType):
        return function
    names = function.__globals__
    replaced = {name: _Pandas() for name, value in names.items() if value is pd} | {
        name: _TableMaker for name, value in names.items() if value is pd.DataFrame
    }
    if not replaced:
        return function
    result = types.FunctionType(
        function.__code__,
        names | replaced,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    result.__kwdefaults__ = function.__kwdefaults__
    return result


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
