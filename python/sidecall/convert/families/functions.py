"""Converts FunctionTransformer: functions of numpy by the tables, other functions by tracing."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
from sklearn.utils import check_array

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..registry import Conversion, converts
from ..tracing import Untraceable, trace
from ..tracing.ufuncs import UNARY


def apply(
    g: Conversion, function: Any, args: dict[str, Any] | None, x: Frame, example: Any = None
) -> Frame | Tensor:
    """function(x, **args). `example` is a row as the function gets it, if known."""
    args = dict(args or {})
    if function is None:
        return x
    if getattr(function, "func", None) is check_array or function is check_array:
        return x
    if isinstance(function, partial) and not function.args:
        return apply(g, function.func, {**function.keywords, **args}, x, example)
    try:
        body = UNARY.get(function)
    except TypeError:  # an object that has no hash
        body = None
    if body is None or args:
        return _traced(g, function, args, x, example)
    # In double, as numpy computes on values from pandas and lists.
    y = body(g, x.matrix("float64"))
    y.width = x.width
    return g.narrow(y)


def _traced(g: Conversion, function: Any, args: dict[str, Any], x: Frame, example: Any) -> Frame:
    """function(x, **args) for any other function, if it consists of functions that convert."""
    g.distrust()
    try:
        return trace(g, function, args, x, example)
    except Untraceable as error:
        name = getattr(function, "__qualname__", None) or type(function).__name__
        raise g.refuse(
            f"its function '{name}' cannot be traced: {error}. "
            "Functions of numpy for each row convert; for others, register a converter"
        ) from error


@converts("sklearn", "FunctionTransformer", "transform")
def function_transformer(g: Conversion, model: Any, x: Frame) -> Frame | Tensor:
    return apply(g, model.func, model.kw_args, x, None if model.validate else _example(g, model))


def _example(g: Conversion, model: Any) -> Any:
    """A row as the function gets it; without data only the names of its columns may be known."""
    names = list(getattr(model, "feature_names_in_", []))
    return g.examples.get(id(model), pd.DataFrame(columns=names) if names else None)


@converts("sklearn", "FunctionTransformer", "inverse_transform")
def function_inverse(g: Conversion, model: Any, x: Frame) -> Frame | Tensor:
    return apply(g, model.inverse_func, model.inv_kw_args, x)
