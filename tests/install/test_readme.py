"""The programs of README.md, extracted and run with the installed tree.

Every language must give the same answer.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, Application, library_dir, run

BLOCKS = re.findall(
    r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL
)
EXPORT, CALL = [text for language, text in BLOCKS if language == "python"]
C_PROGRAM = next(text for language, text in BLOCKS if language == "c")
CPP_PROGRAM = next(text for language, text in BLOCKS if language == "cpp")
NODE_PROGRAM = next(text for language, text in BLOCKS if language == "js")
SHELL = next(text for language, text in BLOCKS if language == "sh" and "sidecall predict" in text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with penguins.onnx, exported as README.md describes."""
    path = tmp_path_factory.mktemp("readme")
    run(sys.executable, "-c", EXPORT, cwd=path)
    return path


@pytest.fixture(scope="module")
def environment(installed: Path, onnxruntime: Path) -> dict[str, str]:
    own = {
        "PATH": f"{installed / 'bin'}:{os.environ['PATH']}",
        "PKG_CONFIG_PATH": str(library_dir(installed) / "pkgconfig"),
        "LD_LIBRARY_PATH": str(library_dir(installed)),
        "SIDECALL_ONNXRUNTIME": str(onnxruntime),
    }
    return os.environ | own


def answer_of_command(
    record: dict[str, object], folder: Path, environment: dict[str, str]
) -> float:
    done = subprocess.run(
        ["sidecall", "predict", "penguins.onnx"],
        input=json.dumps(record),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["probabilities"]["Gentoo"]


def compiled(compiler: str, source: Path, text: str, environment: dict[str, str]) -> Path:
    source.write_text(text, encoding="utf-8")
    flags = run("pkg-config", "--cflags", "--libs", "sidecall", env=environment).split()
    run(compiler, "-Wall", "-Wextra", "-Werror", source, *flags, "-o", source.with_suffix(""))
    return source.with_suffix("")


def test_the_c_and_cpp_programs_give_the_answer_of_the_command(
    folder: Path, environment: dict[str, str]
) -> None:
    expected = answer_of_command({"island": "Biscoe", "bill_length_mm": 48.2}, folder, environment)
    c = compiled("cc", folder / "program_c.c", C_PROGRAM, environment)
    # The program prints three digits.
    assert float(run(c, cwd=folder, env=environment)) == pytest.approx(expected, abs=6e-4)
    cpp = compiled("c++", folder / "program_cpp.cpp", CPP_PROGRAM, environment)
    assert float(run(cpp, cwd=folder, env=environment)) == pytest.approx(expected, rel=1e-5)


def test_the_c_program_names_a_missing_model(
    folder: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    program = compiled("cc", folder / "program_absent.c", C_PROGRAM, environment)
    assert "penguins.onnx" in run(program, cwd=tmp_path, env=environment, expect=1)


def test_the_python_program_gives_the_expected_answer(
    folder: Path, environment: dict[str, str]
) -> None:
    ending = "print(answer['probabilities']['Gentoo'], len(X['gentoo']) == len(X))"
    label, probability, *rest = run(
        sys.executable, "-c", EXPORT + CALL + ending, cwd=folder
    ).split()[-4:]
    record = {
        "island": "Biscoe",
        "bill_length_mm": 48.2,
        "bill_depth_mm": 14.3,
        "flipper_length_mm": 215,
        "body_mass_g": 4900,
    }
    assert label == "Gentoo"
    assert float(probability) == pytest.approx(
        answer_of_command(record, folder, environment), rel=1e-6
    )
    assert rest[1:] == ["True"]


def test_the_node_program_gives_the_answer_of_the_command(
    folder: Path, environment: dict[str, str], application: Application
) -> None:
    shutil.copy(folder / "penguins.onnx", application.folder)
    expected = answer_of_command({"island": "Biscoe", "bill_length_mm": 48.2}, folder, environment)
    assert float(application.node(NODE_PROGRAM, "readme.mjs")) == pytest.approx(expected, rel=1e-6)


def test_the_shell_commands_run(folder: Path, environment: dict[str, str]) -> None:
    first, info = SHELL.splitlines()[:2]
    assert '"label"' in run("sh", "-c", first, cwd=folder, env=environment)
    assert "bill_length_mm" in run("sh", "-c", info, cwd=folder, env=environment)
