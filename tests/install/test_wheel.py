"""The sdist builds a wheel, and the wheel installs into an empty environment.

Its native command and its module work there.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .conftest import ROOT, VERSION, run

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "pip", "install", "--disable-pip-version-check", wheel)
    return folder


def test_the_wheel_contains_one_library_and_no_link(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert [name for name in names if "libsidecall" in name] == [
        f"sidecall/libsidecall-{VERSION}.so"
    ]
    assert f"sidecall-{VERSION}.data/scripts/sidecall" in names
    assert {
        "sidecall/py.typed",
        "sidecall/include/sidecall/sidecall.h",
        "sidecall/_native.pyi",
    } <= set(names)
    assert not [name for name in names if "onnxruntime" in name or name.startswith("tests")]


def test_the_command_is_native_and_finds_onnxruntime(environment: Path, tmp_path: Path) -> None:
    command = environment / "bin" / "sidecall"
    assert command.read_bytes()[:4] == b"\x7fELF"
    assert VERSION in run(command, "--version")
    report = run(command, "doctor", cwd=tmp_path, env={})
    assert str(environment / "lib") in report
    assert "libonnxruntime.so" in report


def test_the_command_predicts(environment: Path, tmp_path: Path) -> None:
    record = '{"island":"Biscoe","bill_length_mm":48.2,"bill_depth_mm":14.3,"flipper_length_mm":215,"body_mass_g":4900}'
    pipeline = f"printf '%s\\n' '{record}' | '{environment}/bin/sidecall' predict '{ROOT}/tests/vectors/models/penguins.onnx'"
    assert json.loads(run("sh", "-c", pipeline, cwd=tmp_path, env={}))["label"] == "Gentoo"


def test_the_module_finds_its_library(environment: Path, tmp_path: Path) -> None:
    program = "import sidecall, sys; print(sidecall.__version__, 'onnxruntime' in sys.modules)"
    assert (
        run(environment / "bin" / "python", "-c", program, cwd=tmp_path, env={})
        == f"{VERSION} False\n"
    )


def test_export_without_its_extra_says_what_to_install(environment: Path, tmp_path: Path) -> None:
    program = "import sidecall; sidecall.export(object(), 'x.onnx')"
    done = subprocess.run(
        [environment / "bin" / "python", "-c", program],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "sidecall[export]" in done.stderr
