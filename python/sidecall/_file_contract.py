"""Reads the contract of an exported file, without libsidecall and without an engine.

For programs that plan work for other machines, such as the drivers of `sidecall.ray` and
`sidecall.spark`: the file itself is opened, and its golden rows run, where it is called.
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sidecall import errors
from sidecall._signature import Column, Feature

# Numbers of fields in onnx.proto.
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
# Sizes of fields of a fixed width, by wire type.
_FIXED = {1: 8, 5: 4}


def read_contract(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the contract as it stands in the file.

    Raises FileNotFound, FileUnreadable, FileInvalid, NoContract, ContractInvalid. All
    else is checked when a worker opens the file.
    """
    name = f"file '{os.fspath(path)}'"
    try:
        with Path(path).open("rb") as file:
            text = _contract_in(file.fileno(), name)
    except FileNotFoundError as error:
        raise errors.FileNotFound(f"{name}: expected a file, got none") from error
    except OSError as error:
        raise errors.FileUnreadable(f"{name}: {error.strerror}") from error
    if text is None:
        raise errors.NoContract(f"{name}: expected a contract, as sidecall.export writes it")
    try:
        contract = json.loads(text)
        features_of(contract), columns_of(contract), contract["model"]["id"]
    except (ValueError, KeyError, TypeError) as error:
        raise errors.ContractInvalid(
            f"{name}: expected a contract with features, outputs and the id of the model, "
            "got another one"
        ) from error
    return dict(contract)


def features_of(contract: dict[str, Any]) -> tuple[Feature, ...]:
    """The features of a contract, like `Model.features`."""
    return tuple(
        Feature(
            each["name"],
            each["type"],
            each["nullable"],
            each["input"],
            each["column"],
            *(each.get(key) for key in ("unit", "zone", "epoch")),
        )
        for each in contract["features"]
    )


def columns_of(contract: dict[str, Any]) -> tuple[Column, ...]:
    """The columns of the answers, like `Model.columns`; docs/contract.md has the rules."""
    found = []
    for output in contract["outputs"]:
        keys = [""]
        if "width" in output:
            keys = [str(index) for index in range(output["width"])]
        if "classes" in output and output["role"] != "label":
            keys = [_class_text(each) for each in output["classes"]]
        name = output["name"]
        for index, key in enumerate(keys):
            full = f"{name}.{key}" if keys != [""] else name
            found.append(Column(full, key, output["type"], name, index))
    return tuple(found)


def _class_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _contract_in(descriptor: int, name: str) -> str | None:
    try:
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            for number, start, end in _fields(data, 0, len(data)):
                if number == _METADATA_PROPS:
                    entry = {key: data[i:j] for key, i, j in _fields(data, start, end)}
                    if entry.get(_KEY) == b"sidecall.contract":
                        return entry[_VALUE].decode()
    except (ValueError, IndexError, KeyError) as error:
        raise errors.FileInvalid(f"{name}: expected an ONNX file, got another file") from error
    return None


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a protobuf message in data[at:end]: number, start and end of the content."""
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        start = at
        if kind == 0:
            _, at = _varint(data, at)
        elif kind == 2:
            length, start = _varint(data, at)
            at = start + length
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ValueError(kind)
        if at > end:
            raise ValueError(at)
        yield tag >> 3, start, at


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(at)
