"""Finds the blocks of code on a page of documentation, with what the page says about each.

An HTML comment before a block, which readers do not see, says what the tests do with it:

    <!-- file: NAME -->        the block is the file NAME; blocks that follow use it
    <!-- output -->            what the block before it prints; `...` stands for any text
    <!-- background -->        a command that runs until the end of the page
    <!-- fragment: REASON -->  not complete: it is only compiled or parsed

A block without such a comment is complete and is executed. A page with the comment
`<!-- long: REASON -->` is run by `make test-long` only.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(
    r"(?:^<!-- (?P<kind>[a-z]+)(?:: (?P<detail>[^>]*?))? -->\n)?"
    r"^```(?P<language>\w+)(?:,no_run)?\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
KINDS = {None, "file", "output", "background", "fragment"}
# Languages whose blocks are programs or data. A block of `text` is for people. Those of Rust, which
# are marked `rust,no_run`, are documentation tests of the crate: tools/test_rust.sh compiles them.
LANGUAGES = {"bash", "c", "cpp", "js", "json", "python", "sh", "ts", "yaml"}


@dataclass(frozen=True)
class Snippet:
    page: Path
    line: int
    language: str
    code: str
    kind: str | None
    detail: str

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.line}"


def snippets_of(page: Path) -> list[Snippet]:
    """All blocks of a page that name their language."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        kind = match["kind"]
        assert kind in KINDS, f"{page}:{line}: expected one of {KINDS}, got {kind}"
        assert kind not in {"file", "fragment"} or match["detail"], f"{page}:{line}: {kind}: ?"
        found.append(
            Snippet(page, line, match["language"], match["code"], kind, match["detail"] or "")
        )
    return found


def is_long(page: Path) -> bool:
    return "\n<!-- long: " in page.read_text(encoding="utf-8")


def matches(expected: str, got: str) -> bool:
    """Whether an output is the expected one. `...` stands for any text.

    Blanks at line ends are ignored.
    """
    pieces = [re.escape(piece) for piece in tidy(expected).split("...")]
    return re.fullmatch(".*".join(pieces), tidy(got), re.DOTALL) is not None


def tidy(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
