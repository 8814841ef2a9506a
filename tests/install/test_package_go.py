"""The Go module of `make package-go`: a program of an empty folder that has Go and a C compiler.

The program gets the module from the folder that make has written, and from no network.
"""

import platform
import re
import shutil
import zipfile
from pathlib import Path

import pytest

from .conftest import (
    PENGUINS,
    PENGUINS_OUTPUT,
    ROOT,
    VERSION,
    Application,
    find_compiler,
    make_packages,
    make_room,
    needed,
    run,
)

pytestmark = pytest.mark.long

MODULE = "sidecall.dev/sidecall"
EXAMPLE = ROOT / "examples" / "go" / "main.go"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_packages(tmp_path_factory.mktemp("dist"), "package-go") / "go"


@pytest.fixture(scope="module")
def application(proxy: Path, tmp_path_factory: pytest.TempPathFactory) -> Application:
    """A module with the example as its program, built."""
    tools = find_compiler("gcc")
    application = make_room(
        tmp_path_factory.mktemp("application"),
        tools | {"go": shutil.which("go")},
        GOPROXY=f"file://{proxy}",
        GONOSUMDB=MODULE,
        GOTOOLCHAIN="local",
        # What Go has compiled of its own library, for any program.
        GOCACHE=run("go", "env", "GOCACHE").strip(),
        GOFLAGS="-modcacherw",
    )
    application.run("go", "mod", "init", "penguins")
    application.run("go", "get", f"{MODULE}@v{VERSION}")
    shutil.copy(EXAMPLE, application.folder)
    return application


def test_the_module_holds_its_library_and_no_file_that_only_tests_need(proxy: Path) -> None:
    folder = proxy / MODULE / "@v"
    assert (folder / "list").read_text(encoding="utf-8") == f"v{VERSION}\n"
    with zipfile.ZipFile(folder / f"v{VERSION}.zip") as archive:
        prefix = f"{MODULE}@v{VERSION}/"
        names = {name.removeprefix(prefix) for name in archive.namelist()}
        notices = archive.read(f"{prefix}ThirdPartyNotices.md").decode()
    assert {"go.mod", "sidecall.go", "LICENSE", "include/sidecall/sidecall.h"} <= names
    assert f"lib/linux_{MACHINE}/libsidecall.a" in names
    assert not [name for name in names if name.endswith("_test.go") or name.startswith(prefix)]
    for project in ("RapidJSON", "Zig", "LLVM: libcxx"):
        assert f"\n## {project}" in notices


def test_a_program_needs_a_c_compiler_and_only_the_c_library(application: Application) -> None:
    commands = application.run("go", "build", "-x", "-o", "penguins", ".")
    assert "gcc" in commands
    assert not re.search(r"g\+\+|c\+\+|stdc", commands)
    libraries = {
        name for name in needed(application.folder / "penguins") if not name.startswith("ld-linux")
    }
    system = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "libgcc_s.so.1"}
    assert libraries <= system
    assert application.run("./penguins", PENGUINS) == PENGUINS_OUTPUT


def test_a_static_program_needs_no_library_and_reports_errors(application: Application) -> None:
    options = ("-ldflags", "-linkmode external -extldflags -static")
    application.run("go", "build", *options, "-o", "static", ".")
    assert needed(application.folder / "static") == set()
    assert application.run("./static", f"{PENGUINS}?engine=native") == PENGUINS_OUTPUT


def test_the_library_shares_no_symbol_with_a_program(application: Application) -> None:
    folder = application.run("go", "list", "-m", "-f", "{{.Dir}}", MODULE).strip()
    library = Path(folder) / "lib" / f"linux_{MACHINE}" / "libsidecall.a"
    symbols = run("nm", "--defined-only", "--extern-only", "--format=just-symbols", library)
    names = [line for line in symbols.split() if not line.endswith(":")]
    declared = (ROOT / "bindings/c/abi/symbols.txt").read_text(encoding="utf-8").split()
    assert sorted(names) == sorted(declared)


def test_a_vendored_module_has_all_that_the_build_needs(application: Application) -> None:
    application.run("go", "mod", "vendor")
    application.run("go", "build", "-mod=vendor", "-o", "vendored", ".")
    assert application.run("./vendored", PENGUINS) == PENGUINS_OUTPUT


def test_a_machine_without_a_library_is_refused_by_name(application: Application) -> None:
    environment = application.environment | {"GOARCH": "riscv64", "CGO_ENABLED": "1"}
    listed = run(
        "go",
        "list",
        "-mod=mod",
        "-f",
        "{{.GoFiles}}",
        MODULE,
        cwd=application.folder,
        env=environment,
    )
    assert "link_missing.go" in listed
