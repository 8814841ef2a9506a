"""sidecall doctor: what was found, for people and for programs."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import pytest


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A Python package named sidecall, to be found by PYTHONPATH."""
    folder = tmp_path / "site/sidecall"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('doctor must not import it')\n")
    return folder


def test_what_was_found(sidecall, package):
    env = {"PYTHONPATH": str(package.parent), "SIDECALL_PYTHON": sys.executable}
    report = json.loads(sidecall("doctor", "--json", env=env).out)
    assert report["version"] == sidecall("--version").out.split()[1]
    assert report["abi"] >= 1 and report["problem"] is None
    assert report["engine"]["engine"] == "onnxruntime"
    assert report["engine"]["path"] == sidecall.env["SIDECALL_ONNXRUNTIME"]
    assert report["engine"]["found_by"] == "SIDECALL_ONNXRUNTIME"
    assert report["engine"]["telemetry"] == "off"
    assert report["settings"]["ORT_DISABLE_TELEMETRY"] == "1"
    assert report["settings"]["SIDECALL_VERIFY"] is None
    assert report["python"]["package"] == str(package)

    page = sidecall("doctor", env=env | {"SIDECALL_VERIFY": "warn"})
    assert (page.code, page.err) == (0, "")
    assert f"engine    onnxruntime {report['engine']['version']}, API {report['engine']['api']}\n" in page.out
    assert "found by: SIDECALL_ONNXRUNTIME; telemetry off\n" in page.out
    assert "SIDECALL_VERIFY=warn\n" in page.out


def test_a_setting_of_the_caller_is_left_alone(sidecall):
    report = json.loads(sidecall("doctor", "--json", env={"ORT_DISABLE_TELEMETRY": "0"}).out)
    assert report["settings"]["ORT_DISABLE_TELEMETRY"] == "0"


def test_no_engine(sidecall):
    done = sidecall("doctor", env={"SIDECALL_ONNXRUNTIME": "/no/libonnxruntime.so"})
    assert (done.code, done.err) == (4, "")
    assert "engine    NONE: " in done.out and "/no/libonnxruntime.so" in done.out
    report = sidecall("doctor", "--json", "--onnxruntime", "/no/libonnxruntime.so")
    assert report.code == 4
    assert json.loads(report.out)["engine"] is None
    assert "/no/libonnxruntime.so" in json.loads(report.out)["problem"]


@pytest.mark.parametrize(
    ("folder", "found_by"),
    [
        ("alone", "beside libsidecall"),
        ("lib", "beside libsidecall"),
        (f"lib/{platform.machine()}-linux-gnu", "beside libsidecall"),
        ("lib/python3.11/site-packages/onnxruntime/capi", "beside the package"),
        ("lib/python3.13/dist-packages/onnxruntime/capi", "beside the package"),
    ],
)
def test_engine_where_package_managers_put_it(no_neighbour, tmp_path, folder, found_by):
    library = Path(no_neighbour.env["SIDECALL_ONNXRUNTIME"])
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / library.name).symlink_to(library)
    engine = json.loads(no_neighbour("doctor", "--json", env={"SIDECALL_ONNXRUNTIME": ""}).out)["engine"]
    assert engine["found_by"] == found_by
    assert Path(engine["path"]).resolve() == library.resolve()


def test_no_python(no_neighbour, tmp_path):
    done = no_neighbour("doctor", env={"PATH": str(tmp_path), "SIDECALL_PYTHON": "/no/python3"})
    assert done.code == 0  # the engine is what the command needs
    assert "package sidecall not found" in done.out
    assert "tried /no/python3 (SIDECALL_PYTHON)\n" in done.out


def test_an_argument_too_many(sidecall):
    done = sidecall("doctor", "please")
    assert (done.code, done.out) == (1, "")
    assert done.err == "sidecall: doctor: unexpected argument: please (see sidecall doctor --help)\n"
