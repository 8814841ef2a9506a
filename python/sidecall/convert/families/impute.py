"""Converters of imputers and of missing-value indicators."""

from __future__ import annotations

from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ..checks import Range
from ..graph.builder import Tensor
from ..graph.frame import MISSING, Frame, join
from ..registry import Conversion
from .encoders import is_missing
from .kernels import squared_distances


def missing_mask(g: Conversion, x: Tensor, missing_values: Any) -> Tensor | None:
    """Where x counts as missing for the imputer; None if no value of this type can be missing."""
    if x.dtype == "string":
        return x.equals(g.const(MISSING if is_missing(missing_values) else str(missing_values)))
    if is_missing(missing_values):
        return g.isnan(x) if x.dtype in ("float32", "float64") else None
    if isinstance(missing_values, str):
        return None
    return g.cast(x, "float64").equals(float(missing_values))


@register_converter("sklearn:SimpleImputer", "transform")
def simple(step: Any, columns: Frame, g: Conversion) -> Frame:
    statistics = list(step.statistics_)
    kept = [k for k, s in enumerate(statistics) if step.keep_empty_features or not is_missing(s)]
    if not kept:
        raise g.refuse("no column had a value when the imputer was fitted, so it returns no column")
    frames = []
    for dtype, group in _runs(columns, kept):
        part = columns.select(group)
        values = [statistics[k] for k in group]
        if dtype == "string":
            if not all(isinstance(v, str) for v in values):
                raise g.refuse("it fills a column of strings with a number")
            tensor = part.parts[0] if len(part.parts) == 1 else g.concat(part.parts)
            fill: Tensor = g.const(np.array([values], dtype=object))
        else:
            if any(isinstance(v, str) for v in values):
                raise g.refuse("it fills a column of numbers with a string")
            tensor = part.matrix() if dtype.startswith("float") else g.concat(part.parts)
            fill = g.const(np.array([[float(v) for v in values]]), g.real)
        mask = missing_mask(g, tensor, step.missing_values)
        if mask is None:
            frames.append(g.frame(tensor))
            continue
        filled = g.where(mask, fill, tensor if dtype == "string" else g.cast(tensor, g.real))
        if g.steps is None and filled.dtype == "float32":
            filled.wide = g.where(
                mask, np.array([[float(v) for v in values]]), g.cast(tensor, "float64")
            )
        if dtype != "string":
            filled.range = _filled_range(part, values, is_missing(step.missing_values))
        frames.append(g.frame(filled))
    return _with_indicator(g, step, columns, join(g, frames))


def _filled_range(x: Frame, values: list[Any], is_nan: bool) -> Range | None:
    """The range after filling. `is_nan`: the imputer replaces NaN; other imputers leave NaN."""
    given, filled = x.range, np.array(values, dtype=np.float64)
    if given is None:
        return None
    low, high = np.minimum(given.low, filled), np.maximum(given.high, filled)
    return Range(low, high, np.isnan(filled) | (given.missing & (not is_nan)))


def _runs(x: Frame, indices: list[int]) -> list[tuple[str, list[int]]]:
    """Runs of adjacent columns that have the same type."""
    runs: list[tuple[str, list[int]]] = []
    dtypes = x.dtypes
    for k in indices:
        if runs and runs[-1][0] == dtypes[k]:
            runs[-1][1].append(k)
        else:
            runs.append((dtypes[k], [k]))
    return runs


def _with_indicator(g: Conversion, model: Any, x: Frame, filled: Frame) -> Frame:
    if not model.add_indicator:
        return filled
    return join(g, [filled, g.frame(g.call(model.indicator_, "transform", x, "indicator_"))])


@register_converter("sklearn:MissingIndicator", "transform")
def indicator(step: Any, columns: Frame, g: Conversion) -> Frame:
    chosen = [int(k) for k in step.features_]
    frames = []
    for _, group in _runs(columns, chosen):
        part = columns.select(group)
        tensor = part.parts[0] if len(part.parts) == 1 else g.concat(part.parts)
        mask = missing_mask(g, tensor, step.missing_values)
        flags = g.cast(mask, g.real) if mask is not None else g.cast(tensor, g.real) * 0.0
        flags.range = Range.of(0.0, 1.0, False, len(group))
        frames.append(g.frame(flags))
    return join(g, frames)


