"""What the packages for Go, Rust and Java share: options, licences, files that never vary."""

import argparse
import platform
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = (ROOT / "VERSION").read_text(encoding="utf-8").strip()
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can hold


@dataclass(frozen=True)
class Options:
    """natives: the folder that tools/package/natives.sh makes. out: where the package goes."""

    natives: Path
    out: Path
    machines: list[str]

    def native(self, machine: str, name: str) -> Path:
        path = self.natives / machine / name
        if not path.is_file():
            raise SystemExit(f"{path}: expected a file that natives.sh makes, found none")
        return path

    def licences(self) -> dict[str, bytes]:
        return {
            "LICENSE": (ROOT / "LICENSE").read_bytes(),
            "ThirdPartyNotices.md": (self.natives / "ThirdPartyNotices.md").read_bytes(),
        }


def read_options(description: str) -> Options:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--natives", type=Path, required=True, help="what natives.sh has made")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the packages")
    parser.add_argument("machines", nargs="*", default=[platform.machine()])
    given = parser.parse_args()
    return Options(given.natives.resolve(), given.out.resolve(), given.machines)


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    """Writes a zip that depends on nothing but the names and contents of the files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        # Java expects the manifest of a jar first.
        for name in sorted(files, key=lambda name: (name != "META-INF/MANIFEST.MF", name)):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name])
