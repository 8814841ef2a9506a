"""Fixtures of the tests of the documentation: an installed tree, and a folder for each page."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from snippets import ROOT, snippets_of

BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build")).resolve()
NODE = ROOT / "bindings" / "node"


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a reader who has installed libsidecall, the command and the packages."""
    assert (BUILD / "build.ninja").exists(), f"no build in {BUILD}: run make build first"
    tree = tmp_path_factory.mktemp("installed")
    subprocess.run(
        ["cmake", "--install", BUILD, "--prefix", tree],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    library = next(tree.rglob("libsidecall.so")).parent
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None and spec.submodule_search_locations, "onnxruntime is not installed here"
    onnxruntime = next(Path(spec.submodule_search_locations[0]).glob("capi/libonnxruntime.so.*"))
    python = Path(sys.executable).parent
    return os.environ | {
        "PATH": f"{tree / 'bin'}:{python}:{os.environ['PATH']}",
        "PKG_CONFIG_PATH": str(library / "pkgconfig"),
        "LD_LIBRARY_PATH": str(library),
        "SIDECALL_ONNXRUNTIME": str(onnxruntime),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """penguins.onnx, made by the program of the first tutorial."""
    folder = tmp_path_factory.mktemp("model")
    train = next(
        snippet
        for snippet in snippets_of(ROOT / "docs" / "tutorials" / "export.md")
        if snippet.detail == "train.py"
    )
    (folder / "train.py").write_text(train.code, encoding="utf-8")
    export = "import sidecall, train; sidecall.export(train.pipeline, 'penguins.onnx', train.X)"
    subprocess.run([sys.executable, "-c", export], cwd=folder, check=True)
    return folder / "penguins.onnx"


@pytest.fixture
def folder(tmp_path: Path, model: Path, environment: dict[str, str]) -> Path:
    """A reader's folder: the model, and the npm package as `npm install` would place it."""
    shutil.copy(model, tmp_path)
    commands = tmp_path / "node_modules" / ".bin"
    commands.mkdir(parents=True)
    (tmp_path / "node_modules" / "sidecall").symlink_to(NODE)
    (commands / "sidecall").symlink_to("../sidecall/bin/sidecall.js")
    return tmp_path
