"""Bundlers, Jest and Yarn 1 with the npm tarballs, configured as docs/node.md says."""

import json
import shutil
from pathlib import Path

import pytest

from .conftest import BUILD, ROOT, Application, make_application, run

pytestmark = pytest.mark.long

PACKAGES = Path(__file__).parent / "bundlers"
PENGUINS = ROOT / "tests" / "vectors" / "models" / "penguins.onnx"
PROGRAM = f"""
import {{ open }} from 'sidecall'
const model = await open({str(PENGUINS)!r})
console.log((await model.predict({{ island: 'Biscoe', bill_length_mm: 48.2 }})).label)
"""
COMMONJS = PROGRAM.replace("import { open } from", "const { open } =").replace(
    "'sidecall'", "require('sidecall')", 1
)
COMMONJS = f"async function main() {{{COMMONJS}}}\nmain()\n"
# Bundles with the API of webpack: its arguments are ENTRY FOLDER EXTERNALS, the last one as JSON.
WEBPACK = """
const webpack = require('./tools/webpack')
const [entry, folder, externals] = process.argv.slice(2)
const options = { entry, output: { path: folder }, externals: JSON.parse(externals) }
webpack({ mode: 'production', target: 'node', context: __dirname, ...options }, (error, stats) => {
  const isClean = !error && !stats.hasErrors() && !stats.hasWarnings()
  if (!isClean) console.log(error ?? stats.toString('errors-warnings'))
  process.exitCode = isClean ? 0 : 1
})
"""
JEST = f"""
const {{ open, SidecallError }} = require('sidecall')
let model
beforeAll(async () => {{ model = await open({str(PENGUINS)!r}) }})
afterAll(() => model.close())
test('a record is answered', async () => {{
  const record = {{ island: 'Biscoe', bill_length_mm: 48.2 }}
  expect(model.predictSync(record).label).toBe('Gentoo')
  expect((await model.predict([record]))[0].label).toBe('Gentoo')
}})
test('a wrong record throws', () => {{
  expect(() => model.predictSync({{ colour: 'black' }})).toThrow(SidecallError)
}})
test('tensors are typed arrays of this environment', () => {{
  const call = model.call({{ rows: 2 }})
  expect(call.inputs.year).toBeInstanceOf(Float32Array)
}})
"""


@pytest.fixture(scope="module")
def tools() -> Path:
    """The node_modules with the bundlers, outside of the source tree; installed once."""
    folder = BUILD / "node-bundlers"
    lock = PACKAGES / "package-lock.json"
    installed = folder / "installed-lock.json"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        folder.mkdir(exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(PACKAGES / name, folder / name)
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=folder)
        shutil.copyfile(lock, installed)
    return (folder / "node_modules").resolve()


