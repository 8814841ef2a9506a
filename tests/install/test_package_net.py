"""The packages of libsidecall-net.so for pip and npm: what they hold, and that they are found."""

import ctypes
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from peer import Peer, free_port

from .conftest import ROOT, VERSION, run

pytestmark = pytest.mark.long
MODELS = ROOT / "tests/vectors/models"
UNREACHABLE = 52


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run("make", "-C", ROOT, "package-net", f"DIST={folder}")
    return folder


def test_the_wheel_and_the_tarball_hold_the_library_and_all_licences(dist: Path) -> None:
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as archive:
        names = set(archive.namelist())
        notices = archive.read(f"sidecall_net-{VERSION}.dist-info/licenses/ThirdPartyNotices.md")
        metadata = archive.read(f"sidecall_net-{VERSION}.dist-info/METADATA").decode()
    assert {"sidecall_net/__init__.py", "sidecall_net/libsidecall-net.so"} <= names
    assert f"Requires-Dist: sidecall=={VERSION}" in metadata
    for holder in (b"Daniel Stenberg", b"Tatsuhiro Tsujikawa", b"Apache License", b"Milo Yip"):
        assert holder in notices
    with tarfile.open(next(dist.glob("*.tgz"))) as archive:
        assert {Path(name).name for name in archive.getnames()} == {
            *("package.json", "libsidecall-net.so", "LICENSE", "ThirdPartyNotices.md")
        }


def test_the_library_of_the_wheel_is_found_beside_the_package(dist: Path, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "python/sidecall", tmp_path / "sidecall")
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as archive:
        archive.extractall(tmp_path)
    peer = Peer(MODELS)
    code = f"""
import sidecall
assert sidecall.__file__.startswith({str(tmp_path)!r})
for uri in ({peer.uri("http", "penguins.onnx")!r}, {peer.uri("grpc", "penguins.onnx")!r}):
    assert sidecall.open(uri).warning is None
assert {str(tmp_path / "sidecall_net")!r} in open("/proc/self/maps").read()
"""
    environment = {name: value for name, value in os.environ.items() if name != "SIDECALL_NET"}
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        timeout=60,
        env=environment | {"PYTHONPATH": str(tmp_path)},
    )
    peer.close()


@pytest.mark.parametrize("addon", ["linux-x64", "linux-x64-slim"])
def test_the_library_of_the_npm_package_is_found_beside_the_addon(
    dist: Path, tmp_path: Path, addon: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIDECALL_NET", raising=False)
    scope = tmp_path / "node_modules/@sidecall"
    (scope / addon).mkdir(parents=True)
    shutil.copy(ROOT / "build/lib/libsidecall.so", scope / addon / "sidecall.node")
    with tarfile.open(next(dist.glob("*.tgz"))) as archive:
        archive.extractall(scope, filter="data")
    (scope / "package").rename(scope / "linux-x64-net")
    library = ctypes.CDLL(str(scope / addon / "sidecall.node"))
    model = ctypes.c_void_p()
    uri = f"http://127.0.0.1:{free_port()}/m".encode()
    assert library.sidecall_model_open(uri, None, ctypes.byref(model), None) == UNREACHABLE
