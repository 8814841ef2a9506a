"""sidecall doctor: its report, for people and for programs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from serving import serving


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Creates a Python package named sidecall that can be found by PYTHONPATH."""
    folder = tmp_path / "site/sidecall"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('doctor must not import it')\n")
    return folder


def test_the_page_shows_what_was_found(sidecall, package):
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
    assert report["engine"]["oldest"] == "1.22"
    assert (
        f"engine    onnxruntime {report['engine']['version']}, API {report['engine']['api']} (1.22 or newer is needed)\n"
        in page.out
    )
    assert "found: SIDECALL_ONNXRUNTIME; telemetry off\n" in page.out
    assert "SIDECALL_VERIFY=warn\n" in page.out


def test_telemetry_settings_of_the_caller_are_kept(sidecall):
    report = json.loads(sidecall("doctor", "--json", env={"ORT_DISABLE_TELEMETRY": "0"}).out)
    assert report["settings"]["ORT_DISABLE_TELEMETRY"] == "0"


def test_a_missing_engine_is_reported_with_code_4(sidecall):
    done = sidecall("doctor", env={"SIDECALL_ONNXRUNTIME": "/no/libonnxruntime.so"})
    assert (done.code, done.err) == (4, "")
    assert (
        "engine    not found: " in done.out
        and "/no/libonnxruntime.so" in done.out
        and "of version 1.22 or newer" in done.out
    )
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
def test_an_engine_is_found_where_package_managers_install_it(
    no_neighbour, tmp_path, folder, found_by
):
    library = Path(no_neighbour.env["SIDECALL_ONNXRUNTIME"])
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    (tmp_path / folder / library.name).symlink_to(library)
    engine = json.loads(no_neighbour("doctor", "--json", env={"SIDECALL_ONNXRUNTIME": ""}).out)[
        "engine"
    ]
    assert engine["found_by"] == found_by
    assert Path(engine["path"]).resolve() == library.resolve()


def test_a_missing_python_is_not_an_error(no_neighbour, tmp_path):
    done = no_neighbour("doctor", env={"PATH": str(tmp_path), "SIDECALL_PYTHON": "/no/python3"})
    assert done.code == 0  # the command only needs the engine
    assert "package sidecall not found" in done.out
    assert "tried /no/python3 (SIDECALL_PYTHON)\n" in done.out


def test_the_folder_for_sockets_is_the_one_that_servers_use(sidecall, jobs, tmp_path):
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    folder = tmp_path / "sidecall"
    assert f"sockets   {folder} (not created yet)\n" in sidecall("doctor", env=env).out
    sidecall.env |= env
    with serving(sidecall, jobs, "shm:fraud"):
        assert (folder / "fraud.sock").is_socket()
        sockets = json.loads(sidecall("doctor", "--json").out)["sockets"]
        assert sockets == {
            "folder": str(folder),
            "exists": True,
            "problem": None,
            "addresses": ["shm:fraud"],
        }
        assert "shm:fraud\n" in sidecall("doctor").out
    folder.chmod(0o777)
    assert (
        f"{folder}: expected a folder that only its user may change, but others may change it: "
        "use chmod 700\n" in sidecall("doctor").out
    )


def test_servers_in_the_default_folder_for_sockets_are_listed(sidecall, jobs):
    sidecall.env.pop("XDG_RUNTIME_DIR", None)
    address = f"shm:doctor-{os.getpid()}"
    with serving(sidecall, jobs, address) as served:
        sockets = json.loads(sidecall("doctor", "--json").out)["sockets"]
        assert address in sockets["addresses"]
        assert served.end() == 0  # at its end the server removes the socket


def test_the_limits_of_the_machine_are_shown(sidecall):
    shell = ["sh", "-c", 'ulimit -n 64 && exec "$0" doctor --json', sidecall.path]
    limits = json.loads(
        subprocess.run(shell, capture_output=True, env=sidecall.env, check=True).stdout
    )["limits"]
    assert limits["open_files"] == 64
    assert limits["cpus"] == len(os.sched_getaffinity(0))
    assert limits["shared_memory"] is True
    assert limits["kernel"] == f"{platform.release()} {platform.machine()}"
    page = sidecall("doctor").out
    assert f"limits    {limits['cpus']} CPUs" in page and "shared memory: yes; kernel " in page


def test_node_and_its_package_are_shown(sidecall, tmp_path):
    package = tmp_path / "node_modules/sidecall"
    package.mkdir(parents=True)
    (package / "package.json").write_text(
        '{"name": "sidecall", "version": "1.2.3", "main": "main.js"}'
    )
    (package / "main.js").write_text("throw new Error('doctor must not load it')\n")
    node = json.loads(sidecall("doctor", "--json").out)["node"]
    assert node["version"].startswith("v")
    assert (node["package"], node["package_version"]) == (str(package), "1.2.3")
    assert f"package sidecall 1.2.3 in {package}\n" in sidecall("doctor").out
    assert "package sidecall not found in this folder" in sidecall("doctor", cwd="/").out


def test_a_missing_node_is_not_an_error(sidecall, tmp_path):
    env = {"PATH": str(tmp_path)}
    assert json.loads(sidecall("doctor", "--json", env=env).out)["node"] is None
    assert "node      not found" in sidecall("doctor", env=env).out


def test_an_extra_argument_is_refused(sidecall):
    done = sidecall("doctor", "a.onnx", "please")
    assert (done.code, done.out) == (1, "")
    assert (
        done.err == "sidecall: doctor: unexpected argument: please (see sidecall doctor --help)\n"
    )


def test_the_program_name_does_not_affect_the_search_for_the_engine(sidecall, tmp_path):
    """The caller chooses argv[0], so no library may be loaded from the folder that it names."""
    planted = tmp_path / "bin/libonnxruntime.so"
    planted.parent.mkdir()
    planted.write_bytes(b"not a library")
    env = {name: value for name, value in sidecall.env.items() if name != "SIDECALL_ONNXRUNTIME"}
    fake = str(planted.parent / "sidecall")
    (planted.parent / "sidecall").write_bytes(b"")
    done = subprocess.run(
        [fake, "doctor", "--json"],
        executable=sidecall.path,
        env=env,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert str(planted) not in done.stdout.decode()
