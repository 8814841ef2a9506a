"""The program `penguins` of examples: the same in each language, with the same output."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build")).resolve()
COMMAND = BUILD / "bin/sidecall"
MODEL = ROOT / "tests/vectors/models/penguins.onnx"
PROGRAMS = {
    "C": [BUILD / "bin/example-c"],
    "C++": [BUILD / "bin/example-cpp"],
    "Python": [sys.executable, EXAMPLES / "python/penguins.py"],
    "Node.js": ["node", EXAMPLES / "node/penguins.js"],
    "bash": [EXAMPLES / "bash/penguins.sh"],
    "Perl": [EXAMPLES / "perl/penguins.pl"],
    "Rust": [BUILD / "rust/debug/penguins"],
    "Go": [BUILD / "go/penguins"],
    "Java": [
        "java",
        "--enable-native-access=ALL-UNNAMED",
        f"-Dsidecall.library={BUILD}/lib/libsidecall.so",
        "-cp",
        BUILD / "java/sidecall.jar",
        EXAMPLES / "java/Penguins.java",
    ],
}
# `make test-long` compiles these.
COMPILED = ("Rust", "Go", "Java")
LANGUAGES = [
    pytest.param(name, marks=pytest.mark.long) if name in COMPILED else name for name in PROGRAMS
]
OUTPUT = b"""\
label: Gentoo
probabilities.Gentoo: 0.9980
refused: feature 'bill_length_mm': expected float32, got string
refused: feature 'body_mass_g': expected float32, got string
"""
LIBRARY = next(Path(find_spec("onnxruntime").origin).parent.glob("capi/libonnxruntime.so.*"))
ENVIRONMENT = os.environ | {
    "SIDECALL_NODE_ADDON": str(BUILD / "lib/sidecall.node"),
    "SIDECALL_ONNXRUNTIME": str(LIBRARY),
}

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the program of one language in the test's own folder, with the command in its PATH."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sidecall").symlink_to(COMMAND)
    environment = ENVIRONMENT | {
        "PATH": f"{tmp_path}/bin:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(BUILD / "lib"),
    }

    def run(language: str, *words: object, **variables: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*PROGRAMS[language], *map(str, words)],
            env=environment | variables,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    """The address of a server of the model."""
    address = f"shm:{tmp_path_factory.mktemp('server')}/penguins.sock"
    command = [COMMAND, "serve", MODEL, "--at", address, "--log-level", "error"]
    with subprocess.Popen(command, env=ENVIRONMENT) as server:
        try:
            status = [COMMAND, "status", address, "--ready", "--wait", "60"]
            subprocess.run(status, check=True, stdout=subprocess.DEVNULL, timeout=120)
            yield address
        finally:
            server.terminate()


def outcome(done: subprocess.CompletedProcess[bytes]) -> tuple[int, bytes, bytes]:
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_prints_the_same_bytes_in_process_and_over_shm(
    run: Run, address: str, language: str
) -> None:
    assert outcome(run(language, MODEL)) == (0, OUTPUT, b"")
    assert outcome(run(language, address)) == (0, OUTPUT, b"")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_model_is_penguins_onnx_in_the_current_folder_by_default(
    run: Run, tmp_path: Path, language: str
) -> None:
    (tmp_path / "penguins.onnx").symlink_to(MODEL)
    assert outcome(run(language)) == (0, OUTPUT, b"")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_program_that_cannot_open_its_model_says_why_and_fails(run: Run, language: str) -> None:
    for uri, reason in [
        ("nowhere.onnx", b"file 'nowhere.onnx': no such file"),
        ("shm:nowhere", b"'shm:nowhere': "),
    ]:
        done = run(language, uri)
        assert done.returncode != 0
        assert done.stdout == b""
        assert reason in done.stderr
        assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_program_with_another_model_says_what_does_not_fit_and_fails(
    run: Run, language: str
) -> None:
    done = run(language, MODEL.with_name("gbm.onnx"))
    assert done.returncode != 0
    assert done.stdout == b""
    assert b": expected " in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_program_without_onnx_runtime_says_so_and_fails(run: Run, language: str) -> None:
    done = run(language, MODEL, SIDECALL_ONNXRUNTIME="/nonexistent")
    assert done.returncode != 0
    assert done.stdout == b""
    assert b"no ONNX Runtime library was found" in done.stderr
