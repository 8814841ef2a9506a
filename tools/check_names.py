"""Checks that every file that a comment or a page names exists. `make lint` runs it."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from check_files import ROOT, listed_files

COMMENTED = {".c", ".cpp", ".h", ".hpp", ".py", ".pyi", ".sh", ".cmake", ".js", ".mjs", ".ts"}
COMMENT = re.compile(r"^\s*(?://|#|/?\*)|\s(?://|#)\s")
FILE_NAME = re.compile(
    r"(?<![\w.<>*{}$/:-])((?:[\w.-]+/)*[\w-]+\.(?:cpp|hpp|h|pyi?|m?js|sh|md|cmake|pml))(?![\w*])"
)
# Names that are not those of files of this repository: other projects' files, and examples.
OTHERS = {
    "Node.js",
    "activation/activations.h",
    "c_api.h",
    "docs/decisions/NNN-title.md",
    "include/linux/sched.h",
    "linux/openat2.h",
    "lp_norm.h",
    "ml/tree_ensemble_common.h",
    "nn/batch_norm.h",
    "nn/dropout_op.h",
    "numpy.py",
    "penguins.js",
    "sitecustomize.py",
    "squeeze.h",
    "tensor/identity_op.h",
}


def names_in(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and name of each file that the comments, or the text of a page, mention."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line
        if path.suffix != ".md":
            comment = COMMENT.search(line)
            if comment is None:
                continue
            text = line[comment.start() :]
        for match in FILE_NAME.finditer(text):
            yield number, re.sub(r"^(?:\.{1,2}/)+", "", match[1])


def main() -> int:
    paths = listed_files()
    known = {path.relative_to(ROOT).as_posix() for path in paths}
    # A comment may leave out the first folders of a path.
    known |= {name.split("/", i)[i] for name in known for i in range(1, name.count("/") + 1)}
    named = (path for path in paths if path.suffix in COMMENTED | {".md"})
    faults = [
        f"{path.relative_to(ROOT)}:{number}: there is no file {name}"
        for path in sorted(named)
        if path.name != "CHANGELOG.md"  # tells of files that are gone
        for number, name in names_in(path)
        if name not in known and name not in OTHERS
    ]
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
