"""The npm tarballs: their content, and an application that has only node, npm and the tarballs."""

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from .conftest import BUILD, ROOT, VERSION, Application, make_application, run

pytestmark = pytest.mark.long

PENGUINS = ROOT / "tests" / "vectors" / "models" / "penguins.onnx"
TOOLS = ROOT / "bindings" / "node" / "node_modules" / ".bin"
PEER = BUILD / "node-peers" / "node_modules"
RECORD = {
    "island": "Biscoe",
    "bill_length_mm": 48.2,
    "bill_depth_mm": 14.3,
    "flipper_length_mm": 215,
    "body_mass_g": 4900,
    "year": 2009,
}
COMMONJS = f"""
const {{ open }} = require('sidecall')
open({str(PENGUINS)!r}).then(model => {{
  const answer = model.predictSync({json.dumps(RECORD)})
  console.log(JSON.stringify(answer))
  model.close()
}})
"""
MODULE = f"""
import {{ open }} from 'sidecall'
const model = await open({str(PENGUINS)!r})
console.log(JSON.stringify(await model.predict({json.dumps(RECORD)})))
model.close()
"""
ENGINE = "console.log(JSON.stringify(require('sidecall').engine()))"
TOGETHER = f"""
const uses = {{
  sidecall: async () => require('sidecall').openSync({str(PENGUINS)!r}).predictSync({json.dumps(RECORD)}).label,
  'onnxruntime-node': async () => {{
    const {{ InferenceSession, Tensor }} = require('onnxruntime-node')
    const session = await InferenceSession.create({str(ROOT / "tests/vectors/models/identity_float32.onnx")!r})
    const feeds = Object.fromEntries(session.inputNames.map(name => [name, new Tensor('float32', [7], [1])]))
    return (await session.run(feeds))[session.outputNames[0]].data[0]
  }}
}}
const work = async () => {{
  for (const name of process.argv.slice(2)) console.log(await uses[name]())
}}
work()
"""


