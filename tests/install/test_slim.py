"""The slim npm package, which has no ONNX Runtime: files run on the native engine.

A file that needs ONNX Runtime says how to install it. test_wheel.py has the same tests for Python.
"""

import json
from pathlib import Path

import pytest

from .conftest import (
    BUILD,
    INSTALL,
    ROOT,
    VERSION,
    Application,
    assert_says_what_to_install,
    make_application,
    run,
    write_determinant,
)

pytestmark = pytest.mark.long

PENGUINS = ROOT / "tests" / "vectors" / "models" / "penguins.onnx"
PEER = BUILD / "node-peers" / "node_modules"
RECORD = {"island": "Biscoe", "bill_length_mm": 48.2}
ANSWER = f"""
const {{ openSync }} = require('sidecall')
console.log(JSON.stringify(openSync({str(PENGUINS)!r}).predictSync({json.dumps(RECORD)})))
"""
DETERMINANT = """
const { openSync } = require('sidecall')
try {
  const model = openSync('determinant.onnx')
  console.log(model.runSync({ X: new Float32Array([2, 1, 1, 3]) }).Y[0])
} catch (error) {
  console.log(`${error.code}: ${error.message}`)
}
"""


@pytest.fixture(scope="module")
def slim_tarball(tarballs: dict[str, Path]) -> Path:
    (found,) = tarballs["main"].parent.glob("slim/*.tgz")
    return found


@pytest.fixture(scope="module")
def slim(
    tarballs: dict[str, Path], slim_tarball: Path, tmp_path_factory: pytest.TempPathFactory
) -> Application:
    folder = tmp_path_factory.mktemp("slim")
    application = make_application(folder, [tarballs["main"], slim_tarball])
    write_determinant(application.folder)
    return application


def folder_of(application: Application) -> Path:
    (folder,) = (application.folder / "node_modules" / "@sidecall").iterdir()
    return folder


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_slim_package_has_no_onnxruntime_and_is_far_smaller(
    slim: Application, application: Application
) -> None:
    folder = folder_of(slim)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expected = {"sidecall.node", "bin/sidecall", "package.json", "README.md", "LICENSE"}
    assert files == expected | {"ThirdPartyNotices.md"}
    assert size_of(folder) < size_of(folder_of(application)) / 3
    manifest = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    assert manifest["name"].endswith("-slim")
    assert manifest["version"] == VERSION
    assert not {"scripts", "dependencies"} & set(manifest)


def test_a_model_answers_as_with_the_full_package(
    slim: Application, application: Application
) -> None:
    answer = json.loads(slim.node(ANSWER))
    full = json.loads(application.node(ANSWER, "answer.js"))
    assert answer["label"] == full["label"] == "Gentoo"
    assert answer["probabilities"] == pytest.approx(full["probabilities"], rel=1e-5)


def test_the_command_of_the_slim_package_predicts(slim: Application) -> None:
    record = slim.folder / "record.json"
    record.write_text(json.dumps(RECORD) + "\n", encoding="utf-8")
    command = slim.folder / "node_modules" / ".bin" / "sidecall"
    with record.open() as rows:
        assert json.loads(slim.run(command, "predict", PENGUINS, stdin=rows))["label"] == "Gentoo"


def test_an_override_replaces_the_full_package_as_the_guide_says(
    tarballs: dict[str, Path], slim_tarball: Path, tmp_path: Path
) -> None:
    guide = (ROOT / "docs" / "node.md").read_text(encoding="utf-8")
    name = json.loads(run("tar", "-xzOf", slim_tarball, "package/package.json"))["name"]
    full = name.removesuffix("-slim")
    override = f'"@sidecall/linux-x64": "npm:@sidecall/linux-x64-slim@{VERSION}"'
    assert f'"overrides": {{ {override} }}' in guide
    application = make_application(tmp_path, ["--no-save"])
    overrides = {full: f"file:{slim_tarball}"}
    manifest = {"dependencies": {"sidecall": f"file:{tarballs['main']}"}, "overrides": overrides}
    (application.folder / "package.json").write_text(json.dumps(manifest), encoding="utf-8")
    application.run("npm", "install", "--offline", "--no-audit", "--no-fund")
    assert not (folder_of(application) / "lib").exists()
    assert json.loads(application.node(ANSWER))["label"] == "Gentoo"


def test_a_model_that_needs_onnxruntime_says_in_one_line_how_to_install_it(
    slim: Application,
) -> None:
    assert_says_what_to_install(slim.node(DETERMINANT))
    engine = "try { require('sidecall').engine() } catch (error) { console.log(error.message) }"
    assert INSTALL in slim.node(engine)
    command = slim.folder / "node_modules" / ".bin" / "sidecall"
    assert INSTALL in slim.run(command, "info", "determinant.onnx", expect=4)


def test_onnxruntime_node_beside_the_slim_package_runs_that_model(
    tarballs: dict[str, Path], slim_tarball: Path, tmp_path: Path
) -> None:
    assert PEER.is_dir(), f"no onnxruntime-node in {PEER}: make setup installs it"
    application = make_application(tmp_path, [tarballs["main"], slim_tarball])
    for name in ("onnxruntime-node", "onnxruntime-common"):
        (application.folder / "node_modules" / name).symlink_to((PEER / name).resolve())
    write_determinant(application.folder)
    assert application.node(DETERMINANT) == "5\n"


def test_the_full_package_is_used_if_both_are_installed(
    tarballs: dict[str, Path], slim_tarball: Path, tmp_path: Path
) -> None:
    application = make_application(tmp_path, [*tarballs.values(), slim_tarball])
    write_determinant(application.folder)
    assert application.node(DETERMINANT) == "5\n"
