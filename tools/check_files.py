"""Checks every file of the repository; `make lint` runs it.

Checks length, first line, whitespace, left-over notes, paths of a developer's machine, that no
folder has too many files, and that only the library looks at the scheme of a model's URI.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = {
    ".c",
    ".cpp",
    ".h",
    ".hpp",
    ".py",
    ".pyi",
    ".sh",
    ".cmake",
    ".js",
    ".mjs",
    ".ts",
    ".mts",
    ".go",
    ".java",
    ".rs",
}
BINARY = {".onnx", ".bin", ".data", ".joblib", ".npy", ".png", ".xz"}
MAX_LINES = 600
MAX_COLUMNS = 100  # of comments; the formatters apply the same limit to code
LONE_COMMENT = re.compile(r"\s*(?://|\* |/\*|# )")
# These files may be longer: a public header and a public class of Java are single files and also
# the manual, and the declarations of all functions of the library belong together.
LONG_FILES = {
    "include/sidecall/sidecall.h",
    "include/sidecall/sidecall.hpp",
    "bindings/rust/sidecall-sys/src/bindings.rs",
    "bindings/java/src/main/java/dev/sidecall/Call.java",
    "bindings/java/src/main/java/dev/sidecall/Native.java",
}
# Source files and pages directly in one folder. Sub-folders name the parts of a larger folder.
MAX_FILES = 25
# These folders may have more files. In Go and Java a folder is a package: a file that moves to
# another folder loses access to what is private to the package. Decisions are a numbered list.
LARGE_FOLDERS = {
    "bindings/go",
    "bindings/java/src/main/java/dev/sidecall",
    "docs/decisions",
}
# The patterns are written in pieces, so that they do not match this file.
FORBIDDEN = {
    "a left-over": re.compile("TO" + r"DO|FIX" + r"ME|XX" + r"X\b"),
    "a path of one machine": re.compile(
        r"(?<![\w.$}/-])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me/\w+|t" + r"mp/w)/"
    ),
    "a merge conflict": re.compile(r"^(?:<<<<<<<|>>>>>>>) ", re.MULTILINE),
}
# A front end asks sidecall_model_route() where a model runs, so that a new route needs no line in
# it. Allowed: the addresses at which a server listens, and those that a command makes.
SCHEME = re.compile(r"""["'](?:shm|exec|https?|grpcs?)(?:\+unix)?:(?://)?["']""")
FRONT_ENDS = (
    "command/",
    "bindings/go/",
    "bindings/java/src/main/",
    "bindings/node/lib/",
    "bindings/node/src/",
    "bindings/rust/",
    "python/sidecall/",
    "python/src/",
)
MAY_NAME_SCHEMES = {
    "command/commands/doctor_machine.cpp",
    "command/commands/serve/serve.cpp",
    "command/commands/serve/needs.cpp",
    "python/sidecall/serving/network.py",
}


def check(path: Path) -> list[str]:
    name = path.relative_to(ROOT).as_posix()
    if path.suffix in BINARY:
        return []
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    faults = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {what}: {match.group(0).strip()}"
        for what, pattern in FORBIDDEN.items()
        for match in pattern.finditer(text)
    ]
    if path.suffix in SOURCE or path.name in {"CMakeLists.txt", "Makefile"}:
        if len(lines) > MAX_LINES and name not in LONG_FILES:
            faults.append(f"{name}: {len(lines)} lines, expected at most {MAX_LINES}: split it")
        faults += [
            f"{name}:{i}: blank at the end of the line"
            for i, line in enumerate(lines, 1)
            if line != line.rstrip()
        ]
        faults += [
            f"{name}:{i}: a comment of {len(line)} columns, expected at most {MAX_COLUMNS}"
            for i, line in enumerate(lines, 1)
            if len(line) > MAX_COLUMNS and LONE_COMMENT.match(line) and "://" not in line
        ]
        # A class of Java says it in its own comment, which javadoc requires.
        first = next((line for line in lines if not line.startswith("#!")), "")
        if (
            lines
            and path.suffix != ".java"
            and not re.match(r'\s*(//|/\*|#(?!include|define|pragma)|r?"""|@)', first)
        ):
            faults.append(f"{name}: the first line should say what the file does and who uses it")
    is_test = "/tests/" in name or name.endswith("_test.go")
    if name.startswith(FRONT_ENDS) and name not in MAY_NAME_SCHEMES and not is_test:
        faults += [
            f"{name}:{text.count(chr(10), 0, match.start()) + 1}: the scheme {match.group(0)}: "
            "ask sidecall_model_route() instead"
            for match in SCHEME.finditer(text)
        ]
    if text and not text.endswith("\n"):
        faults.append(f"{name}: no newline at the end")
    return faults


def check_folders(paths: Iterable[Path]) -> list[str]:
    counts = Counter(
        path.parent.relative_to(ROOT).as_posix()
        for path in paths
        if path.suffix in SOURCE or path.suffix == ".md"
    )
    return [
        f"{folder}: {count} source files and pages, expected at most {MAX_FILES}: "
        "move some of them into sub-folders that name the parts"
        for folder, count in sorted(counts.items())
        if count > MAX_FILES and folder not in LARGE_FOLDERS
    ]


def listed_files() -> list[Path]:
    """Every file that git knows, or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def main() -> int:
    paths = sorted(listed_files())
    faults = [fault for path in paths for fault in check(path)] + check_folders(paths)
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
