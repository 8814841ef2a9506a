"""Methods of a fitted model by name; shared by export, compare and serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def method_of(model: Any, name: str) -> Callable[[Any], Any]:
    """Returns the method; `kneighbors.1` returns the second array of the answer of `kneighbors`.

    Raises AttributeError.
    """
    method, _, part = name.partition(".")
    bound: Callable[[Any], Any] = getattr(model, method)
    return (lambda rows: bound(rows)[int(part)]) if part else bound
