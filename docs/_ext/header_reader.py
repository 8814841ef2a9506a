"""Reads the declarations of a public C or C++ header, with the comments before and after them.

It relies on how our headers are written: a comment stands before what it describes, an empty line
ends the group of declarations that share a comment, and /* ---- Title ---- */ begins a section.
reference.py uses it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

SECTION = re.compile(r"/\* -{2,} (?P<title>.*?) -{2,} \*/")
COMPOUND = re.compile(
    r"(?:typedef )?(?P<template>template <[^>]*> )?(?P<kind>struct|class|union) (?P<name>\w+)"
    r"(?: final)?(?P<bases> : [^{]*)?$"
)


@dataclass
class Declaration:
    """One declaration without its body. `kind` is function, macro, type, member, struct, class."""

    kind: str
    name: str
    text: str
    remark: str = ""  # the comment behind it, on the same line
    groups: "list[Group]" = field(default_factory=list)  # the members of a struct or class


@dataclass
class Group:
    """Declarations that share one comment; a comment that stands alone has no declarations."""

    comment: str
    declarations: list[Declaration] = field(default_factory=list)
    section: str = ""  # if set, the group is only the title of a section


def comment_text(comment: str) -> str:
    """The text of a comment without its frame; the indentation inside is kept."""
    body = comment.removeprefix("/*").removesuffix("*/")
    first, *others = body.splitlines()
    cut = [re.sub(r"^\s*\* ?", "", line) for line in others]
    return "\n".join([first.strip(), *cut]).strip("\n").rstrip()


def without_cpp_branch(text: str) -> str:
    """Removes the code that only C++ compiles from a header for C and C++."""
    return re.sub(
        r"^#ifdef __cplusplus\n(?:(?!#).*\n|#define.*\n)*?(?:#else\n((?:(?!#endif).*\n)*))?#endif\n",
        lambda match: match[1] or "",
        text,
        flags=re.MULTILINE,
    )


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """Splits a scope into ("comment" | "gap" | "define" | "declaration", text).

    A declaration ends at its semicolon, or at the brace that closes its body.
    """
    position, length = 0, len(text)
    while position < length:
        if match := re.compile(r"\s+").match(text, position):
            if match[0].count("\n") > 1:
                yield "gap", match[0]
            elif "\n" in match[0]:
                yield "line", match[0]
            position = match.end()
        elif text.startswith("/*", position):
            end = text.index("*/", position) + 2
            yield "comment", text[position:end]
            position = end
        elif text.startswith("//", position):
            position = (text.find("\n", position) + length + 1) % (length + 1)
        elif text[position] == "#":
            match = re.compile(r"#(?:.*\\\n)*.*").match(text, position)
            assert match is not None
            directive = match[0]
            remark = directive.find("/*")
            end = position + remark if remark >= 0 else match.end()
            yield ("define" if directive.startswith("#define") else "directive"), text[position:end]
            position = end
        elif match := re.compile(r"(?:public|private|protected):").match(text, position):
            yield "access", match[0]
            position = match.end()
        elif match := re.compile(r'(?:(?:inline )?namespace \w+|extern "C") \{').match(
            text, position
        ):
            yield "open", match[0]
            position = match.end()
        elif text[position] == "}":
            yield "close", "}"
            position += 1
        else:
            end = end_of_declaration(text, position)
            yield "declaration", text[position:end]
            position = end


def skip_quoted(text: str, position: int) -> int:
    """The position behind the comment or literal that begins here; otherwise the next position."""
    if text.startswith("/*", position):
        return text.index("*/", position) + 2
    if text.startswith("//", position):
        return text.index("\n", position)
    quote = text[position]
    if quote in "\"'":
        position += 1
        while text[position] != quote:
            position += 2 if text[position] == "\\" else 1
    return position + 1


def closing(text: str, position: int) -> int:
    """The position behind the brace that closes the brace at `position`."""
    level = 0
    while True:
        character = text[position]
        level += (character == "{") - (character == "}")
        position = skip_quoted(text, position)
        if level == 0:
            return position


def end_of_declaration(text: str, position: int) -> int:
    parentheses = 0
    while position < len(text):
        character = text[position]
        parentheses += (character == "(") - (character == ")")
        if character == ";" and parentheses == 0:
            return position + 1
        if character == "{" and parentheses == 0:
            position = closing(text, position)
            rest = re.compile(r"\s*(?:\w+\s*)?;").match(text, position)
            return rest.end() if rest else position
        position = skip_quoted(text, position)
    return position


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)).strip()


def head_of(text: str) -> str:
    """A declaration without body, initialiser list and semicolon, on one line."""
    parentheses = 0
    for position, character in enumerate(text):
        parentheses += (character == "(") - (character == ")")
        starts_list = re.compile(r"\s:\s").match(text, position) and ")" in text[:position]
        if parentheses == 0 and (character in "{;" or starts_list):
            return one_line(text[:position])
    return one_line(text)


def declaration_of(text: str, owner: str) -> Declaration | None:
    """The declaration in a piece of code; None if it does not belong in the reference."""
    head = head_of(text.replace("SIDECALL_API ", ""))
    if re.search(r"= (?:delete|default)$|^static_assert|^friend ", head):
        return None
    compound = COMPOUND.fullmatch(head)
    if compound is not None and "{" in text:
        body = text[text.index("{") + 1 : text.rindex("}")]
        kind = "class" if compound["kind"] == "class" else "struct"
        shown = f"{compound['template'] or ''}{compound['name']}{compound['bases'] or ''}"
        inside = groups_of(body, compound["name"], public=kind == "struct")
        return Declaration(kind, compound["name"], shown, groups=inside)
    if match := re.fullmatch(r"typedef struct (\w+) (\w+)", head):
        return Declaration("struct", match[2], match[2])
    if head.startswith("typedef "):
        shown = head.removeprefix("typedef ")
        match = re.search(r"\(\*(\w+)\)|(\w+)$", shown)
        assert match is not None, head
        return Declaration("type", match[1] or match[2], shown)
    # A parenthesis between angle brackets belongs to a type: std::function<void(int)>.
    if match := re.match(r"(?:[^=(<]|<[^>]*>)*?(~?\w+|operator\W+)\(", head):
        name = match[1]
        is_move = owner and re.search(rf"\b{owner} ?&&", head)
        return None if is_move else Declaration("function", name, head)
    match = re.search(r"(\w+)(?:\[\w+\])?(?: = .*)?$", head)
    return Declaration("member", match[1], head) if match else None


def define_of(text: str) -> Declaration | None:
    match = re.match(r"#define (\w+)(\([^)]*\))?[ \\\n]*(.*)", text, flags=re.DOTALL)
    if match is None or match[1].endswith(("_H", "_HPP", "_API")):
        return None
    declaration = Declaration("macro", match[1], match[1] + (match[2] or ""))
    value = one_line(match[3])
    if not match[2] and re.fullmatch(r"-?\d+", value):
        declaration.remark = value
    return declaration


def groups_of(text: str, owner: str = "", *, public: bool = True) -> list[Group]:
    """The groups of one scope, in order."""
    groups: list[Group] = []
    current: Group | None = None
    hidden, previous, nesting = not public, "", 0
    for kind, piece in pieces(text):
        if nesting:
            nesting += (kind == "open") - (kind == "close")
        elif kind == "open" and "namespace detail" in piece:
            nesting = 1
        elif kind == "access":
            hidden, current = piece != "public:", None
        elif hidden:
            pass
        elif kind == "gap":
            current = None
        elif kind == "comment" and previous == "close":
            pass  # it repeats which scope ends
        elif kind == "comment":
            section = SECTION.fullmatch(piece)
            behind = current is not None and previous in {"declaration", "define"}
            if section is not None:
                groups.append(Group("", section=section["title"]))
                current = None
            elif behind:
                assert current is not None
                if current.declarations:
                    last = current.declarations[-1]
                    said = comment_text(piece)
                    last.remark = f"{last.remark}: {said}" if last.remark else said
            else:
                current = Group(comment_text(piece))
                groups.append(current)
        elif kind in {"declaration", "define"}:
            is_define = kind == "define"
            declaration = define_of(piece) if is_define else declaration_of(piece, owner)
            if current is None:
                current = Group("")
                groups.append(current)
            if declaration is not None:
                current.declarations.append(declaration)
        previous = kind
    return [group for group in groups if group.comment or group.declarations or group.section]


def read_header(text: str) -> list[Group]:
    """All groups of a header. A struct that is declared first and defined later counts once."""
    groups = groups_of(without_cpp_branch(text))
    defined = {one.name for group in groups for one in group.declarations if one.groups}
    for group in groups:
        group.declarations = [
            one
            for one in group.declarations
            if one.groups or one.kind != "struct" or one.name not in defined
        ]
    return [group for group in groups if group.comment or group.declarations or group.section]
