"""Checks which layer includes which: base, core, shm, the C binding, everything else.

`make lint` runs it; ARCHITECTURE.md explains the layers.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUFFIXES = {".c", ".cpp", ".h", ".hpp"}
# The first matching folder is the layer of a file. A layer may include its own folder, the public
# headers, `base` (unless it is one of USERS), and the layers that are listed here.
LAYERS = {
    "include": (),
    "base": (),
    "core": (),
    "engines/in_process": ("core",),
    "engines/out_of_process": ("core",),
    "engines/native": ("core", "engines/in_process"),
    "engines/oip": ("core", "engines/out_of_process", "net/api"),
    "engines/onnxruntime": ("core", "engines/in_process"),
    "engines/shm": ("core", "engines/out_of_process", "shm/common", "shm/client"),
    "engines/test": ("core", "engines/out_of_process"),
    "engines/choice": (
        "core",
        "engines/native",
        "engines/oip",
        "engines/onnxruntime",
        "engines/shm",
        "engines/test",
        "shm/common",
    ),
    "serving": (
        "core",
        "engines/in_process",
        "engines/oip",
        "engines/shm",
        "net/api",
        "shm/common",
        "shm/server",
    ),
    "net/api": (),
    "net/common": ("net/api",),
    "net/client": ("net/api", "net/common"),
    "net/server": ("net/api", "net/common"),
    "shm/common": (),
    "shm/client": ("shm/common",),
    "shm/server": ("shm/common",),
    "shm/supervisor": ("shm/common", "shm/server"),
    "command/types": ("core", "command"),
    "command": (),
    "bindings/c": (
        "core",
        "engines/choice",
        "engines/oip",
        "engines/onnxruntime",
        "engines/shm",
        "serving",
        "shm/common",
        "shm/client",
        "shm/server",
        "shm/supervisor",
    ),
    "bindings/node": (),
    "python/src": (),
    "examples": (),
    "benchmarks/network/file_only": ("core", "engines/oip", "serving"),
    "benchmarks": (),
    "tests/c": (),
    "tests/core": (
        "core",
        "command/types",
        "engines/in_process",
        "engines/native",
        "engines/onnxruntime",
        "engines/out_of_process",
    ),
    "tests/shm": ("shm/common", "shm/client", "shm/server", "shm/supervisor"),
    "tests/fuzz": (
        "core",
        "engines/native",
        "engines/shm",
        "net/client",
        "net/api",
        "net/common",
        "net/server",
        "shm/common",
        "shm/client",
        "shm/server",
        "command",
        "command/types",
        "tests/core",
    ),
}
PUBLIC = "include"
BASE = "base"
# Layers that are built as a user's program would be: with nothing but the public headers.
USERS = {"include", "examples", "benchmarks", "tests/c"}


def layer_of(path: Path) -> str | None:
    name = path.relative_to(ROOT).as_posix()
    return next((layer for layer in LAYERS if name.startswith(layer + "/")), None)


def included_layer(source: Path, text: str) -> str | None:
    """The layer of an included file of this project; None for headers of other projects."""
    candidates = [
        source.parent / text,
        ROOT / text,
        ROOT / PUBLIC / text,
        *(ROOT / layer / text for layer in LAYERS),
    ]
    for candidate in candidates:
        if candidate.is_file():
            return layer_of(candidate.resolve())
    return None


def check(source: Path) -> list[str]:
    own = layer_of(source)
    if own is None:
        return []
    allowed = {own, PUBLIC, *LAYERS[own]} | (set() if own in USERS else {BASE})
    faults = []
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        layer = included_layer(source, match.group(1)) if match else None
        if match and layer is not None and layer not in allowed:
            place = f"{source.relative_to(ROOT)}:{number}"
            faults.append(f"{place}: {own} must not include {layer} ({match.group(1)})")
    return faults


def main() -> int:
    sources = sorted(
        path for layer in LAYERS for path in (ROOT / layer).rglob("*") if path.suffix in SUFFIXES
    )
    faults = [fault for source in sources for fault in check(source)]
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
