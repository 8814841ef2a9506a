"""Converters of numeric preprocessing: scalers, powers, quantiles, bins, polynomials."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn
from sklearn.utils.fixes import parse_version

from sidecall.converters import register_converter

from ..checks import Range
from ..graph.builder import Tensor
from ..graph.column_function import Recorded, record
from ..graph.frame import Frame
from ..graph.numeric import expm1, index_of, interpolate, log1p, normal_ppf, number_above
from ..graph.splits import needs_splits, split_at
from ..ranges import range_behind
from ..registry import Conversion


def scaled(g: Conversion, x: Frame, operations: Sequence[tuple[str, Any]]) -> Tensor:
    """Applies operations between x and a row of float64 numbers, one after the other.

    scikit-learn computes in place: if its array is float32, each operation is computed in double
    and its result is rounded. A float32 graph computes in float32. It also keeps the numbers in
    double for trees that follow: a threshold is often a whole number before scaling, and a row with
    exactly that number must take the same branch as in the model.
    """
    if g.steps is None and g.real == "float32":
        y = _applied(g, x.matrix(), operations)
        y.wide = _applied(g, x.matrix("float64"), operations)
        return y
    y = x.matrix()
    for operation in operations:
        y = g.cast(_applied(g, g.cast(y, "float64"), [operation]), g.real)
    return y


def _applied(g: Conversion, x: Tensor, operations: Sequence[tuple[str, Any]]) -> Tensor:
    for op, values in operations:
        x = x._binary(op, x, _row(values))
    return x


def _row(values: Any) -> np.ndarray:
    return np.reshape(values, (1, -1))


@register_converter("sklearn:StandardScaler", "transform")
def standard(step: Any, columns: Frame, g: Conversion) -> Tensor:
    # Since version 1.8, scikit-learn rounds mean and scale to the type of the rows before it
    # computes.
    rounds = (
        g.steps is not None
        and g.real == "float32"
        and parse_version(sklearn.__version__) >= parse_version("1.8")
    )
    mean, scale = (
        None if row is None or not rounds else np.asarray(row, "float32")
        for row in (step.mean_, step.scale_)
    )
    operations = [("Sub", step.mean_ if mean is None else mean)] if step.with_mean else []
    return scaled(
        g,
        columns,
        operations + ([("Div", step.scale_ if scale is None else scale)] if step.with_std else []),
    )


@register_converter("sklearn:StandardScaler", "inverse_transform")
def standard_inverse(step: Any, columns: Frame, g: Conversion) -> Tensor:
    y = columns.matrix()
    if step.with_std:
        y = y * _row(step.scale_)
    return y + _row(step.mean_) if step.with_mean else y


@register_converter("sklearn:RobustScaler", "transform")
def robust(step: Any, columns: Frame, g: Conversion) -> Tensor:
    operations = [("Sub", step.center_)] if step.with_centering else []
    return scaled(g, columns, operations + ([("Div", step.scale_)] if step.with_scaling else []))


@register_converter("sklearn:RobustScaler", "inverse_transform")
def robust_inverse(step: Any, columns: Frame, g: Conversion) -> Tensor:
    y = columns.matrix()
    if step.with_scaling:
        y = y * _row(step.scale_)
    return y + _row(step.center_) if step.with_centering else y


@register_converter("sklearn:MinMaxScaler", "transform")
def min_max(step: Any, columns: Frame, g: Conversion) -> Tensor:
    y = scaled(g, columns, [("Mul", step.scale_), ("Add", step.min_)])
    return _clipped(g, y, *step.feature_range) if step.clip else y


@register_converter("sklearn:MinMaxScaler", "inverse_transform")
def min_max_inverse(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return (columns.matrix() - _row(step.min_)) / _row(step.scale_)


@register_converter("sklearn:MaxAbsScaler", "transform")
def max_abs(step: Any, columns: Frame, g: Conversion) -> Tensor:
    y = scaled(g, columns, [("Div", step.scale_)])
    return _clipped(g, y, -1.0, 1.0) if getattr(step, "clip", False) else y


@register_converter("sklearn:MaxAbsScaler", "inverse_transform")
def max_abs_inverse(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return columns.matrix() * _row(step.scale_)


def _clipped(g: Conversion, x: Tensor, low: Any, high: Any) -> Tensor:
    y = _clip(g, x, low, high)
    if x.wide is not None:
        y.wide = _clip(g, x.wide, low, high)
    return y


def _clip(g: Conversion, x: Tensor, low: Any, high: Any) -> Tensor:
    return g.op(
        "Clip", x, g.const(float(low), x.dtype), g.const(float(high), x.dtype), width=x.width
    )


@register_converter("sklearn:Normalizer", "transform")
def normalizer(step: Any, columns: Frame, g: Conversion) -> Tensor:
    y = columns.matrix()
    return y / safe_norm(g, y, step.norm)


def safe_norm(g: Conversion, x: Tensor, kind: str) -> Tensor:
    """The norm of each row, or 1 if the norm is (nearly) zero, as in scikit-learn's
    _handle_zeros_in_scale.
    """
    if kind == "l1":
        norm = g.sum(g.abs(x))
    elif kind == "l2":
        norm = g.sqrt(g.sum(x * x))
    elif kind == "max":
        norm = g.max(g.abs(x))
    else:
        raise g.refuse(f"the norm '{kind}' is not supported")
    return g.where(norm < float(10.0 * np.finfo(norm.dtype).eps), 1.0, norm)


@register_converter("sklearn:Binarizer", "transform")
def binarizer(step: Any, columns: Frame, g: Conversion) -> Tensor:
    thresholds = g.snap(np.full((1, columns.width), step.threshold), columns.singles)
    rows = columns.matrix("float64")
    if needs_splits(g, rows):
        parts = [
            split_at(g, g.columns(rows, [k]), thresholds[0, k : k + 1])
            for k in range(columns.width)
        ]
        return g.cast(g.concat([column > at for column, at in parts]), g.real)
    return g.cast(rows > thresholds, g.real)


@register_converter("sklearn:PowerTransformer", "transform")
def power(step: Any, columns: Frame, g: Conversion) -> Any:
    """Power transformation.

    For float32 rows, scipy takes the logarithm of Yeo-Johnson in float32 and computes the rest in
    the type of `lambdas_`.
    """
    is_single = g.steps is not None and g.real == "float32"
    y = g.cast(columns.matrix(), "float64") if is_single else columns.matrix("float64")
    lambdas = np.asarray(step.lambdas_, "float64").reshape(1, -1)
    if step.method == "box-cox":
        y = power_of(g, g.log(y), lambdas)
    else:
        logs = [log1p(g, g.maximum(part, 0.0)) for part in (y, -y)]
        if is_single:
            logs = [_rounded(g, part) for part in logs]
        all_single = is_single and np.asarray(step.lambdas_).dtype == np.float32
        others = np.asarray(2.0 - np.asarray(step.lambdas_), "float64").reshape(
            1, -1
        )  # subtract in the type of lambdas_
        positive, negative = (
            power_of(g, logs[0], lambdas, all_single),
            -power_of(g, logs[1], others, all_single),
        )
        y = g.where(y >= 0.0, positive, g.where(g.isnan(y), y, negative))
    if step.standardize and is_single:
        return standard(step._scaler, Frame(g, [g.cast(y, "float32")]), g)
    if step.standardize:
        scaler = step._scaler
        y.range = (
            None
            if columns.range is None
            else range_behind(
                _without_scaler(step),
                columns.range,
                "float32" if set(columns.dtypes) == {"float32"} else "float64",
            )
        )
        g.check(scaler, g.frame(y))
        y = (y - np.reshape(scaler.mean_, (1, -1))) / np.reshape(scaler.scale_, (1, -1))
    low = 0.0 if step.method == "box-cox" else -np.inf
    _record(g, step, columns.matrix(None if is_single else "float64"), y, low)
    return g.narrow(y)


def _record(g: Conversion, model: Any, source: Tensor, result: Tensor, low: float) -> None:
    """Records that the original transforms each column alone, and only numbers above `low`."""

    def transformed(column: int, values: np.ndarray) -> np.ndarray:
        taken = np.isnan(values) | (np.isfinite(values) & (values > low))
        answers = np.full(len(values), np.nan)
        if taken.any():
            rows = values[taken].reshape(-1, 1)
            answers[taken] = _of_column(model, column).transform(rows)[:, 0]
        return answers

    record(g, result, Recorded(type(model).__name__, source, transformed))


def _of_column(model: Any, column: int) -> Any:
    """The same transformer for one of its columns."""
    result = copy.copy(model)
    state = vars(result)
    state.pop("feature_names_in_", None)
    state["n_features_in_"] = 1
    for name in ("lambdas_", "mean_", "scale_", "var_", "quantiles_"):
        if state.get(name) is not None:
            state[name] = state[name][..., column : column + 1]
    if state.get("_scaler") is not None:
        state["_scaler"] = _of_column(model._scaler, column)
    return result


def _without_scaler(model: Any) -> Any:
    result = copy.copy(model)
    result.standardize = False
    return result


def _rounded(g: Conversion, x: Tensor) -> Tensor:
    """Rounds to the nearest float32, but returns a float64 tensor.

    A float32 operation gives the same result as the operation in double followed by this rounding.
    """
    return g.cast(g.cast(x, "float32"), "float64")


def power_of(g: Conversion, log: Tensor, lambdas: np.ndarray, is_single: bool = False) -> Tensor:
    """(exp(lambda * log) - 1) / lambda, or `log` itself where lambda is zero.

    `is_single`: round as the computation in float32 does.
    """
    zero = np.abs(lambdas) < np.finfo(np.float32 if is_single else np.float64).eps
    safe = np.where(zero, 1.0, lambdas)
    if not is_single:
        return g.where(g.const(zero), log, expm1(g, log * safe) / safe)
    exponential = _rounded(g, expm1(g, _rounded(g, log * safe)))
    return g.where(g.const(zero), log, _rounded(g, exponential / safe))


@register_converter("sklearn:PowerTransformer", "inverse_transform")
def power_inverse(step: Any, columns: Frame, g: Conversion) -> Tensor:
    y = columns.matrix("float64")
    if step.standardize:
        y = y * np.reshape(step._scaler.scale_, (1, -1)) + np.reshape(step._scaler.mean_, (1, -1))
    lambdas = np.asarray(step.lambdas_, "float64").reshape(1, -1)
    if step.method == "box-cox":
        return g.cast(g.exp(_log_of(g, y, lambdas)), g.real)
    positive = expm1(g, _log_of(g, g.maximum(y, 0.0), lambdas))
    negative = -expm1(g, _log_of(g, g.maximum(-y, 0.0), 2.0 - lambdas))
    return g.cast(g.where(y >= 0.0, positive, negative), g.real)


def _log_of(g: Conversion, y: Tensor, lambdas: np.ndarray) -> Tensor:
    zero = np.abs(lambdas) < np.spacing(1.0)
    safe = np.where(zero, 1.0, lambdas)
    return g.where(g.const(zero), y, log1p(g, y * safe) / safe)


# scikit-learn's BOUNDS_THRESHOLD: a value nearer to a bound than this counts as equal to the bound.
_BOUND = 1e-7


@register_converter("sklearn:QuantileTransformer", "transform")
def quantile(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """Maps each column to its quantiles.

    For float32 rows, scikit-learn shifts a column by _BOUND in float32, interpolates in double
    and stores each result in float32.
    """
    from scipy import stats

    parts = []
    normal = step.output_distribution == "normal"
    references = step.references_
    real = g.real if g.steps is not None else "float64"
    ends = [
        float(stats.norm.ppf(p)) for p in (_BOUND - np.spacing(1), 1 - (_BOUND - np.spacing(1)))
    ]
    for k in range(columns.width):
        q = np.asarray(step.quantiles_[:, k], "float64")
        column = g.cast(columns.column(k), real)
        c = g.cast(column, "float64")
        y = (
            interpolate(g, c, q, references) - interpolate(g, -c, -q[::-1], -references[::-1])
        ) * 0.5
        upper = (
            g.cast(column + _BOUND, "float64") > float(q[-1]) if normal else c.equals(float(q[-1]))
        )
        lower = (
            g.cast(column - _BOUND, "float64") < float(q[0]) if normal else c.equals(float(q[0]))
        )
        y = g.where(lower, 0.0, g.where(upper, 1.0, g.cast(y, real)))
        if normal:
            y = g.cast(_clip(g, normal_ppf(g, g.cast(y, "float64")), *ends), real)
            y = g.where(lower, ends[0], g.where(upper, ends[1], y))
        parts.append(g.where(g.isnan(column), column, y))
    result = g.concat(parts)
    _record(g, step, columns.matrix(real), result, -np.inf)
    return g.narrow(result)


@register_converter("sklearn:QuantileTransformer", "inverse_transform")
def quantile_inverse(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if step.output_distribution == "normal":
        raise g.refuse("the inverse of a normal QuantileTransformer is not supported")
    parts = [
        interpolate(g, columns.column(k), step.references_, step.quantiles_[:, k])
        for k in range(columns.width)
    ]
    return g.cast(g.concat(parts), g.real)


@register_converter("sklearn:KBinsDiscretizer", "transform")
def bins(step: Any, columns: Frame, g: Conversion) -> Tensor:
    parts = []
    for k, edges in enumerate(step.bin_edges_):
        column, inner = (
            g.cast(columns.column(k), "float64"),
            g.snap(edges[1:-1], columns.singles[k]),
        )
        if needs_splits(g, column):
            index = number_above(g, *split_at(g, column, np.nextafter(inner, -np.inf)))
        else:
            index = index_of(g, column, inner)
        if step.encode == "ordinal":
            column = g.cast(g.column(index), g.real)
            column.range = Range.of(0.0, float(len(edges)), False, 1)
            parts.append(column)
        else:
            # The categories of the encoder are the numbers of the bins, so the number of a value's
            # bin is compared with them directly.
            categories = np.asarray(step._encoder.categories_[k]).astype(int)
            parts.append(one_hot(g, index, categories))
    return g.concat(parts)


def one_hot(g: Conversion, index: Tensor, values: np.ndarray) -> Tensor:
    """One-hot encoding of [N] for the given whole numbers, [N, len(values)]."""
    result = g.cast(
        g.column(index).equals(g.const(np.asarray(values, "int64").reshape(1, -1))), g.real
    )
    result.range = Range.of(0.0, 1.0, False, len(values))
    return result


@register_converter("sklearn:PolynomialFeatures", "transform")
def polynomial(step: Any, columns: Frame, g: Conversion) -> Tensor:
    y = columns.matrix()
    powers = np.asarray(step.powers_)
    factors = [np.repeat(np.arange(powers.shape[1]), row) for row in powers]
    degree = max((len(f) for f in factors), default=0)
    # A column of ones is the factor for terms of a lower degree.
    ones = y.width or 0
    extended = g.concat([y, g.columns(y, [0]) * 0.0 + 1.0])
    result: Tensor | None = None
    for d in range(max(degree, 1)):
        indices = [int(f[d]) if d < len(f) else ones for f in factors]
        column = g.columns(extended, indices)
        result = column if result is None else result * column
    assert result is not None
    return result
