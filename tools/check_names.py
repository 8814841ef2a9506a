"""Checks that the files and functions that comments, docstrings and pages name exist.

`make lint` runs it. What counts as a function: a word with "()" behind it, two words with "::"
between them, and names of the C ABI. A function exists if code of this repository uses its name as
an identifier. So functions of other libraries pass too if they are called here.
"""

import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from check_files import ROOT, listed_files

LIKE_C = {
    ".c",
    ".cpp",
    ".h",
    ".hpp",
    ".inc",
    ".js",
    ".mjs",
    ".cjs",
    ".ts",
    ".mts",
    ".proto",
    ".go",
    ".java",
    ".rs",
}
LIKE_PYTHON = {".py", ".pyi"}
LIKE_SHELL = {".sh", ".cmake", ".pl", ".toml", ".yml", ".supp"}
CODE = LIKE_C | LIKE_PYTHON | LIKE_SHELL | {".json", ".map", ".pml", ".txt"}
PAGES = {".md"}

FILE_NAME = re.compile(
    r"(?<![\w.<>*{}$/:-])((?:[\w.-]+/)*[\w-]+\.(?:cpp|hpp|h|pyi?|m?js|sh|md|cmake|pml))(?![\w*])"
)
FUNCTION = re.compile(r"(?<![\w.:>$-])((?:[A-Za-z_]\w*(?:::|\.|->))*~?[A-Za-z_]\w*)\(\)")
MEMBER = re.compile(r"(?<![\w.:<])([A-Za-z_]\w*(?:::~?[A-Za-z_]\w*)+)(?![\w:])")
# A name of the C ABI, or the beginning of several: sidecall_call_get_*.
ABI_NAME = re.compile(r"(?<![\w/.$-])(sidecall_\w+)(?![\w/.-])")
WORD = re.compile(r"[A-Za-z_]\w*")
# A comment or a string of a language like C; a string may hold what looks like a comment.
TOKEN_OF_C = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`""", re.DOTALL
)

# File names that do not exist in this repository: files of other projects, and examples.
OTHER_FILES = {
    "Node.js",
    "MODEL/1/model.py",
    "activation/activations.h",
    "c_api.h",
    "digits.mjs",
    "digits.py",
    "docs/decisions/NNN-title.md",
    "handler.mjs",
    "hours.py",
    "journeys.mjs",
    "journeys.py",
    "include/linux/sched.h",
    "linux/openat2.h",
    "lp_norm.h",
    "ml/tree_ensemble_common.h",
    "nn/batch_norm.h",
    "nn/dropout_op.h",
    "numpy.py",
    "penguins.js",
    "penguins.mjs",
    "pyconfig.h",
    "shop.py",
    "till.py",
    "sitecustomize.py",
    "squeeze.h",
    "tensor/identity_op.h",
    "train.py",
    "train_shop.py",
    "train_till.py",
}
# Functions of other projects that comments explain and no code here uses; and the names of some
# approaches of the benchmarks, which look like names of functions.
OTHER_FUNCTIONS = {"pthread_exit", "sidecall_MODE", "sidecall_sleep", "sidecall_spin"}

Lines = list[tuple[int, str]]


def numbered(text: str, first: int) -> Lines:
    return list(enumerate(text.splitlines(), first))


def split_like_c(text: str) -> tuple[str, Lines]:
    prose: Lines = []
    code: list[str] = []
    end = 0
    for match in TOKEN_OF_C.finditer(text):
        code.append(text[end : match.start()])
        end = match.end()
        if match[0].startswith(("//", "/*")):
            prose += numbered(match[0], text.count("\n", 0, match.start()) + 1)
        else:
            code.append(match[0])
    return "".join(code) + text[end:], prose


def split_python(text: str) -> tuple[str, Lines]:
    prose: Lines = []
    code: list[str] = []
    starts_statement = True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_docstring = token.type == tokenize.STRING and starts_statement
        if token.type == tokenize.COMMENT or is_docstring:
            prose += numbered(token.string, token.start[0])
        else:
            code.append(token.string)
        if token.type not in {tokenize.COMMENT, tokenize.NL}:
            starts_statement = token.type in {tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    return " ".join(code), prose


def split_shell(text: str) -> tuple[str, Lines]:
    prose: Lines = []
    code: list[str] = []
    for number, line in numbered(text, 1):
        comment = re.search(r"(?:^|\s)#(?!!).*", line)
        code.append(line[: comment.start()] if comment else line)
        if comment:
            prose.append((number, comment[0]))
    return "\n".join(code), prose


def split_page(text: str) -> tuple[str, Lines]:
    """No code, and the lines of a page outside of its examples, which the tests run."""
    prose: Lines = []
    is_code = False
    for number, line in numbered(text, 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code:
            prose.append((number, line))
    return "", prose


def split(path: Path) -> tuple[str, Lines]:
    """The code of a file, and the lines of its prose."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in PAGES:
        return split_page(text)
    if path.suffix in LIKE_PYTHON:
        return split_python(text)
    if path.suffix in LIKE_C:
        return split_like_c(text)
    if path.suffix in LIKE_SHELL or path.name in {"CMakeLists.txt", "Makefile"}:
        return split_shell(text)
    return text, []


def functions_in(line: str) -> Iterator[str]:
    for pattern in (FUNCTION, MEMBER, ABI_NAME):
        for match in pattern.finditer(line):
            yield match[1]


def files_in(line: str) -> Iterator[str]:
    for match in FILE_NAME.finditer(line):
        yield re.sub(r"^(?:\.{1,2}/)+", "", match[1])


class Names:
    """What exists: the files of the repository, and the identifiers in the code of each."""

    def __init__(self, paths: list[Path], codes: list[str]) -> None:
        self.files = {path.relative_to(ROOT).as_posix() for path in paths}
        # A comment may leave out the first folders of a path.
        self.files |= {
            name.split("/", i)[i] for name in self.files for i in range(1, name.count("/") + 1)
        }
        self.identifiers = [set(WORD.findall(code)) for code in codes]
        self.all_identifiers = set().union(*self.identifiers)

    def has_file(self, name: str) -> bool:
        return name in self.files or name in OTHER_FILES

    def has_function(self, name: str) -> bool:
        """A member must occur in a file in which its class occurs too."""
        parts = [part.lstrip("~") for part in re.split(r"::|\.|->", name)]
        if parts[0] == "std" or parts[-1] in OTHER_FUNCTIONS:
            return True
        if len(parts) > 1 and parts[-2][0].isupper():
            return any(words.issuperset(parts[-2:]) for words in self.identifiers)
        if name in self.all_identifiers or not name.startswith("sidecall_"):
            return parts[-1] in self.all_identifiers
        return any(word.startswith(name.rstrip("_") + "_") for word in self.all_identifiers)


def main() -> int:
    paths = sorted(listed_files())
    read = [path for path in paths if path.suffix in CODE | PAGES or path.name == "Makefile"]
    files = [(path, *split(path)) for path in read]
    names = Names(paths, [code for _, code, _ in files])
    faults = []
    for path, _, prose in files:
        for number, line in prose:
            place = f"{path.relative_to(ROOT)}:{number}"
            faults += [
                f"{place}: there is no file {name}"
                for name in files_in(line)
                if not names.has_file(name)
            ]
            faults += [
                f"{place}: there is no function {name}"
                for name in dict.fromkeys(functions_in(line))
                if not names.has_function(name)
            ]
    print("\n".join(faults), file=sys.stderr, end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
