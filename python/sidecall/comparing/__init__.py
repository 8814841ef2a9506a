"""Comparison of an exported model with its original over any number of rows: `sidecall.compare`.

Modules that take long to import are imported only when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report import Comparison
    from .run import compare

__all__ = ["Comparison", "compare"]

_LAZY = {"compare": "run", "Comparison": "report"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib.util

    missing = [
        package for package in ("sklearn", "pandas") if importlib.util.find_spec(package) is None
    ]
    if missing:
        raise ModuleNotFoundError(
            f"sidecall.{name} needs {' and '.join(missing)}: pip install 'sidecall[export]'",
            name=missing[0],
        )
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
