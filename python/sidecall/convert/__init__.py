"""Converts fitted estimators and pipelines to ONNX graphs.

Used by sidecall.export and `sidecall check`.
"""

from __future__ import annotations

from . import families  # noqa: F401
from .errors import NotConvertible
from .explain import Step, explain
from .output import to_graph

__all__ = ["NotConvertible", "Step", "explain", "to_graph"]
