"""Chooses between the two backends: `_native` (pybind11) and `_cffi`, both over the same C ABI."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from sidecall import errors

if TYPE_CHECKING:
    from sidecall._protocols import Backend as Backend
    from sidecall._protocols import Call as Call
    from sidecall._protocols import Model as Model
    from sidecall._protocols import Pending as Pending
    from sidecall._protocols import Queue as Queue

KIND_INPUT, KIND_OUTPUT, KIND_FEATURE, KIND_COLUMN = range(4)


def load(name: str | None) -> Backend:
    """Loads a backend. None means the one that SIDECALL_PYTHON_BACKEND names, or else native."""
    name = name or os.environ.get("SIDECALL_PYTHON_BACKEND") or "native"
    if name == "native":
        from sidecall import _native

        return cast("Backend", _native)
    if name == "cffi":
        from sidecall import _cffi

        return cast("Backend", _cffi)
    raise errors.InvalidArgument(f"backend: expected 'native' or 'cffi', got '{name}'")