@pytest.fixture(scope="module")
def bundled(
    tools: Path, tarballs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Application:
    """An application with the tarballs, a program in both module systems, and the bundlers."""
    application = make_application(tmp_path_factory.mktemp("bundled"), list(tarballs.values()))
    (application.folder / "tools").symlink_to(tools)
    (application.folder / "program.mjs").write_text(PROGRAM, encoding="utf-8")
    (application.folder / "program.cjs").write_text(COMMONJS, encoding="utf-8")
    (application.folder / "webpack.js").write_text(WEBPACK, encoding="utf-8")
    return application


def esbuild(application: Application, output: str, *options: str) -> Path:
    """Bundles the program. The extension of the output, cjs or mjs, is also that of the program."""
    extension = output.rsplit(".", 1)[1]
    application.run(
        "node",
        "tools/esbuild/bin/esbuild",
        f"program.{extension}",
        "--bundle",
        "--platform=node",
        f"--format={'cjs' if extension == 'cjs' else 'esm'}",
        f"--outfile={output}",
        *options,
    )
    return application.folder / output


def webpack(application: Application, folder: str, externals: dict[str, str]) -> Path:
    path = application.folder / folder
    application.run("node", "webpack.js", "./program.cjs", path, json.dumps(externals))
    return path / "main.js"


def vite(application: Application, folder: str, ssr: dict[str, object]) -> Path:
    options = {"build": {"ssr": "program.mjs", "outDir": folder}, "ssr": ssr}
    text = f"export default {json.dumps(options)}\n"
    (application.folder / "vite.config.mjs").write_text(text, encoding="utf-8")
    application.run("node", "tools/vite/bin/vite.js", "build", "--logLevel", "warn")
    return application.folder / folder / "program.mjs"


@pytest.fixture(scope="module")
def bundles_with_sidecall(bundled: Application) -> list[Path]:
    return [
        esbuild(bundled, "esbuild-in/bundle.cjs"),
        webpack(bundled, "webpack-in", {}),
        vite(bundled, "vite-in", {"noExternal": True}),
    ]


@pytest.mark.parametrize("extension", ["cjs", "mjs"])
def test_a_bundle_of_esbuild_that_leaves_sidecall_out_runs(
    bundled: Application, extension: str
) -> None:
    bundle = esbuild(bundled, f"esbuild-out/bundle.{extension}", "--external:sidecall")
    assert bundled.run("node", bundle) == "Gentoo\n"


def test_a_bundle_of_webpack_that_leaves_sidecall_out_runs(bundled: Application) -> None:
    bundle = webpack(bundled, "webpack-out", {"sidecall": "commonjs sidecall"})
    assert bundled.run("node", bundle) == "Gentoo\n"


def test_a_server_bundle_of_vite_leaves_sidecall_out_and_runs(bundled: Application) -> None:
    bundle = vite(bundled, "vite-out", {})
    assert "from 'sidecall'" in bundle.read_text(encoding="utf-8").replace('"', "'")
    assert bundled.run("node", bundle) == "Gentoo\n"


def test_a_bundle_that_contains_sidecall_runs_where_its_platform_package_is_installed(
    bundled: Application, bundles_with_sidecall: list[Path]
) -> None:
    for bundle in bundles_with_sidecall:
        assert bundled.run("node", bundle) == "Gentoo\n", bundle


def test_a_bundle_away_from_its_packages_says_how_to_configure_the_bundler(
    bundled: Application, bundles_with_sidecall: list[Path], tmp_path: Path
) -> None:
    for bundle in bundles_with_sidecall:
        moved = tmp_path / bundle.name
        shutil.copyfile(bundle, moved)
        text = run("node", moved, expect=1, env=bundled.environment)
        assert "sidecall is part of a bundle, and the package @sidecall/linux-" in text
        assert f"(searched from {tmp_path})" in text
        assert "configure the bundler to leave 'sidecall' out (option `external` of esbuild" in text


def test_a_module_bundle_of_esbuild_with_sidecall_in_it_says_how_to_configure_esbuild(
    bundled: Application,
) -> None:
    bundle = esbuild(bundled, "esbuild-in/bundle.mjs")
    text = bundled.run("node", bundle, expect=1)
    assert "leave 'sidecall' out of the bundle (option `external` of esbuild)" in text


@pytest.mark.parametrize("processes", ["--maxWorkers=2", "--runInBand"])
def test_jest_runs_tests_that_open_models(bundled: Application, processes: str) -> None:
    folder = bundled.folder / "jest"
    folder.mkdir(exist_ok=True)
    for name in ("first", "second", "third"):
        (folder / f"{name}.test.js").write_text(JEST, encoding="utf-8")
    output = bundled.run(
        "node", "tools/jest/bin/jest.js", "--rootDir", folder, "--no-cache", processes
    )
    assert "Tests:       9 passed, 9 total" in output


def test_yarn_1_installs_the_tarballs_with_resolutions(
    bundled: Application, tools: Path, tarballs: dict[str, Path], tmp_path: Path
) -> None:
    platform = f"file:{tarballs['platform']}"
    manifest = {
        "name": "with-yarn",
        "version": "1.0.0",
        "license": "MIT",
        "dependencies": {"sidecall": f"file:{tarballs['main']}"},
        "resolutions": {"@sidecall/linux-x64": platform},
    }
    (tmp_path / "package.json").write_text(json.dumps(manifest), encoding="utf-8")
    (tmp_path / "program.mjs").write_text(PROGRAM, encoding="utf-8")
    options = {"cwd": tmp_path, "env": bundled.environment}
    yarn = tools / "yarn" / "bin" / "yarn.js"
    run("node", yarn, "install", "--offline", "--cache-folder", tmp_path / "cache", **options)
    assert run("node", "program.mjs", **options) == "Gentoo\n"
