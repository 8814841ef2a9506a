"""Translates the plain text of our comments and docstrings to reStructuredText.

The comments of the public headers and the docstrings of the Python package are written to be read
where they stand. They use four forms: paragraphs; lists of terms, each with its explanation in a
column of its own; lists with dashes or numbers; and code that is indented. reference.py and conf.py
use this module.
"""

import re
from collections.abc import Callable, Iterator

# "timeout_ns  more than 0, or -1": a term, at least two blanks, an explanation.
TERM = re.compile(r"(?P<term>\S(?:\S| (?! ))*?) {2,}(?P<text>\S.*)")
ITEM = re.compile(r"(?P<mark>-|\d+\.) (?P<text>.*)")
INLINE = re.compile(
    r"`(?P<quoted>[^`]+)`"
    r"|(?P<uri>\b(?!http)[a-z]+://[^\s,)]*)"
    r"|(?P<path>(?<![\w/.])[\w-]+(?:/[\w.-]+)+\.\w+)"
    r"|(?P<name>(?:(?<!\w)\*)?(?<![\w/.])(?:_?[A-Za-z]\w*)(?:(?:->|::|\.)\w+)*(?:\(\))?(?:(?<=_)\*)?)"
)

# A function that turns a name into a cross reference, or returns None to leave it as it is. Its
# second argument tells whether the name was quoted, its third whether the paragraph lists errors.
Linker = Callable[[str, bool, bool], str | None]


def no_links(name: str, quoted: bool, lists_errors: bool) -> str | None:
    """The linker that links nothing."""
    return None


def escaped(text: str) -> str:
    return re.sub(r"([\\*`_|<>])", r"\\\1", text)


def is_code(name: str) -> bool:
    """Whether a word in a comment is certainly an identifier, such as `a_b`, `f()` or `x->y`."""
    bare = name.strip("*")
    if bare.endswith("()") or "->" in bare or "::" in bare or name != bare:
        return True
    return "_" in bare


def inline(text: str, link: Linker = no_links) -> str:
    """One paragraph: names become cross references or code, everything else is escaped."""
    lists_errors = text.startswith(("Errors:", "Raises"))
    parts, end = [], 0
    for match in INLINE.finditer(text):
        quoted = match["quoted"] is not None
        name = match["quoted"] or match["name"] or match["path"] or match["uri"]
        linked = link(name, quoted, lists_errors)
        if linked is None and (quoted or match["uri"] or (match["name"] and is_code(name))):
            linked = f"``{name}``"
        if linked is None:
            continue
        parts.append(escaped(text[end : match.start()]))
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        # Markup must stand alone; the escaped blank separates it from a letter and is not shown.
        parts.append(("\\ " if before and not before.isspace() else "") + linked)
        parts.append("\\ " if after and not after.isspace() else "")
        end = match.end()
    line = "".join(parts) + escaped(text[end:])
    return re.sub(r"^(Errors|Raises)(:?)", r"**\1\2**", line)


def indented(lines: list[str], by: int = 3) -> list[str]:
    return [" " * by + line if line else "" for line in lines]


def depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def blocks(lines: list[str]) -> Iterator[list[str]]:
    """Splits a text at its empty lines; code keeps the empty lines between its indented parts."""
    block: list[str] = []
    for position, line in enumerate(lines):
        if line.strip():
            block.append(line)
            continue
        following = next((later for later in lines[position:] if later.strip()), "")
        if block and depth(block[0]) and depth(following):
            block.append("")
        elif block:
            yield block
            block = []
    if block:
        yield block


def dedented(lines: list[str]) -> list[str]:
    least = min((depth(line) for line in lines if line), default=0)
    return [line[least:] for line in lines]


def column_of(block: list[str]) -> int:
    """The column where the explanations of a list of terms begin."""
    match = TERM.fullmatch(block[0])
    return match.start("text") if match else 0


