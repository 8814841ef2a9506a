"""Makes rows for a model that came without data: plain numbers of several scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import DataError, NoDataError
from ..model.original import Original
from .columns import column_of_array
from .containers import ArrayData, Data, FrameData, fitted_names

_ROWS = 1000


def synthetic_data(original: Original, feature_names: Sequence[str] | None) -> Data:
    """Returns the first set of rows that the model accepts.

    Raises NoDataError if only real rows can show what the model accepts.
    """
    count = getattr(original.model, "n_features_in_", None)
    if count is None:
        raise NoDataError(
            "data: expected representative rows, got None; the model does not store its number of features"
        )
    fitted = fitted_names(original.model)
    names = (
        [str(name) for name in feature_names]
        if feature_names is not None
        else fitted or [f"x{i}" for i in range(count)]
    )
    if len(names) != count:
        raise DataError(f"expected {count} feature names, got {len(names)}")
    for array in _candidates(int(count)):
        data = (
            _in_a_frame(array, names)
            if fitted is not None and feature_names is None
            else ArrayData(array, names)
        )
        if original.accepts(data.original(slice(0, 20))):
            return data
    raise NoDataError(
        "data: expected representative rows, got None; the model fails on synthetic numbers"
    )


def _candidates(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    scales = 10.0 ** rng.integers(-1, 3, size=(_ROWS, 1))
    centred = np.round(rng.normal(size=(_ROWS, count)) * scales, 3)
    whole = rng.integers(0, 2, size=(_ROWS, count)).astype(np.float64)
    return [centred, np.abs(centred) + 0.001, np.round(rng.uniform(size=(_ROWS, count)), 4), whole]


def _in_a_frame(array: np.ndarray, names: list[str]) -> Any:
    try:
        import pandas
    except ImportError:
        return ArrayData(array, names)
    return FrameData(
        pandas.DataFrame(array, columns=names),
        [column_of_array(name, array[:, i]) for i, name in enumerate(names)],
    )
