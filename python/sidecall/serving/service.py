"""What a server process serves: a function over tensors and its description, or a model file. Can be pickled, for workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Service:
    """`function` takes an array for each input and gives an array, or a tuple of them, for the outputs."""

    function: Callable[..., Any]
    signature: str | None = None  # JSON of the tensors; None follows from the contract
    contract: str | None = None  # JSON; None for tensors only
    # The function may read arrays in the caller's memory: it keeps none of them, and stays safe when values change between two looks. Libraries
    # that check values before they use them, as scikit-learn does, are not.
    in_place: bool = False


@dataclass
class ModelFile:
    """An .onnx file, which is served without Python."""

    path: str
    onnxruntime: str | None = None
