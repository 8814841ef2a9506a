"""How many calls a second one server, or several, can answer before calls wait too long.

    python benchmarks/scaleout/queueing.py --service-ms 1.7 --goal-p99-ms 20

Calls arrive at random times (a Poisson process), each from another caller. A server runs one call
after the other. With several servers a call goes to the less busy one of two that are chosen at
random, as sidecall's client does it. A simulation of so many calls gives the time from the arrival
of each call to its answer. The times that the runs themselves take are either one number, or the
measured times of a file with one number in milliseconds on each line. capacity.py compares what
this module predicts with measured servers.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

CALLS = 100_000
SERVERS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Prediction:
    """What callers see at one rate of calls, in milliseconds."""

    p50_ms: float
    p99_ms: float


def simulate(
    service_ms: np.ndarray, rate: float, servers: int, calls: int = CALLS, seed: int = 0
) -> Prediction:
    """The times from arrival to answer of `calls` calls, of which `rate` arrive each second.

    `service_ms` holds the times that runs take; each call draws one of them. The first tenth of the
    calls, which find idle servers, does not count. Raises ValueError if the servers cannot keep up,
    because then the times grow without end.
    """
    load = rate * float(np.mean(service_ms)) / 1000 / servers
    if load >= 1:
        raise ValueError(f"rate: expected less than {rate / load:.0f} calls/s, got {rate:.0f}")
    random = np.random.default_rng(seed)
    arrivals = np.cumsum(random.exponential(1000 / rate, calls))
    service = random.choice(service_ms, calls)
    first = random.integers(servers, size=calls)
    # another server than the first one, if there are several
    second = (first + random.integers(1, max(servers, 2), size=calls)) % servers
    ends: list[deque[float]] = [deque() for _ in range(servers)]  # of the calls at each server
    times = np.empty(calls)
    for i, now in enumerate(arrivals):
        for queue in (ends[first[i]], ends[second[i]]):
            while queue and queue[0] <= now:
                queue.popleft()
        queue = min(ends[first[i]], ends[second[i]], key=len)
        end = max(now, queue[-1] if queue else now) + service[i]
        queue.append(end)
        times[i] = end - now
    p50, p99 = np.percentile(times[calls // 10 :], (50, 99))
    return Prediction(float(p50), float(p99))


def highest_rate(service_ms: np.ndarray, servers: int, goal_p99_ms: float) -> float:
    """The most calls a second at which 99 of 100 are answered within the goal; 0 if none are."""
    low, high = 0.0, 0.99 * servers * 1000 / float(np.mean(service_ms))
    for _ in range(12):
        middle = (low + high) / 2
        if simulate(service_ms, middle, servers).p99_ms <= goal_p99_ms:
            low = middle
        else:
            high = middle
    return low


def read_service(words: str) -> np.ndarray:
    """The times in milliseconds that an argument names: a number, or a file of numbers."""
    try:
        values = np.array([float(words)])
    except ValueError:
        try:
            values = np.array(Path(words).read_text(encoding="utf-8").split(), dtype=float)
        except (OSError, ValueError):
            values = np.empty(0)
    if not len(values) or not np.all(np.isfinite(values)) or np.min(values) <= 0:
        raise argparse.ArgumentTypeError(f"expected times above 0 ms, got {words}")
    return values


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--service-ms",
        type=read_service,
        required=True,
        help="how long one run takes, in ms, or a file with measured times, one on each line",
    )
    parser.add_argument(
        "--goal-p99-ms",
        type=float,
        required=True,
        help="the time within which 99 of 100 calls must be answered, in ms",
    )
    options = parser.parse_args()
    print("servers  calls/s   load")
    for servers in SERVERS:
        rate = highest_rate(options.service_ms, servers, options.goal_p99_ms)
        load = rate * float(np.mean(options.service_ms)) / 1000 / servers
        print(f"{servers:7}  {rate:7.0f}  {load:5.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
