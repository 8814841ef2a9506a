"""Every status of the header has its exception class.

Each class is also a standard exception, and its exceptions can be pickled.
"""

from __future__ import annotations

import builtins
import copy
import pickle
import re
import subprocess
import sys

import pytest
import sidecall
from sidecall import _backend, _native, errors
from sidecall._library import header
from vector_files import BACKENDS, MODELS

TEXT = header().read_text(encoding="utf-8")
# The status constants are between these two places.
SECTION = TEXT[TEXT.index("#define SIDECALL_OK 0") : TEXT.index("sidecall_status_name")]
# OK is no failure.
STATUSES = {
    name: int(number)
    for name, number in re.findall(r"#define SIDECALL_(\w+) (\d+)", SECTION)
    if name != "OK"
}
KINDS = {kind.status: kind for kind in errors.Error.__subclasses__() if kind.status}


def test_every_status_has_one_exception_class() -> None:
    assert len(STATUSES) > 30
    assert {kind.code: kind.status for kind in KINDS.values()} == STATUSES
    assert {kind.code.replace("_", "").lower() for kind in KINDS.values()} == {
        kind.__name__.lower() for kind in KINDS.values()
    }


@pytest.mark.parametrize("code", STATUSES)
def test_an_exception_carries_the_fields_of_its_status(code: str) -> None:
    status = STATUSES[code]
    error = errors.make(
        status,
        "x 'a': expected b, got c",
        status % 2 == 0,
        3,
        "a",
        "b",
        "c",
        [(40, 3, "a", "b", "c", "text")],
    )
    assert type(error) is KINDS[status]
    assert isinstance(error, sidecall.Error)
    standard = [base for base in type(error).__bases__ if base is not errors.Error]
    assert len(standard) == 1
    assert getattr(builtins, standard[0].__name__) is standard[0]
    assert standard[0] is not Exception
    assert error.family == (99 if status == 99 else status // 10 * 10)
    assert str(error) == "x 'a': expected b, got c"
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert vars(twin) == vars(error)
        assert str(twin) == str(error)
    assert error.faults == [errors.Fault("DTYPE_MISMATCH", 3, "a", "b", "c", "text")]


@pytest.mark.parametrize("backend", BACKENDS)
def test_status_names_are_those_of_the_library(backend: str) -> None:
    module = _backend.load(backend)
    for code, status in STATUSES.items():
        assert module.status_name(status) == code
    assert module.status_name(98) == "UNKNOWN"


def test_an_unknown_status_gives_the_base_class() -> None:
    error = errors.make(98, "something new")
    assert type(error) is errors.Error
    assert str(error) == "something new"


def test_both_backends_load_the_same_library() -> None:
    versions = {(module.version(), module.abi_version()) for module in map(_backend.load, BACKENDS)}
    assert versions == {(sidecall.__version__, _native.abi_version())}


@pytest.mark.parametrize("backend", BACKENDS)
def test_opening_with_a_wrong_file_or_wrong_options_raises_the_right_class(
    backend: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, kind in (
        (tmp_path / "no.onnx", FileNotFoundError),
        (tmp_path, OSError),
        (b"junk", ValueError),
        (b"", ValueError),
        ("a\0b", ValueError),
    ):
        with pytest.raises(sidecall.Error) as caught:
            sidecall.open(path, backend=backend)
        assert isinstance(caught.value, kind)
    for options in ({"verify": "maybe"}, {"extra": "keep"}, {"backend": "rust"}, {"timeout": 0}):
        with pytest.raises(errors.InvalidArgument):
            sidecall.open(tmp_path / "no.onnx", **{"backend": backend, **options})


NO_DESCRIPTOR = """
import os, resource, sys
import sidecall
from sidecall import errors

sidecall.open(sys.argv[1], backend=sys.argv[2])
lowest = os.dup(0)
os.close(lowest)
resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
for path in (sys.argv[1], "shm:/no/server.sock", "exec:/bin/true"):
    try:
        sidecall.open(path, backend=sys.argv[2], allow_exec=True)
    except errors.OutOfMemory as error:
        print(error.code, error.retryable)
"""


def test_opening_without_a_free_descriptor_raises_out_of_memory(backend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_DESCRIPTOR, str(MODELS / "matrix.onnx"), backend],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["OUT_OF_MEMORY True"] * 3


def test_errors_of_the_export_are_errors_of_sidecall_and_can_be_pickled() -> None:
    from sidecall.exporting import DataError, ModelError, ParityError, StepError

    for error in (
        sidecall.ExportError("text"),
        ModelError("text"),
        DataError("text", "age"),
        StepError("scale", "reason"),
        ParityError("scale", "reason", output="label", row=3, largest=0.5),
    ):
        assert isinstance(error, sidecall.Error) and isinstance(error, ValueError)
        assert (error.code, error.family, error.retryable) == ("EXPORT", 0, False)
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error)
        assert (str(again), vars(again)) == (str(error), vars(error))
