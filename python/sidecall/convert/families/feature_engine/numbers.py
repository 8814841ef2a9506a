"""Converters of feature_engine's transformers of numbers.

Scaling and mathematical functions, outliers, discretisers, and new columns made of others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from scipy import special, stats

from sidecall.converters import register_converter

from ...checks import Range, Rule
from ...graph.builder import Tensor
from ...graph.column_function import Recorded, record
from ...graph.frame import MISSING, Frame
from ...graph.numeric import arcsin, arcsinh, cos, log1p
from ...graph.splits import split_at
from ...registry import Conversion
from ...tracing import Untraceable, given, type_name
from ...tracing.columns import ADVICE
from ...tracing.placeholders import Array, elementwise
from ...tracing.ufuncs import UNARY
from ..preprocessing import power_of
from .columns import ABOVE_ZERO, FINITE, NamedColumns, through


def _row(values: dict[Any, Any], variables: Sequence[Any]) -> np.ndarray:
    return np.array([[float(values[name]) for name in variables]])


# Functions of one column.


def _applied(
    g: Conversion,
    model: Any,
    x: Frame,
    function: Callable[[Tensor], Tensor],
    rule: Rule = FINITE,
    known: Callable[[np.ndarray], np.ndarray] | None = None,
    widens: bool = False,
    original: Callable[[int, np.ndarray], Any] | None = None,
) -> Frame:
    """`function` of the step's variables, which must obey the rule.

    `known` computes the same with numpy, for a monotone function. If the last digits depend on the
    library, `original` computes a variable, given by its position, as the step does.
    """
    columns = NamedColumns(g, model, x)
    columns.require(model.variables_, rule)
    numbers = columns.numbers(model.variables_, widens)
    result = function(numbers)
    result.width = len(model.variables_)
    if original is not None:
        record(g, result, Recorded(type(model).__name__, numbers, original))
    result = g.narrow(result)
    result.range = None if known is None else through(numbers.range, known)
    return columns.replaced(model.variables_, result)


@register_converter("feature_engine:MeanNormalizationScaler", "transform")
def mean_normalization(step: Any, columns: Frame, g: Conversion) -> Frame:
    mean, size = (_row(part, step.variables_) for part in (step.mean_, step.range_))
    return _applied(
        g, step, columns, lambda v: (v - mean) / size, known=lambda v: (v - mean) / size
    )


@register_converter("feature_engine:LogTransformer", "transform")
def log(step: Any, columns: Frame, g: Conversion) -> Frame:
    function = np.log if step.base == "e" else np.log10
    body = UNARY[function]
    return _applied(
        g, step, columns, lambda v: body(g, v), ABOVE_ZERO, function, True, lambda k, v: function(v)
    )


@register_converter("feature_engine:LogCpTransformer", "transform")
def log_cp(step: Any, columns: Frame, g: Conversion) -> Frame:
    variables, numpy_log = step.variables_, np.log if step.base == "e" else np.log10
    constants = step.C_ if isinstance(step.C_, dict) else dict.fromkeys(variables, step.C_)
    added = _row(constants, variables)

    def function(v: Tensor) -> Tensor:
        total = v + added
        total.range = through(v.range, lambda ends: ends + added)
        g.require(Frame(g, [total]), Rule(ABOVE_ZERO.low, np.inf, False))
        return UNARY[numpy_log](g, total)

    return _applied(
        g, step, columns, function, widens=True, original=lambda k, v: numpy_log(v + added[0, k])
    )


@register_converter("feature_engine:ReciprocalTransformer", "transform")
def reciprocal(step: Any, columns: Frame, g: Conversion) -> Frame:
    def function(v: Tensor) -> Tensor:
        _refuse_zero(g, v)
        return 1.0 / v

    return _applied(g, step, columns, function, widens=True)


def _refuse_zero(g: Conversion, x: Tensor) -> None:
    g.refuse_rows([g.max(g.cast(x.equals(0), "float32")) > 0.0], "numbers other than 0")


@register_converter("feature_engine:PowerTransformer", "transform")
def power(step: Any, columns: Frame, g: Conversion) -> Frame:
    exponent = float(step.exp)
    exact: dict[float, Callable[[Tensor], Tensor]] = {0.5: g.sqrt, 1.0: lambda v: v}
    exact |= {2.0: lambda v: v * v, -1.0: lambda v: 1.0 / v}
    if exponent in exact:
        return _applied(g, step, columns, exact[exponent], widens=True)
    return _applied(
        g,
        step,
        columns,
        lambda v: v ** g.const(exponent, "float64"),
        widens=True,
        original=lambda k, v: np.power(v, step.exp),
    )


@register_converter("feature_engine:BoxCoxTransformer", "transform")
def box_cox(step: Any, columns: Frame, g: Conversion) -> Frame:
    lambdas = _row(step.lambda_dict_, step.variables_)
    return _applied(
        g,
        step,
        columns,
        lambda v: power_of(g, g.log(v), lambdas),
        ABOVE_ZERO,
        original=lambda k, v: special.boxcox(v, lambdas[0, k]),
    )


@register_converter("feature_engine:YeoJohnsonTransformer", "transform")
def yeo_johnson(step: Any, columns: Frame, g: Conversion) -> Frame:
    lambdas = _row(step.lambda_dict_, step.variables_)

    def function(v: Tensor) -> Tensor:
        above, below = (log1p(g, g.maximum(part, 0.0)) for part in (v, -v))
        return g.where(v >= 0.0, power_of(g, above, lambdas), -power_of(g, below, 2.0 - lambdas))

    return _applied(
        g, step, columns, function, original=lambda k, v: stats.yeojohnson(v, lmbda=lambdas[0, k])
    )


@register_converter("feature_engine:ArcsinTransformer", "transform")
def arcsin_of_root(step: Any, columns: Frame, g: Conversion) -> Frame:
    return _applied(
        g,
        step,
        columns,
        lambda v: arcsin(g, g.sqrt(v)),
        Rule(0.0, 1.0, False),
        original=lambda k, v: np.arcsin(np.sqrt(v)),
    )


@register_converter("feature_engine:ArcSinhTransformer", "transform")
def arc_sinh(step: Any, columns: Frame, g: Conversion) -> Frame:
    def function(v: Tensor) -> Tensor:
        return arcsinh(g, (v - float(step.loc)) / float(step.scale))

    return _applied(g, step, columns, function, widens=True)


@register_converter("feature_engine:ArbitraryOutlierCapper Winsorizer", "transform")
def cap(step: Any, columns: Frame, g: Conversion) -> Frame:
    named, variables = NamedColumns(g, step, columns), list(step.variables_)
    if step.missing_values == "raise":
        named.require(variables, FINITE)
    numbers = named.numbers(variables, widens=True)
    dtypes = named.select(variables).dtypes
    result = numbers
    for caps, none, compare in (
        (step.right_tail_caps_, np.inf, Tensor.__gt__),
        (step.left_tail_caps_, -np.inf, Tensor.__lt__),
    ):
        limits = np.array([[float(caps.get(name, none)) for name in variables]])
        limits[np.isnan(limits)] = none
        # A column of float32 is compared with the rounded limit.
        rounded = np.where(np.array(dtypes) == "float32", limits.astype("float32"), limits)
        result = g.where(compare(result, g.const(rounded, "float64")), limits, result)
    if numbers.range is not None:
        low, high = (
            np.array([float(caps.get(name, none)) for name in variables])
            for caps, none in ((step.left_tail_caps_, -np.inf), (step.right_tail_caps_, np.inf))
        )
        known = numbers.range
        bounds = [np.fmax(np.fmin(end, high), low) for end in (known.low, known.high)]
        result.range = Range(bounds[0], bounds[1], known.missing)
    capped = named.replaced(variables, _narrowed(g, result))
    if not getattr(step, "add_indicators", False):
        return capped
    flags = [g.cast(result > numbers, g.real), g.cast(result < numbers, g.real)]
    sides = {"left": [0], "right": [1], "both": [0, 1]}[step.tail]
    new = [g.columns(flags[side], [k]) for k in range(len(variables)) for side in sides]
    return Frame(g, [*capped.parts, *new])


def _narrowed(g: Conversion, x: Tensor) -> Tensor:
    known = x.range
    x = g.narrow(x)
    x.range = known
    return x


# Discretisers.


@register_converter(
    "feature_engine:ArbitraryDiscretiser EqualFrequencyDiscretiser EqualWidthDiscretiser "
    "GeometricWidthDiscretiser",
    "transform",
)
def discretise(step: Any, columns: Frame, g: Conversion) -> Frame:
    named = NamedColumns(g, step, columns)
    named.require(step.variables_, FINITE)
    parts = [_bin(named, name, step.return_boundaries) for name in step.variables_]
    return named.replaced(step.variables_, Frame(g, parts))


def _bin(columns: NamedColumns, name: Any, as_text: bool) -> Tensor:
    """pandas.cut: each bin holds its right edge; the first one holds its left edge too."""
    g, edges = columns.g, np.asarray(columns.model.binner_dict_[name], "float64")
    x = columns.column(name)
    edges_of_x = g.snap(edges, x.single)
    x = g.cast(x, "float64")
    if np.isneginf(edges[0]):
        x, edges_of_x = split_at(g, x, edges_of_x)
    limits = g.const(edges_of_x.reshape(1, -1), x.dtype)
    # 0 if x is before the first edge, len(edges) if it is behind the last one.
    place = g.cast(g.sum(g.cast(x > limits, "float32")), "int64")
    place = g.where(x.equals(g.columns(limits, [0])), g.const(np.int64(1)), place)
    bins = len(edges) - 1
    outside = np.isfinite(edges[[0, -1]]).any()
    if outside and getattr(columns.model, "errors", "") == "raise":
        g.refuse_rows(
            [place.equals(0) | place.equals(len(edges))], "numbers between the first and last edge"
        )
    if as_text:
        found = g.gather(g.const(_labels(columns, name, edges)), place)
        found.width = 1
        return found
    numbers = np.array([np.nan, *range(bins), np.nan])
    result = g.gather(g.const(numbers), place) if outside else g.cast(place - 1, g.real)
    result.width = 1
    result.range = Range.of(0.0, float(bins - 1), bool(outside), 1)
    return result


def _labels(columns: NamedColumns, name: Any, edges: np.ndarray) -> np.ndarray:
    """The text for each position of `_bin`."""
    import pandas as pd

    inside = edges[1:].copy()
    if np.isinf(inside[-1]):
        inside[-1] = np.nextafter(edges[-2], np.inf) if len(edges) > 2 else 0.0
    labels = columns.ask(name, pd.Series(inside))
    outside = MISSING
    for value in (np.nextafter(edges[0], -np.inf), np.nextafter(edges[-1], np.inf)):
        # If the transformer raises an error for such a number, the row is refused.
        if np.isfinite(value) and getattr(columns.model, "errors", "") != "raise":
            (answer,) = columns.ask(name, pd.Series([value]))
            outside = answer if isinstance(answer, str) else MISSING
    return np.array([outside, *labels, outside], dtype=object)


@register_converter("feature_engine:DecisionTreeDiscretiser", "transform")
def discretise_by_tree(step: Any, columns: Frame, g: Conversion) -> Frame:
    named = NamedColumns(g, step, columns)
    named.require(step.variables_, FINITE)
    parts = []
    for name in step.variables_:
        if step.bin_output != "prediction":
            parts.append(_bin(named, name, step.bin_output == "boundaries"))
            continue
        search, column = step.binner_dict_[name], named.select([name])
        parts.append(_prediction(g, step, search, column, f"tree of {name}", step.regression))
    return named.replaced(step.variables_, Frame(g, parts))


def _prediction(
    g: Conversion, model: Any, search: Any, x: Frame, step: str, is_regression: bool
) -> Tensor:
    """The prediction of a tree, or its probability of the second class, [N, 1]."""
    result: Tensor
    if is_regression:
        result = g.predict(search, x, step)
    else:
        result = g.columns(g.call(search, "predict_proba", x, step), [1])
    if model.precision is None:
        return result
    scale = float(10.0**model.precision)
    return g.unary("Round", result * scale) / scale


# New columns.


@register_converter("feature_engine:DecisionTreeFeatures", "transform")
def tree_features(step: Any, columns: Frame, g: Conversion) -> Frame:
    named = NamedColumns(g, step, columns)
    named.require(step.variables_, FINITE)
    new = []
    for features, search in zip(step.input_features_, step.estimators_, strict=True):
        chosen = named.select([features] if isinstance(features, str | int) else features)
        label = f"tree of {features}"
        if step.regression or step._is_binary == "binary":
            new.append(_prediction(g, step, search, chosen, label, step.regression))
        else:
            new.append(g.predict(search, chosen, label))
    return named.appended(new, step.variables_ if step.drop_original else ())


@register_converter("feature_engine:CyclicalFeatures", "transform")
def cyclical(step: Any, columns: Frame, g: Conversion) -> Frame:
    named, variables = NamedColumns(g, step, columns), list(step.variables_)
    named.require(variables, FINITE)
    frequency = np.array([[2.0 * np.pi / step.max_values_[name] for name in variables]])
    angle = named.numbers(variables) * frequency
    computed = [g.unary("Sin", angle), cos(g, angle)]
    for side in computed:
        record(g, side, Recorded("CyclicalFeatures"))
    sides = [g.narrow(side) for side in computed]
    new = [g.columns(side, [k]) for k in range(len(variables)) for side in sides]
    for part in new:
        part.range = Range.of(-1.5, 1.5, False, 1)
    return named.appended(new, variables if step.drop_original else ())


@register_converter("feature_engine:MathFeatures", "transform")
def math_features(step: Any, columns: Frame, g: Conversion) -> Frame:
    named = NamedColumns(g, step, columns)
    if step.missing_values == "raise":
        named.require(step.variables_, FINITE)
    narrow = named.narrow(step.variables)
    chosen = named.select(step.variables)
    is_whole = set(chosen.dtypes) == {"int64"}
    numbers = chosen.matrix("int64") if is_whole else named.numbers(step.variables)
    functions = step.func if isinstance(step.func, list) else [step.func]
    new = []
    for function in functions:
        name = function if isinstance(function, str) else getattr(function, "__name__", "")
        if name not in _COMBINED or not (isinstance(function, str) or name in ("sum", "prod")):
            raise g.refuse(
                f"its function {name or function} is not supported; expected one of the texts "
                + ", ".join(_COMBINED)
            )
        is_unsigned = any(dtype.startswith("u") for dtype in narrow)
        if "uint64" in narrow or (is_unsigned and name == "prod"):
            raise g.refuse(f"its {name} may compute in uint64; {ADVICE}")
        if is_whole and name not in ("sum", "prod", "min", "max"):
            numbers = g.cast(numbers, "float64")
        result = _COMBINED[name](g, numbers)
        new.append(g.narrow(result) if result.dtype.startswith("float") else result)
    return named.appended(new, step.variables if step.drop_original else ())


def _parts(g: Conversion, x: Tensor, fill: float | None) -> list[Tensor]:
    """The columns, with missing values filled."""
    if fill is not None and x.dtype == "float64":
        x = g.where(g.isnan(x), fill, x)
    return [g.columns(x, [k]) for k in range(x.width or 0)]


def _count(g: Conversion, x: Tensor) -> Tensor:
    return g.sum(g.cast(~g.isnan(x), "float64"))


def _total(g: Conversion, x: Tensor, fill: float | None = 0.0) -> Tensor:
    return reduce(lambda a, b: a + b, _parts(g, x, fill))


def _mean(g: Conversion, x: Tensor) -> Tensor:
    return _total(g, x) / _count(g, x)


def _extreme(function: Any, fill: float) -> Callable[[Conversion, Tensor], Tensor]:
    def apply(g: Conversion, x: Tensor) -> Tensor:
        result: Tensor = reduce(lambda a, b: function(g, a, b), _parts(g, x, fill))
        return g.where(_count(g, x).equals(0.0), np.nan, result) if x.dtype == "float64" else result

    return apply


def _variance(g: Conversion, x: Tensor) -> Tensor:
    """pandas divides by the number of values less 1, and answers NaN for a single value."""
    count = _count(g, x)
    away = g.where(g.isnan(x), 0.0, _mean(g, x) - x)
    total = _total(g, away * away, fill=None)
    return total / g.where(count > 1.0, count - 1.0, np.nan)


def _larger(g: Conversion, a: Tensor, b: Tensor) -> Tensor:
    return g.where(a >= b, a, b)


def _smaller(g: Conversion, a: Tensor, b: Tensor) -> Tensor:
    return g.where(a <= b, a, b)


_COMBINED: dict[str, Callable[[Conversion, Tensor], Tensor]] = {
    "sum": _total,
    "prod": lambda g, x: reduce(lambda a, b: a * b, _parts(g, x, 1.0)),
    "mean": _mean,
    "min": _extreme(_smaller, np.inf),
    "max": _extreme(_larger, -np.inf),
    "var": _variance,
    "std": lambda g, x: g.sqrt(_variance(g, x)),
}


@register_converter("feature_engine:RelativeFeatures", "transform")
def relative(step: Any, columns: Frame, g: Conversion) -> Frame:
    named = NamedColumns(g, step, columns)
    if step.missing_values == "raise":
        named.require([*step.variables_, *step.reference], FINITE)
    new = []
    for function in step.func:
        for reference in step.reference:
            new += [_pair(named, function, name, reference) for name in step.variables]
    gone = {*step.variables, *step.reference} if step.drop_original else ()
    return named.appended(new, gone)


def _pair(columns: NamedColumns, function: str, name: Any, reference: Any) -> Tensor:
    g, model = columns.g, columns.model
    if function not in ("div", "truediv") and (narrow := columns.narrow([name, reference])):
        return _narrow_pair(columns, function, name, reference, min(narrow))
    a, b = columns.column(name), columns.column(reference)
    is_whole = a.dtype == b.dtype == "int64"
    if not is_whole:
        a, b = columns.numbers([name]), columns.numbers([reference])
        columns.numbers([name, reference])  # refuses columns of different types
    if function in ("div", "truediv", "floordiv", "mod"):
        is_zero = b.equals(0)
        if model.fill_value is None:
            g.refuse_rows([is_zero], "numbers other than 0")
        divisor = g.where(is_zero, g.const(1, b.dtype), b)
        result = _quotient(g, function, a, divisor)
        if model.fill_value is not None:
            fill = float(model.fill_value)
            result = g.where(is_zero, fill, g.cast(result, "float64"))
    elif function == "pow":
        if is_whole:
            raise g.refuse("it raises whole numbers to powers; convert the columns to float64")
        result = a**b
    else:
        result = {"add": a + b, "sub": a - b, "mul": a * b}[function]
    return g.narrow(result) if result.dtype.startswith("float") else result


def _narrow_pair(
    columns: NamedColumns, function: str, name: Any, reference: Any, integer: str
) -> Tensor:
    """A column that pandas computes in a type of narrow integers, where results wrap around."""
    g, dtypes = columns.g, columns.example().dtypes
    if function not in _WRAPPING:
        raise g.refuse(f"its function {function} computes in {integer}; {ADVICE}")
    operands = [
        Array(
            g,
            given(g, columns.column(v), type_name(dtypes.iloc[columns.example_place(v)])),
            1,
        )
        for v in (name, reference)
    ]
    try:
        result: Tensor = elementwise(g, _WRAPPING[function], operands).tensor
    except Untraceable as error:
        raise g.refuse(str(error)) from error
    return g.narrow(result) if result.dtype.startswith("float") else result


_WRAPPING = {"add": np.add, "sub": np.subtract, "mul": np.multiply}


def _quotient(g: Conversion, function: str, a: Tensor, b: Tensor) -> Tensor:
    if function in ("div", "truediv"):
        return g.cast(a, "float64") / g.cast(b, "float64")
    if a.dtype == "int64":
        # ONNX Runtime ends the process when it divides the smallest integer by -1.
        negates = b.equals(-1)
        b = g.where(negates, g.const(1, "int64"), b)
        rest = g.op("Mod", a, b, width=1)
        if function == "mod":
            return rest
        # ONNX divides towards zero. `beyond` is 1 if this result is above that of //, otherwise 0.
        towards_zero = g.op("Div", a, b, width=1)
        beyond = g.op("Div", rest - (a - towards_zero * b), b, width=1)
        return g.where(negates, -a, towards_zero - beyond)
    # numpy computes the exact remainder first, and the quotient from it.
    rest = g.op("Mod", a, b, width=1, fmod=1)
    other_side = ~(rest.equals(0.0)) & ~(rest < 0.0).equals(b < 0.0)
    if function == "mod":
        return g.where(other_side, rest + b, rest)
    quotient = (a - rest) / b
    quotient = g.where(other_side, quotient - 1.0, quotient)
    whole = g.unary("Floor", quotient)
    return g.where(quotient - whole > 0.5, whole + 1.0, whole)
