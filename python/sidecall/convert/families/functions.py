"""Converts FunctionTransformer for the numpy functions in the tables below; refuses others."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import check_array

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.numeric import expm1, log1p
from ..registry import Conversion, converts

Body = Callable[[Conversion, Tensor], Tensor]


def _op(name: str) -> Body:
    return lambda g, x: g.unary(name, x)


def _flag(name: str) -> Body:
    return lambda g, x: g.cast(g.unary(name, x, "bool"), x.dtype)


UNARY: dict[Any, Body] = {
    np.log1p: log1p,
    np.expm1: expm1,
    np.log: _op("Log"),
    np.log2: lambda g, x: g.log(x) * (1.0 / float(np.log(2.0))),
    np.log10: lambda g, x: g.log(x) * (1.0 / float(np.log(10.0))),
    np.exp: _op("Exp"),
    np.exp2: lambda g, x: g.exp(x * float(np.log(2.0))),
    np.sqrt: _op("Sqrt"),
    np.cbrt: lambda g, x: g.unary("Sign", x) * g.abs(x) ** (1.0 / 3.0),
    np.square: lambda g, x: x * x,
    np.abs: _op("Abs"),
    np.fabs: _op("Abs"),
    np.negative: _op("Neg"),
    np.positive: lambda g, x: x,
    np.reciprocal: lambda g, x: 1.0 / x,
    np.sign: _op("Sign"),
    np.sin: _op("Sin"),
    # onnxruntime has no double cosine before 1.22.
    np.cos: lambda g, x: g.unary("Sin", x + float(np.pi / 2.0)),
    np.tanh: _op("Tanh"),
    np.floor: _op("Floor"),
    np.ceil: _op("Ceil"),
    np.rint: _op("Round"),
    np.trunc: lambda g, x: g.unary("Sign", x) * g.unary("Floor", g.abs(x)),
    np.deg2rad: lambda g, x: x * float(np.pi / 180.0),
    np.radians: lambda g, x: x * float(np.pi / 180.0),
    np.rad2deg: lambda g, x: x * float(180.0 / np.pi),
    np.degrees: lambda g, x: x * float(180.0 / np.pi),
    np.isnan: _flag("IsNaN"),
    np.isinf: _flag("IsInf"),
}


def _clip(g: Conversion, x: Tensor, args: dict[str, Any]) -> Tensor:
    low = args.pop("a_min", args.pop("min", None))
    high = args.pop("a_max", args.pop("max", None))
    for bound, apply in ((low, g.maximum), (high, g.minimum)):
        if bound is not None:
            x = apply(x, np.asarray(bound, "float64"))
    return x


def _nan_to_num(g: Conversion, x: Tensor, args: dict[str, Any]) -> Tensor:
    args.pop("copy", None)
    value, positive, negative = (
        args.pop("nan", 0.0),
        args.pop("posinf", None),
        args.pop("neginf", None),
    )
    if positive is None or negative is None:
        # Without these arguments, numpy inserts the largest or smallest number of the data's type,
        # and the graph does not know that type.
        raise g.refuse("np.nan_to_num is supported only with posinf and neginf in kw_args")
    x = g.where(g.isnan(x), float(value), x)
    infinite = g.unary("IsInf", x, "bool")
    return g.where(
        infinite,
        g.where(x > 0.0, g.const(float(positive), x.dtype), g.const(float(negative), x.dtype)),
        x,
    )


def _round(g: Conversion, x: Tensor, args: dict[str, Any]) -> Tensor:
    decimals = int(args.pop("decimals", 0))
    scale = 10.0 ** abs(decimals)
    if decimals == 0:
        return g.unary("Round", x)
    return (
        g.unary("Round", x * scale) / scale if decimals > 0 else g.unary("Round", x / scale) * scale
    )


WITH_ARGUMENTS = {np.clip: _clip, np.nan_to_num: _nan_to_num, np.round: _round, np.around: _round}


def apply(g: Conversion, function: Any, args: dict[str, Any] | None, x: Frame) -> Frame | Tensor:
    """function(x, **args) in double, as numpy computes on values from pandas and lists."""
    args = dict(args or {})
    if function is None:
        return x
    if getattr(function, "func", None) is check_array or function is check_array:
        return x
    if isinstance(function, partial) and not function.args:
        return apply(g, function.func, {**function.keywords, **args}, x)
    try:
        unary, general = UNARY.get(function), WITH_ARGUMENTS.get(function)
    except TypeError:
        unary = general = None
    if unary is None and general is None:
        name = getattr(function, "__qualname__", None) or getattr(
            function, "__name__", type(function).__name__
        )
        raise g.refuse(
            f"it calls the Python function '{name}'; only some element-wise functions of numpy convert, such as np.log1p, np.sqrt and np.clip"
        )
    y = x.matrix("float64")
    if general is not None:
        y = general(g, y, args)
    elif unary is not None:
        y = unary(g, y)
    if args:
        raise g.refuse(f"the argument '{min(args)}' of '{function.__name__}' is not supported")
    y.width = x.width
    return g.narrow(y)


@converts("sklearn", "FunctionTransformer", "transform")
def function_transformer(g: Conversion, model: Any, x: Frame) -> Frame | Tensor:
    return apply(g, model.func, model.kw_args, x)


@converts("sklearn", "FunctionTransformer", "inverse_transform")
def function_inverse(g: Conversion, model: Any, x: Frame) -> Frame | Tensor:
    return apply(g, model.inverse_func, model.inv_kw_args, x)
