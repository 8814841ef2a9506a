"""Writes the generated parts of docs/engine.md with `--update`; tests check that they are current.

Everything comes from what the tests use: the tables of operators in the sources, the types of the
cases that the engine answers, the judges that compare the answers, and the refusals. The list of
estimators comes from tests/python/convert/walk_estimators.py.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import cases  # noqa: F401
import numpy as np
from judging import equality_of
from operator_cases import ALL, CASES, ROOT, Case, Entry, table_entries, versions_of
from refusals import NO_TYPE
from refusals_trees import REFUSALS
from sidecall import errors
from two_engines import ML, Native

PAGE = ROOT / "docs/engine.md"
GRAPH = ROOT / "engines/native/graph.cpp"
# Refusals that the page explains once for all operators.
COMMON = (NO_TYPE, "depends on the inputs' values")
NAMES = {"object": "string"}

Types = tuple[str | None, ...]


# ---- Parts of the page ----


def part(page: str, name: str) -> str:
    """The text between the two lines that mark a part."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    return page[page.index(begin) + len(begin) : page.index(end)]


def with_part(page: str, name: str, text: str) -> str:
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    return page[: page.index(begin) + len(begin)] + text + page[page.index(end) :]


# ---- Operators ----


def answered_types(op: str, version: int) -> Iterator[Types]:
    """The types of inputs for which the engine answers a case of the operator.

    test_operators.py compares the answers.
    """
    answered: set[Types] = set()
    for case in CASES[op](op, version, np.random.default_rng(version)):
        types = tuple(None if x is None else str(x.dtype) for x in case.arrays())
        if types not in answered and is_answered(case, version):
            answered.add(types)
            yield types


def is_answered(case: Case, version: int) -> bool:
    try:
        Native(case.model(version).SerializeToString()).run(case.feeds())
    except errors.Error:
        return False
    return True


def types_in_words(found: Sequence[Types]) -> str:
    """The types of each input, or of all inputs if they have the same ones."""
    positions = [
        {types[i] for types in found if i < len(types) and types[i] is not None}
        for i in range(max(map(len, found), default=0))
    ]
    words = [
        "any" if each == set(ALL) else ", ".join(NAMES.get(t, t) for t in ALL if t in each)
        for each in positions
        if each
    ]
    return words[0] if len(set(words)) == 1 else "; ".join(words)


def versions_in_words(entries: Sequence[Entry]) -> str:
    first = min(entry.first for entry in entries)
    last = max(entries, key=lambda entry: entry.last)
    return f"{first} to {last.last}" if last.has_end else f"{first} and later"


def operators() -> str:
    """The table of operators."""
    newest = dict(re.findall(r"constexpr int64_t (kNewest\w+) = (\d+);", GRAPH.read_text("utf-8")))
    lines = [
        f"The newest operator sets are {newest['kNewestOpset']} of ONNX and"
        f" {newest['kNewestMlOpset']} of `{ML}`.",
        "",
        "| operator | versions | element types of the inputs | equality |",
        "|---|---|---|---|",
    ]
    by_name: dict[tuple[str, str], list[Entry]] = {}
    for entry in table_entries():
        by_name.setdefault((entry.domain, entry.op), []).append(entry)
    for (domain, op), entries in sorted(by_name.items()):
        name = f"`{domain}.{op}`" if domain else f"`{op}`"
        found = [types for entry in entries for types in answered_types(op, versions_of(entry)[-1])]
        versions = versions_in_words(entries)
        lines.append(f"| {name} | {versions} | {types_in_words(found)} | {equality_of(op)} |")
    return "\n".join(lines) + "\n"


def refusals() -> str:
    """What the engine refuses of operators that it has, although ONNX Runtime answers."""
    found: dict[str, list[str]] = {}
    for refusal in REFUSALS:
        if refusal.other_answers and not any(words in refusal.words for words in COMMON):
            message = message_of(refusal.case, refusal.version)
            texts = found.setdefault(refusal.case.op, [])
            texts += [] if message in texts else [message]
    lines = ["| operator | what the engine says |", "|---|---|"]
    for op, texts in sorted(found.items()):
        lines.append(f"| `{op}` | {'<br>'.join(texts)} |")
    return "\n".join(lines) + "\n"


def message_of(case: Case, version: int) -> str:
    """The error of the case, without the names of the file and of the node."""
    try:
        Native(case.model(version).SerializeToString()).run(case.feeds())
    except errors.Unsupported as error:
        return str(error).partition(f"{case.op}): ")[2].replace("|", "\\|")
    raise AssertionError(f"{case.describe()} is not refused")


# ---- Estimators ----


def estimators(rows: Sequence[Any]) -> str:
    """The estimators that convert, by whether the native engine runs them."""
    converted = [row for row in rows if row.converts]
    running = [row.name for row in converted if not row.native_reason]
    refused = [row for row in converted if row.native_reason]
    count = f"{len(running)} of the" if refused else "All"
    lines = [
        f"{count} {len(converted)} estimators that convert run on the native engine:",
        "",
        *wrapped(", ".join(running) + "."),
    ]
    if refused:
        lines += ["", "| does not run | the operator in the way |", "|---|---|"]
    lines += [f"| {row.name} | {row.native_reason} |" for row in refused]
    return "\n".join(lines) + "\n"


def wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= 100:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def update() -> None:
    sys.path.insert(0, str(ROOT / "tests/python/convert"))
    walk = importlib.import_module("walk_estimators").walk
    page = PAGE.read_text(encoding="utf-8")
    parts = {"operators": operators(), "refusals": refusals(), "estimators": estimators(walk())}
    for name, text in parts.items():
        page = with_part(page, name, text)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    if "--update" in sys.argv:
        update()
    else:
        print(operators(), refusals(), sep="\n")
