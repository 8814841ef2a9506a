"""Computes the range of a step's outputs from the range of its inputs, for common steps.

This lets the conversion leave out checks that cannot fail.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .checks import Range

# In these steps, an output column depends only on the input column at the same position, and this
# dependence is monotonic.
_MONOTONE = {
    "Binarizer",
    "MaxAbsScaler",
    "MinMaxScaler",
    "PowerTransformer",
    "QuantileTransformer",
    "RobustScaler",
    "StandardScaler",
}
_MONOTONE_FUNCTIONS = {
    np.log1p, np.expm1, np.log, np.log2, np.log10, np.exp, np.exp2, np.sqrt, np.cbrt, np.negative, np.positive, np.sign, np.tanh, np.floor,
    np.ceil, np.rint, np.trunc, np.deg2rad, np.radians, np.rad2deg, np.degrees, np.clip, np.round, np.around,
}  # fmt: skip
_LINEAR = {"PCA", "TruncatedSVD", "IncrementalPCA"}


def range_behind(model: Any, given: Range, dtype: str) -> Range | None:
    """The range of `model.transform` for rows in `given`, or None if it is unknown."""
    kind = type(model).__name__
    if not type(model).__module__.startswith("sklearn."):
        return None
    if kind in _MONOTONE or (kind == "FunctionTransformer" and _is_monotone(model.func)):
        return given.through(lambda ends: _transform(model, ends), dtype)
    if kind == "Normalizer" and np.isfinite(given.low).all() and np.isfinite(given.high).all():
        return Range.of(-2.0, 2.0, given.missing, len(given.low))
    if kind == "TfidfTransformer" and (given.low >= 0).all() and not given.missing.any():
        weights = np.asarray(model.idf_) if model.use_idf else np.ones(len(given.low))
        return Range.of(
            0.0, 2.0 * given.high * np.maximum(weights, 1.0) + 2.0, False, len(given.low)
        )
    return _projected(model, given) if kind in _LINEAR else None


def _is_monotone(function: Any) -> bool:
    try:
        return function in _MONOTONE_FUNCTIONS
    except TypeError:  # an object that cannot be hashed
        return False


def _transform(model: Any, ends: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = getattr(model, "feature_names_in_", None)
        if names is None:
            return model.transform(ends)
        import pandas

        return model.transform(pandas.DataFrame(ends, columns=names))


def _projected(model: Any, given: Range) -> Range | None:
    """The range of a projection.

    The bound is the sum of |coefficient| times the largest magnitude, with a margin for rounding.
    """
    weights = np.asarray(model.components_, dtype=np.float64)
    mean = np.asarray(
        getattr(model, "mean_", None) if getattr(model, "mean_", None) is not None else 0.0,
        dtype=np.float64,
    )
    with np.errstate(all="ignore"):
        size = np.maximum(np.abs(given.low), np.abs(given.high)) + np.abs(mean)
        size = 2.0 * np.abs(weights) @ size
        if getattr(model, "whiten", False):
            size = size / np.sqrt(np.maximum(model.explained_variance_, np.finfo(np.float64).tiny))
    return (
        Range(-size, size, np.zeros(len(size), dtype=bool))
        if np.isfinite(size).all() and not given.missing.any()
        else None
    )
