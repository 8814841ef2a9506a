"""sidecall lambda --zip: a zip file that holds all that a function needs, and nothing else."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import models
import pytest
from sidecall import errors, lambda_zip


@pytest.fixture
def bootstrap(monkeypatch, command_path, tmp_path_factory) -> Path:
    """Takes the place of the command of the wheel, and calls that of this build."""
    monkeypatch.setattr(lambda_zip, "_require_runs_there", lambda *_: None)
    script = tmp_path_factory.mktemp("command") / "sidecall"
    script.write_text(f'#!/bin/sh\nexec {command_path} "$@"\n')
    script.chmod(0o700)
    return script


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unpacked(path: Path, folder: Path) -> Path:
    with zipfile.ZipFile(path) as source:
        assert source.testzip() is None
        for entry in source.infolist():
            source.extract(entry, folder)
            (folder / entry.filename).chmod(entry.external_attr >> 16 & 0o777)
    return folder


def write(folder: Path, bootstrap: Path, model: str = "jobs.onnx", **options) -> list[str]:
    function = lambda_zip.write_zip(
        str(folder / model), folder / "function.zip", bootstrap=bootstrap, **options
    )
    return [file.as_posix() for file in function.files]


def test_a_zip_file_has_the_command_and_the_model(jobs, tmp_path, bootstrap):
    assert write(tmp_path, bootstrap, engine="native") == ["bootstrap", "jobs.onnx"]
    folder = unpacked(tmp_path / "function.zip", tmp_path / "task")
    assert names_in(folder) == ["bootstrap", "jobs.onnx"]
    assert stat.S_IMODE((folder / "bootstrap").stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "jobs.onnx").stat().st_mode) == 0o644
    for name, source in [("bootstrap", bootstrap), ("jobs.onnx", tmp_path / jobs)]:
        assert (folder / name).read_bytes() == source.read_bytes()
    assert names_in(tmp_path) == ["function.zip", "jobs.onnx", "task"]


@pytest.mark.long
@pytest.mark.usefixtures("bootstrap")
def test_a_model_that_needs_onnxruntime_brings_it(jobs, tmp_path, command_path):
    # The command itself, which looks for the library in its own folder.
    files = write(tmp_path, Path(command_path), engine="onnxruntime")
    assert files == ["bootstrap", "jobs.onnx", "libonnxruntime.so"]


def test_the_same_files_give_the_same_bytes(jobs, tmp_path, bootstrap):
    write(tmp_path, bootstrap, engine="native")
    first = (tmp_path / "function.zip").read_bytes()
    os.utime(tmp_path / jobs, (0, 0))
    (tmp_path / jobs).chmod(0o600)
    write(tmp_path, bootstrap, engine="native")
    assert (tmp_path / "function.zip").read_bytes() == first


def save_with_weights(folder: Path, location: str) -> None:
    """Writes jobs.onnx, and its weights in a file that this location names."""
    import onnx

    models.classifier(folder / "inside.onnx")
    (folder / location).parent.mkdir(exist_ok=True)
    path = folder / "jobs.onnx"
    onnx.save(
        onnx.load(folder / "inside.onnx"),
        path,
        save_as_external_data=True,
        location=location,
        size_threshold=0,
    )
    # The id covers the weights (docs/contract.md, "The id").
    model = onnx.load(path, load_external_data=False)
    entry = next(each for each in model.metadata_props if each.key == "sidecall.id")
    entry.value = "0" * 64
    data, weights = model.SerializeToString(), (folder / location).read_bytes()
    digest = hashlib.sha256(data + len(weights).to_bytes(8, "little") + weights)
    path.write_bytes(data.replace(entry.value.encode(), digest.hexdigest().encode()))


def test_files_with_weights_are_packed_with_the_model(tmp_path, bootstrap):
    save_with_weights(tmp_path, "jobs.weights")
    files = write(tmp_path, bootstrap, engine="native")
    assert files == ["bootstrap", "jobs.onnx", "jobs.weights"]


@pytest.mark.parametrize(
    "location",
    [
        "bootstrap",
        "./bootstrap",
        "bootstrap/weights",
        "libonnxruntime.so",
        "libonnxruntime.so.1",
        "libstdc++.so.6",
        "weights/libgcc_s.so.1",
    ],
)
def test_weights_never_take_the_place_of_a_program(tmp_path, bootstrap, monkeypatch, location):
    save_with_weights(tmp_path, location)
    monkeypatch.setattr(lambda_zip.shutil, "copyfile", lambda *_: pytest.fail("copied a file"))
    monkeypatch.setattr(lambda_zip.shutil, "copy", lambda *_: pytest.fail("copied a file"))
    name = re.escape(location.removeprefix("./"))
    problem = f"'{name}': expected a file of the model in its own folder"
    with pytest.raises(lambda_zip.LambdaZipError, match=f"{problem}, got the name of a program"):
        write(tmp_path, bootstrap, engine="native")


def test_weights_are_never_executable(tmp_path, bootstrap):
    save_with_weights(tmp_path, "weights/bootstrap")
    (tmp_path / "weights/bootstrap").chmod(0o755)
    write(tmp_path, bootstrap, engine="native")
    folder = unpacked(tmp_path / "function.zip", tmp_path / "task")
    assert stat.S_IMODE((folder / "weights/bootstrap").stat().st_mode) == 0o644
    assert stat.S_IMODE((folder / "bootstrap").stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["bootstrap", "libonnxruntime.so"])
def test_a_model_with_the_name_of_a_program_is_refused(jobs, tmp_path, bootstrap, name):
    (tmp_path / jobs).rename(tmp_path / name)
    with pytest.raises(lambda_zip.LambdaZipError, match=f"'{name}': .*got the name of a program"):
        write(tmp_path, bootstrap, name, engine="native")


@pytest.mark.parametrize("location", ["../weights", "/weights", "a/../../weights"])
def test_weights_outside_of_the_folder_of_the_model_are_refused(location):
    with pytest.raises(lambda_zip.LambdaZipError, match="got a path that leaves it"):
        lambda_zip._require_data_name(Path(location))


def library(folder: Path, *needed: str, text: str = "") -> Path:
    """A library that needs others, and holds a text."""
    source, options = folder / "source.c", ["-shared", "-nostdlib", "-Wl,--no-as-needed"]
    source.write_text(f'const char text[] = "{text}";')
    path = folder / "a library"
    for name in needed:
        other = [*options, f"-Wl,-soname,{name}", "-o", folder / name]
        subprocess.run(["cc", source, *other], check=True)
    subprocess.run(
        ["cc", source, *options, "-o", path, *(folder / name for name in needed)], check=True
    )
    return path


@pytest.mark.parametrize(
    ("needed", "text", "problem"),
    [
        ([], "GLIBC_2.28 GLIBC_2.35", "needs glibc 2.35"),
        (
            ["libc.so.6", "libstdc++.so.6"],
            "",
            "needs libstdc\\+\\+.so.6: use the command of the portable wheel \\('make package",
        ),
        (["libm.so.6", "libz.so.1", "libodd.so"], "", "needs libodd.so, libz.so.1: use"),
    ],
)
def test_a_command_for_another_system_is_refused(jobs, tmp_path, needed, text, problem):
    with pytest.raises(lambda_zip.LambdaZipError, match=problem):
        write(tmp_path, library(tmp_path, *needed, text=text), engine="native")
    assert not (tmp_path / "function.zip").exists()


@pytest.mark.parametrize(
    ("needed", "text", "problem"),
    [
        ([], "GLIBC_2.35", "needs glibc 2.35"),
        ([], "GLIBCXX_3.4.9 GLIBCXX_3.4.30", "needs GLIBCXX 3.4.30"),
        (["libstdc++.so.6", "libcudart.so.12"], "", "needs libcudart.so.12"),
    ],
)
def test_an_onnxruntime_for_another_system_is_refused(
    jobs, tmp_path, monkeypatch, needed, text, problem
):
    other = tmp_path / "command"
    other.mkdir()
    path = os.fspath(library(tmp_path, *needed, text=text))
    monkeypatch.setattr(lambda_zip.sidecall, "engine", lambda _: {"path": path})
    expected = r"a library: expected a library that runs with glibc 2.34 and libgcc_s.so.1 and lib"
    with pytest.raises(lambda_zip.LambdaZipError, match=f"{expected}.*{problem}"):
        write(tmp_path, library(other, "libc.so.6"), engine="onnxruntime")
    assert not (tmp_path / "function.zip").exists()


def test_a_command_that_is_no_program_is_refused(jobs, tmp_path):
    good = library(tmp_path, "libc.so.6").read_bytes()
    for content in [b"#!/bin/sh\n", good[:100]]:
        (tmp_path / "command").write_bytes(content)
        with pytest.raises(
            lambda_zip.LambdaZipError, match=r"command: (the file is not .*|expected an )ELF file"
        ):
            write(tmp_path, tmp_path / "command", engine="native")


def test_the_function_uses_the_engine_that_the_model_was_opened_with(
    jobs, tmp_path, bootstrap, monkeypatch
):
    monkeypatch.setenv("SIDECALL_ENGINE", "native")
    used = []
    monkeypatch.setattr(lambda_zip, "_verify", lambda *words: used.append(words[2]))
    for asked in ("auto", "onnxruntime"):
        function = lambda_zip.write_zip(
            str(tmp_path / jobs), tmp_path / "function.zip", bootstrap=bootstrap, engine=asked
        )
        assert function.handler == f"{jobs}?engine=native"
    assert used == ["native", "native"]


@pytest.mark.parametrize("path", [".", "/", "folder"])
def test_a_zip_file_that_is_a_folder_is_refused(jobs, tmp_path, bootstrap, path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(lambda_zip.LambdaZipError, match="expected the name of a zip file, got a"):
        lambda_zip.write_zip(str(tmp_path / jobs), tmp_path / path, bootstrap=bootstrap)


def test_a_file_beside_the_zip_file_is_never_overwritten(jobs, tmp_path, bootstrap):
    (tmp_path / "function.zip.partial").write_text("kept")
    write(tmp_path, bootstrap, engine="native")
    assert (tmp_path / "function.zip.partial").read_text() == "kept"
    assert names_in(tmp_path) == ["function.zip", "function.zip.partial", "jobs.onnx"]


def test_a_function_that_would_not_open_its_model_gives_no_zip_file(jobs, tmp_path, bootstrap):
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho sidecall: out of luck >&2\nexit 4\n")
    failing.chmod(0o755)
    with pytest.raises(lambda_zip.LambdaZipError, match=r"got: sidecall: out of luck$"):
        write(tmp_path, failing, engine="native")
    assert not (tmp_path / "function.zip").exists()


def test_a_function_that_is_too_large_gives_no_zip_file(jobs, tmp_path, bootstrap, monkeypatch):
    monkeypatch.setattr(lambda_zip, "MAX_BYTES", 1000)
    with pytest.raises(lambda_zip.LambdaZipError, match="expected files of at most 1000 bytes"):
        write(tmp_path, bootstrap, engine="native")
    assert names_in(tmp_path) == ["jobs.onnx"]


def test_a_model_that_does_not_open_gives_no_zip_file(tmp_path, bootstrap):
    with pytest.raises(errors.FileNotFound):
        write(tmp_path, bootstrap, "none.onnx")


@pytest.fixture
def with_package(sidecall):
    """The command, where it finds the Python of this test."""
    sidecall.env["SIDECALL_PYTHON"] = sys.executable
    return sidecall


def test_the_command_hands_the_zip_file_over_to_python(with_package, jobs, tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    done = with_package("lambda", jobs, "--zip", "other/function.zip", "--engine", "native")
    if done.code == 0:  # the command of this build runs on Amazon Linux 2023
        assert done.lines()[1].endswith("handler jobs.onnx?engine=native")
        assert names_in(folder) == ["function.zip"]
    else:
        assert done.code == 4
        assert "expected a command that runs with glibc 2.34 alone, got one that needs" in done.err
        assert names_in(folder) == []


def test_a_zip_file_of_a_missing_model_is_an_error(with_package, tmp_path):
    done = with_package("lambda", "none.onnx", "--zip", "function.zip")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("sidecall lambda: ")
    assert "none.onnx" in done.err
