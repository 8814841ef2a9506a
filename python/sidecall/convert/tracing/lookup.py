"""Series.map with a dict in traced functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..checks import Range
from ..graph.builder import Tensor
from ..graph.frame import MISSING
from ..registry import Conversion
from .columns import EXACT, Flag, Whole, reason_of
from .refusals import Untraceable


def looked_up(g: Conversion, x: Tensor, mapping: Any) -> Tensor:
    """The value of `mapping` for each element of a column; missing if it has none, as in pandas."""
    if type(mapping) is not dict or not mapping:
        raise Untraceable("it uses .map with something else than a dict with at least one key")
    if isinstance(x, Flag):
        raise Untraceable(reason_of(x))
    keys, values = list(mapping), list(mapping.values())
    if x.dtype == "string":
        if not all(isinstance(key, str) for key in keys):
            raise Untraceable("it uses .map with keys that are not text, like its column")
    elif not all(_is_whole(key) for key in keys):
        raise Untraceable("it uses .map with keys that are not whole numbers below 2^53")
    elif any(isinstance(key, bool | np.bool_) != (x.dtype == "bool") for key in keys):
        raise Untraceable("it uses .map with keys of another type than its column")
    else:
        x = g.cast(x, "float64") if x.dtype.startswith("float") else g.cast(x, "int64")
        mapping = {int(key): value for key, value in mapping.items()}
    if all(isinstance(value, str) for value in values):
        result = g.lookup(x, mapping, MISSING)
        result.width = 1
        return result
    if not all(isinstance(value, int | float | np.integer | np.floating) for value in values) or (
        any(isinstance(value, bool) for value in values)
    ):
        raise Untraceable("it uses .map with values that are not all numbers, or all text")
    is_whole = all(isinstance(value, int | np.integer) for value in values)
    doubles = {key: float(value) for key, value in mapping.items()}
    if is_whole and max(map(abs, doubles.values())) > EXACT:
        raise Untraceable("it computes with whole numbers from 2^53")
    result = g.lookup(x, doubles, math.nan)
    result.width = 1
    if not is_whole:
        return result
    whole = Whole(result)
    whole.range = Range.of(min(doubles.values()), max(doubles.values()), True, 1)
    return whole


def _is_whole(key: Any) -> bool:
    if not isinstance(key, int | float | np.integer | np.floating | np.bool_):
        return False
    number = float(key)
    return number.is_integer() and abs(number) <= EXACT
