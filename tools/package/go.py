"""Packs the Go module as a folder that Go takes for a module proxy; `make package-go` runs it.

The module holds its sources without the tests, the headers, and the static library of each machine.
Its folders for headers and libraries are packages that the module imports, because `go mod vendor`
copies nothing else.
"""

import json

from common import ROOT, VERSION, Options, read_options, write_zip

MODULE = "sidecall.dev/sidecall"
SOURCES = ROOT / "bindings" / "go"
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}  # the names that Go has for them
HEADERS = ("sidecall.h", "binding.h")

HEADERS_GO = """// Package headers holds the headers of libsidecall, for the package {module}.
package headers
"""
ARCHIVE_GO = """// Package archive holds libsidecall for one machine, for the package {module}.
package archive
"""
IMPORTS_GO = """// The folders that `go mod vendor` must copy.

package sidecall

import (
{imports}
)
"""
LINK_GO = """//go:build !sidecall_shared

package sidecall

// The program contains the library, and needs no other file.

// #cgo CFLAGS: -DSIDECALL_STATIC
{archives}
// #cgo LDFLAGS: -lm -ldl -lpthread
import "C"
"""
MISSING_GO = """// Says what is missing on a machine for which the module has no library.

//go:build !sidecall_shared && !(linux && ({machines}))

package sidecall

var _ = sidecall_has_no_library_for_this_machine__install_it_and_use_the_tag_sidecall_shared
"""


def list_files(options: Options) -> dict[str, bytes]:
    files = options.licences()
    for path in SOURCES.iterdir():
        if path.suffix in {".go", ".h", ".mod"} and not path.name.endswith("_test.go"):
            files[path.name] = path.read_bytes()
    for name in HEADERS:
        files[f"include/sidecall/{name}"] = (ROOT / "include" / "sidecall" / name).read_bytes()
    machines = [MACHINES[machine] for machine in options.machines]
    folders = ["include/sidecall", *(f"lib/linux_{name}" for name in machines)]
    for machine, name in zip(options.machines, machines, strict=True):
        archive = options.native(machine, "libsidecall.a")
        files[f"lib/linux_{name}/libsidecall.a"] = archive.read_bytes()
    lines = [
        f"// #cgo linux,{name} LDFLAGS: ${{SRCDIR}}/lib/linux_{name}/libsidecall.a"
        for name in machines
    ]
    texts = {
        "include/sidecall/headers.go": HEADERS_GO.format(module=MODULE),
        "imports.go": IMPORTS_GO.format(
            imports="\n".join(f'\t_ "{MODULE}/{folder}"' for folder in folders)
        ),
        "link_static.go": LINK_GO.format(archives="\n".join(lines)),
        "link_missing.go": MISSING_GO.format(machines=" || ".join(machines)),
    }
    for folder in folders[1:]:
        texts[f"{folder}/archive.go"] = ARCHIVE_GO.format(module=MODULE)
    return files | {name: text.encode() for name, text in texts.items()}


def main() -> None:
    options = read_options(__doc__)
    version = f"v{VERSION}"
    folder = options.out / MODULE / "@v"
    folder.mkdir(parents=True, exist_ok=True)
    files = list_files(options)
    prefix = f"{MODULE}@{version}/"
    write_zip(folder / f"{version}.zip", {prefix + name: files[name] for name in files})
    (folder / f"{version}.mod").write_bytes(files["go.mod"])
    (folder / f"{version}.info").write_text(json.dumps({"Version": version}), encoding="utf-8")
    versions = sorted(path.stem for path in folder.glob("*.zip"))
    (folder / "list").write_text("".join(f"{name}\n" for name in versions), encoding="utf-8")


if __name__ == "__main__":
    main()
