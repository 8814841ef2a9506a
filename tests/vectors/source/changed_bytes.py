"""Exported files whose bytes, or those of their external data, have changed since the export.

Used by ../generate.py.
"""

from __future__ import annotations

import struct

import onnx

from . import refusals
from .build import BLANK_ID, Cases, data_of, with_contract, write_model
from .contracts import MAKERS, contract, feature
from .external_data import external_model
from .opening import field

ADVICE = (
    ": the file, or its external data, has changed since the export; copy it again, or export the "
    "model again"
)


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """The first occurrence of `old` is replaced."""
    if old not in data or len(old) != len(new):
        raise ValueError(f"expected {old!r}, and as many bytes in its place")
    return data.replace(old, new, 1)


def changed_files() -> dict[str, bytes]:
    matrix, text = with_contract(*MAKERS["matrix"]()), with_contract(*MAKERS["label_string"]())
    limits = refusals.bytes_of("limits")
    last_digit = matrix[-1:]
    return {
        "weight": replaced(matrix, struct.pack("<f", 10), struct.pack("<f", 11)),
        "label": replaced(text, b"yes", b"yew"),
        "category": replaced(
            with_contract(*MAKERS["closed"]()), b'"allowed": ["S"', b'"allowed": ["T"'
        ),
        "domain": replaced(limits, b'"domain": [[0', b'"domain": [[1'),
        "class_in_the_contract": replaced(text, b'"classes": ["no"', b'"classes": ["on"'),
        "golden_row": replaced(matrix, b"371.5", b"371.4"),
        "metadata": replaced(matrix, b'"owner"', b'"Owner"'),
        "operator_set": replaced(matrix, b"\x42\x04\x0a\x00\x10\x11", b"\x42\x04\x0a\x00\x10\x10"),
        "producer": replaced(matrix, b"vectors", b"vector_"),
        "more_at_the_end": matrix + field(6, b"a note"),
        "id": matrix[:-1] + (b"0" if last_digit != b"0" else b"1"),
        "blank_id": matrix[:-64] + BLANK_ID.encode(),
        "id_in_upper_case": matrix[:-64] + matrix[-64:].upper(),
    }


def with_external_data(content: bytes) -> bytes:
    """transformed = (a, b) + w, as a file that was sealed with this content of weights.bin."""
    proto = onnx.load_from_string(external_model("weights.bin"))
    for each in (*proto.graph.input, *proto.graph.output):
        each.type.tensor_type.shape.dim.add(dim_value=2)
    proto.graph.output[0].name = proto.graph.node[0].output[0] = "transformed"
    features = [feature("a", "float32", "x", 0), feature("b", "float32", "x", 1)]
    output = {"name": "transformed", "role": "transformed", "type": "float32", "width": 2}
    return with_contract(proto, contract("sum", "transform", features, [output]), (content,))


def changed_bytes() -> Cases:
    c = Cases("changed_bytes")
    for what, data in changed_files().items():
        write_model(f"changed/{what}.onnx", data)
        c.bad(what, f"changed/{what}.onnx", "FILE_INVALID")
        c.bad(f"{what}_off", f"changed/{what}.onnx", "FILE_INVALID", open={"verify": "off"})
    good = with_contract(*MAKERS["matrix"]())
    unsealed = with_contract(*MAKERS["matrix"](), seal=False)
    one_id = field(1, b"sidecall.id") + field(2, good[-64:])
    messages = {
        "weight": "expected the bytes that the export wrote",
        "no_id": "expected an id beside the contract, got none",
        "no_contract": "expected a contract beside the id, got none",
    }
    more = {
        "no_id": unsealed,
        "no_contract": data_of(MAKERS["matrix"]()[0]) + field(14, one_id),
        "id_twice": good + field(14, one_id),
        "short_id": unsealed + field(14, field(1, b"sidecall.id") + field(2, good[-64:-1])),
        "empty_id": unsealed + field(14, field(1, b"sidecall.id") + field(2, b"")),
        "id_not_utf8": unsealed + field(14, field(1, b"sidecall.id") + field(2, b"\xff" * 64)),
    }
    for what, data in more.items():
        write_model(f"changed/{what}.onnx", data)
        c.bad(what, f"changed/{what}.onnx", "FILE_INVALID")
    for what, problem in messages.items():
        message = {"message": f"file 'bytes': {problem}{ADVICE}"}
        c.bad(
            f"{what}_bytes",
            f"changed/{what}.onnx",
            "FILE_INVALID",
            message,
            open={"as": "bytes", "verify": "warn"},
        )
    record, result = {"a": 1, "b": 2}, {"transformed": [11, 22]}
    for what, weights in (("with_id", (10, 20, 30, 40)), ("with_id_of_others", (10, 20, 30, 41))):
        write_model(f"external/{what}.onnx", with_external_data(struct.pack("<4f", *weights)))
    c.ok("external_data", "external/with_id.onnx", record=record, result=result)
    c.bad("other_external_data", "external/with_id_of_others.onnx", "FILE_INVALID")
    return c
