"""Serving of Python objects: `sidecall.serve`, and functions that a served object may call.

Modules that take long to import are imported only when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import Server, serve, status

__all__ = ["Server", "remaining", "serve", "status"]

_LAZY = {"serve": "run", "Server": "run", "status": "run"}


def remaining() -> float | None:
    """Returns how many seconds remain until the caller stops waiting; 0 if it waits no longer.

    A served function may call this while it computes an answer. Returns None if the caller has no
    deadline, and outside a request.

    >>> remaining() is None
    True
    """
    from sidecall import _backend

    return _backend.load(None).remaining()


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