@register_converter("sklearn:KNNImputer", "transform")
def nearest(step: Any, columns: Frame, g: Conversion) -> Frame:
    if (
        not is_missing(step.missing_values)
        or step.metric != "nan_euclidean"
        or step.weights not in ("uniform", "distance")
    ):
        raise g.refuse(
            "expected missing_values=NaN, metric='nan_euclidean' and weights='uniform' or 'distance'"
        )
    y = columns.matrix("float64")
    fitted = np.asarray(step._fit_X, "float64")
    distances = _nan_euclidean(g, y, fitted)
    parts = []
    for k in range(fitted.shape[1]):
        value = g.columns(y, [k])
        if not step._valid_mask[k]:
            if step.keep_empty_features:
                parts.append(
                    g.const(np.zeros((1, 1)), "float64") + g.cast(g.isnan(value), "float64") * 0.0
                )
            continue
        parts.append(
            g.where(
                g.isnan(value),
                _neighbours(g, step, distances, fitted[:, k], step._mask_fit_X[:, k]),
                value,
            )
        )
    return _with_indicator(g, step, columns, g.frame(g.cast(g.concat(parts), g.real)))


def _nan_euclidean(g: Conversion, y: Tensor, fitted: np.ndarray) -> Tensor:
    """Squared distances over the coordinates present in both rows, scaled up to all coordinates.

    The distance of two rows without a common coordinate is infinite. The order of the operations
    is that of scikit-learn's nan_euclidean_distances: if a coordinate is very large, the others
    are rounded away, and the order decides which rows are near.
    """
    here = ~g.isnan(y)
    a, there = g.where(here, y, 0.0), ~np.isnan(fitted)
    b = np.nan_to_num(fitted)
    distances = squared_distances(g, a, b)
    distances = distances - (a * a) @ (~there).T.astype(float)
    distances = distances - g.cast(~here, "float64") @ (b * b).T
    shared = g.cast(here, "float64") @ there.T.astype(float)
    distances = (
        g.where(distances < 0.0, 0.0, distances) / g.maximum(shared, 1.0) * float(fitted.shape[1])
    )
    return g.where(shared.equals(0.0), float("inf"), distances)


def _neighbours(
    g: Conversion, model: Any, distances: Tensor, column: np.ndarray, absent: np.ndarray
) -> Tensor:
    donors = np.flatnonzero(~np.asarray(absent, bool))
    values = np.asarray(column)[donors]
    k = min(model.n_neighbors, len(donors))
    near, place = g.topk(g.columns(distances, donors), k)
    picked = g.gather(g.const(values, "float64"), place)
    usable = g.cast(near < float("inf"), "float64")
    if model.weights == "distance":
        zero = g.cast(near.equals(0.0), "float64")
        inverse = usable / g.sqrt(g.maximum(near, 1e-300))
        weights = g.where(g.sum(zero) > 0.0, zero, inverse)
    else:
        weights = usable
    total = g.sum(weights)
    mean = g.sum(g.where(usable > 0.0, picked, 0.0) * weights) / g.where(
        total.equals(0.0), 1.0, total
    )
    return g.where(total.equals(0.0), float(values.mean()), mean)


@register_converter("sklearn:IterativeImputer", "transform")
def iterative(step: Any, columns: Frame, g: Conversion) -> Frame:
    if step.sample_posterior:
        raise g.refuse("with sample_posterior=True it draws values at random; use False")
    y = columns.matrix()
    mask = missing_mask(g, y, step.missing_values)
    if mask is None or not np.all(step._valid_mask if hasattr(step, "_valid_mask") else True):
        raise g.refuse("a column that had no value when the imputer was fitted is not supported")
    filled = g.transform(step.initial_imputer_, columns, "initial_imputer_").matrix()
    width = y.width or 0
    if filled.width != width:
        raise g.refuse("a column that had no value when the imputer was fitted is not supported")
    if step.n_iter_ == 0:  # for example, if there is only one column
        return _with_indicator(g, step, columns, g.frame(filled))
    parts = [g.columns(filled, [k]) for k in range(width)]
    low, high = (np.broadcast_to(v, (width,)) for v in (step._min_value, step._max_value))
    for imputation in step.imputation_sequence_:
        k = int(imputation.feat_idx)
        inputs = g.concat([parts[int(j)] for j in imputation.neighbor_feat_idx])
        guess = g.predict(imputation.estimator, inputs, f"imputation of column {k}")
        guess = g.minimum(g.maximum(guess, float(low[k])), float(high[k]))
        # The imputer writes the guess to its matrix, which has the type of the rows.
        guess = g.cast(guess, parts[k].dtype)
        parts[k] = g.where(g.columns(mask, [k]), guess, parts[k])
    return _with_indicator(g, step, columns, g.frame(g.concat(parts)))
