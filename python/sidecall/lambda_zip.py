"""`sidecall lambda --zip`: writes the zip file of a function of AWS Lambda, for provided.al2023.

The native command runs `python -m sidecall.lambda_zip`; docs/deployment/lambda.md is the guide.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import sidecall
from sidecall import errors
from sidecall._command_line import BAD_MODEL, ENVIRONMENT, OK, Parser
from sidecall._elf import needed_libraries

Engine = Literal["auto", "native", "onnxruntime"]
# What Lambda starts.
BOOTSTRAP = "bootstrap"
# The newest symbols of the C library and of the C++ library of Amazon Linux 2023, which is that of
# GCC 11.
NEWEST = {"glibc": (2, 34), "GLIBCXX": (3, 4, 29)}
C_LIBRARIES = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"}
LOADERS = {"ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
CPP_LIBRARIES = {"libstdc++.so.6", "libgcc_s.so.1"}
# What a function may have, unzipped: 250 MB.
MAX_BYTES = 250 << 20


@dataclass(frozen=True)
class Function:
    """What Lambda needs to know about a zip file."""

    files: list[Path]  # relative to the folder of the function
    handler: str  # names the model, and the engine with which its golden rows passed


class LambdaZipError(Exception):
    """The zip file cannot be written, or its function would not start."""


def write_zip(
    model: str,
    path: Path,
    *,
    bootstrap: Path,
    engine: Engine = "auto",
    onnxruntime: str | None = None,
) -> Function:
    """Writes a zip file with everything that a function needs to answer with this model.

    These are the native command as `bootstrap`, the model, the files that hold its weights if it
    has such files, and ONNX Runtime if the model needs it. The golden rows run once with nothing
    but these files, before the zip file gets its name. The same files give the same bytes.

    bootstrap    the native command. It must run on Amazon Linux 2023, as that of the portable wheel
                 does
    engine       as for sidecall.open. The function uses the engine that the model is opened with
    onnxruntime  the library to pack if the model needs one, as for sidecall.open

    Raises LambdaZipError and the errors of sidecall.open. A model or a file with weights that would
    take the place of the command or of a library is refused before anything is copied.
    """
    if path.is_dir():
        raise LambdaZipError(f"{path}: expected the name of a zip file, got a folder")
    source = Path(model)
    opened = sidecall.open(model, engine=engine, onnxruntime=onnxruntime)
    advice = "the command of the portable wheel ('make package-python' writes it to dist)"
    _require_runs_there(bootstrap, "command", advice)
    chosen, library = opened.engine.split()[0], None
    if chosen == "onnxruntime":
        library = Path(sidecall.engine(onnxruntime)["path"])
        source_of = "ONNX Runtime of its package in PyPI"
        _require_runs_there(library, "library", source_of, CPP_LIBRARIES)
    files = {Path(source.name), *_weights(source)}
    for file in files:
        _require_data_name(file)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(bootstrap, folder / BOOTSTRAP)
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.parent / file, folder / file)
        if library is not None:
            shutil.copyfile(library, folder / "libonnxruntime.so")
        _verify(folder, source.name, chosen)
        return Function(_pack(folder, path), f"{source.name}?engine={chosen}")


def _require_runs_there(
    program: Path, what: str, advice: str, libraries: Set[str] = frozenset()
) -> None:
    """Raises unless the program needs no more than the C library, these libraries and the loader.

    Amazon Linux 2023 has these.
    """
    content = program.read_bytes()
    try:
        others = {*needed_libraries(content)} - C_LIBRARIES - LOADERS - libraries
    except ValueError as error:
        raise LambdaZipError(f"{program}: {error}") from None
    too_new = {
        f"{name} {'.'.join(map(str, found))}"
        for name, newest in NEWEST.items()
        if (found := _newest_version(content, name)) > newest
    }
    if not others and not too_new:
        return
    alone = " and ".join([f"glibc {'.'.join(map(str, NEWEST['glibc']))}", *sorted(libraries)])
    needs = ", ".join(sorted(others | too_new))
    raise LambdaZipError(
        f"{program}: expected a {what} that runs with {alone} alone, got one that needs {needs}: "
        f"use {advice}"
    )


def _newest_version(content: bytes, name: str) -> tuple[int, ...]:
    """The newest version of a library's symbols that a program needs: (3, 4, 29)."""
    found = re.findall(rb"\b%s_(\d+(?:\.\d+)+)\b" % name.upper().encode(), content)
    return max((tuple(map(int, version.split(b"."))) for version in found), default=())


