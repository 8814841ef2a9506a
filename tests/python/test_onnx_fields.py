"""core/artifact/onnx_fields.inc, the table for reading model files, has every field of the onnx package."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import onnx
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def onnx_fields() -> ModuleType:
    spec = importlib.util.spec_from_file_location("onnx_fields", ROOT / "tools/onnx_fields.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_describes_the_installed_onnx(onnx_fields):
    faults = onnx_fields.check(onnx_fields.TABLE.read_text(encoding="utf-8"))
    assert faults == [], (
        "the table is out of date: run tools/onnx_fields.py --write and review the new fields"
    )


def test_every_message_of_the_package_is_in_the_table(onnx_fields):
    kept = set(
        re.findall(
            r"^ONNX_MESSAGE\((\w+)\)$",
            onnx_fields.TABLE.read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        )
    )
    assert kept >= set(onnx.ModelProto.DESCRIPTOR.file.message_types_by_name)
    assert {"TypeProto_Tensor", "TensorShapeProto_Dimension", "TensorProto_Segment"} <= kept


def test_a_field_that_the_table_lacks_is_named(onnx_fields):
    kept = onnx_fields.table()
    line = "ONNX_FIELD(NodeProto, 8, overload, kOne, 0, kString)"
    assert onnx_fields.check(kept.replace(line, "")) == [f"missing or changed: {line}"]


def test_a_field_of_another_kind_is_named(onnx_fields):
    kept = onnx_fields.table()
    line = "ONNX_ENUM_FIELD(TensorProto, 14, data_location, kOne, 0, 1)"
    changed = line.replace("1)", "0)")
    assert onnx_fields.check(kept.replace(line, changed)) == [
        f"missing or changed: {line}",
        f"not in onnx {onnx.__version__}: {changed}",
    ]


def test_fields_of_a_newer_onnx_are_accepted_only_if_the_table_names_its_version(onnx_fields):
    line = "ONNX_FIELD(NodeProto, 30, later, kOne, 0, kString)"
    newer = re.sub(r"as onnx \S+ describes", "as onnx 99.0 describes", onnx_fields.table()) + line
    assert onnx_fields.check(newer) == []
    assert onnx_fields.check(onnx_fields.table() + line) == [
        f"not in onnx {onnx.__version__}: {line}"
    ]
