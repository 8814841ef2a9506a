"""The command line itself: help that fits on a screen, versions, usage errors."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

NATIVE = [
    "predict",
    "run",
    "info",
    "verify",
    "bench",
    "diff",
    "types",
    "serve",
    "status",
    "doctor",
    "completion",
    "man",
]
HELP = """\
Usage: sidecall COMMAND [options]

predict     answer rows: JSON Lines or CSV in and out
run         tensors in, tensors out: .npy files
info        what a model takes and gives, and how it was made
verify      run the golden rows on this machine
bench       how long its calls take here, with its own golden rows
diff        would a caller of the old model break with the new one?
types       the model's types as TypeScript, for open<Fraud>() in Node.js
serve       let other processes of this host call a model
status      how a server is doing; --ready for probes
export      write a model file (by the Python package)
check       which steps of a pipeline convert (by the Python package)
compare     do its answers equal the original's? (by the Python package)
doctor      what was found on this machine: engine, Python, Node, limits
completion  what a shell needs to complete the command line
man         the manual page

sidecall COMMAND --help tells more, by example; sidecall --version; - is stdin.
Exit codes: 0 done, yes; 1 no, or wrong usage; 2 bad input; 3 bad model;
4 the engine or the machine
"""


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_the_help(sidecall, word):
    done = sidecall(word)
    assert (done.code, done.err) == (0, "")
    title, _, rest = done.out.partition("\n\n")
    assert re.fullmatch(
        r"sidecall \d+\.\d+\.\d+: call machine-learning models that were trained in Python", title
    )
    assert rest == HELP


@pytest.mark.parametrize("command", ["", *NATIVE])
def test_every_help_fits_a_screen(sidecall, command):
    done = sidecall(*command.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert len(done.lines()) <= 25
    assert max(map(len, done.lines())) <= 80
    if command:
        assert f"sidecall {command}" in done.out.split("Example:")[-1]


def test_the_help_of_serve_names_what_python_takes(sidecall):
    usage = sidecall("serve", "--help").out.split("Arguments:")[0]
    assert "sidecall serve app:model --help" in usage
    assert all(option in usage for option in ("--workers", "--trust-pickle", "--data"))


def test_the_version(sidecall):
    done = sidecall("--version")
    version = (Path(__file__).parents[2] / "VERSION").read_text().strip()
    assert (done.code, done.out, done.err) == (0, f"sidecall {version}\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected a command, got none (see sidecall --help)"),
        (["predct"], "unknown command 'predct' (see sidecall --help)"),
        ([""], "unknown command '' (see sidecall --help)"),
        (["\x1b[2J"], "unknown command '\\u001b[2J' (see sidecall --help)"),
        (["predict"], "predict: expected MODEL, got nothing (see sidecall predict --help)"),
        (
            ["predict", "--nonsense", "m"],
            "predict: unexpected argument: --nonsense (see sidecall predict --help)",
        ),
        (["predict", "m", "-x"], "predict: unexpected argument: -x (see sidecall predict --help)"),
        (
            ["predict", "m", "r", "s"],
            "predict: unexpected argument: s (see sidecall predict --help)",
        ),
        (
            ["predict", "m", "--extra"],
            "predict: --extra: expected a value, got nothing (see sidecall predict --help)",
        ),
        (
            ["predict", "m", "--extra", "drop"],
            "predict: --extra: expected error or ignore, got 'drop' (see sidecall predict --help)",
        ),
        (
            ["predict", "m", "--verify=no"],
            "predict: --verify: expected error, warn or off, got 'no' (see sidecall predict --help)",
        ),
        (
            ["predict", "m", "--timeout", "0"],
            "predict: --timeout: expected a positive number of seconds, got '0' (see sidecall predict --help)",
        ),
        (
            ["predict", "m", "--timeout", "-1"],
            "predict: --timeout: expected a positive number of seconds, got '-1' (see sidecall predict --help)",
        ),
        (
            ["predict", "m", "--timeout", "nan"],
            "predict: --timeout: expected a positive number of seconds, got 'nan' (see sidecall predict --help)",
        ),
        (
            ["predict", "m", "--timeout", "1s"],
            "predict: --timeout: expected a positive number of seconds, got '1s' (see sidecall predict --help)",
        ),
        (
            ["completion", "tcsh"],
            "completion: SHELL: expected bash, zsh or fish, got 'tcsh' (see sidecall completion --help)",
        ),
        (["info", "a", "b"], "info: unexpected argument: b (see sidecall info --help)"),
    ],
)
def test_wrong_usage(sidecall, words, message):
    done = sidecall(*words)
    assert (done.code, done.out, done.err) == (1, "", f"sidecall: {message}\n")


def test_the_engine_is_not_loaded_for_help(sidecall):
    for words in (["--help"], ["--version"], ["predict", "--help"]):
        assert sidecall(*words, env={"SIDECALL_ONNXRUNTIME": "/no/libonnxruntime.so"}).code == 0


def test_only_the_c_library_is_linked(command_path):
    needed = subprocess.run(
        ["ldd", command_path], capture_output=True, text=True, check=True
    ).stdout
    names = {
        line.split()[0].split("/")[-1].split(".so")[0]
        for line in needed.splitlines()
        if line.strip()
    }
    names -= {"libasan", "libubsan", "libtsan"}  # libraries of a sanitizer build
    assert names <= {
        "linux-vdso",
        "libc",
        "libm",
        "libstdc++",
        "libgcc_s",
        "libdl",
        "libpthread",
        "ld-linux-x86-64",
        "ld-linux-aarch64",
    }


@pytest.mark.parametrize("words", [["--help"], ["doctor", "--help"], ["--version"]])
def test_a_full_disk(sidecall, words):
    with Path("/dev/full").open("wb") as full:
        done = sidecall(*words, stdout=full)
    assert (done.code, done.err) == (
        4,
        "sidecall: cannot write the output: no space left on device\n",
    )
