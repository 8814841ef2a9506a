"""Fixtures of the installation tests: the build, running tools, an installed tree, an npm
application.

The tree is installed from the build and then moved.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
VERSION = (ROOT / "VERSION").read_text(encoding="utf-8").strip()
PENGUINS = ROOT / "tests" / "vectors" / "models" / "penguins.onnx"
# What the programs `penguins` of examples print for this model, in every language.
PENGUINS_OUTPUT = """\
label: Gentoo
probabilities.Gentoo: 0.9980
refused: feature 'bill_length_mm': expected float32, got string
refused: feature 'body_mass_g': expected float32, got string
"""

INSTALL = (
    "install it with 'pip install onnxruntime' for Python or with 'npm install onnxruntime-node' "
    "for Node.js, or set SIDECALL_ONNXRUNTIME to the path of a libonnxruntime.so of version 1.22 "
    "or newer"
)
# Debian's library, which is too old, may be on this machine.
ABSENT = ("ENGINE_NOT_FOUND: ", "ENGINE_TOO_OLD: ")


def run(*command: object, expect: int = 0, **options: object) -> str:
    """Runs a tool and returns its output. A wrong exit code fails the test with that output."""
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    assert done.returncode == expect, f"{command}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed tree that was moved after the installation: no file in it may contain its old
    path.
    """
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


def write_determinant(folder: Path) -> Path:
    """Writes a model with one node, which the native engine does not have."""
    graph = helper.make_graph(
        [helper.make_node("Det", ["X"], ["Y"], name="determinant")],
        "determinant",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [1, 2, 2])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1])],
    )
    path = folder / "determinant.onnx"
    opset = [helper.make_opsetid("", 21)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


def assert_says_what_to_install(text: str) -> None:
    assert text.startswith(ABSENT), text
    assert "node 'determinant'" in text
    assert INSTALL in text
    assert text.count("\n") <= 1, "expected one line"


def make_packages(folder: Path, *targets: str) -> Path:
    """Runs targets of make that write packages, and returns the folder of the packages."""
    # If make runs the tests, its options must not reach the make that is started here.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    for target in targets:
        run("make", "-C", ROOT, f"DIST={folder}", target, env=environment)
    return folder


def library_dir(tree: Path) -> Path:
    return next(tree.rglob("libsidecall.so")).parent


@dataclass(frozen=True)
class Application:
    """The folder of a program that uses packages, and the environment of its commands.

    The environment has only the tools that are named, and no variable of this project.
    """

    folder: Path
    environment: dict[str, str]

    def run(self, *command: object, expect: int = 0, **options: object) -> str:
        return run(*command, expect=expect, cwd=self.folder, env=self.environment, **options)

    def node(self, program: str, name: str = "program.js", expect: int = 0) -> str:
        (self.folder / name).write_text(program, encoding="utf-8")
        return self.run("node", name, expect=expect)


@pytest.fixture(scope="session")
def tarballs(onnxruntime: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tarballs that `make package` builds for npm.

    The keys are "main" for the main package and "platform" for the one of this platform. The folder
    `slim` beside them has the package of this platform without ONNX Runtime.
    """
    folder = tmp_path_factory.mktemp("npm")
    run(
        "npm",
        "run",
        "pack",
        "--",
        "--build",
        BUILD.resolve(),
        "--onnxruntime",
        onnxruntime,
        "--out",
        folder,
        cwd=ROOT / "bindings/node",
    )
    found = sorted(folder.glob("*.tgz"), key=lambda path: len(path.name))
    assert len(found) == 2, found
    return {"main": found[0], "platform": found[1]}


def make_room(folder: Path, tools: dict[str, object], **variables: object) -> Application:
    """Makes an empty folder and an empty home; `tools` says where each program is."""
    for name in ("tools", "home", "application"):
        (folder / name).mkdir()
    for name, path in tools.items():
        assert path is not None, f"{name} is not installed here"
        (folder / "tools" / name).symlink_to(path)
    own = {"PATH": folder / "tools", "HOME": folder / "home"}
    environment = {name: str(value) for name, value in (own | variables).items()}
    return Application(folder / "application", environment)


def find_compiler(name: str) -> dict[str, object]:
    """A C compiler and what it runs. A compiler cache would look for the compiler in PATH."""
    return {tool: shutil.which(tool, path="/usr/bin:/bin") for tool in (name, "as", "ld")}


def needed(program: Path) -> set[str]:
    """The shared libraries that a program loads when it starts."""
    return set(re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", program)))


def make_application(folder: Path, tarballs: list[object]) -> Application:
    """The result of `npm install` of the tarballs, without a compiler, Python and a network."""
    tools = {name: shutil.which(name) for name in ("node", "npm", "sh", "env")}
    application = make_room(folder, tools, npm_config_cache=folder / "cache")
    application.run("npm", "init", "-y")
    application.run("npm", "install", *tarballs, "--offline", "--no-audit", "--no-fund")
    return application


@pytest.fixture(scope="session")
def application(tarballs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Application:
    return make_application(tmp_path_factory.mktemp("application"), list(tarballs.values()))
