"""Checks core/artifact/onnx_fields.inc, the fields that an ONNX file may have, against the `onnx` package.

`make lint` and a test run it. Both fail if a newer onnx adds a field; `--write` then writes the
table anew.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import onnx

TABLE = Path(__file__).resolve().parent.parent / "core/artifact/onnx_fields.inc"
HEAD = """\
// The messages and fields of ONNX, as onnx {version} describes them: written by
// tools/onnx_fields.py, included by onnx_schema.h.
"""
# The name in the table for each value of FieldDescriptor.type. A field of any other type, such as a
# group, makes line_of() raise KeyError.
KINDS = {
    1: "kDouble",
    2: "kFloat",
    3: "kInt64",
    4: "kUint64",
    5: "kInt32",
    9: "kString",
    11: "kMessage",
    12: "kBytes",
    14: "kEnum",
}
MAX_NUMBER = 31


def name_of(message: Any) -> str:
    """The name of the message in C++: TypeProto.Tensor is TypeProto_Tensor."""
    return str(message.full_name).removeprefix("onnx.").replace(".", "_")


def messages() -> list[Any]:
    """Every message that a ModelProto can hold, ModelProto first."""
    found = [onnx.ModelProto.DESCRIPTOR]
    for message in found:
        for field in sorted(message.fields, key=lambda field: field.number):
            if field.message_type is not None and field.message_type not in found:
                found.append(field.message_type)
    return found


def line_of(message: Any, field: Any) -> str:
    kind = KINDS[field.type]
    if not 0 < field.number <= MAX_NUMBER:
        raise ValueError(
            f"{field.full_name}: expected a number up to {MAX_NUMBER}, got {field.number}"
        )
    repeated = (
        field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED
    )
    oneof = 0 if field.containing_oneof is None else field.containing_oneof.index + 1
    head = f"{name_of(message)}, {field.number}, {field.name}, {'kMany' if repeated else 'kOne'}, {oneof}"
    if kind == "kMessage":
        return f"ONNX_MESSAGE_FIELD({head}, {name_of(field.message_type)})"
    if kind == "kEnum":
        numbers = sorted(value.number for value in field.enum_type.values)
        if numbers != list(range(len(numbers))):
            raise ValueError(
                f"{field.full_name}: expected values from 0 without a gap, got {numbers}"
            )
        return f"ONNX_ENUM_FIELD({head}, {numbers[-1]})"
    return f"ONNX_FIELD({head}, {kind})"


def table() -> str:
    lines = [HEAD.format(version=onnx.__version__)]
    for message in messages():
        lines.append(f"\nONNX_MESSAGE({name_of(message)})\n")
        lines += [
            line_of(message, field) + "\n"
            for field in sorted(message.fields, key=lambda field: field.number)
        ]
    return "".join(lines)


def release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def check(kept: str) -> list[str]:
    """The differences between the kept table and the installed onnx. If the installed onnx is older
    than the one that the table was written with, entries that are missing in the installed one are
    not an error.
    """
    version = re.search(r"as onnx (\S+) describes", kept)
    kept_lines, derived = [
        set(re.findall(r"^ONNX_.*$", text, flags=re.MULTILINE)) for text in (kept, table())
    ]
    faults = [f"missing or changed: {line}" for line in sorted(derived - kept_lines)]
    if version is None or release(onnx.__version__) >= release(version[1]):
        faults += [
            f"not in onnx {onnx.__version__}: {line}" for line in sorted(kept_lines - derived)
        ]
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--write", action="store_true", help="derive the table from the installed onnx"
    )
    if parser.parse_args().write:
        TABLE.write_text(table(), encoding="utf-8")
        return 0
    faults = check(TABLE.read_text(encoding="utf-8"))
    for fault in faults:
        print(f"core/artifact/onnx_fields.inc: {fault}", file=sys.stderr)
    if faults:
        print(
            f"core/artifact/onnx_fields.inc does not describe onnx {onnx.__version__}, so sidecall would "
            "refuse files that have its new fields. Run `python tools/onnx_fields.py --write`. "
            "Then check whether a new field can name a file, as external_data can.",
            file=sys.stderr,
        )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
