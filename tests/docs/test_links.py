"""Every link of a Markdown file to another file of the repository leads somewhere."""

import re
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from snippets import ROOT

LINK = re.compile(r"\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^( *)(```+|~~~+).*?^\1\2 *$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.*?) *#*$", re.MULTILINE)


def markdown_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted(ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())


def text_of(page: Path) -> str:
    """A page without its blocks of code and without its code in sentences."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"`[^`\n]*`", lambda match: "`" * len(match[0]), text)


@cache
def anchors_of(page: Path) -> set[str]:
    """The anchors of the headings, as GitHub and the documentation site make them."""
    anchors: dict[str, int] = {}
    for heading in HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).strip().replace(" ", "-")
        anchors[slug] = anchors.get(slug, -1) + 1
    return {
        slug if number == 0 else f"{slug}-{number}"
        for slug, last in anchors.items()
        for number in range(last + 1)
    }


def broken_links(page: Path) -> list[str]:
    faults = []
    for match in LINK.finditer(text_of(page)):
        target = match["target"]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / unquote(name)).resolve() if name else page
        if not path.exists():
            faults.append(f"{target}: there is no such file")
        elif anchor and path.suffix == ".md" and anchor not in anchors_of(path):
            faults.append(f"{target}: {path.name} has no such heading")
    return faults


@pytest.mark.parametrize("page", markdown_files(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`\n[a](page.md#one-two) [b](#one) [c](absent.md)\n```sh\n[d](x)\n```\n",
        encoding="utf-8",
    )
    assert broken_links(page) == [
        "#one: page.md has no such heading",
        "absent.md: there is no such file",
    ]


def test_decisions_are_listed() -> None:
    """docs/decisions/README.md has a line for every decision, with its title."""
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    for page in sorted(folder.glob("[0-9]*.md")):
        title = page.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert f"- [{title}]({page.name})" in listed
