"""Packs libsidecall-net.so for pip and npm: `make package-net`.

The wheel `sidecall-net` holds the library in the package sidecall_net, beside which the package
sidecall looks for it. The npm package `@sidecall/<platform>-net` lies beside the package
`@sidecall/<platform>`.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from common import ROOT, VERSION

NAME = "libsidecall-net.so"
NODE_NAMES = {"x86_64": "x64", "aarch64": "arm64"}
PROJECT = f"""[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "sidecall-net"
version = "{VERSION}"
description = "Lets sidecall call models on other hosts, over HTTP and gRPC"
license = "Apache-2.0"
license-files = ["LICENSE", "ThirdPartyNotices.md"]
requires-python = ">=3.11"
dependencies = ["sidecall=={VERSION}"]

[tool.setuptools]
packages = ["sidecall_net"]

[tool.setuptools.package-data]
sidecall_net = ["{NAME}"]
"""
INIT = (
    f'"""Holds {NAME}, which sidecall loads for models on other hosts. There is no code here."""\n'
)


def notices(build: Path) -> str:
    """The licences of everything in the library."""
    parts = [(ROOT / "net/libraries/notices.md").read_text(encoding="utf-8")]
    for name in ("curl", "llhttp", "nghttp2", "mbedtls"):
        text = (build / "net-libraries/licences" / name).read_text(encoding="utf-8")
        parts.append(f"## {name}\n\n{text.strip()}\n")
    return "\n".join(parts)


def stage(build: Path, folder: Path, library: Path) -> None:
    """Makes the folder of a package: the library, stripped, and the licences."""
    library.parent.mkdir(parents=True)
    shutil.copyfile(build / "lib" / NAME, library)
    library.chmod(0o755)
    subprocess.run(["strip", "--strip-unneeded", library], check=True)
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")
    (folder / "ThirdPartyNotices.md").write_text(notices(build), encoding="utf-8")


def pack_wheel(build: Path, out: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "wheel"
        stage(build, folder, folder / "sidecall_net" / NAME)
        (folder / "sidecall_net/__init__.py").write_text(INIT, encoding="utf-8")
        (folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
        words = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", out]
        option = f"--plat-name=manylinux_2_28_{platform.machine()}"
        subprocess.run([*words, f"-C--build-option={option}", folder], check=True)


def pack_npm(build: Path, out: Path) -> None:
    cpu = NODE_NAMES[platform.machine()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "npm"
        stage(build, folder, folder / NAME)
        manifest = {
            "name": f"@sidecall/linux-{cpu}-net",
            "version": VERSION,
            "description": "Lets sidecall call models on other hosts, over HTTP and gRPC",
            "license": "Apache-2.0",
            "os": ["linux"],
            "cpu": [cpu],
            "libc": ["glibc"],
            "files": [NAME, "ThirdPartyNotices.md"],
            "peerDependencies": {"sidecall": VERSION},
        }
        (folder / "package.json").write_text(json.dumps(manifest, indent=2) + "\n")
        words = ["npm", "pack", "--silent", "--pack-destination", out]
        subprocess.run(words, cwd=folder, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, required=True, help="a build with sidecall-net")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the packages")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    pack_wheel(given.build.resolve(), given.out.resolve())
    pack_npm(given.build.resolve(), given.out.resolve())


if __name__ == "__main__":
    main()
