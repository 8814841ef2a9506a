"""The packages for Python and Node.js: they run on every system with glibc 2.28, and each file is
compiled once.
"""

import platform
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, VERSION, make_packages, run

pytestmark = pytest.mark.long
PENGUINS = ROOT / "tests" / "vectors" / "models" / "penguins.onnx"
LOGS = ROOT / "build" / "log"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_packages(tmp_path_factory.mktemp("dist"), "package-python", "package-node")


def test_the_packages_are_an_sdist_a_wheel_two_tarballs_and_a_slim_one(dist: Path) -> None:
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    machine = platform.machine()
    node = {"x86_64": "x64", "aarch64": "arm64"}[machine]
    files = [path for path in dist.rglob("*") if path.is_file()]
    assert sorted(path.relative_to(dist).as_posix() for path in files) == sorted(
        [
            f"sidecall-{VERSION}.tar.gz",
            f"sidecall-{VERSION}-{python}-{python}-manylinux_2_28_{machine}.whl",
            f"sidecall-{VERSION}.tgz",
            f"sidecall-linux-{node}-{VERSION}.tgz",
            f"slim/sidecall-linux-{node}-slim-{VERSION}.tgz",
        ]
    )


def test_the_npm_packages_compile_nothing_that_the_wheel_has_compiled(dist: Path) -> None:
    log = (LOGS / "portable-node.log").read_text(encoding="utf-8")
    assert "sidecall-objects.dir" not in log
    assert "sidecall-cli.dir" not in log


def test_the_wheel_predicts_in_an_empty_environment(dist: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    wheel = next(dist.glob("*.whl"))
    run(python, "-m", "pip", "install", "--disable-pip-version-check", wheel)
    program = f"""
import sidecall
for backend in ("native", "cffi"):
    model = sidecall.open({str(PENGUINS)!r}, backend=backend)
    print(model.predict({{"island": "Biscoe", "bill_length_mm": 48.2}})["label"])
    try:
        model.predict({{"bill_length_mm": "long"}})
    except sidecall.Error:
        print("refused")
"""
    output = run(python, "-c", program, cwd=tmp_path, env={})
    assert output.split() == ["Gentoo", "refused"] * 2
    assert VERSION in run(tmp_path / "venv" / "bin" / "sidecall", "--version")
