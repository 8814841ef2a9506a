"""Measures one caller with pytest-benchmark; client.py runs pytest on this file in its own process.

This is not a test of the project.
"""

import os
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from sampled_answers import SampledAnswers
from transports import Connection

MOST_ROUNDS = 200_000  # pytest-benchmark keeps and sorts every time
PYTEST_OPTIONS = [
    "-s",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:terminal",
    "-p",
    "pytest_benchmark.plugin",
    "--assert=plain",
    "-c",
    "/dev/null",
]
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # load no plugin except pytest-benchmark


@dataclass
class Closed:
    """The input and the results of one measurement."""

    connection: Connection
    sampled_answers: SampledAnswers
    row: Callable[[int], Any]
    first: int
    rounds: int
    warm_up: int
    about: dict[str, Any]
    times: list[float] = field(default_factory=list)
    cpu_s: float = 0.0


@dataclass
class Plugin:
    """Passes the measurement to the test."""

    closed: Closed

    @pytest.fixture
    def closed_loop(self) -> Closed:
        return self.closed


def rounds_in(seconds: float, connection: Connection, row: Callable[[int], Any], first: int) -> int:
    """The number of calls that fill the given time, from the median time of some trial calls.

    The trial calls end after a tenth of the time if there were at least ten of them, and after half
    of the time in any case.
    """
    times: list[float] = []
    while not times or sum(times) < seconds / (10 if len(times) >= 10 else 2):
        sent = row(first + len(times))
        start = time.perf_counter()
        with suppress(Exception):  # only calls of the measurement count as lost
            connection.call(sent)
        times.append(time.perf_counter() - start)
    return max(1, min(MOST_ROUNDS, round(seconds / median(times))))


def measure(closed: Closed) -> None:
    """Runs the test below. Raises RuntimeError if pytest reports that it failed."""
    arguments = [
        *PYTEST_OPTIONS,
        f"--rootdir={Path(__file__).parent}",
        "--benchmark-quiet",
        "--benchmark-timer=time.perf_counter",
    ]
    os.environ.pop("PYTEST_ADDOPTS", None)  # these are for the tests of the project
    code = pytest.main([*arguments, __file__], plugins=[Plugin(closed)])
    if code != 0 or len(closed.times) != closed.rounds:
        raise RuntimeError(
            f"pytest: expected {closed.rounds} rounds and code 0, "
            f"got {len(closed.times)} and {int(code)}"
        )


def test_call(benchmark: BenchmarkFixture, closed_loop: Closed) -> None:
    call, sampled_answers = closed_loop.connection.call, closed_loop.sampled_answers
    done = -closed_loop.warm_up - 1  # number of the current round
    answer: Any = None
    began = 0.0
    marks: list[float] = []  # one time per round

    def next_row() -> tuple[tuple[Any], dict[str, Any]]:
        """Keeps the answer of the previous round and prepares the next row; this is not timed."""
        nonlocal done, answer, began
        store_answer()
        done += 1
        answer = None
        if done == 0:
            began = cpu_seconds()
        if done >= 0:
            marks.append(time.perf_counter())
        return (closed_loop.row(closed_loop.first + done),), {}

    def store_answer() -> None:
        if done < 0:
            return
        if isinstance(answer, Exception):
            sampled_answers.add_lost(answer)
        else:
            sampled_answers.add(done, closed_loop.first + done, answer)

    def timed(row: Any) -> None:
        nonlocal answer
        try:
            answer = call(row)
        except Exception as error:
            answer = error

    benchmark.extra_info.update(closed_loop.about)
    benchmark.pedantic(
        timed,
        setup=next_row,
        rounds=closed_loop.rounds,
        iterations=1,
        warmup_rounds=closed_loop.warm_up,
    )
    marks.append(time.perf_counter())
    spent = cpu_seconds() - began
    store_answer()
    times = np.array(benchmark.stats.stats.data)
    # Subtract the CPU time that pytest-benchmark and next_row need between two calls, because a
    # caller does not spend it. Use the median, because other processes may have run as well.
    between = np.median(np.diff(marks) - times) * len(times)
    closed_loop.times = times.tolist()
    closed_loop.cpu_s = max(0.0, spent - float(between))


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
