"""Runs every scenario again and again; in each run another allocation or system call fails.

`make test` checks that the table of errors is complete. `make test-long` makes every tenth call of
each function fail, and fewer in the scenarios that take longest. `make anomalies` (campaign.py)
makes every call fail.
"""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import campaign
import pytest
from vector_servers import engine_path

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
INJECT = BUILD / "lib/libsidecall-inject.so"
MODELS = ROOT / "tests/vectors/models"
SHARE = 10
# Functions that cannot fail with our arguments, or whose failure has no effect: closing, freeing,
# locking, reading clocks and identities, and work in memory. Also the functions of Node.js, and
# vfork, for which another function cannot stand in.
CANNOT_FAIL = re.compile(
    r"(mem|str|wmem|wcs|sig(add|empty|fill)set"
    r"|pthread_(cond|mutex|once|self|detach|setname|sigmask)"
    r"|__|_|get(env|euid|pid|rlimit)|secure_getenv|clock_get(time|res)"
    r"|(f|)close(dir|)$|free$|munmap"
    r"|dl|sched_(get(cpu|scheduler)|setscheduler|yield)|gmtime_r|snprintf|llround|ldexp|fmodf?|pow|ceil|round|isprint|isatty"
    r"|(cos|erf|exp|expm1|fma|log1p|log2?|nearbyint|nextafter|sin|tanh)f?$"
    r"|environ|malloc_trim|sysconf|vfork|eventfd_(read|write)|raise|signal$|sigprocmask|sigaction"
    r"|explicit_bzero|ferror|freeaddrinfo|gai_strerror|gettimeofday|inet_(ntop|pton)|pthread_join"
    r"|qsort|setbuf|std(err|in|out)$|time$|timegm|tolower|vsnprintf"
    r"|ato(f|i|ll)$|abort|uname|uv_|napi_|node_api)"
)
# Functions that only the command uses: at its start or end, or without reading their results.
COMMAND_ONLY = {
    *("execv", "getgrnam", "posix_spawn", "posix_spawn_file_actions_adddup2"),
    *("posix_spawn_file_actions_addopen", "posix_spawn_file_actions_destroy"),
    *("posix_spawn_file_actions_init", "personality", "prctl", "setrlimit", "unsetenv", "waitpid"),
}
# Functions that libcurl and Mbed TLS contain, but that sidecall's options do not lead to.
NETWORK_UNUSED = {
    *("fgets", "fflush", "fprintf", "fputc", "freeifaddrs", "fwrite", "getifaddrs"),
    *("if_nametoindex", "printf", "putchar", "puts", "rand", "remove", "select", "usleep"),
}


def imported(path: Path) -> set[str]:
    """The C functions that a program or library imports."""
    names = subprocess.run(
        ["nm", "-D", "--undefined-only", str(path)], capture_output=True, text=True, check=True
    ).stdout
    return {line.split()[-1].split("@")[0] for line in names.splitlines()}


@pytest.mark.parametrize(
    "file", ["lib/libsidecall.so", "lib/libsidecall-net.so", "lib/sidecall.node", "bin/sidecall"]
)
def test_the_table_of_errors_has_every_imported_function(file: str) -> None:
    known = set(re.findall(r"^FUNCTION\((\w+),", (HERE / "errors.inc").read_text(), re.M))
    unknown = {
        name
        for name in imported(BUILD / file)
        if not name.startswith("_Z") and name not in known and not CANNOT_FAIL.match(name)
    }
    assert unknown - COMMAND_ONLY - NETWORK_UNUSED == set()


def run(command: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
    environment = {"SIDECALL_ONNXRUNTIME": engine_path(), "OMP_NUM_THREADS": "1"} | os.environ
    environment["LD_PRELOAD"] = str(INJECT)
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )


@pytest.mark.long
@pytest.mark.parametrize("scenario", campaign.SCENARIOS)
def test_every_failure_has_an_outcome(scenario: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    program = [str(BUILD / "bin/sidecall-anomalies"), str(MODELS), "--only", scenario]
    share = SHARE * campaign.SLOW.get(scenario, 1)
    done = run([*program, "--share", str(share), "--report", str(report)], 3600)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = json.loads(report.read_text())["scenarios"]
    print(f"{result['runs']} failures, {result['refused']} of them with an error")


@pytest.mark.long
@pytest.mark.parametrize("language", ["python", "node"])
def test_every_failure_within_a_language_has_an_outcome(language: str) -> None:
    model, share = str(MODELS / "penguins.onnx"), str(SHARE)
    program = (
        [sys.executable, str(HERE / "loop.py"), model, share]
        if language == "python"
        else ["node", str(HERE / "loop.js"), str(BUILD / "lib/inject.node"), model, share]
    )
    done = run(program, 3600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["failures"] > 0


# strace also makes calls of the C library and of ONNX Runtime fail.
TRACED = {
    "openat": ("EMFILE", "ENOMEM", "EACCES"),
    "read": ("EIO", "EINTR"),
    "mmap": ("ENOMEM",),
    "fstat": ("ENOMEM",),
    "write": ("EIO", "ENOSPC", "EINTR"),
    "futex": ("EINTR",),
    "clone3": ("EAGAIN",),
    "getrandom": ("EINTR",),
}


@pytest.mark.long
def test_a_whole_process_ends_with_an_exit_code_if_system_calls_fail(tmp_path: Path) -> None:
    record = '{"bill_length_mm": 39.1, "island": "Torgersen"}'
    rows = tmp_path / "rows.jsonl"
    rows.write_text(record + "\n")
    command = [str(BUILD / "bin/sidecall"), "predict", str(MODELS / "penguins.onnx"), str(rows)]
    environment = {"SIDECALL_ONNXRUNTIME": engine_path()} | os.environ
    expected = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout
    number = random.Random(0)
    for call, errors in TRACED.items():
        for error in errors:
            for _ in range(4):
                when = number.randint(1, 60)
                inject = f"inject={call}:error={error}:when={when}"
                done = subprocess.run(
                    ["strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", inject, *command],
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                assert 0 <= done.returncode < 128, (inject, done.returncode, done.stderr)
                if done.returncode == 0:
                    assert done.stdout == expected, inject
                else:
                    assert done.stderr, inject
