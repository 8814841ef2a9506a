"""Tells which ONNX Runtime runs the models, and the version of sidecall itself."""

from __future__ import annotations

import json
import os
from typing import Any

from sidecall import _backend
from sidecall._library import onnxruntime_package


def engine(
    onnxruntime: str | os.PathLike[str] | None = None, *, backend: str | None = None
) -> dict[str, Any]:
    """Finds and loads ONNX Runtime as the first `open` would, and describes it.

    The keys of the answer: engine, version, oldest (the oldest version that is accepted), api,
    path, found_by, telemetry.

    Raises EngineNotFound, EngineTooOld.

    >>> engine()["engine"]
    'onnxruntime'
    """
    explicit = None if onnxruntime is None else os.fspath(onnxruntime)
    report: dict[str, Any] = json.loads(
        _backend.load(backend).describe_engine(explicit, onnxruntime_package())
    )
    return report


def version() -> str:
    """The version of the native library, which equals that of the package."""
    return _backend.load(None).version()
