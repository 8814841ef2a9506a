"""Interpreters and packages that stand in for an installed Python with sidecall."""

from __future__ import annotations

import sys
from pathlib import Path

ECHO = """\
import os, sys
print(sys.argv[1:], sys.stdin.read(), os.environ.get("ORT_DISABLE_TELEMETRY"))
sys.exit(7)
"""


def make_package(folder: Path, main: str = ECHO) -> Path:
    for part in ("exporting", "comparing", "serving"):
        package = folder / "sidecall" / part
        package.mkdir(parents=True)
        (folder / "sidecall/__init__.py").touch()
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(main)
    return folder


def make_python(path: Path, package_folder: Path | None) -> Path:
    """Creates an interpreter that sees the package of that folder, or no package at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (
        f'PYTHONPATH="{package_folder}" exec "{sys.executable}" -S "$@"'
        if package_folder
        else f'exec "{sys.executable}" -I -S "$@"'
    )
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path
