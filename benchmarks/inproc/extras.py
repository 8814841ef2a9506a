"""Measurements of benchmarks/inproc apart from calls: opening, import, allocations, memory growth.

Used by run.py.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from rounds import Client

# Import numpy first: the measured time is the time that sidecall adds to a program with numpy.
IMPORT = """
import sys, time, json
import numpy
start = time.perf_counter_ns()
import sidecall
spent = time.perf_counter_ns() - start
print(json.dumps([spent, [name for name in ("onnxruntime", "sklearn", "pandas", "onnx") if name in sys.modules]]))
"""


def time_import(runs: int) -> tuple[np.ndarray, set[str]]:
    """Times in ns of `import sidecall` after numpy, each in a fresh process.

    Also returns the heavy packages that it imported.
    """
    times, heavy = [], set()
    for _ in range(runs):
        run = subprocess.run(
            [sys.executable, "-c", IMPORT], check=True, capture_output=True, text=True
        )
        spent, loaded = json.loads(run.stdout)
        times.append(spent)
        heavy |= set(loaded)
    return np.array(times[1:] or times, np.int64), heavy  # the first run reads the files from disk


def time_opening(client: Client, variants: Path, count: int) -> np.ndarray:
    """Times in ns, [count, 3], of three ways to open a file, which alternate.

    The ways are sidecall with verification, an ONNX Runtime session with default options, and a
    session with sidecall's options.
    """
    times, _ = client.ask("opening", variants, count, 1)
    return times.reshape(count, 3)


def count_allocations(
    client: Client, folder: Path, approaches: list[str], calls: int
) -> dict[str, float]:
    """Allocations per call of one row, by approach; the client runs with count_malloc preloaded."""
    client.ask("load", folder, 1)
    return {name: int(client.ask("allocations", name, calls)[0][0]) / calls for name in approaches}


def measure_growth(client: Client, model: Path, warm_up: int, count: int) -> int:
    """KiB of resident memory that remain after `count` opens and closes in an otherwise idle
    process.
    """
    return int(client.ask("growth", model, warm_up, count)[0][0])
