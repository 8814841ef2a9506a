"""Whether libsidecall takes a file for libsidecall-net.so, and what it says if it does not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from vector_servers import command_path

VERSION = (Path(__file__).parents[2] / "VERSION").read_text(encoding="utf-8").strip()

OTHER_LIBRARY = """
static const char* const api[2] = {VERSION, HASH};
const void* sidecall_net(void) { return api; }
#ifdef SERVES
const void* sidecall_net_serving(void) { return api; }
#endif
"""


@pytest.mark.parametrize(
    ("version", "options", "text"),
    [
        ("0.0.1", ["-DSERVES"], f"expected version {VERSION}, got 0.0.1"),
        (VERSION, ["-DSERVES"], "expected the library that was built together with this one"),
        (VERSION, [], "this library is not libsidecall-net.so"),
    ],
    ids=["another version", "another interface", "no server"],
)
def test_another_library_is_refused(
    tmp_path: Path, version: str, options: list[str], text: str
) -> None:
    source, library = tmp_path / "other.c", tmp_path / "other.so"
    source.write_text(OTHER_LIBRARY)
    defined = [f'-DVERSION="{version}"', '-DHASH="0123456789ab"', *options]
    subprocess.run(["cc", "-shared", "-fPIC", *defined, "-o", library, source], check=True)
    code = (
        "import sidecall\n"
        "try:\n"
        "    sidecall.open('http://127.0.0.1:1/m')\n"
        "except sidecall.errors.Error as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"SIDECALL_NET": str(library)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.startswith("Unsupported ")
    assert text in said


@pytest.mark.parametrize("packages", ["site-packages", "dist-packages"])
def test_the_command_finds_the_package_of_its_own_environment(
    tmp_path: Path, network_library: Path, packages: str
) -> None:
    """Pip puts the command into bin, and the library into a folder of lib."""
    command = tmp_path / "bin/sidecall"
    folder = tmp_path / "lib/python3.12" / packages / "sidecall_net"
    for path in (command.parent, folder):
        path.mkdir(parents=True)
    shutil.copy(command_path(), command)
    shutil.copy(network_library, folder)
    environment = {key: value for key, value in os.environ.items() if key != "SIDECALL_NET"}
    done = subprocess.run(
        [command, "verify", "http://127.0.0.1:1/m"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    assert "the server cannot be reached" in done.stderr
