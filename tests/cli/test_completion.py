"""sidecall completion and sidecall man: they contain all that --help shows, and bash completes."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

HANDED_OVER = {
    "export": "sidecall.exporting",
    "check": "sidecall.exporting",
    "compare": "sidecall.comparing",
}
SHELLS = ["bash", "zsh", "fish"]


def commands_of(sidecall) -> list[str]:
    return re.findall(r"^([a-z]+)  ", sidecall("--help").out, flags=re.MULTILINE)


def options_of(text: str) -> set[str]:
    """The long options of a help text: those that begin a line, as CLI11 and argparse print."""
    return set(re.findall(r"^ +(?:-\w(?: [A-Z]+)?, *)?(--[a-z-]+)", text, flags=re.MULTILINE))


def options_by_command(sidecall) -> dict[str, set[str]]:
    options = {
        command: options_of(sidecall(command, "--help").out)
        for command in commands_of(sidecall)
        if command not in HANDED_OVER
    }
    assert {"--keep", "--only", "--on-error", "--stream"} <= options["predict"]
    return options


@pytest.fixture(scope="session")
def python_options() -> dict[str, set[str]]:
    def of(module: str, command: str) -> set[str]:
        words = [sys.executable, "-m", module, command, "--help"]
        return options_of(
            subprocess.run(words, capture_output=True, text=True, check=True).stdout
        ) - {"--help"}

    found = {command: of(module, command) for command, module in HANDED_OVER.items()} | {
        "serve": of("sidecall.serving", "serve")
    }
    assert all("--trust-pickle" in options for options in found.values())
    return found


def block(shell: str, text: str, command: str) -> str:
    """The lines of a completion script that belong to one command."""
    if shell == "fish":
        return "\n".join(
            line for line in text.splitlines() if f"'__fish_seen_subcommand_from {command}'" in line
        )
    return re.split(r"\n {4}[a-z]+\)\n", text.split(f"\n    {command})\n")[-1])[0]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_is_completed(sidecall, shell, python_options):
    done = sidecall("completion", shell)
    assert (done.code, done.err) == (0, "")
    options = options_by_command(sidecall)
    for command in commands_of(sidecall):
        part = block(shell, done.out, command)
        expected = options.get(command, set()) | python_options.get(command, set())
        for option in expected:
            written = f"-l {option[2:]}" if shell == "fish" else option
            assert re.search(rf"{re.escape(written)}(?![a-z-])", part), (command, option)


def test_the_manual_page_has_every_option(sidecall, python_options):
    page = sidecall("man")
    assert (page.code, page.err) == (0, "")
    text = page.out.replace("\\-", "-").replace("\\fB", "").replace("\\fI", "").replace("\\fR", "")
    sections = dict(
        re.findall(
            r"^\.SS sidecall ([a-z]+)(.*?)(?=^\.S[SH])", text, flags=re.MULTILINE | re.DOTALL
        )
    )
    assert list(sections) == commands_of(sidecall)
    for command, options in (
        options_by_command(sidecall) | {c: python_options[c] for c in HANDED_OVER}
    ).items():
        for option in options:
            assert re.search(rf"{option}(?![a-z-])", sections[command]), (command, option)
    for line in sidecall("predict", "--help").lines():
        if found := re.match(r"  (--[a-z-]+) [A-Z]*  +(.*)", line):
            assert found[2].split("  ")[0] in sections["predict"], line
    assert "4 a failure of the engine or the machine" in text and "SIDECALL_ONNXRUNTIME" in text
    assert set(re.findall(r"^\.([A-Z]+)", page.out, flags=re.MULTILINE)) <= {
        "TH",
        "SH",
        "SS",
        "TP",
        "PP",
        "EX",
        "EE",
        "B",
    }
    assert not re.search(r"^[.'](?![A-Za-z])", page.out, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "replies"),
    [
        (["pred"], ["predict"]),
        (["predict", "--fr"], ["--from"]),
        (["predict", "--from", ""], ["jsonl", "csv"]),
        (["predict", "--from", "=", "c"], ["csv"]),
        (["predict", "--from", "="], ["jsonl", "csv"]),
        (["predict", "jo"], ["jobs.onnx", "jobs two.csv"]),
        (["predict", "jobs.onnx", "jobs t"], ["jobs two.csv"]),
        (["predict", "--onnxruntime", "jobs."], ["jobs.onnx"]),
        (["predict", "--batch", "jo"], []),
        (["status", "jo"], []),
        (["serve", "--wor"], ["--workers"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["nonsense", "-"], []),
    ],
)
def test_bash_completes_commands_options_and_values(sidecall, jobs, tmp_path, words, replies):
    (tmp_path / "jobs two.csv").touch()
    script = 'source <("$0" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sidecall; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-uc", script, sidecall.path, "sidecall", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split("\n")[:-1]) == sorted(replies or [""])
