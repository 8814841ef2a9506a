"""No command imports modules of the current folder unless the caller asks for it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import joblib
import pytest
from interpreters import make_package, make_python
from sklearn.linear_model import LinearRegression

# Names that Python, the package or its dependencies import at startup.
NAMES = [
    "numpy",
    "json",
    "sidecall",
    "onnx",
    "joblib",
    "pandas",
    "csv",
    "email",
    "argparse",
    "signal",
    "sitecustomize",
    "usercustomize",
]


@pytest.fixture
def traps(tmp_path: Path) -> Path:
    """Creates modules in the current folder that leave a file when they run. Returns the files'
    folder.
    """
    sprung = tmp_path / "sprung"
    sprung.mkdir()
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(
            f"open({str(sprung)!r} + '/{name}', 'w').close()\nraise ImportError('a trap')\n"
        )
    (tmp_path / "trap.pth").write_text(f"import os; open({str(sprung)!r} + '/pth', 'w').close()\n")
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), tmp_path / "model.joblib")
    return sprung


def sprung_by(traps: Path) -> list[str]:
    return sorted(file.name for file in traps.iterdir())


@pytest.mark.parametrize(
    "python_path", [None, "", ":", ":/nowhere", "/nowhere:", "/nowhere::/elsewhere"]
)
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "model.joblib"], 2),
        (["check", "--help"], 0),
        (["export", "model.joblib", "-o", "out.onnx"], 2),
        (["export", "nothing.joblib", "-o", "out.onnx"], 2),
        (["serve", "model.joblib", "--at", "shm:/nowhere/x.sock"], 1),
        (["doctor"], None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_files_of_the_current_folder_are_not_executed(sidecall, traps, words, code, python_path):
    done = sidecall(*words, env={"SIDECALL_PYTHON": sys.executable, "PYTHONPATH": python_path})
    assert sprung_by(traps) == []
    assert code is None or done.code == code, done.err


def test_loading_an_untrusted_pickle_is_refused(sidecall, traps):
    done = sidecall("check", "model.joblib", env={"SIDECALL_PYTHON": sys.executable})
    assert (done.code, done.out) == (2, "")
    assert "--trust-pickle" in done.err


def test_other_entries_of_pythonpath_are_kept(sidecall, tmp_path):
    python = make_python(tmp_path / "bin/python3", None)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    make_package(
        tmp_path / "site",
        "import sys; print([path for path in sys.path if 'site' in path or path == ''])",
    )
    done = sidecall(
        "check",
        env={"SIDECALL_PYTHON": str(python), "PYTHONPATH": f":{tmp_path}/site::{tmp_path}/site2:"},
    )
    assert done.out == f"{[f'{tmp_path}/site', f'{tmp_path}/site2']}\n"


CLASSES = """\
from sklearn.linear_model import LinearRegression

class Ours(LinearRegression):
    pass
"""


def test_a_trusted_pickle_can_import_modules_from_its_folder(sidecall, tmp_path, monkeypatch):
    (tmp_path / "ours_beside.py").write_text(CLASSES)
    monkeypatch.syspath_prepend(str(tmp_path))
    from ours_beside import Ours

    joblib.dump(Ours().fit([[0.0], [1.0]], [0.0, 2.0]), tmp_path / "ours.joblib")
    done = sidecall(
        "check", "ours.joblib", "--trust-pickle", env={"SIDECALL_PYTHON": sys.executable}
    )
    assert done.code in (0, 1), done.err  # any answer is fine
    assert "Ours" in done.out
    done = sidecall("check", "ours.joblib", env={"SIDECALL_PYTHON": sys.executable})
    assert (done.code, done.out) == (2, "")


@pytest.mark.parametrize(
    "workers", [[], ["--workers", "1"]], ids=["in_this_process", "in_a_worker"]
)
def test_a_module_of_the_current_folder_is_served(sidecall, tmp_path, workers):
    (tmp_path / "app.py").write_text(
        "import helper\n\ndef double(x: float) -> float:\n    return helper.twice(x)\n"
    )
    (tmp_path / "helper.py").write_text("def twice(x):\n    return 2 * x\n")
    at = f"shm:{tmp_path}/app.sock"
    sidecall.env["SIDECALL_PYTHON"] = sys.executable
    with sidecall.start("serve", "app:double", "--at", at, *workers) as process:
        try:
            done = sidecall("predict", at, "--wait", "50", stdin='{"x": 4}')
            assert (done.code, done.out) == (0, '{"prediction":8}\n')
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
    assert process.returncode == 0
