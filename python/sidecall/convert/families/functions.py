"""Converts FunctionTransformer: functions of numpy by the tables, other functions by tracing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pandas as pd
from sklearn.utils import check_array

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..registry import Conversion
from ..tracing import Untraceable, of_each_column, trace
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
        g.distrust()
        return _recorded(g, function, lambda: trace(g, function, args, x, example))
    result: Frame = _recorded(g, function, lambda: of_each_column(g, function, x, example))
    return result.parts[0] if _has_known_range(result, x) else result


def _has_known_range(result: Frame, x: Frame) -> bool:
    """Whether ranges.py computes in the type of the result, if the step returns one tensor."""
    return len(result.parts) == 1 and (
        result.parts[0].dtype == "float64" or set(x.dtypes) == {"float32"}
    )


def _recorded(g: Conversion, function: Any, convert: Callable[[], Frame]) -> Frame:
    """The result of `convert`; a function that cannot be recorded is refused by its name."""
    try:
        return convert()
    except Untraceable as error:
        name = getattr(function, "__qualname__", None) or type(function).__name__
        raise g.refuse(
            f"its function '{name}' cannot be traced: {error}. Write it with operators, np.where "
            "and the other functions that docs/tutorials/converters.md lists, or as a class with a "
            "converter"
        ) from error


@register_converter("sklearn:FunctionTransformer", "transform")
def function_transformer(step: Any, columns: Frame, g: Conversion) -> Frame | Tensor:
    return apply(g, step.func, step.kw_args, columns, _given(g, step))


def _given(g: Conversion, model: Any) -> Any:
    """A row as the function gets it. With validate=True, that is an array."""
    example = _example(g, model)
    if not model.validate or example is None or hasattr(example, "toarray"):
        return example
    # Without data, only the names of the columns are known.
    return check_array(example, ensure_all_finite=False) if len(example) else None


def _example(g: Conversion, model: Any) -> Any:
    """A row as the function gets it; without data only the names of its columns may be known."""
    names = list(getattr(model, "feature_names_in_", []))
    return g.examples.get(id(model), pd.DataFrame(columns=names) if names else None)


@register_converter("sklearn:FunctionTransformer", "inverse_transform")
def function_inverse(step: Any, columns: Frame, g: Conversion) -> Frame | Tensor:
    return apply(g, step.inverse_func, step.inv_kw_args, columns)
