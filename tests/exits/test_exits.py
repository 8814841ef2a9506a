"""Programs in C++, Node.js and Python that exit while runs are in flight.

They exit promptly, with the right code, without unexpected output on stderr and without leaving a
child process.

Each way to exit is tried fifty times, or with SIDECALL_LONG=1 a thousand times: in every state of
the runs, over every route, and at moments that are spread over the time in which the engine releases
an abandoned run. In these programs, destructors at exit take longer than usual, so that the engine
returns in the middle of them.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from vector_files import BACKENDS, MODELS
from vector_servers import Servers, command_path, engine_path

pytestmark = pytest.mark.long

HERE = Path(__file__).parent
BUILD = Path(os.environ.get("SIDECALL_BUILD", Path(__file__).parents[2] / "build"))
ROUTES = ("file", "shm", "exec")
STATES = ("under_way", "pending", "timed_out", "cancelled")
TIMES = 1000 if os.environ.get("SIDECALL_LONG") == "1" else 50
AT_ONCE = 4
LONGEST_SECONDS = 0.06  # by then the engine has released an abandoned run
END_SECONDS = 60.0  # a program that has not ended by then hangs; the machine may be busy
START_SECONDS = 120.0  # generous: the machine may be busy
ENVIRONMENT = {"SIDECALL_ONNXRUNTIME": engine_path(), "OPENBLAS_NUM_THREADS": "1"} | os.environ

Address = Callable[[str, str], str]


@dataclass
class Scenario:
    end: str
    state: str
    backend: str  # the Python backend
    slow: str
    matmul: str
    delay: float
    limit: float = END_SECONDS


@dataclass
class Outcome:
    code: int
    late: bool
    stderr: str


@pytest.fixture(scope="module")
def mark() -> Iterator[str]:
    """A unique variable in the environment of every child that a program starts. No child may
    remain.
    """
    word = f"SIDECALL_EXITS={uuid.uuid4().hex}"
    yield word
    expiry = time.monotonic() + END_SECONDS
    while (left := processes_with(word)) and time.monotonic() < expiry:
        time.sleep(0.05)
    assert left == []


def processes_with(word: str) -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # the process is gone, or belongs to another user
    return found


@pytest.fixture(scope="module")
def address(mark: str) -> Iterator[Address]:
    servers = Servers()

    def address_of(route: str, name: str) -> str:
        if route == "file":
            return str(MODELS / name)
        if route == "shm":
            return servers.address(name)
        return f"exec:env {mark} '{command_path()}' serve --log-level error '{MODELS / name}'"

    yield address_of
    servers.close()


def scenarios(
    address: Address, end: str, states: tuple[str, ...] = STATES, backends: tuple[str, ...] = ("",)
) -> list[Scenario]:
    """One scenario for each time: states, routes and backends in turn, with increasing delays."""
    turns = itertools.cycle(itertools.product(states, ROUTES, backends))
    moments = [LONGEST_SECONDS * i / TIMES for i in range(TIMES)]
    return [
        Scenario(
            end, state, backend, address(route, "slow.onnx"), address(route, "matmul.onnx"), moment
        )
        for moment, (state, route, backend) in zip(moments, turns, strict=False)
    ]


def run(words: list[str]) -> Outcome:
    """Runs a program that prints "ending" just before it exits."""
    with subprocess.Popen(
        words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        try:
            _, errors = process.communicate(timeout=END_SECONDS)
            return Outcome(process.returncode, False, errors.decode(errors="replace"))
        except subprocess.TimeoutExpired:
            process.kill()
            return Outcome(process.wait(), True, process.stderr.read().decode(errors="replace"))


def run_all(program: list[str], unit: float, all_scenarios: list[Scenario]) -> list[Outcome]:
    words = [
        [*program, s.slow, s.matmul, s.state, s.end, str(round(s.delay * unit))]
        for s in all_scenarios
    ]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(run, words))


def check(
    all_scenarios: list[Scenario], outcomes: list[Outcome], code: int, last_line: str = ""
) -> None:
    wrong = [
        (asdict(scenario), asdict(outcome))
        for scenario, outcome in zip(all_scenarios, outcomes, strict=True)
        if outcome.late or outcome.code != code or not is_expected(outcome.stderr, last_line)
    ]
    assert wrong == []


def is_expected(text: str, last_line: str) -> bool:
    lines = text.splitlines()
    return lines == [] if last_line == "" else any(last_line in line for line in lines)


# C and C++.


@pytest.mark.parametrize(
    ("end", "code", "last_line"),
    [
        ("return", 3, ""),
        ("exit", 3, ""),
        ("exit in a thread", 3, ""),
        ("quick_exit", 3, ""),
        ("_exit", 3, ""),
        ("destructors", 3, ""),
        ("destructors of globals", 3, ""),
        ("exception", -6, "on purpose"),
        ("signal", -15, ""),
        ("signal with a handler", 3, ""),
    ],
)
def test_a_cpp_program_ends_in_time_with_its_exit_code(
    address: Address, end: str, code: int, last_line: str
) -> None:
    # Destructors close calls, and a call that another thread uses must not be closed.
    states = STATES if "destructors" in end else (*STATES, "thread")
    all_scenarios = scenarios(address, end, states)
    check(
        all_scenarios,
        run_all([str(BUILD / "bin" / "sidecall-exits")], 1e6, all_scenarios),
        code,
        last_line,
    )


# Node.js.


@pytest.mark.parametrize(
    ("end", "code", "last_line"),
    [
        ("process.exit", 3, ""),
        ("exception", 1, "on purpose"),
        ("signal", -15, ""),
        ("signal with a handler", 3, ""),
        ("terminated workers", 3, ""),
        ("process.exit in a worker", 3, ""),
    ],
)
def test_a_node_program_ends_in_time_with_its_exit_code(
    address: Address, end: str, code: int, last_line: str
) -> None:
    all_scenarios = scenarios(address, end)
    check(
        all_scenarios,
        run_all(["node", str(HERE / "program.js")], 1e3, all_scenarios),
        code,
        last_line,
    )


# Python.


@pytest.mark.parametrize(
    ("end", "code", "last_line"),
    [
        ("end of the script", 0, ""),
        ("exit in a coroutine", 3, ""),
        ("exception", 1, "RuntimeError: on purpose"),
        ("interrupt", -2, "KeyboardInterrupt"),
        ("os._exit", 3, ""),
        ("signal", -15, ""),
        ("signal with a handler", 3, ""),
    ],
)
def test_a_python_program_ends_in_time_with_its_exit_code(
    address: Address, end: str, code: int, last_line: str
) -> None:
    all_scenarios = scenarios(address, end, (*STATES, "thread"), BACKENDS)
    done = subprocess.run(
        [sys.executable, str(HERE / "program.py")],
        input=json.dumps([asdict(scenario) for scenario in all_scenarios]),
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=TIMES * START_SECONDS,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    check(all_scenarios, [Outcome(**answer) for answer in answers], code, last_line)
