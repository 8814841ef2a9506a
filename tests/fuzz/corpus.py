"""Packs the inputs of a fuzz target into an archive of tests/fuzz/corpus, and unpacks them.

    python tests/fuzz/corpus.py unpack answer FOLDER
    python tests/fuzz/corpus.py pack answer FOLDER

The build unpacks all archives for the tests that replay the inputs. campaign.py uses both
functions.
"""

from __future__ import annotations

import io
import lzma
import shutil
import sys
import tarfile
from pathlib import Path

ARCHIVES = Path(__file__).resolve().parent / "corpus"


def unpack(target: str, folder: Path) -> None:
    """Replaces the folder by one that has exactly the inputs of the target."""
    inputs = _read(_archive(target))  # first, so that a wrong target costs no folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in inputs.items():
        (folder / name).write_bytes(content)


def pack(target: str, folder: Path) -> None:
    """Replaces the archive of the target, unless it has exactly the files of the folder already.

    The same files give the same archive: sorted by name, without times and owners. Another version
    of liblzma may compress them differently, so an archive is only written if its inputs change.
    """
    inputs = {path.name: path.read_bytes() for path in folder.iterdir()}
    if not inputs:
        raise SystemExit(f"pack {target} {folder}: the folder is empty; it needs a file per input")
    path = _archive(target)
    if path.exists() and _read(path) == inputs:
        return
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(inputs):
            entry = tarfile.TarInfo(name)  # time and owner 0, mode 644
            entry.size = len(inputs[name])
            archive.addfile(entry, io.BytesIO(inputs[name]))
    path.write_bytes(lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def _archive(target: str) -> Path:
    return ARCHIVES / f"{target}.tar.xz"


def _read(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["pack", target, folder]:
            pack(target, Path(folder))
        case ["unpack", target, folder]:
            unpack(target, Path(folder))
        case _:
            sys.exit("expected: corpus.py pack|unpack TARGET FOLDER")
