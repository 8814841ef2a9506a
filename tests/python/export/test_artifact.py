"""The exported file: identity, atomicity, permissions, metadata, versions, and limits."""

from __future__ import annotations

import hashlib
import os
import stat

import numpy as np
import onnx
import pytest
from contract_reader import File, check_contract
from sidecall.convert import to_graph
from sidecall.exporting import FileError, artifact, export
from sklearn.linear_model import LinearRegression

DATA = np.round(np.random.default_rng(0).normal(size=(60, 2)), 2)
MODEL = LinearRegression().fit(DATA, DATA[:, 0])


def test_the_id_covers_the_graph_and_the_contract(tmp_path):
    first = export(MODEL, tmp_path / "a.onnx", DATA, version="1")
    second = export(
        MODEL, tmp_path / "b.onnx", DATA, version="2", metadata={"x": [1, None, "ü"]}, golden="none"
    )
    other = export(LinearRegression().fit(DATA, DATA[:, 1]), tmp_path / "c.onnx", DATA)
    assert len({first.id, second.id, other.id}) == 3
    for name, report in (("a", first), ("b", second), ("c", other)):
        file = File(tmp_path / f"{name}.onnx")
        check_contract(file)
        assert file.id == report.id == artifact.model_id(file.bytes)
    assert File(tmp_path / "b.onnx").contract["model"]["metadata"] == {"x": [1, None, "ü"]}


def test_a_file_without_an_id_has_the_sha256_of_its_bytes():
    content = to_graph(MODEL, [("X", "float64", 2)]).SerializeToString()
    assert artifact.model_id(content) == hashlib.sha256(content).hexdigest()


def test_sealing_replaces_an_earlier_contract_and_id():
    proto = to_graph(MODEL, [("X", "float64", 2)])
    first, first_id = artifact.seal(proto, "{}")
    again, again_id = artifact.seal(onnx.load_from_string(first), "{}")
    assert (again, again_id) == (first, first_id) and artifact.model_id(again) == again_id
    other, other_id = artifact.seal(onnx.load_from_string(first), "[]")
    assert other_id != first_id and artifact.model_id(other) == other_id


def test_the_file_is_written_atomically(tmp_path, monkeypatch):
    path = tmp_path / "a.onnx"
    path.write_text("old")

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileError, match=r"cannot write a\.onnx: No space left on device"):
        export(MODEL, path, DATA)
    assert path.read_text() == "old" and [item.name for item in tmp_path.iterdir()] == ["a.onnx"]


def test_the_file_has_the_permissions_of_the_umask(tmp_path):
    mask = os.umask(0o027)
    try:
        export(MODEL, tmp_path / "a.onnx", DATA)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "a.onnx").stat().st_mode) == 0o640


@pytest.mark.parametrize("path", ["missing/a.onnx", "."])
def test_paths_that_cannot_be_written_are_refused(tmp_path, path):
    with pytest.raises(FileError, match="cannot write"):
        export(MODEL, tmp_path / path, DATA)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_too_large_for_one_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(artifact, "MAX_BYTES", 100)
    with pytest.raises(FileError, match="expected a graph of at most 100 bytes"):
        export(MODEL, tmp_path / "a.onnx", DATA)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("metadata", [{"x": float("nan")}, {"x": object()}, {1: {2}}, "text"])
def test_metadata_that_is_not_json_is_refused(tmp_path, metadata):
    with pytest.raises(FileError, match="metadata: expected a JSON object"):
        export(MODEL, tmp_path / "a.onnx", DATA, metadata=metadata)
    assert list(tmp_path.iterdir()) == []


def test_versions_name_the_libraries_that_made_the_file(tmp_path):
    versions = export(MODEL, tmp_path / "a.onnx", DATA).contract["versions"]
    assert versions["onnx"] == onnx.__version__ and versions["numpy"] == np.__version__
