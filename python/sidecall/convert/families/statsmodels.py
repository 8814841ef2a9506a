"""Converters of fitted linear models of statsmodels: OLS and its relatives, RLM, and GLM."""

from __future__ import annotations

from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..registry import Conversion
from .linear_model import product

LINEAR = "RegressionResultsWrapper OLSResults RegressionResults RLMResultsWrapper RLMResults"
GENERALIZED = "GLMResultsWrapper GLMResults BinaryResultsWrapper"


def _linear(g: Conversion, model: Any, x: Frame) -> Tensor:
    if getattr(model.model, "formula", None) is not None:
        raise g.refuse(
            "it was fitted with a formula, by which it computes its columns; fit it with endog and "
            "exog instead, and compute the columns in an earlier step"
        )
    return product(g, x, np.asarray(model.params, "float64").reshape(-1, 1))


@register_converter(f"statsmodels:{LINEAR}", "predict")
def least_squares(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return _linear(g, step, columns)


@register_converter(f"statsmodels:{GENERALIZED}", "predict")
def generalized(step: Any, columns: Frame, g: Conversion) -> Tensor:
    raw = _linear(g, step, columns)
    # Logit of statsmodels.discrete has no family.
    link = getattr(getattr(step.model, "family", None), "link", None)
    name = type(link).__name__ if link is not None else type(step.model).__name__
    if name == "Identity":
        return raw
    if name == "Log":
        return g.exp(raw)
    if name == "Logit":
        return g.sigmoid(raw)
    if name == "InversePower":
        return 1.0 / raw
    if name == "InverseSquared":
        return 1.0 / g.sqrt(raw)
    if name == "Sqrt":
        return raw * raw
    if name == "CLogLog":
        return 1.0 - g.exp(-g.exp(raw))
    raise g.refuse(
        f"the link {name} is not supported; use Identity, Log, Logit, CLogLog, Sqrt, InversePower or "
        "InverseSquared"
    )