def split_term(line: str, column: int) -> tuple[str, str] | None:
    """Term and explanation. One blank is enough before the column of the first explanation."""
    if depth(line):
        return None
    if 0 < column < len(line) and line[column - 1] == " " != line[column]:
        return line[:column].strip(), line[column:]
    match = TERM.fullmatch(line)
    return (match["term"], match["text"]) if match else None


def terms(block: list[str], link: Linker) -> list[str]:
    """A list of terms. A term that ends with a comma goes on in the next line."""
    items: list[tuple[str, list[str]]] = []
    for line in block:
        term, text = split_term(line, column_of(block)) or (line, "")
        goes_on = bool(items) and items[-1][0].endswith(",")
        if depth(line) == 0 and goes_on:
            items[-1] = (f"{items[-1][0]} {term}", [*items[-1][1], text])
        elif depth(line) == 0:
            items.append((term, [text]))
        else:
            items[-1][1].append(line)
    result = []
    for term, text in items:
        names = ", ".join(
            link(name, True, False) or f"``{name}``" if re.fullmatch(r"[\w*]+", name) else name
            for name in term.split(", ")
        )
        first = text[0].strip()
        result += [names, *indented(translate_lines([first, *dedented(text[1:])], link)), ""]
    return result


def items(block: list[str], link: Linker) -> list[str]:
    """A list with dashes or numbers."""
    result: list[str] = []
    open_item: list[str] = []

    def close() -> None:
        if open_item:
            mark, first = open_item[0].split(" ", 1)
            body = translate_lines([first, *dedented(open_item[1:])], link)
            inner = indented(body, len(mark) + 1)
            result.extend([f"{mark} {inner[0].strip()}", *inner[1:]])
            open_item.clear()

    for line in block:
        if ITEM.fullmatch(line):
            close()
        open_item.append(line)
    close()
    return [*result, ""]


def paragraphs(lines: list[str]) -> Iterator[str]:
    """The paragraphs of lines without an empty one. What holds for one route begins a new one."""
    paragraph: list[str] = []
    for line in lines:
        if paragraph and re.match(r"\s*(?:[Ll]ocal|[Rr]emote): ", line):
            yield " ".join(paragraph)
            paragraph = []
        paragraph.append(line.strip())
    if paragraph:
        yield " ".join(paragraph)


def is_term_list(block: list[str]) -> bool:
    column = column_of(block)
    return column > 0 and all(
        depth(line) >= 2
        or split_term(line, column)
        or block[position - 1].split("  ")[0].endswith(",")
        for position, line in enumerate(block[1:], 1)
    )


def translate_lines(lines: list[str], link: Linker) -> list[str]:
    result: list[str] = []
    for block in blocks(lines):
        if block[0].lstrip().startswith(">>>"):
            result += [*dedented(block), ""]
        elif depth(block[0]) >= 2:
            is_cpp = any(re.search(r"[;{]$|^ *#include", line) for line in block)
            directive = ".. code-block:: cpp" if is_cpp else "::"
            result += [directive, "", *indented(dedented(block)), ""]
        elif is_term_list(block):
            result += terms(block, link)
        else:
            # A list may begin in the middle of a paragraph, without an empty line.
            start = next((i for i, line in enumerate(block) if ITEM.fullmatch(line)), len(block))
            for paragraph in paragraphs(block[:start]):
                result += [inline(paragraph, link), ""]
            # A line at the margin ends the list.
            end = next(
                (
                    position
                    for position, line in enumerate(block)
                    if position > start and depth(line) == 0 and not ITEM.fullmatch(line)
                ),
                len(block),
            )
            if start < len(block):
                result += items(block[start:end], link)
            if end < len(block):
                result += [*translate_lines(block[end:], link), ""]
    while result and not result[-1]:
        result.pop()
    return result


def translate(text: str, link: Linker = no_links) -> list[str]:
    """The lines of `text` in reStructuredText."""
    return translate_lines([line.rstrip() for line in text.splitlines()], link)
