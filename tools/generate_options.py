"""Writes what `sidecall serve` takes from serving/options.json: generate_options.py [--check]

From the table come the options of the native command (command/commands/serve/options.*), those of
the Python command (python/sidecall/serving/option_table.py), and the table in docs/serving.md. With
--check it writes nothing, and fails if a file is not up to date; `make lint` does that.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "serving/options.json"
PAGE = ROOT / "docs/serving.md"
BEGIN = "<!-- Written by tools/generate_options.py. -->\n"
END = "<!-- End of the options. -->\n"

Row = dict[str, Any]

CPP_TYPES = {
    "text": "std::string",
    "choice": "std::string",
    "switch": "std::string",
    "texts": "std::vector<std::string>",
    "flag": "bool",
    "whole": "int32_t",
    "wholes": "std::vector<uint32_t>",
    "mib": "double",
    "seconds": "double",
}


def help_of(row: Row) -> str:
    """The text of an option, with its default."""
    text: str = row["help"]
    return f"{text} (default: {row['default']})" if "default" in row else text


def default_of(row: Row) -> Any:
    """The value if the option is not given; None where only its absence means something."""
    if row["kind"] == "switch":
        return "off"
    return row.get("default", row["choices"][0] if row["kind"] == "choice" else None)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def python_text(text: str) -> str:
    """A text as literals that fit into lines of 100 columns."""
    words, lines = re.findall(r"\S+\s*", text), [""]
    for word in words:
        if len(lines[-1] + word) > 84:
            lines.append("")
        lines[-1] += word
    return "(" + "\n".join(map(quoted, lines)) + ")" if len(lines) > 1 else quoted(text)


def cpp_member(row: Row) -> str:
    unit = {"mib": "_mib", "seconds": "_s"}.get(row["kind"], "")
    return row["option"].replace("-", "_") + unit


def cpp_header(rows: list[Row]) -> str:
    lines = [
        "// Written by tools/generate_options.py from serving/options.json.",
        "//",
        "// The options of `sidecall serve` for models that run without Python.",
        "#pragma once\n",
        "#include <CLI/CLI.hpp>",
        "#include <cstdint>",
        "#include <string>",
        "#include <vector>\n",
        "namespace sidecall::cli {\n",
        "struct ServeOptions {",
    ]
    for row in rows:
        default = default_of(row)
        value = quoted(default) if isinstance(default, str) else default
        if value is None and row["kind"] in ("flag", "mib", "seconds"):
            value = "false" if row["kind"] == "flag" else 0
        start = "" if value is None else f" = {value}"
        note = "  // 0: not given" if value == 0 else ""
        lines.append(f"  {CPP_TYPES[row['kind']]} {cpp_member(row)}{start};{note}")
    lines += [
        "};\n",
        "void add_serve_options(CLI::App& app, ServeOptions& options);\n",
        "}  // namespace sidecall::cli",
    ]
    return "\n".join(lines) + "\n"


def cpp_check(row: Row) -> str:
    """The validator of an option."""
    if row["kind"] in ("choice", "switch"):
        return f"->check(one_of({{{', '.join(map(quoted, row['choices']))}}}))"
    if row["kind"] in ("whole", "wholes"):
        return f"->check(whole_number({row['least']}, {row['most']}))"
    if row["kind"] == "mib":
        return f"->check(number_between({row['least']}, {row['most']}))"
    return "->check(number_of_seconds())" if row["kind"] == "seconds" else ""


def cpp_source(rows: list[Row]) -> str:
    lines = [
        "// Written by tools/generate_options.py from serving/options.json.",
        '#include "options.hpp"\n',
        '#include "terminal/arguments.hpp"\n',
        "namespace sidecall::cli {\n",
        "void add_serve_options(CLI::App& app, ServeOptions& options) {",
    ]
    for row in rows:
        kind = row["kind"]
        add = "add_flag" if kind in ("flag", "switch") else "add_option"
        text = f"{quoted('--' + row['option'])}, options.{cpp_member(row)}, {quoted(help_of(row))}"
        if kind == "switch":
            lines.append(
                "// A flag takes its value from behind '=' only; the next word is the model."
            )
        line = f"app.{add}({text}){cpp_check(row)}"
        if kind == "switch":
            line += (
                "->transform([](const std::string& given) { "
                f'return given == "true" ? std::string({quoted(row["choices"][0])}) : given; }})'
            )
        if "value" in row:
            line += f"->option_text({quoted(row['value'])})"
        if kind in ("texts", "wholes"):
            line += "->allow_extra_args(false)"
        lines.append(line + ";")
    lines += ["}\n", "}  // namespace sidecall::cli"]
    return "\n".join(lines) + "\n"


def python_file(rows: list[Row]) -> str:
    lines = [
        '"""The options of `sidecall serve` for Python objects and pickles.\n',
        "Written by tools/generate_options.py from serving/options.json.",
        '"""\n',
        "from __future__ import annotations\n",
        "from typing import NamedTuple\n\n",
        "class Option(NamedTuple):",
        '    """One option; the members are those of the table, and `help` names the default."""\n',
        "    name: str",
        "    kind: str",
        "    help: str",
        "    value: str | None = None",
        "    default: str | int | None = None",
        "    choices: tuple[str, ...] = ()",
        "    least: float = 0",
        "    most: float = 0\n\n",
        "OPTIONS = (",
    ]
    for row in rows:
        fields = [repr(row["option"]), repr(row["kind"]), python_text(help_of(row))]
        if "value" in row:
            fields.append(f"value={row['value']!r}")
        if (default := default_of(row)) is not None:
            fields.append(f"default={default!r}")
        if "choices" in row:
            fields.append(f"choices={tuple(row['choices'])!r}")
        fields += [f"{name}={row[name]!r}" for name in ("least", "most") if name in row]
        lines.append(f"    Option({', '.join(fields)}),")
    return "\n".join([*lines, ")"]) + "\n"


