"""sidecall: call models that were trained in Python at the speed of a function call.

open    an .onnx file -> Model: `run` for tensors, `predict` for records and DataFrames
export  a fitted scikit-learn, xgboost or lightgbm model -> an .onnx file with its contract
check   which steps of a pipeline convert
compare the original and its exported model, row by row over as many rows as wanted
serve   a Python object, a function or a file -> a server that other processes of this host call
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Official builds of ONNX Runtime send telemetry unless this stands before their environment exists.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from sidecall import errors
from sidecall._model import Model, open
from sidecall.errors import Error

if TYPE_CHECKING:
    from sidecall._call import Call
    from sidecall._engine import engine
    from sidecall._signature import Column, Feature, Signature, Tensor
    from sidecall.comparing import compare
    from sidecall.exporting import ExportError, check, export
    from sidecall.serving import Server, serve

    __version__: str

__all__ = [
    "Call",
    "Column",
    "Error",
    "ExportError",
    "Feature",
    "Model",
    "Server",
    "Signature",
    "Tensor",
    "check",
    "compare",
    "engine",
    "errors",
    "export",
    "open",
    "serve",
]

# Loaded on first use: importing sidecall must not cost what a caller does not need.
_LAZY = {
    "Call": "sidecall._call",
    "Column": "sidecall._signature",
    "Feature": "sidecall._signature",
    "Signature": "sidecall._signature",
    "Tensor": "sidecall._signature",
    "ExportError": "sidecall.exporting",
    "check": "sidecall.exporting",
    "compare": "sidecall.comparing",
    "engine": "sidecall._engine",
    "export": "sidecall.exporting",
    "Server": "sidecall.serving",
    "serve": "sidecall.serving",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from sidecall._engine import version

        return version()
    if name not in _LAZY:
        raise AttributeError(f"module 'sidecall' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
