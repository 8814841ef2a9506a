"""Turns fitted estimators and pipelines into ONNX graphs; used by sidecall.export and `sidecall check`."""

from __future__ import annotations

from . import (  # noqa: F401
    compose,
    encoders,
    functions,
    impute,
    linear,
    scaling,
    trees,
)
from .errors import NotConvertible
from .output import to_graph

__all__ = ["NotConvertible", "to_graph"]
