"""What a driver reads of an exported file without opening it is what the open model says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import sidecall
from sidecall import errors
from sidecall._file_contract import columns_of, features_of, read_contract
from vector_files import MODELS

ID = "0f" * 32
FILES = sorted(path.name for path in MODELS.glob("*.onnx"))


def test_features_columns_and_id_are_those_of_the_open_model() -> None:
    compared = 0
    for name in FILES:
        with sidecall.open(MODELS / name) as model:
            if model.contract is None:
                continue
            contract, model_id = read_contract(MODELS / name)
            assert contract == model.contract, name
            assert features_of(contract) == model.features, name
            assert columns_of(contract) == model.columns, name
            assert model_id == model.id, name
            compared += 1
    assert compared > 20


def test_reading_loads_neither_the_library_nor_an_engine() -> None:
    code = f"""
import sys
from sidecall._file_contract import read_contract
read_contract({str(MODELS / "penguins.onnx")!r})
mapped = open("/proc/self/maps").read()
print([name for name in ("libsidecall", "libonnxruntime") if name in mapped])
print([name for name in ("onnxruntime", "pandas", "pyarrow") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.FileNotFound, match=r"none\.onnx': expected a file, got none"):
        read_contract(tmp_path / "none.onnx")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.FileUnreadable):
        read_contract(tmp_path)


def test_a_file_without_a_contract_is_refused() -> None:
    with pytest.raises(errors.NoContract, match=r"add\.onnx': expected a contract"):
        read_contract(MODELS / "add.onnx")


@pytest.mark.parametrize("content", [b"", b"\x07", b"not a model", b"\x72\xff\xff\xff\x0f"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises((errors.FileInvalid, errors.NoContract)):
        read_contract(path)


def test_every_shorter_file_is_refused(tmp_path: Path) -> None:
    content = (MODELS / "matrix.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises((errors.FileInvalid, errors.NoContract)):
            read_contract(path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"format": 5, "features": []}'])
def test_a_contract_that_describes_no_model_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(_entry(b"sidecall.contract", text) + _entry(b"sidecall.id", ID))
    with pytest.raises(errors.ContractInvalid, match=r"model\.onnx': expected a contract"):
        read_contract(path)


@pytest.mark.parametrize("name", ["format_4", "format_6"])
def test_another_format_is_refused_as_the_library_refuses_it(name: str) -> None:
    path = MODELS / "contracts" / f"{name}.onnx"
    with pytest.raises(errors.ContractFormat) as by_library:
        sidecall.open(path)
    with pytest.raises(errors.ContractFormat) as by_driver:
        read_contract(path)
    assert str(by_driver.value) == str(by_library.value)


@pytest.mark.parametrize("name", ["no_id", "no_contract"])
def test_a_contract_without_an_id_is_refused_and_an_id_without_a_contract(name: str) -> None:
    path = MODELS / "changed" / f"{name}.onnx"
    with pytest.raises(errors.FileInvalid) as by_library:
        sidecall.open(path)
    with pytest.raises(errors.FileInvalid) as by_driver:
        read_contract(path)
    assert str(by_driver.value) == str(by_library.value)


def test_the_last_feature_with_unknown_keys_is_read(tmp_path: Path) -> None:
    contract, _ = read_contract(MODELS / "matrix.onnx")
    contract["features"][-1]["later"] = 1
    path = tmp_path / "model.onnx"
    path.write_bytes(
        _entry(b"sidecall.contract", json.dumps(contract)) + _entry(b"sidecall.id", ID)
    )
    read, model_id = read_contract(path)
    assert features_of(read) == features_of(contract) and model_id == ID


def _entry(key: bytes, value: str) -> bytes:
    """An entry of metadata_props."""
    return _field(14, _field(1, key) + _field(2, value.encode()))


def _field(number: int, content: bytes) -> bytes:
    """A field of protobuf with bytes."""
    length, size = b"", len(content)
    while size >= 0x80:
        length += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content
