"""Writes the exported file, whole or not at all: a model with its contract and its id in metadata_props."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from sidecall._file_contract import CONTRACT_KEY, ID_KEY, metadata_of

from .errors import FileError

_BLANK_ID = b"0" * 64  # stands in place of the id while the id is computed
MAX_BYTES = 1_900_000_000  # protobuf allows 2 GiB, and the contract needs room


def model_id(content: bytes) -> str:
    """Returns the id of a file without external data (docs/contract.md, "The id")."""
    digest = hashlib.sha256()
    view = memoryview(content)
    start, end = metadata_of(content).get(ID_KEY, (0, 0))
    if end - start == len(_BLANK_ID):
        digest.update(view[:start])
        digest.update(_BLANK_ID)
        view = view[end:]
    digest.update(view)
    return digest.hexdigest()


def seal(graph: Any, contract: str) -> tuple[bytes, str]:
    """Returns the bytes of the file, and its id. Replaces all metadata_props of the graph."""
    if graph.ByteSize() > MAX_BYTES:
        raise FileError(
            f"expected a graph of at most {MAX_BYTES} bytes, the limit of an ONNX file, got {graph.ByteSize()}"
        )
    del graph.metadata_props[:]
    for key, value in ((CONTRACT_KEY, contract.encode()), (ID_KEY, _BLANK_ID)):
        entry = graph.metadata_props.add()
        entry.key, entry.value = key.decode(), value.decode()
    content: bytes = graph.SerializeToString()
    start, end = metadata_of(content)[ID_KEY]
    found = hashlib.sha256(content).hexdigest()
    view = memoryview(content)
    return b"".join([view[:start], found.encode(), view[end:]]), found


def write(path: Path, content: bytes) -> None:
    """Writes the file atomically: a reader finds either the old file or the new one."""
    temporary = None
    try:
        descriptor, created = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
        )
        temporary = Path(created)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise FileError(f"cannot write {path.name}: {error.strerror}") from error


def versions(model: Any) -> dict[str, str]:
    """Returns the version of each library that took part in making the model or its file."""
    result = {"sidecall": _own_version(), "python": platform.python_version()}
    names = ["scikit-learn", "onnx", "onnxruntime", "numpy"]
    modules = {
        "pandas": "pandas",
        "lightgbm": "lightgbm",
        "xgboost": "xgboost",
        "skl2onnx": "skl2onnx",
        "onnxmltools": "onnxmltools",
    }
    names += [name for name, module in modules.items() if module in sys.modules]
    top = type(model).__module__.split(".")[0]
    if top not in ("sklearn", "builtins", "__main__") and top not in modules:
        names.append(top)
    for name in names:
        try:
            result[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return result


def _own_version() -> str:
    try:
        return importlib.metadata.version("sidecall")
    except importlib.metadata.PackageNotFoundError:
        # In a source tree, the package may not be installed; the library has the same version.
        import sidecall

        return str(sidecall.__version__)
