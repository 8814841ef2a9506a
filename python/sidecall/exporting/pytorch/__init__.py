"""Export of PyTorch modules. Nothing here imports torch unless the model is a module of torch."""

from __future__ import annotations

from typing import Any


def is_of_torch(model: Any) -> bool:
    """Whether the object is a module of PyTorch, or another object of a class of torch."""
    return any(cls.__module__.partition(".")[0] == "torch" for cls in type(model).__mro__)
