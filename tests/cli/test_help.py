"""The command line itself: help, versions, usage errors."""

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
    "lambda",
    "doctor",
    "completion",
    "man",
]
HELP = """\
Usage: sidecall COMMAND [options]

predict     answer rows of JSON Lines or CSV
run         run a model on tensors in .npy files
info        show the features, outputs and origin of a model
verify      run the golden rows of models on this machine
bench       measure calls of a model with its golden rows
diff        show whether a new model would break the callers of the old one
types       write the types of a model as TypeScript or Python
serve       serve a model to other processes of this host
status      show the state and the counters of a server
lambda      answer the events of a function of AWS Lambda
export      export a pipeline as a model file (uses Python)
check       show which steps of a pipeline can be exported (uses Python)
compare     compare a model file with its original on rows (uses Python)
doctor      show what was found here: ONNX Runtime, Python, Node.js, limits
completion  write the completion for bash, zsh or fish
man         write the manual page

MODEL is a file (fraud.onnx), the address of a server on this host (shm:NAME or
shm:/path) or, with --allow-exec, a program to start (exec:COMMAND).

sidecall COMMAND --help shows the options of a command and an example.
sidecall --version shows the version.

Exit codes: 0 success; 1 wrong usage, or a check that failed; 2 bad input;
3 bad model; 4 a failure of the engine or the machine
"""


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_the_help_lists_all_commands(sidecall, word):
    done = sidecall(word)
    assert (done.code, done.err) == (0, "")
    title, _, rest = done.out.partition("\n\n")
    assert re.fullmatch(
        r"sidecall \d+\.\d+\.\d+: call machine-learning models that were trained in Python", title
    )
    assert rest == HELP


@pytest.mark.parametrize("command", ["", *NATIVE])
def test_every_help_fits_80_columns_and_has_an_example(sidecall, command):
    done = sidecall(*command.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert max(map(len, done.lines())) <= 80
    if command:
        assert f"sidecall {command}" in done.out.split("Example:")[-1]
        assert "-h,--help" in done.out


def test_the_help_of_serve_names_the_options_for_python_objects(sidecall):
    usage = sidecall("serve", "--help").out.split("Arguments:")[0]
    assert "sidecall serve app:model --help" in usage
    assert all(option in usage for option in ("--workers", "--trust-pickle", "--data"))


def test_the_version_is_that_of_the_version_file(sidecall):
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
def test_wrong_arguments_are_refused(sidecall, words, message):
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
def test_a_full_disk_fails_with_code_4(sidecall, words):
    with Path("/dev/full").open("wb") as full:
        done = sidecall(*words, stdout=full)
    assert (done.code, done.err) == (
        4,
        "sidecall: cannot write the output: no space left on device\n",
    )
