"""Turns fitted estimators and pipelines into ONNX graphs; used by sidecall.export and `sidecall check`."""

from __future__ import annotations

from . import (  # noqa: F401
    bayes,
    boosters,
    calibration,
    committee,
    compose,
    decomposition,
    density,
    encoders,
    functions,
    impute,
    kernels,
    linear,
    neighbours,
    scaling,
    splines,
    text,
    trees,
)
from .errors import NotConvertible
from .explain import Step, explain
from .output import to_graph

__all__ = ["NotConvertible", "Step", "explain", "to_graph"]
