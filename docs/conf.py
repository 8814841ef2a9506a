"""The configuration of Sphinx; `make docs` builds the site with it.

The source folder is the root of the repository, so that links between Markdown files mean the same
on the site as in the repository.
"""

import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "_ext"))

import reference  # noqa: E402

project = "sidecall"
copyright = "the sidecall authors"
version = release = (DOCS.parent / "VERSION").read_text(encoding="utf-8").strip()

# The menu: captions and pages below a page. It stands here and not in the pages, which are read in
# the repository too.
NAVIGATION = {
    "docs/index": {
        "Tutorials": [
            f"docs/tutorials/{name}"
            for name in (
                "export",
                "pipelines",
                "converters",
                "pytorch",
                "c",
                "cpp",
                "node",
                "python",
                "shell",
                "operator",
            )
        ],
        "Guides": [
            f"docs/{name}"
            for name in (
                *("python", "node", "c", "go", "java", "rust", "command", "languages"),
                *("deployment/deploying", "serving", "network", "deployment/batch"),
                *("deployment/queues", "deployment/lambda", "deployment/containers"),
                *("deployment/hardening", "coverage", "engine"),
            )
        ],
        "Reference": [
            *("docs/reference", "docs/contract", "shm/PROTOCOL", "net/PROTOCOL", "docs/glossary"),
            *("docs/reliability", "docs/outcomes", "docs/test-coverage"),
        ],
        "Project": [
            "README </README>",
            "ARCHITECTURE",
            "CONTRIBUTING",
            "SECURITY",
            "CHANGELOG",
            "docs/decisions/README",
            "benchmarks/README",
            "build/report/README",
            "build/report/engine",
            "examples/README",
            "bindings/node/README",
            "tests/parity/README",
            "tests/vectors/README",
            "tests/verify/README",
        ],
    },
    "docs/reference": {
        "": [
            f"docs/reference/generated/{name}"
            for name in (
                *("python", "sidecall_h", "server_h", "binding_h", "*_hpp", "node"),
                *("go", "java", "rust"),
            )
        ],
    },
    "docs/decisions/README": {"": ["docs/decisions/0*"]},
}

root_doc = "docs/index"
include_patterns = [
    "*.md",
    "benchmarks/README.md",
    "build/report/*.md",
    "bindings/node/README.md",
    "docs/**/*.md",
    "docs/*.md",
    "docs/reference/generated/*.rst",
    "examples/README.md",
    "net/PROTOCOL.md",
    "shm/PROTOCOL.md",
    "tests/parity/README.md",
    "tests/vectors/README.md",
    "tests/verify/README.md",
]
# In build/, only the folder report has pages: `make report` writes them.
exclude_patterns = [".*", "build-*", "build/[!r]*", "dist", "**/node_modules", "docs/_*"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "source_pages",
]
myst_heading_anchors = 4
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
highlight_language = "none"
# Examples in comments leave things out, such as `...wait for SIGTERM...`.
suppress_warnings = ["misc.highlighting_failure"]
# A type variable and a private class, which have no page.
nitpick_ignore = [("py:class", "sidecall.converters._C"), ("py:class", "sidecall._batches.Plan")]

autodoc_member_order = "bysource"
# Some modules import these packages, which need not be installed to build the pages.
autodoc_mock_imports = ["mlflow", "pyspark", "ray", "starlette"]
autodoc_class_signature = "separated"  # users do not call the constructors
autodoc_typehints_format = "short"
add_module_names = False

nitpicky = True
# Types of the languages, and of packages whose documentation is elsewhere.
nitpick_ignore_regex = [
    ("c:identifier", r"u?int\d+_t|size_t"),
    ("cpp:identifier", r"std|std::.*|u?int\d+_t|size_t|T|sidecall_\w+|SIDECALL_\w+"),
    ("py:class", r"(?!sidecall\.).*|sidecall\.serving\.(?:service|options)\..*"),
]

html_theme = "furo"
html_title = "sidecall"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
templates_path = ["_templates"]
html_additional_pages = {"index": "redirect.html"}
html_show_sphinx = False
html_copy_source = False


def python_linker() -> reference.Linker:
    """Links the public names of the Python package in its docstrings."""
    import sidecall

    names = {f"sidecall.{name}": f"sidecall.{name}" for name in sidecall.__all__}
    for kind in ("Model", "Call", "Server", "Signature", "Tensor", "Feature", "Column"):
        members = vars(getattr(sidecall, kind))
        names |= {f"{kind}.{name}": f"sidecall.{kind}.{name}" for name in members if name[0] != "_"}
        names[kind] = f"sidecall.{kind}"
    errors = {
        name: f"sidecall.errors.{name}"
        for name, value in vars(sidecall.errors).items()
        if isinstance(value, type) and issubclass(value, sidecall.Error)
    }

    def link(name: str, quoted: bool, lists_errors: bool) -> str | None:
        bare = name.removesuffix("()")
        target = names.get(bare) if quoted else None
        if target is None and (lists_errors or quoted):
            target = errors.get(bare)
        return f":py:obj:`{bare} <{target}>`" if target else None

    return link


def setup(app: Any) -> None:
    link = python_linker()

    def translate_docstring(
        app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]
    ) -> None:
        lines[:] = reference.python_lines(lines, link)

    def write(app: Any) -> None:
        folder, made = DOCS / "reference" / "generated", DOCS.parent / "build/docs"
        reference.write_pages(folder, made / "typedoc/node.md", made / "go.txt")

    def add_navigation(app: Any, docname: str, source: list[str]) -> None:
        for caption, pages in NAVIGATION.get(docname, {}).items():
            title = f":caption: {caption}\n" if caption else ""
            listed = "\n".join(page if "<" in page else f"/{page}" for page in pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n{title}\n{listed}\n```\n"

    app.connect("builder-inited", write)
    app.connect("autodoc-process-docstring", translate_docstring)
    app.connect("source-read", add_navigation)
