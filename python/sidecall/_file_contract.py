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

CONTRACT_KEY, ID_KEY = b"sidecall.contract", b"sidecall.id"
FORMAT = 5  # the only format that this version writes and reads; docs/contract.md describes it
# Numbers of fields in onnx.proto.
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
# Sizes of fields of a fixed width, by wire type.
_FIXED = {1: 8, 5: 4}


def read_contract(path: str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    """Returns the contract and the id as they stand in the file.

    Raises FileNotFound, FileUnreadable, FileInvalid, NoContract, ContractFormat, ContractInvalid.
    The rest is checked when a worker opens the file, for example whether the bytes match the id.
    """
    name = f"file '{os.fspath(path)}'"
    try:
        with Path(path).open("rb") as file:
            text, model_id = _entries_in(file.fileno(), name)
    except FileNotFoundError as error:
        raise errors.FileNotFound(f"{name}: expected a file, got none") from error
    except OSError as error:
        raise errors.FileUnreadable(f"{name}: {error.strerror}") from error
    if text is None and model_id is None:
        raise errors.NoContract(f"{name}: expected a contract, as sidecall.export writes it")
    if text is None:
        raise _changed(name, "expected a contract beside the id, got none")
    if model_id is None:
        raise _changed(name, "expected an id beside the contract, got none")
    try:
        contract = json.loads(text)
        number = contract["format"]
        if int(number) == FORMAT:
            features_of(contract), columns_of(contract)
    except (ValueError, KeyError, TypeError) as error:
        raise errors.ContractInvalid(
            f"{name}: expected a contract with its format, features and outputs, got a text without them: export the model again"
        ) from error
    if number != FORMAT:
        raise errors.ContractFormat(
            f"{name}: contract: expected format {FORMAT}, got {number}: "
            "export or serve the model with the version of sidecall that opens it"
        )
    return dict(contract), model_id


def _changed(name: str, problem: str) -> errors.FileInvalid:
    return errors.FileInvalid(
        f"{name}: {problem}: the file, or its external data, has changed since the export; copy it "
        "again, or export the model again"
    )


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


def metadata_of(data: bytes | mmap.mmap) -> dict[bytes, tuple[int, int]]:
    """Where the values of metadata_props begin and end in the bytes of a model, by key.

    Raises ValueError, IndexError or KeyError if they are not those of a model.
    """
    found = {}
    for number, start, end in _fields(data, 0, len(data)):
        if number == _METADATA_PROPS:
            entry = {field: (i, j) for field, i, j in _fields(data, start, end)}
            begin, stop = entry[_KEY]
            found[data[begin:stop]] = entry[_VALUE]
    return found


def _entries_in(descriptor: int, name: str) -> tuple[str | None, str | None]:
    """The contract and the id."""
    try:
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
            places = metadata_of(data)
            contract, model_id = (
                data[slice(*places[key])].decode() if key in places else None
                for key in (CONTRACT_KEY, ID_KEY)
            )
    except (ValueError, IndexError, KeyError) as error:
        raise errors.FileInvalid(
            f"{name}: expected an ONNX file, got bytes that are none: export the model again"
        ) from error
    return contract, model_id


def _fields(data: bytes | mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
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


def _varint(data: bytes | mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(at)
