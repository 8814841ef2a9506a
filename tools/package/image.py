"""Assembles the root file system of a container image: `make image`.

An image has the command, the libraries that it needs, a user, and licences. It has no shell and
nothing else of a distribution. `deploy/container/Containerfile` makes an image of the folder:

    OUT/root/    what root owns
    OUT/app/     the folder for sockets, which the user of the image owns

The libraries are those of this machine. With --net the image can serve and call models over HTTP
and gRPC, and has the authorities that this machine trusts; with --onnxruntime it runs all files.
"""

import argparse
import os
import re
import shutil
import subprocess
from pathlib import Path

from common import ROOT

import net

PASSWD = "sidecall:x:65532:65532:sidecall:/:/sbin/nologin\n"
GROUP = "sidecall:x:65532:\n"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# A line of ldd, such as "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x7f...)", and the loader's,
# which has no "=>".
LIBRARY = re.compile(r"^\t(?:(?P<name>\S+) => )?(?P<path>/\S+|not found)", re.MULTILINE)


def libraries_of(files: list[Path]) -> set[Path]:
    """The shared libraries that programs and libraries need, with the loader."""
    found = set()
    for file in files:
        listing = subprocess.run(["ldd", file], check=True, capture_output=True, text=True).stdout
        for library in LIBRARY.finditer(listing):
            if library["path"] == "not found":
                raise SystemExit(f"{file}: expected the library {library['name']}, found none")
            found.add(Path(library["path"]))
    return found


def copyrights_of(libraries: set[Path]) -> set[Path]:
    """The licences of Debian's packages that have these libraries; none on other systems."""
    if shutil.which("dpkg-query") is None:
        return set()
    # Since /lib is a link to /usr/lib, a package may have either name of a library.
    names = {str(name) for library in libraries for name in (library, library.resolve())}
    words = ["dpkg-query", "--search", *sorted(names)]
    listing = subprocess.run(words, check=False, capture_output=True, text=True).stdout
    packages = re.findall(r"^([^\s:]+):", listing, re.MULTILINE)
    return {Path("/usr/share/doc") / package / "copyright" for package in packages}


class RootFolder:
    """The root of an image."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def copy(self, source: Path, name: str, *, strip: bool = False) -> Path:
        """Copies a file, which everyone may then read and run."""
        if not source.is_file():
            raise SystemExit(f"{source}: expected a file, found none")
        path = self.path(name)
        shutil.copyfile(source, path)
        path.chmod(0o755 if strip or source.stat().st_mode & 0o100 else 0o644)
        if strip:
            subprocess.run(["strip", "--strip-unneeded", path], check=True)
        return path


def assemble(folder: Path, build: Path, with_net: bool, onnxruntime: Path | None) -> None:
    for part in ("root", "app"):
        shutil.rmtree(folder / part, ignore_errors=True)
    root = RootFolder(folder / "root")
    licences = "usr/share/doc/sidecall"
    programs = [root.copy(build / "bin/sidecall", "usr/bin/sidecall", strip=True)]
    root.copy(ROOT / "LICENSE", f"{licences}/LICENSE")
    notices = [(ROOT / "tools/package/notices.md").read_text(encoding="utf-8")]
    if with_net:
        library = root.copy(build / "lib" / net.NAME, f"usr/lib/{net.NAME}", strip=True)
        programs.append(library)
        root.copy(AUTHORITIES, "etc/ssl/certs/ca-certificates.crt")
        root.path("etc/nsswitch.conf").write_text("hosts: files dns\n", encoding="utf-8")
        notices.append(net.notices(build))
    if onnxruntime is not None:
        programs.append(root.copy(onnxruntime, f"usr/lib/{onnxruntime.name}"))
        package = onnxruntime.parents[1]
        root.copy(package / "LICENSE", f"{licences}/LICENSE.onnxruntime")
        name = "ThirdPartyNotices.txt"
        root.copy(package / name, f"{licences}/{name.replace('.', '.onnxruntime.')}")
    root.path(f"{licences}/ThirdPartyNotices.md").write_text("\n".join(notices), encoding="utf-8")
    libraries = libraries_of(programs)
    for library in libraries:
        root.copy(library, str(library).lstrip("/")).chmod(0o755)
    for text in copyrights_of(libraries):
        root.copy(text, f"usr/share/doc/{text.parent.name}/copyright")
    root.path("etc/passwd").write_text(PASSWD, encoding="utf-8")
    root.path("etc/group").write_text(GROUP, encoding="utf-8")
    root.path("run").mkdir()
    (folder / "app").mkdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, required=True, help="a build with the command")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    parser.add_argument("--net", action="store_true", help="add libsidecall-net.so")
    parser.add_argument(
        "--onnxruntime",
        type=Path,
        help="add this library of ONNX Runtime, whose licences lie in the folder above its own",
    )
    given = parser.parse_args()
    # The user of the image must read everything, whatever this user lets others read.
    os.umask(0o022)
    assemble(given.out.resolve(), given.build.resolve(), given.net, given.onnxruntime)


if __name__ == "__main__":
    main()
