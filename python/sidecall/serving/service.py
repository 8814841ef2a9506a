"""The objects that a server process serves: a described function over tensors, or a model file.

These objects can be pickled, so that they can be passed to workers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Service:
    """A function over tensors and its description.

    `function` takes an array for each input, a copy of the data that the caller sent. It returns an
    array, or a tuple of arrays, for the outputs.
    """

    function: Callable[..., Any]
    signature: str | None = None  # JSON of the tensors; if None, it follows from the contract
    contract: str | None = None  # JSON; None for tensors only
    is_repeatable: bool = False  # a call has no effect but its answer


@dataclass
class ModelFile:
    """An .onnx file, which is served without Python."""

    path: str
    onnxruntime: str | None = None
    engine: int = 0  # SIDECALL_ENGINE_*
