"""Serving of Python objects: `sidecall.serve`, and what the served object may ask. Imports nothing heavy until used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import Server, serve, status

__all__ = ["Server", "remaining", "serve", "status"]

_LAZY = {"serve": "run", "Server": "run", "status": "run"}


def remaining() -> float | None:
    """For a function that is being served, while it answers: seconds until its caller stops waiting; 0 when nobody waits any more.
    None without a deadline, and outside a request.

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
