"""isin() of columns and numpy.isin: pandas or numpy themselves decide which values match."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import pandas as pd

from ..graph.builder import Tensor
from ..registry import Conversion
from .columns import EXACT, NARROW, Flag, Text, Whole, limits, may_be_missing, type_of
from .refusals import Untraceable

# For each of some values of a column, whether it is one of the given values.
Test = Callable[[list[Any], Any], list[bool]]


def is_in(g: Conversion, x: Tensor, values: Any, of_numpy: bool) -> Tensor:
    """For each element whether pandas or numpy find it in `values`."""
    given = values if hasattr(values, "dtype") or isinstance(values, set) else list(values)

    def test(candidates: list[Any], dtype: Any) -> list[bool]:
        column = pd.Series(candidates, dtype=dtype)
        found = np.isin(column, given) if of_numpy else column.isin(given)
        return [bool(one) for one in found]

    every = [] if of_numpy and isinstance(given, set) else list(given)
    candidates, dtypes = _candidates(x, every)
    found = [
        x.equals(_constant(x, value))
        for value, is_found in zip(candidates, _agreed(test, candidates, dtypes), strict=True)
        if is_found
    ]
    if may_be_missing(x) and _finds_missing(x, test, of_numpy):
        found.append(g.missing(x))
    return any_of(g, x, found)


def any_of(g: Conversion, x: Tensor, found: Sequence[Tensor]) -> Tensor:
    """Whether one of the tests is true for each element of x."""
    if found:
        return reduce(or_, found)
    missing = g.missing(x)
    return missing & ~missing


def _candidates(x: Tensor, values: list[Any]) -> tuple[list[Any], list[Any]]:
    """The values of the column that may match, and the types that the column may have."""
    if x.dtype == "string":
        return list(dict.fromkeys(map(str, values))), _types_of_text(x)
    if x.dtype == "bool" or isinstance(x, Flag):
        return [True, False], [_declared(x) or "bool"]
    dtype = type_of(x)
    numbers = [number for value in values if (number := _number(x, dtype, value)) is not None]
    return list(dict.fromkeys(numbers)), [_declared(x) or dtype]


def _declared(x: Tensor) -> Any:
    return None if x.nullable is None else x.nullable.declared or _representative(x)


def _representative(x: Tensor) -> Any:
    """A type with the rules of a column with pd.NA that was computed."""
    name = "boolean" if x.dtype == "bool" or isinstance(x, Flag) else type_of(x)
    if x.nullable.family == "arrow":
        return {"boolean": "bool", "float64": "double", "float32": "float"}.get(
            name, name
        ) + "[pyarrow]"
    return name if name == "boolean" else name.replace("u", "U").capitalize().replace("Ui", "UI")


def _types_of_text(x: Tensor) -> list[Any]:
    if x.nullable is not None:
        return [x.nullable.declared or "string"]
    return [x.declared] if isinstance(x, Text) else ["str", object]


def _number(x: Tensor, dtype: str, value: Any) -> Any:
    """The only number of the type that may equal the value."""
    if isinstance(value, str | bytes):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if math.isnan(number):
        return None
    if dtype.startswith("float"):
        with np.errstate(over="ignore"):
            return float(np.dtype(dtype).type(number))
    if math.isinf(number) or not number.is_integer():
        return None
    if abs(number) > EXACT and (isinstance(x, Whole) or not isinstance(value, int | np.integer)):
        raise Untraceable("it computes with whole numbers from 2^53")
    low, high = limits(dtype) if dtype in NARROW else (-(2**63), 2**63 - 1)
    return int(value) if low <= int(value) <= high else None


def _constant(x: Tensor, value: Any) -> Any:
    if isinstance(x, Flag):
        return float(value)
    return x.graph.const(np.asarray(value), x.dtype) if x.dtype != "string" else value


def _finds_missing(x: Tensor, test: Test, of_numpy: bool) -> bool:
    if x.nullable is not None and of_numpy and (x.dtype == "string" or isinstance(x, Flag)):
        raise Untraceable(
            "it uses numpy.isin with a column that may hold pd.NA; use .isin() of the column"
        )
    if x.nullable is not None:
        return test([None], _declared(x) if x.dtype != "string" else _types_of_text(x)[0])[0]
    if x.dtype == "string" or isinstance(x, Flag):
        types = _types_of_text(x) if x.dtype == "string" else [object]
        answers = {test([missing], dtype)[0] for missing in (None, math.nan) for dtype in types}
        if len(answers) > 1:
            raise Untraceable(
                "it looks for one kind of missing value with isin(); use .isna() for all of them"
            )
        return answers.pop()
    return test([math.nan], "float64")[0]


def _agreed(test: Test, candidates: list[Any], dtypes: list[Any]) -> list[bool]:
    answers = [test(candidates, dtype) for dtype in dtypes]
    if any(answer != answers[0] for answer in answers):
        raise Untraceable("it uses isin() with values of another type, or with none")
    return answers[0]
