"""`sidecall.export`, `sidecall.check`, `sidecall.export_layout` and their errors.

Modules that take long to import are imported only when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import DataError, ExportError, FileError, ModelError, ParityError, StepError

if TYPE_CHECKING:
    from .layouts import export_layout
    from .reports.report import CheckReport, Report
    from .run import check, export

__all__ = [
    "CheckReport",
    "DataError",
    "ExportError",
    "FileError",
    "ModelError",
    "ParityError",
    "Report",
    "StepError",
    "check",
    "export",
    "export_layout",
]

_LAZY = {
    "export": "run",
    "check": "run",
    "export_layout": "layouts",
    "Report": "reports.report",
    "CheckReport": "reports.report",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib.util

    needed = ("sklearn", "onnx", "onnxruntime")
    missing = [package for package in needed if importlib.util.find_spec(package) is None]
    if missing:
        raise ModuleNotFoundError(
            f"sidecall.{name} needs {' and '.join(missing)}: pip install 'sidecall[export]'",
            name=missing[0],
        )
    return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