def members(tarball: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(tarball) as archive:
        return {member.name.removeprefix("package/"): member for member in archive.getmembers()}


def manifest(tarball: Path) -> dict:
    with tarfile.open(tarball) as archive:
        return json.load(archive.extractfile("package/package.json"))


def platform_folder(application: Application) -> Path:
    return next((application.folder / "node_modules" / "@sidecall").iterdir())


def test_tarballs_contain_only_the_needed_files(tarballs: dict[str, Path]) -> None:
    main, platform = members(tarballs["main"]), members(tarballs["platform"])
    assert {
        "index.js",
        "index.mjs",
        "index.d.ts",
        "index.d.mts",
        "bin/sidecall.js",
        "README.md",
        "LICENSE",
        "package.json",
    } <= set(main)
    assert all(
        name.endswith((".js", ".mjs", ".ts", ".mts", ".md", ".json")) or name == "LICENSE"
        for name in main
    )
    assert sum(member.size for member in main.values()) < 200_000
    native = {"sidecall.node", "bin/sidecall", "lib/libonnxruntime.so.1"}
    notices = {
        "LICENSE",
        "LICENSE.onnxruntime",
        "ThirdPartyNotices.md",
        "ThirdPartyNotices.onnxruntime.txt",
    }
    assert set(platform) == native | notices | {"README.md", "package.json"}
    assert platform["bin/sidecall"].mode & 0o111


def test_manifests_have_the_expected_fields(tarballs: dict[str, Path]) -> None:
    main, platform = manifest(tarballs["main"]), manifest(tarballs["platform"])
    assert (main["name"], main["version"], platform["version"]) == ("sidecall", VERSION, VERSION)
    assert main["optionalDependencies"] == {platform["name"]: VERSION}
    assert (
        platform["os"] == ["linux"] and platform["libc"] == ["glibc"] and len(platform["cpu"]) == 1
    )
    assert main["peerDependenciesMeta"] == {"onnxruntime-node": {"optional": True}}
    for package in (main, platform):
        assert not {"scripts", "dependencies", "devDependencies"} & set(package), (
            "expected nothing to run and nothing to download"
        )
    assert main["gypfile"] is False


def test_npm_ci_repeats_the_installation(tarballs: dict[str, Path], tmp_path: Path) -> None:
    application = make_application(tmp_path, list(tarballs.values()))
    shutil.rmtree(application.folder / "node_modules")
    application.run("npm", "ci", "--offline", "--no-audit", "--no-fund")
    assert application.node("console.log(require('sidecall').version)") == f"{VERSION}\n"


@pytest.mark.parametrize("name", ["sidecall.node", "bin/sidecall"])
def test_native_files_are_stripped_and_need_only_common_libraries(
    application: Application, name: str
) -> None:
    path = platform_folder(application) / name
    assert ".symtab" not in run("readelf", "-S", path)
    dynamic = run("readelf", "-d", path)
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", dynamic))
    assert needed <= {
        "libstdc++.so.6",
        "libm.so.6",
        "libgcc_s.so.1",
        "libc.so.6",
        "libdl.so.2",
        "libpthread.so.0",
        "ld-linux-x86-64.so.2",
    }
    assert "RUNPATH" not in dynamic and "RPATH" not in dynamic


def test_the_addon_exports_no_symbol_of_the_library(application: Application) -> None:
    symbols = run("nm", "-D", "--defined-only", platform_folder(application) / "sidecall.node")
    assert "napi_register_module_v1" in symbols
    assert "sidecall_" not in symbols


def test_commonjs_and_modules_give_the_same_answer(application: Application) -> None:
    answer = json.loads(application.node(COMMONJS))
    assert answer["label"] == "Gentoo"
    assert list(answer["probabilities"]) == ["Adelie", "Chinstrap", "Gentoo"]
    assert json.loads(application.node(MODULE, "program.mjs")) == answer


def test_modules_and_commonjs_share_one_package(application: Application) -> None:
    program = """
    import * as esm from 'sidecall'
    import { createRequire } from 'node:module'
    const cjs = createRequire(import.meta.url)('sidecall')
    const names = Object.keys(cjs).sort()
    console.log(names.every(name => esm[name] === cjs[name]), Object.keys(esm).filter(name => name !== 'default').sort().join() === names.join())
    """
    assert application.node(program, "both.mjs") == "true true\n"


def test_the_library_of_the_platform_package_is_used(application: Application) -> None:
    engine = json.loads(application.node(ENGINE))
    assert engine["path"] == str(
        platform_folder(application).resolve() / "lib" / "libonnxruntime.so.1"
    )
    assert engine["telemetry"] == "off"


def test_the_command_predicts_and_finds_its_library(application: Application) -> None:
    command = application.folder / "node_modules" / ".bin" / "sidecall"
    assert VERSION in application.run(command, "--version")
    (application.folder / "record.json").write_text(json.dumps(RECORD) + "\n", encoding="utf-8")
    with (application.folder / "record.json").open() as record:
        assert (
            json.loads(application.run(command, "predict", PENGUINS, stdin=record))["label"]
            == "Gentoo"
        )
    assert "lib/libonnxruntime.so.1" in application.run(command, "doctor")


def test_the_command_returns_the_exit_code_of_the_native_command(application: Application) -> None:
    command = application.folder / "node_modules" / ".bin" / "sidecall"
    done = subprocess.run(
        [command, "info", "absent.onnx"],
        cwd=application.folder,
        env=application.environment,
        capture_output=True,
    )
    native = subprocess.run(
        [platform_folder(application) / "bin" / "sidecall", "info", "absent.onnx"],
        capture_output=True,
    )
    assert done.returncode == native.returncode != 0
    assert done.stderr == native.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_command_ends_by_the_signal_that_it_receives(
    application: Application, number: signal.Signals
) -> None:
    command = [application.folder / "node_modules" / ".bin" / "sidecall", "predict", PENGUINS]
    with subprocess.Popen(
        command,
        cwd=application.folder,
        env=application.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdin.write(json.dumps(RECORD) + "\n" * 2)
        process.stdin.flush()
        assert '"Gentoo"' in process.stdout.readline(), "the native command is at work"
        process.send_signal(number)
        assert process.wait(timeout=30) == -number


def test_without_the_platform_package_the_error_says_so(
    tarballs: dict[str, Path], tmp_path: Path
) -> None:
    application = make_application(tmp_path, [tarballs["main"], "--omit=optional"])
    text = application.node("require('sidecall')", expect=1)
    assert "is not installed: was npm told to omit optional dependencies?" in text
    command = application.run(
        application.folder / "node_modules" / ".bin" / "sidecall", "--version", expect=1
    )
    assert re.fullmatch(
        r"sidecall: no native part of sidecall for linux-\w+: the package @sidecall/linux-\w+ is not installed: .*\n",
        command,
    )


def test_publint_finds_nothing(application: Application) -> None:
    for folder in (application.folder / "node_modules" / "sidecall", platform_folder(application)):
        assert "All good!" in run(
            TOOLS / "publint", "--strict", folder, env=os.environ | {"NO_COLOR": "1"}
        )


def test_attw_finds_nothing(tarballs: dict[str, Path]) -> None:
    output = run(TOOLS / "attw", tarballs["main"], "--format", "json")
    assert "problems" in output
    assert json.loads(output)["analysis"]["problems"] == []


@pytest.fixture(scope="module")
def shared(tarballs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Application:
    """An application that also has onnxruntime-node."""
    assert PEER.is_dir(), f"no onnxruntime-node in {PEER}: make setup installs it"
    application = make_application(tmp_path_factory.mktemp("shared"), list(tarballs.values()))
    for name in ("onnxruntime-node", "onnxruntime-common"):
        (application.folder / "node_modules" / name).symlink_to((PEER / name).resolve())
    return application


@pytest.mark.parametrize(
    "order", [["sidecall", "onnxruntime-node"], ["onnxruntime-node", "sidecall"]]
)
def test_sidecall_and_onnxruntime_node_work_in_one_process(
    shared: Application, order: list[str]
) -> None:
    (shared.folder / "together.js").write_text(TOGETHER, encoding="utf-8")
    answers = {"sidecall": "Gentoo", "onnxruntime-node": "7"}
    assert shared.run("node", "together.js", *order).split() == [answers[name] for name in order]


def test_the_library_of_onnxruntime_node_is_used_if_it_is_installed(shared: Application) -> None:
    engine = json.loads(shared.node(ENGINE))
    assert Path(engine["path"]).is_relative_to((PEER / "onnxruntime-node").resolve())


def test_the_source_build_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "node").symlink_to(shutil.which("node"))
    script = ROOT / "bindings" / "node" / "scripts" / "build.js"
    output = run("node", script, expect=1, env={"PATH": str(tmp_path)})
    assert re.search(r"the build needs cmake .*; a C\+\+17 compiler", output)


def test_pack_refuses_invalid_options_and_files(tmp_path: Path) -> None:
    script = ROOT / "bindings" / "node" / "scripts" / "pack.js"
    assert "--build: expected a path, got nothing" in run("node", script, expect=1)
    library = tmp_path / "libonnxruntime.so"
    library.write_bytes(b"without its licence")
    output = run(
        "node",
        script,
        "--build",
        BUILD,
        "--onnxruntime",
        library,
        "--out",
        tmp_path / "out",
        expect=1,
    )
    assert "expected ONNX Runtime's LICENSE beside it or above, found none" in output
