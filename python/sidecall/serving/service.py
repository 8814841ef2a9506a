"""What a server process serves: a function over tensors and its description, or a model file. Can be pickled, for workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Service:
    """`function` takes an array for each input, a copy of what the caller sent, and gives an array, or a tuple of them, for the outputs."""

    function: Callable[..., Any]
    signature: str | None = None  # JSON of the tensors; None follows from the contract
    contract: str | None = None  # JSON; None for tensors only


@dataclass
class ModelFile:
    """An .onnx file, which is served without Python."""

    path: str
    onnxruntime: str | None = None
