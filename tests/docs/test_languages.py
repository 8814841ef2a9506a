"""The table of docs/languages.md: every name that it gives exists in its language."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = {
    "C": ["include/sidecall/*.h"],
    "C++": ["include/sidecall/*.hpp"],
    "Python": ["python/sidecall/*.py", "python/sidecall/serving/*.py"],
    "Node.js": ["bindings/node/index.d.ts"],
    "Go": ["bindings/go/*.go"],
    "Rust": ["bindings/rust/sidecall/src/*.rs"],
    "Java": ["bindings/java/src/main/java/dev/sidecall/*.java"],
}
# The cells of this row are what `sidecall types --lang` takes.
TYPES = "types of a model as source code"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|\n").split("|")]


def words_of(patterns: list[str]) -> set[str]:
    files = [path for pattern in patterns for path in ROOT.glob(pattern)]
    assert files, patterns
    return {word for path in files for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


def test_every_name_of_the_table_exists_in_its_language() -> None:
    lines = (ROOT / "docs/languages.md").read_text(encoding="utf-8").splitlines()
    head, _, *rows = [cells(line) for line in lines if line.startswith("|")]
    assert head == ["task", *SOURCES]
    known = {language: words_of(patterns) for language, patterns in SOURCES.items()}
    written = words_of(["command/types/languages.cpp"])
    for task, *names in rows:
        assert len(names) == len(SOURCES), task
        for language, cell in zip(SOURCES, names, strict=True):
            found = re.findall(r"`(\w+)`", cell)
            assert found or cell == "-", (task, language, cell)
            for name in found:
                assert name in (written if task == TYPES else known[language]), (
                    task,
                    language,
                    name,
                )
