"""What the tests of installation share: where the build is, how to run a tool, a tree installed from the build and moved."""

import importlib.util
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
VERSION = (ROOT / "VERSION").read_text(encoding="utf-8").strip()


def run(*command: object, expect: int = 0, **options: object) -> str:
    """Runs a tool and gives back what it printed; a wrong exit code fails the test with its output."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed tree, moved after the installation: nothing in it may know where it was."""
    assert (BUILD / "build.ninja").exists(), f"no build in {BUILD}: run make build first"
    folder = tmp_path_factory.mktemp("install")
    run("cmake", "--install", BUILD, "--prefix", folder / "first")
    return (folder / "first").rename(folder / "moved")


@pytest.fixture(scope="session")
def onnxruntime() -> Path:
    """The library of PyPI's onnxruntime in this environment, found without importing it."""
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None and spec.submodule_search_locations, "onnxruntime is not installed here"
    return next(Path(spec.submodule_search_locations[0]).glob("capi/libonnxruntime.so.*"))


def library_dir(tree: Path) -> Path:
    return next(tree.rglob("libsidecall.so")).parent
