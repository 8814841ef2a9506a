"""Packs the Rust crates as a folder that cargo takes for a local registry.

`make package-rust` runs it. The folder has the crates themselves, and an index of them. The
crate sidecall-sys holds the static library of each machine.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

from common import ROOT, VERSION, Options, read_options

SOURCES = ROOT / "bindings" / "rust"
CRATES = ("sidecall-sys", "sidecall")  # each after those that it needs


def stage(options: Options, folder: Path) -> None:
    """Copies the workspace, with the licences and the libraries but without the tests."""
    shutil.rmtree(folder, ignore_errors=True)
    for crate in CRATES:
        (folder / crate).mkdir(parents=True)
        shutil.copy(SOURCES / crate / "Cargo.toml", folder / crate)
        shutil.copytree(SOURCES / crate / "src", folder / crate / "src")
        for name, content in options.licences().items():
            (folder / crate / name).write_bytes(content)
    shutil.copy(SOURCES / "Cargo.toml", folder)
    shutil.copy(SOURCES / "sidecall-sys" / "build.rs", folder / "sidecall-sys")
    for machine in options.machines:
        target = folder / "sidecall-sys" / "lib" / f"linux-gnu-{machine}"
        target.mkdir(parents=True)
        shutil.copy(options.native(machine, "libsidecall.a"), target)


def environment() -> dict[str, str]:
    """rustup's programs are there before it has a toolchain, and then run nothing."""
    if subprocess.run(["cargo", "--version"], capture_output=True).returncode == 0:
        return dict(os.environ)
    return os.environ | {"PATH": f"/usr/bin:{os.environ['PATH']}"}


def pack(crate: str, folder: Path, registry: Path) -> Path:
    """Writes the .crate. Its dependencies come from the registry instead of crates.io."""
    sources = ["source.crates-io.replace-with='own'", f"source.own.local-registry='{registry}'"]
    command = ["cargo", "package", "--package", crate, "--no-verify", "--allow-dirty", "--offline"]
    for source in sources:
        command += ["--config", source]
    command += ["--target-dir", "target"]
    subprocess.run(command, cwd=folder, env=environment(), check=True)
    name = f"{crate}-{VERSION}.crate"
    return Path(shutil.copy(folder / "target" / "package" / name, registry / name))


def describe(path: Path, crate: str) -> dict[str, object]:
    """Returns the entry of the index for a crate."""
    with tarfile.open(path) as archive:
        manifest = tomllib.load(archive.extractfile(f"{crate}-{VERSION}/Cargo.toml"))
    dependencies = [
        {
            "name": name,
            "req": f"^{given['version']}",
            "features": [],
            "optional": False,
            "default_features": True,
            "target": None,
            "kind": "normal",
        }
        for name, given in manifest.get("dependencies", {}).items()
    ]
    return {
        "name": crate,
        "vers": VERSION,
        "deps": dependencies,
        "features": {},
        "links": manifest["package"].get("links"),
        "rust_version": manifest["package"]["rust-version"],
        "cksum": hashlib.sha256(path.read_bytes()).hexdigest(),
        "yanked": False,
    }


def add_to_index(entry: dict[str, object], registry: Path) -> None:
    """Replaces the entry of this version, and keeps those of others."""
    name = str(entry["name"])
    path = registry / "index" / name[:2] / name[2:4] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = [line for line in lines if json.loads(line)["vers"] != entry["vers"]]
    text = "".join(f"{line}\n" for line in [*kept, json.dumps(entry)])
    path.write_text(text, encoding="utf-8")


def main() -> None:
    options = read_options(__doc__)
    (options.out / "index").mkdir(parents=True, exist_ok=True)
    folder = options.natives / "rust"
    stage(options, folder)
    for crate in CRATES:
        path = pack(crate, folder, options.out)
        add_to_index(describe(path, crate), options.out)


if __name__ == "__main__":
    main()
