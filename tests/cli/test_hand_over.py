"""sidecall export, check, compare and serve of Python objects: Python gets the same arguments."""

from __future__ import annotations

import os

import pytest
from interpreters import make_package, make_python


@pytest.mark.parametrize("command", ["export", "check", "compare", "serve"])
def test_every_argument_is_passed_to_python(no_neighbour, tmp_path, command):
    python = make_python(tmp_path / "bin/python3", make_package(tmp_path / "site"))
    words = ["a b.joblib", "--help", "--data", "", "-", "--trust-pickle", "ö"]
    done = no_neighbour(command, *words, env={"SIDECALL_PYTHON": str(python)}, stdin="input")
    assert done.code == 7  # the exit code is passed on too
    assert done.out == f"{[command, *words]} input 1\n"


def test_sidecall_python_is_tried_before_the_python_beside_the_command(no_neighbour, tmp_path):
    make_python(tmp_path / "alone/python3", make_package(tmp_path / "beside", "print('beside')"))
    setting = make_python(tmp_path / "bin/python3", make_package(tmp_path / "set", "print('set')"))
    assert no_neighbour("check", env={"SIDECALL_PYTHON": str(setting)}).out == "set\n"
    assert no_neighbour("check").out == "beside\n"


def test_a_python_beside_the_command_without_the_package_is_skipped(no_neighbour, tmp_path):
    make_python(tmp_path / "alone/python3", None)
    setting = make_python(tmp_path / "bin/python3", make_package(tmp_path / "set", "print('set')"))
    assert no_neighbour("check", env={"SIDECALL_PYTHON": str(setting)}).out == "set\n"


def test_python_is_searched_on_path_last(no_neighbour, tmp_path):
    make_python(tmp_path / "bin/python3", make_package(tmp_path / "path", "print('path')"))
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    assert no_neighbour("check", env={"PATH": path}).out == "path\n"
    assert no_neighbour("check", env={"PATH": path, "SIDECALL_PYTHON": "python3"}).out == "path\n"


def test_an_error_lists_every_python_without_the_package(no_neighbour, tmp_path):
    python = make_python(tmp_path / "bin/python3", None)
    done = no_neighbour(
        "export", "a", "b", env={"PATH": str(python.parent), "SIDECALL_PYTHON": "/no/python3"}
    )
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        "sidecall: export needs Python with the package sidecall: pip install sidecall, or name an interpreter in SIDECALL_PYTHON; "
        f"tried /no/python3 (SIDECALL_PYTHON): does not run as Python 3.11 or newer, {python} (PATH): package not installed\n"
    )


def test_a_missing_python_is_an_error(no_neighbour, tmp_path):
    done = no_neighbour("check", env={"PATH": str(tmp_path)})
    assert (done.code, done.out) == (4, "")
    assert (
        done.err
        == "sidecall: check needs Python with the package sidecall: pip install sidecall, or name an interpreter in SIDECALL_PYTHON\n"
    )


def test_a_folder_named_sidecall_does_not_count_as_the_package(no_neighbour, tmp_path):
    (tmp_path / "sidecall").mkdir()
    python = make_python(tmp_path / "bin/python3", tmp_path)
    done = no_neighbour("check", env={"PATH": str(python.parent)})
    assert (done.code, done.out) == (4, "")
    assert "package not installed" in done.err
