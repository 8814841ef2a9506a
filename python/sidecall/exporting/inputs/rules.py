"""Finds the rule by which each step of a fitted model refuses numbers.

To find the rule, the fitted step is called with rows in which one number is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from sidecall.convert.checks import Rule

from ..model.original import quiet
from ..model.steps import Given

LARGEST = float(np.finfo(np.float64).max)
LARGEST_SINGLE = float(np.finfo(np.float32).max)
# The largest double that rounds to a finite float32. It is the double below the number half-way
# between the largest float32 and 2^128, because that number itself rounds to infinity.
LAST_SINGLE = float(np.nextafter(LARGEST_SINGLE + 2.0**103, 0.0))
# Models of these modules pass rows on to their parts, which have rules of their own. Transformers
# of feature_engine have a rule for each column, which their converters know.
_DELEGATING_MODULES = (
    "feature_engine",
    "skrub",
    "imblearn.pipeline",
    "sklearn.pipeline",
    "sklearn.compose",
    "sklearn.model_selection",
    "sklearn.frozen",
    "sklearn.semi_supervised",
    "sklearn.multiclass",
    "sklearn.multioutput",
    "sklearn.calibration",
    "sklearn.ensemble._voting",
    "sklearn.ensemble._stacking",
    "sklearn.ensemble._bagging",
)


def delegates(step: Any) -> bool:
    return type(step).__module__.startswith(_DELEGATING_MODULES)


def find_rules(given: dict[int, Given]) -> dict[int, Rule]:
    """Returns a dict from the id() of a step to its rule.

    The dict has only steps whose columns all have the same rule. A step that accepts every number
    has a rule too. Refusals that none of these rules explains are described by the domains of the
    features (domain.py).
    """
    rules, known = {}, {}
    for place, item in given.items():
        if delegates(item.step):
            continue
        key = _alike(item)
        if key not in known:
            known[key] = _rule_of(item)
        if (rule := known[key]) is not None:
            rules[place] = rule
    return rules


def _alike(item: Given) -> Any:
    """Returns the same key for equal members of an ensemble, so that only one is tested."""
    try:
        return (
            type(item.step),
            item.method,
            _types(item.rows),
            repr(item.step.get_params(deep=False)),
        )
    except Exception:  # a parameter whose repr fails
        return id(item.step)


def _types(rows: Any) -> str:
    """The types of the columns of a frame, or that of an array."""
    types = getattr(rows, "dtypes", getattr(rows, "dtype", ""))
    return str(list(types) if hasattr(types, "iloc") else types)


def _rule_of(item: Given) -> Rule | None:
    columns = numeric_columns(item.rows)
    found = {_asked(item, column) for column in {*columns[:1], *columns[-1:]}}
    return found.pop() if len(found) == 1 else None


def _asked(item: Given, column: int) -> Rule | None:
    def takes(value: float) -> bool:
        try:
            with quiet():
                getattr(item.step, item.method)(with_number(item.rows, column, value))
        except Exception:
            return False
        return True

    single = getattr(item.rows, "dtype", None) == np.float32
    high = np.inf if takes(np.inf) else _largest(takes, single, 1.0)
    if takes(-np.inf):
        low = -np.inf
    elif takes(-1.0):
        low = -_largest(takes, single, -1.0)
    else:
        tiny = float(np.finfo(np.float32 if single else np.float64).smallest_subnormal)
        if takes(0.0):
            low = 0.0 if not takes(-tiny) else -LARGEST
        elif takes(1.0):
            low = tiny if takes(tiny) else -LARGEST
        else:
            return None
    return Rule(low, high, takes(np.nan))


def _largest(takes: Callable[[float], bool], single: bool, sign: float) -> float:
    """Returns the last finite number, on one side of 0, that a step accepts.

    A number that the step refuses only because its own sums overflow does not limit the rule.
    """
    if single:
        return LARGEST_SINGLE
    beyond = float(np.nextafter(LAST_SINGLE, np.inf))
    return LAST_SINGLE if not takes(sign * beyond) and takes(sign * LAST_SINGLE) else LARGEST


def numeric_columns(rows: Any) -> list[int]:
    if hasattr(rows, "iloc"):
        return (
            [
                i
                for i, dtype in enumerate(getattr(rows, "dtypes", ()))
                if getattr(dtype, "kind", "O") in "fiu"
            ]
            if rows.ndim == 2
            else []
        )
    if getattr(rows, "ndim", 0) != 2 or rows.dtype.kind not in "fiuO":
        return []
    if rows.dtype.kind == "O":
        return [
            i
            for i in range(rows.shape[1])
            if isinstance(rows[0, i], (int, float)) and not isinstance(rows[0, i], bool)
        ]
    return list(range(rows.shape[1]))


def with_number(rows: Any, column: int, value: float) -> Any:
    """Returns the row with one number replaced, in its own container."""
    if hasattr(rows, "iloc"):
        # The step computes with the common type of the columns: a float32 column beside a float64
        # column has no bound of its own.
        common = np.result_type(
            *(
                getattr(dtype, "numpy_dtype", dtype)
                for dtype in rows.dtypes.iloc[numeric_columns(rows)]
            )
        )
        dtype = rows.dtypes.iloc[column]
        rows = rows.copy()
        if _is_of_type(value, dtype):
            rows.isetitem(column, pd.Series([int(value)], rows.index, dtype))
            return rows
        rows.isetitem(
            column, np.array([value], dtype=common if common == np.float32 else np.float64)
        )
        return rows
    if hasattr(rows, "tolil"):
        rows = rows.astype(rows.dtype if rows.dtype.kind == "f" else np.float64).tolil()
        rows[0, column] = value
        return rows.tocsr()
    rows = rows.astype(np.float64) if rows.dtype.kind in "iu" else rows.copy()
    rows[0, column] = value
    return rows


def _is_of_type(value: float, dtype: Any) -> bool:
    """Whether a column of integers of this type holds the number."""
    if dtype.kind not in "iu" or not float(value).is_integer():
        return False
    limits = np.iinfo(getattr(dtype, "numpy_dtype", dtype))
    return bool(limits.min <= value <= limits.max)


def numbers_of(rows: Any) -> Iterator[np.ndarray]:
    """Yields the numbers of the rows as float64 matrices [N, width]."""
    if hasattr(rows, "tocsr"):
        yield np.asarray(rows.toarray(), dtype=np.float64)
    elif hasattr(rows, "iloc") and {
        dtype.kind if isinstance(dtype, np.dtype) else "" for dtype in rows.dtypes
    } <= {"f", "i"}:
        yield rows.to_numpy(dtype=np.float64)
    elif hasattr(rows, "iloc"):
        for column in numeric_columns(rows):
            yield rows.iloc[:, column].to_numpy(dtype=np.float64, na_value=np.nan).reshape(-1, 1)
    elif columns := numeric_columns(rows):
        yield (rows if len(columns) == rows.shape[1] else rows[:, columns]).astype(np.float64)
