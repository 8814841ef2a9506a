"""Finds ONNX Runtime and the shared libsidecall without importing anything heavy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from sidecall import errors

PACKAGE = Path(__file__).parent


def onnxruntime_package() -> str | None:
    """Returns the path of the library inside the installed `onnxruntime` package, or None.

    The package is not imported. Raises OutOfMemory if no descriptor or no memory is left.
    """
    from importlib.util import find_spec

    try:
        spec = find_spec("onnxruntime")
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for library in sorted(Path(folder, "capi").glob("libonnxruntime.so*")):
                return os.fspath(library)
    except (ImportError, ValueError):
        pass
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            text = f"cannot look for the package onnxruntime: {error}"
            raise errors.OutOfMemory(text, retryable=True) from error
    return None


def libsidecall() -> Path:
    """Returns the shared library beside this file, which both backends use."""
    found = sorted(PACKAGE.glob("libsidecall-*.so"))
    if not found:
        raise ImportError(f"libsidecall-*.so is missing in {PACKAGE}: the package was not built")
    return found[-1]


def header(name: str = "sidecall.h") -> Path:
    """Returns the path of a header that the library was built with."""
    return PACKAGE / "include" / "sidecall" / name
