"""The Rust crates of `make package-rust`: a program of an empty folder that has Rust and a linker.

The program gets the crates from the folder that make has written, and from no network.
"""

import platform
import re
import shutil
import subprocess
import tarfile
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

EXAMPLE = ROOT / "examples" / "rust" / "src" / "main.rs"
CONFIG = """
[source.crates-io]
replace-with = "sidecall"
[source.sidecall]
local-registry = "{registry}"
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_packages(tmp_path_factory.mktemp("dist"), "package-rust") / "rust"


def find_toolchain() -> dict[str, object]:
    """cargo and rustc themselves: rustup's programs of these names need its settings in HOME."""
    command = ["rustc", "--print", "sysroot"]
    found = subprocess.run(command, capture_output=True, text=True)
    folder = Path(found.stdout.strip() if found.returncode == 0 else "/usr") / "bin"
    return {name: folder / name for name in ("cargo", "rustc")}


@pytest.fixture(scope="module")
def application(registry: Path, tmp_path_factory: pytest.TempPathFactory) -> Application:
    """A crate with the example as its program."""
    tools = find_compiler("cc")
    application = make_room(
        tmp_path_factory.mktemp("application"), tools | find_toolchain(), CARGO_NET_OFFLINE="true"
    )
    application.run("cargo", "init", "--vcs", "none", "--name", "penguins")
    (application.folder / ".cargo").mkdir()
    config = CONFIG.format(registry=registry)
    (application.folder / ".cargo" / "config.toml").write_text(config, encoding="utf-8")
    application.run("cargo", "add", "sidecall")
    shutil.copy(EXAMPLE, application.folder / "src")
    return application


def test_the_crate_holds_its_library_and_the_licences(registry: Path) -> None:
    prefix = f"sidecall-sys-{VERSION}"
    with tarfile.open(registry / f"{prefix}.crate") as archive:
        names = set(archive.getnames())
        notices = archive.extractfile(f"{prefix}/ThirdPartyNotices.md").read().decode()
    library = f"lib/linux-gnu-{platform.machine()}/libsidecall.a"
    assert {f"{prefix}/{name}" for name in ("build.rs", "LICENSE", library)} <= names
    for project in ("RapidJSON", "Zig", "LLVM: libcxx"):
        assert f"\n## {project}" in notices
    # crates.io refuses larger files.
    assert (registry / f"{prefix}.crate").stat().st_size < 10_000_000


def test_a_program_contains_the_library_and_needs_no_other(application: Application) -> None:
    application.run("cargo", "build")
    program = application.folder / "target" / "debug" / "penguins"
    assert not [name for name in needed(program) if "sidecall" in name or "c++" in name]
    assert application.run(program, PENGUINS) == PENGUINS_OUTPUT


@pytest.fixture
def unpacked(registry: Path, tmp_path: Path) -> Application:
    """The same crate, which names the two unpacked crates as the guide says."""
    tools = find_compiler("cc") | find_toolchain()
    application = make_room(tmp_path, tools, CARGO_NET_OFFLINE="true")
    application.run("cargo", "init", "--vcs", "none", "--name", "penguins")
    vendor = application.folder / "vendor"
    vendor.mkdir()
    for crate in registry.glob("*.crate"):
        run("tar", "-xf", crate, "-C", vendor)
    guide = (ROOT / "docs" / "rust.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```toml\n(.*?)```", guide, flags=re.DOTALL)
    manifest = application.folder / "Cargo.toml"
    own, _, _ = manifest.read_text(encoding="utf-8").partition("[dependencies]")
    manifest.write_text(own + text, encoding="utf-8")
    shutil.copy(EXAMPLE, application.folder / "src")
    return application


def test_unpacked_crates_link_another_library_that_a_variable_names(unpacked: Application) -> None:
    library = ROOT / "build" / "portable" / "lib"  # from which the package was made
    environment = unpacked.environment | {"SIDECALL_LIB_DIR": str(library)}
    run("cargo", "build", cwd=unpacked.folder, env=environment)
    program = unpacked.folder / "target" / "debug" / "penguins"
    assert "libsidecall.so.1" in needed(program)