def _require_data_name(file: Path) -> None:
    """Raises if a file of the model could be run.

    Lambda finds the command by its name. So does the loader find libraries, for example those of
    ONNX Runtime, which it looks for in the folder of the function first.
    """
    if file.is_absolute() or ".." in file.parts:
        problem = "a path that leaves it"
    elif file.parts[:1] == (BOOTSTRAP,) or re.search(r"\.so(\.|$)", file.name):
        problem = "the name of a program or of a library"
    else:
        return
    raise LambdaZipError(
        f"{os.fspath(file)!r}: expected a file of the model in its own folder, got {problem}"
    )


def _weights(model: Path) -> list[Path]:
    """The files that hold weights of the model, relative to its folder."""
    if b"location" not in model.read_bytes():
        return []
    try:
        import onnx
        from onnx.external_data_helper import _get_all_tensors, uses_external_data
    except ImportError:
        return []  # if there are such files, the function does not open its model: see _verify
    tensors = _get_all_tensors(onnx.load(os.fspath(model), load_external_data=False))
    names = (
        entry.value
        for tensor in tensors
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    )
    return [Path(name) for name in sorted(set(names))]


def _verify(folder: Path, model: str, engine: str) -> None:
    """Opens the model, which runs its golden rows, with the files of the function alone."""
    done = subprocess.run(
        ["sidecall", "predict", "--engine", engine, "--from", "jsonl", model],
        executable=folder / BOOTSTRAP,
        cwd=folder,
        env={},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != OK:
        raise LambdaZipError(
            f"{model}: expected golden rows that pass in the folder of the function, got: "
            f"{done.stderr.strip()}"
        )


def _pack(folder: Path, path: Path) -> list[Path]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    num_bytes = sum(file.stat().st_size for file in files)
    if num_bytes > MAX_BYTES:
        raise LambdaZipError(
            f"{path}: expected files of at most {MAX_BYTES} bytes, which is Lambda's limit, got "
            f"{num_bytes}: use a container image"
        )
    with tempfile.TemporaryDirectory(prefix=".sidecall-", dir=path.parent) as name:
        partial = Path(name) / path.name
        with zipfile.ZipFile(partial, "w") as target:
            for file in files:
                _add(target, file, file.relative_to(folder))
        partial.replace(path)
    return [file.relative_to(folder) for file in files]


def _add(target: zipfile.ZipFile, file: Path, name: Path) -> None:
    """Adds a file with fixed metadata: a time stamp or the umask would change the bytes."""
    entry = zipfile.ZipInfo(name.as_posix(), (1980, 1, 1, 0, 0, 0))
    entry.create_system = 3  # Unix, so that the mode counts
    entry.external_attr = (0o100755 if name == Path(BOOTSTRAP) else 0o100644) << 16
    target.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=9)


def main(arguments: Sequence[str] | None = None) -> int:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    options = _parser().parse_args(arguments)
    try:
        function = write_zip(
            options.model,
            options.zip,
            bootstrap=options.bootstrap,
            engine=options.engine,
            onnxruntime=options.onnxruntime,
        )
    except errors.Error as error:
        return _fail(BAD_MODEL if error.family in (20, 30) else ENVIRONMENT, error)
    except (LambdaZipError, OSError) as error:
        return _fail(ENVIRONMENT, error)
    names = ", ".join(map(str, function.files))
    print(
        f"{options.zip}: {options.zip.stat().st_size / 1e6:.1f} MB: {names}\n"
        f"runtime provided.al2023, architecture {platform.machine().replace('aarch64', 'arm64')}, "
        f"handler {function.handler}"
    )
    return OK


def _fail(code: int, error: object) -> int:
    print(f"sidecall lambda: {error}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="sidecall", description="Zip files for AWS Lambda.")
    commands = parser.add_subparsers(required=True, metavar="lambda", parser_class=Parser)
    command = commands.add_parser("lambda", prog="sidecall lambda")
    command.add_argument("model", help="an .onnx file")
    command.add_argument("--zip", type=Path, required=True, help="the zip file to write")
    command.add_argument("--bootstrap", type=Path, required=True, help="the native command")
    command.add_argument("--engine", choices=get_args(Engine), default="auto")
    command.add_argument("--onnxruntime", metavar="PATH")
    return parser


if __name__ == "__main__":
    sys.exit(main())