def keyword_of(row: Row) -> str | None:
    """The parameter of sidecall.serve, as docs/serving.md shows it."""
    keyword: str | None = row.get("keyword", row["option"].replace("-", "_"))
    return keyword


def markdown_table(rows: list[Row]) -> str:
    lines = ["| option | Python | C | meaning |", "|---|---|---|---|"]
    for row in rows:
        value = row.get("value", "")
        option = f"--{row['option']}{'' if value.startswith('[') or not value else ' '}{value}"
        note = {"file": "Model files only: ", "object": "Python objects only: "}
        served = note.get(row.get("served", ""), "")
        cells = (
            f"`{option}`",
            f"`{keyword_of(row)}`" if keyword_of(row) else "",
            f"`{row['field']}`" if "field" in row else "",
            served + help_of(row),
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def formatted(command: list[str], text: str) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return done.stdout


def main() -> None:
    rows: list[Row] = json.loads(TABLE.read_text(encoding="utf-8"))["options"]
    for_files = [row for row in rows if row.get("served") != "object"]
    for_objects = [row for row in rows if row.get("served") != "file"]
    clang_format = [
        os.environ.get("CLANG_FORMAT", "clang-format-19"),
        f"--style=file:{ROOT / '.clang-format'}",
    ]
    ruff = [sys.executable, "-m", "ruff", "format", "--config", str(ROOT / "pyproject.toml"), "-"]
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        sys.exit(f"{PAGE}: expected the line {BEGIN.strip()} before the line {END.strip()}")
    files = {
        ROOT / "command/commands/serve/options.hpp": formatted(clang_format, cpp_header(for_files)),
        ROOT / "command/commands/serve/options.cpp": formatted(clang_format, cpp_source(for_files)),
        ROOT / "python/sidecall/serving/option_table.py": formatted(ruff, python_file(for_objects)),
        PAGE: before + BEGIN + markdown_table(rows) + END + after,
    }
    for path, content in files.items():
        if "--check" not in sys.argv[1:]:
            path.write_text(content, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != content:
            sys.exit(f"{path} is not what {TABLE} says: run tools/generate_options.py")


if __name__ == "__main__":
    main()
