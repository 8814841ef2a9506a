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


def test_the_id_depends_only_on_the_graph(tmp_path):
    first = export(MODEL, tmp_path / "a.onnx", DATA, version="1")
    second = export(
        MODEL, tmp_path / "b.onnx", DATA, version="2", metadata={"x": [1, None, "ü"]}, golden="none"
    )
    other = export(LinearRegression().fit(DATA, DATA[:, 1]), tmp_path / "c.onnx", DATA)
    assert first.id == second.id != other.id
    for name in ("a", "b", "c"):
        check_contract(File(tmp_path / f"{name}.onnx"))
    assert File(tmp_path / "b.onnx").contract["model"]["metadata"] == {"x": [1, None, "ü"]}


def test_a_change_of_the_contract_keeps_the_id(tmp_path):
    export(MODEL, tmp_path / "a.onnx", DATA)
    proto = onnx.load(tmp_path / "a.onnx")
    proto.metadata_props[0].value += " "
    assert (
        artifact.model_id(proto.SerializeToString())
        == File(tmp_path / "a.onnx").contract["model"]["id"]
    )


def test_the_id_covers_functions_and_then_the_versions_of_operator_sets():
    proto = to_graph(MODEL, [("X", "float64", 2)])
    with_function = onnx.ModelProto()
    with_function.CopyFrom(proto)
    with_function.functions.add(name="f", domain="d")

    def id_after(change, model):
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        change(copy)
        return artifact.model_id(copy.SerializeToString())

    def rename(model):
        model.functions[0].name = "g"

    def upgrade(model):
        model.opset_import[0].version += 1

    plain = artifact.model_id(proto.SerializeToString())
    assert plain == hashlib.sha256(proto.graph.SerializeToString()).hexdigest()
    assert id_after(upgrade, proto) == plain
    known = {plain, artifact.model_id(with_function.SerializeToString())}
    known |= {id_after(rename, with_function), id_after(upgrade, with_function)}
    assert len(known) == 4


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


def test_messages_without_a_graph_are_refused():
    for content in (b"", b"\x08\x07", onnx.ModelProto(ir_version=8).SerializeToString()):
        with pytest.raises(FileError, match="expected a model with a graph"):
            artifact.model_id(content)
