"""Asks the original as if it had been fitted on its rows in another order. Used by judge.py.

If a row is so far away that rounding makes several fitted rows equally near, KNNImputer takes those
that numpy's partition happens to put first. The answer then depends on the order of the fitted
rows, which the model does not mean, and the row is unstable.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from sidecall.comparing.rows import Rows
from sidecall.comparing.sides import Answers, OriginalSide, Output
from sidecall.exporting.model.original import Original
from sidecall.exporting.model.steps import estimators_in
from sklearn.impute import KNNImputer


def ask(model: Any, outputs: list[Output], rows: Rows) -> Iterator[Answers]:
    """The original's answers with the fitted rows reversed; none if it has no KNNImputer."""
    other = copy.deepcopy(model)
    imputers = [part for part in estimators_in(other) if isinstance(part, KNNImputer)]
    for imputer in imputers:
        imputer._fit_X = np.ascontiguousarray(imputer._fit_X[::-1])
        imputer._mask_fit_X = np.ascontiguousarray(imputer._mask_fit_X[::-1])
    if imputers:
        with np.errstate(all="ignore"):
            yield OriginalSide(Original(other), outputs).ask(rows)
