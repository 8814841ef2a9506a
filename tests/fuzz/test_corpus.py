"""Tests of corpus.py: it unpacks what it packed, and an archive changes only with its inputs."""

import os
from pathlib import Path

import corpus
import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two inputs; the archives are not those of the repository."""
    monkeypatch.setattr(corpus, "ARCHIVES", tmp_path)
    folder = tmp_path / "inputs"
    folder.mkdir()
    for name, content in {"b.bin": b"\0second", "a.bin": b""}.items():
        (folder / name).write_bytes(content)
    return folder


def test_unpacking_gives_the_packed_inputs_alone(folder: Path, tmp_path: Path) -> None:
    corpus.pack("csv", folder)
    (tmp_path / "unpacked").mkdir()
    (tmp_path / "unpacked/left.bin").write_bytes(b"of an earlier archive")
    corpus.unpack("csv", tmp_path / "unpacked")
    found = {path.name: path.read_bytes() for path in (tmp_path / "unpacked").iterdir()}
    assert found == {"b.bin": b"\0second", "a.bin": b""}


def test_the_same_inputs_give_the_same_archive(folder: Path, tmp_path: Path) -> None:
    corpus.pack("csv", folder)
    os.utime(folder / "a.bin", (1, 1))
    (folder / "b.bin").chmod(0o600)
    corpus.pack("npy", folder)
    assert (tmp_path / "csv.tar.xz").read_bytes() == (tmp_path / "npy.tar.xz").read_bytes()


def test_an_archive_with_the_same_inputs_is_not_written_again(folder: Path, tmp_path: Path) -> None:
    corpus.pack("csv", folder)
    before = (tmp_path / "csv.tar.xz").stat()
    corpus.pack("csv", folder)
    assert (tmp_path / "csv.tar.xz").stat().st_mtime_ns == before.st_mtime_ns
    (folder / "c.bin").write_bytes(b"new")
    corpus.pack("csv", folder)
    assert (tmp_path / "csv.tar.xz").stat().st_size != before.st_size


def test_a_target_without_an_archive_leaves_the_folder_as_it_is(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="csv"):
        corpus.unpack("csv", folder)
    assert {path.name for path in folder.iterdir()} == {"a.bin", "b.bin"}


def test_an_empty_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="the folder is empty"):
        corpus.pack("csv", tmp_path / "empty")
    assert not (tmp_path / "csv.tar.xz").exists()
