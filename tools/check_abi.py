"""Checks that the header, symbols.txt and the built library agree, and that the header is plain C.

Plain means that every language can read it. make lint and ctest run this; `--write` writes
symbols.txt anew from the header.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include/sidecall"
SYMBOLS = ROOT / "bindings/c/abi/symbols.txt"
# Words that a public header must not contain: the size, signedness or layout of these types differs
# between compilers and languages.
FORBIDDEN = (
    "bool",
    "_Bool",
    "long",
    "short",
    "enum",
    "wchar_t",
    "ssize_t",
    "off_t",
    "time_t",
    "va_list",
    "union",
)


def code_of(header: Path) -> str:
    """The header's declarations without comments, preprocessor lines and string literals."""
    text = re.sub(r"/\*.*?\*/", " ", header.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"//[^\n]*", " ", text)
    text = re.sub(r'"[^"\n]*"', '""', text)
    return re.sub(r"^[ \t]*#(?:.*\\\n)*.*$", "", text, flags=re.MULTILINE)


def functions_of(code: str) -> list[tuple[str, str, str]]:
    """The functions that a header exports: the result, the name and the parameters of each."""
    return re.findall(r"\bSIDECALL_API\b([^;(]*?)\b(\w+)\s*\(([^;{]*)\)\s*;", code)


def declared_names(headers: list[Path]) -> list[str]:
    """The functions that the headers export, sorted."""
    return sorted(name for header in headers for _, name, _ in functions_of(code_of(header)))


def exported_names(library: Path) -> list[str]:
    """The symbols that the built library defines for others, sorted, without version names."""
    out = subprocess.run(
        ["nm", "-D", "--defined-only", str(library)], check=True, capture_output=True, text=True
    ).stdout
    symbols = [line.split() for line in out.splitlines()]
    return sorted({fields[-1].split("@")[0] for fields in symbols if fields[-2] != "A"})


def differences(what: str, expected: list[str], got: list[str]) -> list[str]:
    faults = [f"{what}: {name} is missing" for name in expected if name not in got]
    return faults + [
        f"{what}: {name} is not declared in a public header" for name in got if name not in expected
    ]


def check(library: Path | None) -> list[str]:
    headers = sorted(INCLUDE.glob("*.h"))
    declared = declared_names(headers)
    faults = differences(
        "bindings/c/abi/symbols.txt", declared, SYMBOLS.read_text(encoding="utf-8").split()
    )
    faults += [
        f"{name}: does not begin with sidecall_"
        for name in declared
        if not name.startswith("sidecall_")
    ]
    faults += [
        f"{name}: is declared twice" for name in sorted(set(declared)) if declared.count(name) > 1
    ]
    for header in headers:
        words = set(re.findall(r"\w+", code_of(header)))
        faults += [
            f"{header.name}: '{word}' has no fixed size in the ABI"
            for word in FORBIDDEN
            if word in words
        ]
    if library is not None:
        faults += differences(library.name, declared, exported_names(library))
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--library", type=Path, help="the built libsidecall, to compare its exported symbols too"
    )
    parser.add_argument(
        "--write", action="store_true", help="write symbols.txt instead of checking it"
    )
    args = parser.parse_args()
    if args.write:
        SYMBOLS.write_text(
            "".join(f"{name}\n" for name in declared_names(sorted(INCLUDE.glob("*.h")))),
            encoding="utf-8",
        )
        return 0
    faults = check(args.library)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
