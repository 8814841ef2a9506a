"""The models of soak_models.py as Python functions; served by soak_fleet.py.

The environment variable SOAK_CONTRACT names the file with the contract of the model. When this file
runs as a program, it serves a function over arrays: at the address in its argument, or, without an
argument, as a child process of a client (exec:). `sidecall serve soak_app:over_records` serves a
function over records.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import sidecall

CONTRACT = json.loads(Path(os.environ["SOAK_CONTRACT"]).read_text())
OFFSET = int(CONTRACT["model"]["version"]) / 16
NAMES = [each["name"] for each in CONTRACT["features"] if each["input"] == "x"]
SECONDS_PER_ROUND = 1e-6


def work(rounds: int) -> None:
    """Sleeps for the time of the rounds. If the caller waits less, sleeps that long and raises."""
    left = sidecall.serving.remaining()
    seconds = rounds * SECONDS_PER_ROUND
    if left is not None and left < seconds:
        time.sleep(left)
        raise sidecall.errors.Timeout("the work takes longer than the caller waits")
    time.sleep(seconds)


def over_arrays(
    x: np.ndarray, pieces: np.ndarray, rounds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    work(int(rounds.max()))
    return x + OFFSET, np.full(pieces.sum(), OFFSET)


def over_records(records: list[dict]) -> list[dict]:
    work(max(record["rounds"] for record in records))
    return [{"y": [record[name] + OFFSET for name in NAMES]} for record in records]


if __name__ == "__main__":
    width = len(NAMES)
    sidecall.serve(
        over_arrays,
        *sys.argv[1:],
        inputs={"x": f"float64[N,{width}]", "pieces": "int64[N,1]", "rounds": "int64[N,1]"},
        outputs={"y": f"float64[N,{width}]", "more": "float64[M]"},
        log_level="debug",
    )
