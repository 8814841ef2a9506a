"""Writes the pages of the reference from the public headers and the Python package.

The pages are reStructuredText for Sphinx, in docs/reference/generated (ignored by git). conf.py
calls `write_pages`. The page of the Node.js package is the output of TypeDoc, which the Makefile
runs before.
"""

import re
import textwrap
from pathlib import Path

from header_reader import Declaration, Group, read_header
from plain_text import Linker, inline, translate

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "include" / "sidecall"

# The pages of the headers: file, domain of Sphinx, title, introduction.
C_HEADERS = {
    "sidecall.h": ("C: sidecall.h", "Opening models and calling them."),
    "server.h": ("C: server.h", "Serving a model or a function to other processes of the host."),
    "binding.h": ("C: binding.h", "What only authors of bindings for other languages need."),
}
CPP_HEADERS = {
    "sidecall.hpp": ("C++: sidecall.hpp", "The classes over sidecall.h."),
    "server.hpp": ("C++: server.hpp", "The classes over server.h."),
}
PYTHON = {
    "Functions": ["open", "export", "export_layout", "check", "compare", "serve", "engine"],
    "Converters of your own": [
        "register_converter",
        "converters.Graph",
        "converters.Columns",
        "converters.Tensor",
    ],
    "MLflow": ["mlflow.log_model", "mlflow.save_model", "mlflow.load_model"],
    "Spark": ["spark.predict", "spark.udf", "spark.Udf"],
    "Ray": ["ray.predict", "ray.Predictor", "ray.deployment"],
    "Models and calls": ["Model", "Call", "Server"],
    "What a model takes and returns": ["Signature", "Tensor", "Feature", "Column"],
    "Tensors of a call": ["_call.Inputs", "_call.Outputs"],
    "Reports": [
        "exporting.reports.report.Report",
        "exporting.reports.report.CheckReport",
        "exporting.reports.report.StepRow",
        "comparing.Comparison",
    ],
}
ROLES = {"function": "func", "macro": "macro", "type": "type", "struct": "struct"}


def declarations_of(groups: list[Group]) -> list[Declaration]:
    return [declaration for group in groups for declaration in group.declarations]


def c_names() -> dict[str, str]:
    """The role of each name that the C headers declare."""
    return {
        declaration.name: ROLES[declaration.kind]
        for path in sorted(INCLUDE.glob("*.h"))
        for declaration in declarations_of(read_header(path.read_text(encoding="utf-8")))
    }


def c_linker(names: dict[str, str]) -> Linker:
    """Links the names of the C headers. A status may be written without SIDECALL_."""

    def link(name: str, quoted: bool, lists_errors: bool) -> str | None:
        bare = name.removesuffix("()")
        if bare in names:
            return f":c:{names[bare]}:`{bare}`"
        status = f"SIDECALL_{bare}"
        # Outside of a list of errors, a word such as ENGINE may be just a word.
        if status in names and (lists_errors or "_" in bare or len(bare) > 3) and bare.isupper():
            return f":c:macro:`{bare} <{status}>`"
        if "/" in name and (ROOT / name).is_file():
            return f":source:`{name}`"
        return None

    return link


