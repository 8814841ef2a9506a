"""Files with weights in other files: which of these may be read, and what is wrong with others.

Used by ../generate.py.
"""

from __future__ import annotations

import struct
from typing import Any

from onnx import TensorProto, helper

from .build import MODELS, Cases, const, data_of, model, node, write_model
from .opening import X1, field, with_graph_fields


def hidden_location() -> bytes:
    """External data with a second location, whose key is followed by a number.

    The number has the field number of the key. Protobuf ignores the number and keeps the key. A
    reader that takes the number for the key overlooks the second location.
    """
    shown = field(13, field(1, b"location") + field(2, b"weights.bin"))
    hidden = field(13, field(1, b"location") + b"\x08\x00" + field(2, b"../outside.bin"))
    weight = field(8, b"w") + b"\x08\x02\x10\x01" + shown + hidden + b"\x70\x01"
    return with_graph_fields(
        field(5, weight), without="initializer", proto=external_model("../outside.bin")
    )


def external_model(
    location: str | bytes | None, offset: Any = 0, length: Any = 8, *, nested: str = ""
) -> bytes:
    """y = x + w, with w of two float32 in an external file.

    nested: the part of the model that holds w instead of the graph's initializers.
    """
    weight = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            weight.external_data.add(key=key, value=str(value))
    if nested == "branch":
        inner = helper.make_graph(
            [node("Add", ["x", "w"], ["z"])],
            "inner",
            [],
            [helper.make_tensor_value_info("z", 1, ["N"])],
            [weight],
        )
        proto = model(
            [("x", "float32", ["N"])],
            [("y", "float32", ["N"])],
            [node("If", ["yes"], ["y"], then_branch=inner, else_branch=inner)],
            [const("yes", "bool", [], [True])],
        )
    elif nested == "attribute":
        proto = model(
            [("x", "float32", ["N"])],
            [("y", "float32", ["N"])],
            [node("Constant", [], ["w"], value=weight), node("Add", ["x", "w"], ["y"])],
        )
    elif nested == "function":
        body = helper.make_function(
            "local",
            "AddW",
            ["a"],
            ["b"],
            [node("Constant", [], ["w"], value=weight), node("Add", ["a", "w"], ["b"])],
            [helper.make_opsetid("", 17)],
        )
        proto = model(
            [("x", "float32", ["N"])],
            [("y", "float32", ["N"])],
            [node("AddW", ["x"], ["y"], domain="local")],
            functions=[body],
            domains=("local",),
        )
    else:
        proto = model(
            [("x", "float32", ["N"])],
            [("y", "float32", ["N"])],
            [node("Add", ["x", "w"], ["y"])],
            [weight],
        )
    return data_of(proto)


def external() -> Cases:
    c = Cases("external")
    folder = MODELS / "external"
    write_model("external/weights.bin", struct.pack("<4f", 10, 20, 30, 40))
    write_model("external/sub/weights.bin", struct.pack("<2f", 50, 60))
    write_model("outside.bin", struct.pack("<2f", 1, 1))
    for link, target in (
        ("link_inside.bin", "weights.bin"),
        ("link_outside.bin", "../outside.bin"),
        ("link_folder", ".."),
    ):
        (folder / link).unlink(missing_ok=True)
        (folder / link).symlink_to(target)
    out = {"y": {"dtype": "float32", "shape": [2], "data": [11, 22]}}
    good: dict[str, tuple[bytes, list[int]]] = {
        "inside": (external_model("weights.bin"), [11, 22]),
        "offset": (external_model("weights.bin", 8), [31, 42]),
        "no_length": (external_model("weights.bin", None, None), [11, 22]),
        "subfolder": (external_model("sub/weights.bin"), [51, 62]),
        "dot": (external_model("./weights.bin"), [11, 22]),
        "branch": (external_model("weights.bin", nested="branch"), [11, 22]),
        "link_inside": (external_model("link_inside.bin"), [11, 22]),
    }
    for what, (data, answer) in good.items():
        write_model(f"external/{what}.onnx", data)
        c.ok(what, f"external/{what}.onnx", inputs=X1, outputs={"y": {**out["y"], "data": answer}})
    forbidden: dict[str, bytes] = {
        "absolute": external_model("/etc/hostname"),
        "parent": external_model("../outside.bin"),
        "parent_deep": external_model("sub/../../outside.bin"),
        "link_outside": external_model("link_outside.bin"),
        "link_folder": external_model("link_folder/outside.bin"),
        "absolute_missing": external_model("/no/such/file"),
        "parent_missing": external_model("../no_such.bin"),
        "parent_in_branch": external_model("../outside.bin", nested="branch"),
        "parent_in_attribute": external_model("../outside.bin", nested="attribute"),
        "parent_in_function": external_model("../outside.bin", nested="function"),
        "up_and_back": external_model("sub/../weights.bin"),
        "folder_itself": external_model(".."),
        "backslash_parent": external_model("..\\outside.bin"),
    }
    for what, data in forbidden.items():
        write_model(f"external/{what}.onnx", data)
        # A backslash is an ordinary character of a file name here.
        c.bad(
            what,
            f"external/{what}.onnx",
            "FILE_NOT_FOUND" if what == "backslash_parent" else "FILE_FORBIDDEN",
        )
    others: dict[str, tuple[bytes, str]] = {
        "missing": (external_model("no_such.bin"), "FILE_NOT_FOUND"),
        "too_short": (external_model("weights.bin", 12, 8), "FILE_INVALID"),
        "offset_beyond": (external_model("weights.bin", 1000, 8), "FILE_INVALID"),
        "offset_negative": (external_model("weights.bin", -8, 8), "FILE_INVALID"),
        "offset_overflows": (
            external_model("weights.bin", 18446744073709551608, 16),
            "FILE_INVALID",
        ),
        "offset_text": (external_model("weights.bin", "eight", 8), "FILE_INVALID"),
        "length_wrong": (external_model("weights.bin", 0, 4), "ENGINE"),
        "no_location": (external_model(None), "FILE_FORBIDDEN"),
        "empty_location": (external_model(""), "FILE_FORBIDDEN"),
        "a_folder": (external_model("sub"), "FILE_UNREADABLE"),
        "hidden_location": (hidden_location(), "FILE_INVALID"),
        "address_in_memory": (external_model("*/_ORT_MEM_ADDR_/*"), "FILE_FORBIDDEN"),
        "nul_in_location": (external_model("weights.bin\0x"), "FILE_FORBIDDEN"),
    }
    for what, (data, status) in others.items():
        write_model(f"external/{what}.onnx", data)
        c.bad(what, f"external/{what}.onnx", status)
    c.bad("bytes", "external/inside.onnx", "FILE_FORBIDDEN", open={"as": "bytes"})
    return c
