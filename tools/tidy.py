"""Runs clang-tidy on the native files that changed; `make tidy` runs it.

tidy.py BUILD [--base COMMIT | --all] [--jobs N] [--clang-tidy PROGRAM]

BUILD holds compile_commands.json. The files that changed are those that differ from COMMIT,
including changes that are not committed. By default, COMMIT is the commit at which the branch left
origin/main, or, on origin/main itself, the commit before HEAD. A changed header is checked with one
source file that includes it.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from check_files import ROOT, listed_files

SOURCES = {".c", ".cpp"}
HEADERS = {".h", ".hpp"}
# Folders that are not checked: programs that are written as a user would write them, and the public
# headers, which those programs include.
LEFT_OUT = ("benchmarks/", "examples/", "include/", "tests/")


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def default_base() -> str:
    left = git("merge-base", "HEAD", "origin/main")
    return left if left and left != git("rev-parse", "HEAD") else "HEAD~1"


def changed_files(base: str) -> set[Path]:
    if not git("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}"):
        raise SystemExit(f"TIDY_BASE: expected a commit, got {base}")
    names = git("diff", "--name-only", "--diff-filter=d", base).splitlines()
    names += git("ls-files", "--others", "--exclude-standard").splitlines()
    return {ROOT / name for name in names}


def compiled_files(build: Path) -> set[Path]:
    commands = json.loads((build / "compile_commands.json").read_text(encoding="utf-8"))
    return {Path(command["directory"], command["file"]).resolve() for command in commands}


def including(header: Path, sources: list[Path]) -> Path | None:
    """The source file of the same name, or else the first that includes the header."""
    line = re.compile(rf'#\s*include\s*[<"](?:[^>"]*/)?{re.escape(header.name)}[>"]')
    users = [source for source in sources if line.search(source.read_text(encoding="utf-8"))]
    same = [source for source in users if source.stem == header.stem]
    return next(iter(same + users), None)


def checked_files(build: Path, changed: set[Path] | None) -> list[Path]:
    own = [
        path
        for path in sorted(listed_files())
        if not path.relative_to(ROOT).as_posix().startswith(LEFT_OUT)
    ]
    compiled = compiled_files(build)
    sources = [path for path in own if path.suffix in SOURCES and path in compiled]
    if changed is None:
        return sources
    chosen = {path for path in sources if path in changed}
    for header in own:
        if header.suffix in HEADERS and header in changed:
            chosen |= {source for source in [including(header, sources)] if source is not None}
    return sorted(chosen)


def check(program: str, build: Path, source: Path) -> str:
    """What clang-tidy finds; empty if it finds nothing."""
    done = subprocess.run(
        [program, "-p", str(build), "--quiet", str(source)], capture_output=True, text=True
    )
    return done.stdout + done.stderr if done.returncode != 0 else ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs clang-tidy on the files that changed.")
    parser.add_argument("build", type=Path)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--base", default="", help="what changed since this commit")
    what.add_argument("--all", action="store_true", help="every file")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--clang-tidy", default="clang-tidy-19")
    options = parser.parse_args()
    changed = None if options.all else changed_files(options.base or default_base())
    sources = checked_files(options.build, changed)
    print(f"-- clang-tidy: {len(sources)} files", flush=True)
    found = False
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        checks = [pool.submit(check, options.clang_tidy, options.build, path) for path in sources]
        for done in concurrent.futures.as_completed(checks):
            if done.result():
                found = True
                print(done.result(), flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