def title(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def shown(declaration: Declaration, domain: str) -> tuple[str, str]:
    """The directive of a declaration, and its text there."""
    return f"{domain}:{declaration.kind}", declaration.text


def declared(group: Group, domain: str, link: Linker) -> list[str]:
    """A group: its comment under the first directive, or above a list of constants."""
    comment = translate(group.comment, link)
    declarations = group.declarations
    if not declarations:
        return [*comment, ""]
    result: list[str] = []
    kinds = {declaration.kind for declaration in declarations}
    shares = len(declarations) > 1 and (kinds == {"macro"} or "member" in kinds)
    if shares:
        result += [*comment, ""]
        comment = []
    position = 0
    while position < len(declarations):
        first = declarations[position]
        run = [first]
        # Functions without remarks share one description.
        while (
            not shares
            and first.kind == "function"
            and position + len(run) < len(declarations)
            and declarations[position + len(run)].kind == "function"
        ):
            run.append(declarations[position + len(run)])
        position += len(run)
        directive, text = shown(first, domain)
        result += [f".. {directive}:: {text}"]
        result += [" " * (len(directive) + 6) + other.text for other in run[1:]]
        result += [""]
        said = comment if position >= len(declarations) or len(declarations) == 1 else []
        if first is declarations[0]:
            said = comment
        body = [*said, ""] if said else []
        if first.remark:
            body += [remark_of(first.remark, link), ""]
        for inner in first.groups:
            body += declared(inner, domain, link)
        result += [*(f"   {line}" if line else "" for line in body), ""]
    return result


def remark_of(remark: str, link: Linker) -> str:
    """The comment behind a declaration; a constant has its value before it."""
    value, _, said = remark.partition(": ")
    if re.fullmatch(r"-?\d+", value):
        return f"= {value}" + (f": {inline(' '.join(said.split()), link)}" if said else "")
    return inline(" ".join(remark.split()), link)


def header_page(name: str, heading: str, about: str, domain: str, link: Linker) -> str:
    path = INCLUDE / name
    groups = read_header(path.read_text(encoding="utf-8"))
    lines = title(heading, "=")
    lines += [f"{about} Generated from :source:`include/sidecall/{name}`.", ""]
    if domain == "cpp":
        lines += [".. cpp:namespace:: sidecall", ""]
    for position, group in enumerate(groups):
        if group.section:
            lines += title(group.section, "-")
        elif position == 0:
            # The first line names the file, which the title says too.
            comment = group.comment.removeprefix(f"{name}: ")
            lines += [*translate(comment[:1].upper() + comment[1:], link), ""]
        else:
            lines += declared(group, domain, link)
    return "\n".join(lines) + "\n"


def python_page() -> str:
    lines = [*title("Python: sidecall", "="), "Generated from the docstrings of the package.", ""]
    for heading, names in PYTHON.items():
        lines += title(heading, "-")
        for name in names:
            if name.split(".")[-1][0].isupper():
                lines += [f".. autoclass:: sidecall.{name}", "   :members:", ""]
            else:
                lines += [f".. autofunction:: sidecall.{name}", ""]
    lines += title("Errors", "-")
    lines += [
        ".. automodule:: sidecall.errors",
        "   :members:",
        "   :member-order: bysource",
        "",
        ".. autoexception:: sidecall.ExportError",
        "",
    ]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """The text of each page by its file name."""
    link = c_linker(c_names())
    result = {}
    for domain, headers in (("c", C_HEADERS), ("cpp", CPP_HEADERS)):
        for path in sorted(INCLUDE.glob("*.h" if domain == "c" else "*.hpp")):
            name = path.name
            heading, about = headers[name]
            page = header_page(name, heading, about, domain, link)
            result[f"{name.replace('.', '_')}.rst"] = page
    result["python.rst"] = python_page()
    return result


def node_page(typedoc: str) -> str:
    """The page of TypeDoc, with its HTML anchors as targets that Sphinx knows."""
    text = re.sub(r'^<a id="([^"]+)"></a>$', r"(node-\1)=", typedoc, flags=re.MULTILINE)
    return re.sub(r"\]\(#([^)]+)\)", r"](#node-\1)", text)


# The start pages of javadoc and rustdoc, relative to the folder of the site.
FOREIGN = {
    "java": ("Java", "java/index.html"),
    "rust": ("Rust", "rust/sidecall/index.html"),
}


def foreign_pages(go_doc: str) -> dict[str, str]:
    """Pages for Go, Java and Rust. Those for Java and Rust link to javadoc and rustdoc."""
    result = {}
    for name, (title, index) in FOREIGN.items():
        link = f'<p><a href="../../../{index}">The reference of the {title} package</a></p>'
        result[f"{name}.rst"] = f"{title}\n{'=' * len(title)}\n\n.. raw:: html\n\n   {link}\n"
    result["go.rst"] = "Go\n==\n\n.. code-block:: none\n\n" + textwrap.indent(go_doc, "   ")
    return result


def write_pages(folder: Path, typedoc: Path, go_doc: Path) -> None:
    """Writes all pages into `folder`, and those that TypeDoc and go doc have made."""
    folder.mkdir(parents=True, exist_ok=True)
    node = node_page(typedoc.read_text(encoding="utf-8"))
    foreign = foreign_pages(go_doc.read_text(encoding="utf-8"))
    for name, text in (pages() | {"node.md": node} | foreign).items():
        path = folder / name
        # A page that stays the same keeps its time, so that Sphinx does not read it again.
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def python_lines(lines: list[str], link: Linker) -> list[str]:
    """A docstring as reStructuredText, for a reader who does not know the fixtures of our tests."""
    text = textwrap.dedent("\n".join(lines))
    text = re.sub(r'getfixture\("models"\) / ("[^"]+")', r"\1", text)
    text = re.sub(r'getfixture\("tmp_path"\) / ("[^"]+")', r"\1", text)
    text = re.sub(r'getfixture\("(\w+)"\)', r'sidecall.open("\1.onnx")', text)
    return translate(re.sub(r" *# doctest: \+\w+", "", text), link)
