"""Writes the exported file, whole or not at all: a model with its contract in metadata_props."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import FileError
from .parity.golden import dumps

CONTRACT_KEY = "sidecall.contract"
MAX_BYTES = 1_900_000_000  # protobuf allows 2 GiB, and the contract needs room
_GRAPH, _OPSET_IMPORT, _FUNCTIONS = 7, 8, 25


def model_id(serialised: bytes) -> str:
    """Returns the id of a model without external data (docs/contract.md, `model`)."""
    graph, others, has_functions = None, [], False
    for field, payload, whole in _fields(memoryview(serialised)):
        if field == _GRAPH:
            graph = payload
        elif field in (_OPSET_IMPORT, _FUNCTIONS):
            has_functions |= field == _FUNCTIONS
            others.append(whole)
    if graph is None:
        raise FileError("expected a model with a graph, got none")
    digest = hashlib.sha256(graph)
    for whole in others if has_functions else ():
        digest.update(whole)
    return digest.hexdigest()


def seal(graph: Any, contract: dict[str, Any]) -> bytes:
    """Returns the bytes of the file.

    Fills in contract["model"]["id"], which does not depend on the contract itself.
    """
    if graph.ByteSize() > MAX_BYTES:
        raise FileError(
            f"expected a graph of at most {MAX_BYTES} bytes, the limit of an ONNX file, got {graph.ByteSize()}"
        )
    del graph.metadata_props[:]
    contract["model"]["id"] = model_id(graph.SerializeToString())
    entry = graph.metadata_props.add()
    entry.key, entry.value = CONTRACT_KEY, dumps(contract)
    content: bytes = graph.SerializeToString()
    if model_id(content) != contract["model"]["id"]:
        raise FileError("the bytes of the graph changed while the contract was added")
    return content


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


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Yields each length-delimited field at the top level of a protobuf message.

    The items are the number, the payload, and the bytes of the whole field with tag and length.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        field, wire = tag >> 3, tag & 7
        if wire == 0:
            _, position = _varint(message, position)
        elif wire == 2:
            length, position = _varint(message, position)
            end = position + length
            yield field, message[position:end], message[start:end]
            position = end
        else:
            position += 8 if wire == 1 else 4


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
