"""Columns of pandas whose type has pd.NA: comparisons with a missing value are missing too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import pandas as pd

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..registry import Conversion
from .columns import (
    NARROW,
    Flag,
    Kleene,
    Nullable,
    Objects,
    as_nullable,
    may_be_missing,
    reason_of,
    type_of,
)
from .integers import converted
from .lookup import looked_up
from .refusals import Untraceable

_LOGIC = {np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert}
# Functions that treat pd.NA and NaN differently.
_OTHER_RULES = {
    np.isnan, np.isinf, np.isfinite, np.fmax, np.fmin, np.logical_and, np.logical_or,
    np.logical_xor, np.logical_not,
}  # fmt: skip
_POWERS = {np.power, np.float_power}


def computed(
    g: Conversion,
    ufunc: np.ufunc,
    inputs: Sequence[Any],
    tensors: Sequence[Tensor],
    compute: Callable[[], Tensor],
) -> Tensor:
    """The result of `compute` as pandas gives it: ufunc(*inputs), whose columns are `tensors`."""
    nullable = of_nullable(tensors)
    if nullable is None:
        return compute()
    if ufunc in _LOGIC and any(isinstance(x, Kleene) for x in tensors):
        operands = [x.tensor if _stands_for_values(x) else x for x in inputs]
        return as_nullable(_logic(g, ufunc, operands), nullable._replace(missing=True))
    _require_same_rules(ufunc, inputs, tensors)
    return _with_missing(g, ufunc, compute(), tensors, nullable)


def of_nullable(tensors: Sequence[Tensor]) -> Nullable | None:
    """The type of what pandas computes from these columns; None if none of them has pd.NA."""
    return next(
        (x.nullable._replace(declared=None) for x in tensors if x.nullable is not None), None
    )


def _logic(g: Conversion, ufunc: np.ufunc, operands: Sequence[Any]) -> Tensor:
    """&, |, ^ or ~ of bools, some of which may be pd.NA."""
    first = _true_and_false(g, operands[0])
    if ufunc is np.invert:
        return _kleene(g, first[1], first[0])
    true, false = first
    other_true, other_false = _true_and_false(g, operands[1])
    if ufunc is np.bitwise_and:
        return _kleene(g, true & other_true, false | other_false)
    if ufunc is np.bitwise_or:
        return _kleene(g, true | other_true, false & other_false)
    return _kleene(
        g, (true & other_false) | (false & other_true), (true & other_true) | (false & other_false)
    )


def _true_and_false(g: Conversion, x: Any) -> tuple[Tensor, Tensor]:
    if isinstance(x, Kleene):
        return x.equals(1.0), x.equals(0.0)
    if isinstance(x, Flag):
        raise Untraceable(reason_of(x))
    if not isinstance(x, Tensor) and isinstance(x, bool | np.bool_):
        x = g.const(np.asarray(x), "bool")
    if not isinstance(x, Tensor) or x.dtype != "bool":
        raise Untraceable("it combines the bits of numbers")
    return x, ~x


def _kleene(g: Conversion, true: Tensor, false: Tensor) -> Tensor:
    one, zero = g.const(1.0, "float64"), g.const(0.0, "float64")
    return Kleene(g.where(true, one, g.where(false, zero, math.nan)))


def _require_same_rules(ufunc: np.ufunc, inputs: Sequence[Any], tensors: Sequence[Tensor]) -> None:
    """Refuses functions that take pd.NA in another way than NaN, if a value may be missing."""
    if any(np.ndim(x) == 0 and pd.isna(x) for x in inputs if not _stands_for_values(x)):
        raise Untraceable("it computes with a missing constant; .isna() finds missing values")
    if not any(may_be_missing(x) for x in tensors):
        return
    name = f"np.{ufunc.__name__}"
    if ufunc in _OTHER_RULES:
        raise Untraceable(
            f"it uses {name} with a column that may hold pd.NA; fill the column first, as in "
            "d['age'].fillna(0), or use .isna()"
        )
    if ufunc in _POWERS and (_stands_for_values(inputs[1]) or not np.all(inputs[1])):
        raise Untraceable(
            f"it uses {name} with a column that may hold pd.NA, of which some powers are 1; fill "
            "the column first, as in d['age'].fillna(0)"
        )


def _stands_for_values(x: Any) -> bool:
    return hasattr(type(x), "stands_for")


def _with_missing(
    g: Conversion, ufunc: np.ufunc, result: Tensor, tensors: Sequence[Tensor], nullable: Nullable
) -> Tensor:
    absent = [x for x in tensors if may_be_missing(x)]
    if result.dtype != "bool":
        is_float = result.dtype.startswith("float") and not _is_selection(ufunc)
        return as_nullable(result, nullable._replace(missing=bool(absent) or is_float))
    if not absent:
        return as_nullable(result, nullable._replace(missing=False))
    missing = reduce(or_, [g.missing(x) for x in absent])
    found = Kleene(g.where(missing, math.nan, g.cast(result, "float64")))
    return as_nullable(found, nullable._replace(missing=True))


def _is_selection(ufunc: np.ufunc) -> bool:
    """Whether the results are some of the operands, so that they are missing only with these."""
    return ufunc in (np.maximum, np.minimum, np.positive, np.negative, np.absolute)


def condition(g: Conversion, x: Tensor) -> Tensor:
    """The bools of a condition. Rows for which one of them is pd.NA are refused, as in Python."""
    if not isinstance(x, Kleene):
        return x
    g.refuse_rows([g.isnan(x)], "conditions that are not missing")
    return g.cast(g.where(g.isnan(x), 0.0, x), "bool")


def as_type(g: Conversion, x: Tensor, dtype: str) -> Tensor:
    """x.astype(dtype) for a type of numpy, which has no pd.NA."""
    is_float = dtype.startswith("float")
    if isinstance(x, Kleene | Objects) and is_float:
        return g.cast(Tensor(g, x.name, x.dtype, x.width), dtype)
    plain = as_nullable(condition(g, x), None)
    return converted(g, plain, dtype)


def mapped(g: Conversion, x: Tensor, mapping: Any) -> Tensor:
    """Series.map with a dict: numbers have pd.NA if the column has it, and text does not."""
    result, nullable = looked_up(g, x, mapping), of_nullable([x])
    if nullable is None or result.dtype == "string":
        return as_nullable(result, None)
    return as_nullable(result, nullable._replace(missing=True))


def filled(x: Tensor, result: Tensor, value: Any) -> Tensor:
    """`result`, which is x with `value` instead of missing values, as a column like x."""
    if x.nullable is None:
        return result
    is_column = _stands_for_values(value)
    missing = may_be_missing(value.tensor) if is_column else bool(np.any(pd.isna(value)))
    return as_nullable(result, x.nullable._replace(missing=missing))


def require_numpy_type(x: Tensor) -> None:
    """Refuses .values of a column whose array is one of pandas."""
    if x.nullable is not None:
        raise Untraceable(
            "it uses .values of a column of a type of pandas, which is no array of numpy; use "
            ".to_numpy()"
        )


def require_array(x: Tensor) -> None:
    """Refuses a column whose array in numpy holds pd.NA. In numbers, NaN stands for it."""
    if x.nullable is None:
        return
    if may_be_missing(x) and not x.dtype.startswith("float"):
        raise Untraceable(
            "it uses an array of a column that may hold pd.NA; fill the column first, as in "
            "d['plan'].fillna('none')"
        )
    if isinstance(x, Flag):
        raise Untraceable(reason_of(x))


def objects_of(g: Conversion, parts: Sequence[Tensor]) -> Tensor | None:
    """The columns side by side, if pandas makes an array of objects of them; otherwise None."""
    types = {type_of(x) for x in parts}
    has_na = any(x.nullable is not None for x in parts)
    for x in parts:  # pandas does not convert pd.NA in an array of objects
        is_number = x.dtype != "string" and not isinstance(x, Flag)
        if has_na and may_be_missing(x) and (len(parts) > 1 or not is_number):
            raise Untraceable(
                "its array holds a column that may hold pd.NA; convert the columns first, as "
                "in d.astype(float).to_numpy()"
            )
    is_mixed = "bool" in types and len(types) > 1
    is_mixed = is_mixed or (has_na and (len(parts) > 1 or "bool" in types))
    if not is_mixed or "string" in types:
        return None
    return Objects(as_nullable(Frame(g, parts).matrix("float64"), None))


def require_one_family(parts: Sequence[Tensor]) -> None:
    """Refuses columns that pandas combines as objects."""
    families = {x.nullable.family for x in parts if x.nullable is not None}
    has_bools = any(x.dtype == "bool" or isinstance(x, Flag) for x in parts)
    if len(families) > 1 or (families and has_bools):
        raise Untraceable(
            "it combines columns of different types, one of which has pd.NA; convert the "
            "columns first, as in d.astype(float)"
        )


def require_type_of_sums(parts: Sequence[Tensor], present: Any) -> None:
    """Refuses sums that are narrow integers in pandas if all of a batch fit, and otherwise wide."""
    if of_nullable(parts) is not None and present.dtype in NARROW:
        raise Untraceable(
            f"it sums columns of {present.dtype} whose type has pd.NA; the type of the sums depends "
            "on the values, so convert the columns first, as in d.astype(float).sum(axis=1)"
        )
