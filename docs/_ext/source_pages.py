"""A Sphinx extension: links to files of the repository lead to pages that show these files.

A Markdown link to a source file or a folder, and the role :source:`path`, become links to a page
below _source/. The page of a file shows it with syntax colours; the page of a folder lists its
files. A link to a file that does not exist is a warning, which `make docs` treats as an error.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

logger = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[2]
PREFIX = "_source"
# The Pygments lexer for each file name extension.
LEXERS = {
    ".c": "c",
    ".cpp": "cpp",
    ".h": "c",
    ".hpp": "cpp",
    ".js": "javascript",
    ".json": "json",
    ".md": "markdown",
    ".pl": "perl",
    ".py": "python",
    ".sh": "bash",
    ".toml": "toml",
    ".ts": "typescript",
    ".yml": "yaml",
}


def listed_files() -> list[str]:
    """The files that git tracks or would add; empty outside of a git repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    return sorted(name for name in names if name and (ROOT / name).is_file())


def page_of(path: str) -> str:
    """The name of the page for a file or folder of the repository."""
    return f"{PREFIX}/{path}" if (ROOT / path).is_file() else f"{PREFIX}/{path}/index"


def link_to(app: Sphinx, docname: str, path: str, content: list[nodes.Node]) -> nodes.reference:
    uri = app.builder.get_relative_uri(docname, page_of(path))
    reference = nodes.reference("", "", internal=True, refuri=uri)
    reference += content
    return reference


class SourceRole(SphinxRole):
    """:source:`path`, from the root of the repository."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        node = addnodes.download_reference("", "", reftarget=f"/{self.text}", refwarn=True)
        self.set_source_info(node)
        node += nodes.literal(self.text, self.text)
        return [node], []


def replace_links(app: Sphinx, doctree: nodes.document) -> None:
    """Replaces the links that MyST makes for files that are not documents."""
    docname = app.env.docname
    folder = Path(app.env.doc2path(docname)).parent

    def is_link(node: nodes.Node) -> bool:
        if isinstance(node, addnodes.download_reference):
            return True
        return isinstance(node, addnodes.pending_xref) and node.get("reftype") == "myst"

    for node in list(doctree.findall(is_link)):
        target = str(node["reftarget"]).split("#")[0]
        path = ROOT / target.lstrip("/") if target.startswith("/") else folder / target
        path = path.resolve()
        if not target or not path.is_relative_to(ROOT) or path == ROOT:
            continue
        if not path.exists():
            if isinstance(node, addnodes.download_reference):
                logger.warning("there is no file %s", target, location=node)
            continue
        name = path.relative_to(ROOT).as_posix()
        if name.removesuffix(".md") in app.env.found_docs:
            uri = app.builder.get_relative_uri(docname, name.removesuffix(".md"))
            page = nodes.reference("", "", internal=True, refuri=uri)
            page += node.children
            node.parent.replace(node, page)
            continue
        linked = app.env.sidecall_sources.setdefault(docname, set())  # type: ignore[attr-defined]
        linked.add(name)
        node.parent.replace(node, link_to(app, docname, name, node.children))


def prepare(app: Sphinx) -> None:
    if not hasattr(app.env, "sidecall_sources"):
        app.env.sidecall_sources = {}  # type: ignore[attr-defined]


def forget(app: Sphinx, env: Any, docname: str) -> None:
    env.sidecall_sources.pop(docname, None)


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """The pages of all files that are linked, and of the files of all folders that are linked."""
    linked = set().union(*app.env.sidecall_sources.values())  # type: ignore[attr-defined]
    files = listed_files()
    shown = {name for name in linked if (ROOT / name).is_file()}
    for folder in sorted(linked - shown):
        inside = [name for name in files if name.startswith(f"{folder}/")]
        shown.update(inside)
        here = page_of(folder)
        items = "".join(
            f'<li><a href="{app.builder.get_relative_uri(here, page_of(name))}">'
            f"<code>{name.removeprefix(f'{folder}/')}</code></a></li>"
            for name in inside
        )
        body = f"<h1><code>{folder}/</code></h1><ul>{items}</ul>"
        yield here, {"title": folder, "body": body}, "page.html"
    for name in sorted(shown):
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        lexer = LEXERS.get(Path(name).suffix, "text")
        code = app.builder.highlighter.highlight_block(text, lexer, linenos=False)  # type: ignore[attr-defined]
        body = f'<h1><code>{name}</code></h1><div class="highlight-{lexer}">{code}</div>'
        yield page_of(name), {"title": name, "body": body}, "page.html"


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_role("source", SourceRole())
    app.connect("builder-inited", prepare)
    app.connect("env-purge-doc", forget)
    app.connect("doctree-read", replace_links)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
