"""Processes that benchmarks/cli measures; used by run.py.

Some are started afresh and timed from start to end, some process a whole file, and some stay open
and answer line by line.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

# Each program reads a record from stdin and prints label and probabilities. It imports only what it
# needs.
ONNXRUNTIME = """
import json, sys
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
row = np.array([list(json.load(sys.stdin).values())], np.float64)
label, probabilities = session.run(None, {"X": row})
print(label[0], *probabilities[0], sep=",")
"""
JOBLIB = """
import json, sys
import joblib
model = joblib.load(sys.argv[1])
row = [list(json.load(sys.stdin).values())]
print(model.predict(row)[0], *model.predict_proba(row)[0], sep=",")
"""

# Starts a command on one CPU with its stdout redirected to a file; prints the seconds and the peak
# of its memory in KiB. This is a separate small process, because the kernel counts the memory of
# the starting process in the peak of the program.
WATCHER = """
import os, sys, time
cpu, target, *command = sys.argv[1:]
os.sched_setaffinity(0, {int(cpu)})
actions = [(os.POSIX_SPAWN_OPEN, 1, target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
begin = time.perf_counter()
_, state, usage = os.wait4(os.posix_spawn(command[0], command, os.environ, file_actions=actions), 0)
print(time.perf_counter() - begin, usage.ru_maxrss, os.waitstatus_to_exitcode(state))
"""


@dataclass
class ColdStart:
    """A command that answers one row; each run starts it afresh, with `stdin` as its input."""

    client: str
    approach: str
    command: list[str]
    stdin: bytes
    times: list[float] = field(default_factory=list)  # ns

    def run(self, environment: dict[str, str]) -> np.ndarray:
        """Times one process; returns its probabilities."""
        begin = time.perf_counter_ns()
        done = subprocess.run(
            self.command, input=self.stdin, stdout=subprocess.PIPE, env=environment, check=True
        )
        self.times.append(time.perf_counter_ns() - begin)
        return read_probabilities(done.stdout.decode())

    def ratio_to(self, other: "ColdStart") -> float:
        return float(np.median(np.array(self.times) / np.array(other.times)))


def read_probabilities(line: str) -> np.ndarray:
    if line.startswith("{"):
        return np.array(list(json.loads(line)["probabilities"].values()))
    return np.array([float(word) for word in line.split(",")[1:]])


def run_cold_rounds(
    contenders: list[ColdStart],
    rounds: int,
    environment: dict[str, str],
    check: Callable[[ColdStart, np.ndarray], None],
) -> None:
    for contender in contenders:  # one untimed run fills the page cache
        check(contender, contender.run(environment))
        contender.times.clear()
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            check(contender, contender.run(environment))


@dataclass
class WholeFile:
    """A command that reads a CSV file and writes the answers to another file."""

    client: str
    approach: str
    command: list[str]
    to_stdout: bool
    seconds: list[float] = field(default_factory=list)
    peaks_mb: list[float] = field(default_factory=list)

    def run(self, target: Path, environment: dict[str, str], cpu: int) -> None:
        out = target if self.to_stdout else Path(os.devnull)
        watcher = [sys.executable, "-I", "-S", "-c", WATCHER, str(cpu), str(out), *self.command]
        done = subprocess.run(
            watcher,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment,
            check=True,
            text=True,
        )
        seconds, peak_kib, code = done.stdout.split()
        if code != "0":
            raise RuntimeError(f"{self.client}, {self.approach}: exit code {code}")
        self.seconds.append(float(seconds))
        self.peaks_mb.append(float(peak_kib) * 1024 / 1e6)

    def ratio_to(self, other: "WholeFile") -> float:
        return float(np.median(np.array(self.seconds) / np.array(other.seconds)))


def time_stream(
    command: list[str],
    lines: list[bytes],
    rounds: int,
    environment: dict[str, str],
    check: Callable[[int, np.ndarray], None],
) -> np.ndarray:
    """Round-trip times, in ns, of one line to a process that stays open and its answer."""
    times = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, bufsize=0
    ) as process:
        ask, answers = process.stdin.fileno(), process.stdout.fileno()
        for number in range(rounds + 20):
            line = lines[number % len(lines)]
            begin = time.perf_counter_ns()
            os.write(ask, line)
            answer = os.read(answers, 1 << 16)
            times.append(time.perf_counter_ns() - begin)
            check(number % len(lines), read_probabilities(answer.decode()))
        process.stdin.close()
        process.wait(timeout=60)
    return np.array(times[20:])


def python(program: str, model: Path) -> list[str]:
    return [sys.executable, "-c", program, str(model)]
