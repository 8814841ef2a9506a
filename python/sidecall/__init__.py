"""sidecall: calls models that were trained in Python, as fast as a function call.

open    reads an .onnx file into a Model: `run` takes tensors, `predict` records and DataFrames
export  writes a fitted scikit-learn, xgboost or lightgbm model to an .onnx file with its contract
check   says which steps of a pipeline can be converted
compare compares the original with its exported model, row by row, over any number of rows
serve   serves a Python object, a function or a file to other processes of this host

register_converter  lets export convert a class of your own
export_layout       writes the folder in which NVIDIA's Triton expects an exported file
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# Official builds of ONNX Runtime send telemetry unless this variable is set before ONNX Runtime
# creates its environment.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from sidecall import errors
from sidecall._model import Model, open
from sidecall.errors import Error

if TYPE_CHECKING:
    from sidecall._call import Call
    from sidecall._engine import engine
    from sidecall._signature import Column, Feature, Signature, Tensor
    from sidecall.comparing import compare
    from sidecall.converters import register_converter
    from sidecall.exporting import ExportError, check, export, export_layout
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
    "export_layout",
    "open",
    "register_converter",
    "serve",
]

# Loaded on first use, so that `import sidecall` loads only what the program needs.
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
    "export_layout": "sidecall.exporting",
    "register_converter": "sidecall.converters",
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
