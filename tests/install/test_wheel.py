"""The sdist builds a wheel, and the wheel installs into an empty environment.

Its native command and its module work there.
"""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .conftest import INSTALL, ROOT, VERSION, assert_says_what_to_install, run, write_determinant

pytestmark = pytest.mark.long

PENGUINS = ROOT / "tests" / "vectors" / "models" / "penguins.onnx"
IDENTITY = PENGUINS.with_name("identity_float32.onnx")  # it has no contract
RECORD = {"island": "Biscoe", "bill_length_mm": 48.2}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT)
    return next(folder.glob("*.whl"))


def make_environment(folder: Path, package: object) -> Path:
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "pip", "install", "--disable-pip-version-check", package)
    return folder


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel and ONNX Runtime."""
    return make_environment(tmp_path_factory.mktemp("venv"), f"{wheel}[onnxruntime]")


@pytest.fixture(scope="module")
def slim(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel without extras, so without ONNX Runtime."""
    return make_environment(tmp_path_factory.mktemp("slim"), wheel)


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


def test_export_without_its_extra_says_what_to_install(slim: Path, tmp_path: Path) -> None:
    program = "import sidecall; sidecall.export(object(), 'x.onnx')"
    done = subprocess.run(
        [slim / "bin" / "python", "-c", program],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "sklearn and onnx and onnxruntime: pip install 'sidecall[export]'" in done.stderr


def python(environment: Path, program: str, folder: Path, expect: int = 0) -> str:
    return run(environment / "bin" / "python", "-c", program, cwd=folder, env={}, expect=expect)


def test_the_wheel_alone_installs_no_onnxruntime(slim: Path) -> None:
    packages = json.loads(run(slim / "bin" / "pip", "list", "--format", "json"))
    names = {package["name"].lower() for package in packages}
    assert {"sidecall", "numpy"} <= names
    assert "onnxruntime" not in names


@pytest.mark.parametrize("backend", ["native", "cffi"])
def test_a_model_runs_on_the_native_engine(slim: Path, backend: str, tmp_path: Path) -> None:
    program = f"""
import sidecall
model = sidecall.open({str(PENGUINS)!r}, backend={backend!r})
print(model.predict({RECORD!r})["label"], model.verify()["engine"].split()[0])
"""
    assert python(slim, program, tmp_path) == "Gentoo native\n"


@pytest.mark.parametrize("backend", ["native", "cffi"])
def test_python_says_in_one_line_how_to_install_onnxruntime(
    slim: Path, backend: str, tmp_path: Path
) -> None:
    path = write_determinant(tmp_path)
    program = f"""
import sidecall
try:
    sidecall.open({str(path)!r}, backend={backend!r})
except (sidecall.errors.EngineNotFound, sidecall.errors.EngineTooOld) as error:
    print(f"{{error.code}}: {{error}}")
"""
    assert_says_what_to_install(python(slim, program, tmp_path))


def test_the_command_of_the_wheel_says_how_to_install_onnxruntime(
    slim: Path, tmp_path: Path
) -> None:
    path = write_determinant(tmp_path)
    done = subprocess.run(
        [slim / "bin" / "sidecall", "info", path], capture_output=True, text=True, env={}
    )
    assert done.returncode == 4
    assert INSTALL in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_library_that_is_named_but_absent_is_an_error_and_not_replaced(
    slim: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [slim / "bin" / "sidecall", "info", IDENTITY],
        capture_output=True,
        text=True,
        env=os.environ | {"SIDECALL_ONNXRUNTIME": "/nonexistent/libonnxruntime.so"},
    )
    assert done.returncode == 4
    assert "no ONNX Runtime library was found: set SIDECALL_ONNXRUNTIME" in done.stderr
