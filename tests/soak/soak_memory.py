"""Watches the memory, descriptors, threads and mappings of processes that live through the whole
soak. Used by soak.py.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# How much more a process may hold at the end than after the warm-up. Memory is in MiB: after the
# calls of half an hour, 4 MiB are less than 100 bytes per call. Node.js may hold more, because its
# garbage collector decides when to return memory. The other figures differ between two moments,
# because some calls open further connections.
MOST_GROWTH = {"memory": 4.0, "descriptors": 20, "threads": 3, "mappings": 40}
MOST_GROWTH_OF_NODE = 16.0
# In a shorter run the warm-up is not over at WARM_UP, so twice as much memory is allowed.
MINUTES_OF_WARM_UP = 10.0
# When the samples that are compared are taken, as shares of the run.
WARM_UP = (0.25, 0.45)  # after the warm-up
LAST = (0.85, 1.0)  # at the end


@dataclass(frozen=True)
class Sample:
    time: float
    memory: float  # MiB: anonymous memory, and the process's share of shared memory
    descriptors: int
    threads: int
    mappings: int


def sample(pids: Iterable[int]) -> Sample:
    memory = descriptors = threads = mappings = 0
    for pid in pids:
        folder = Path(f"/proc/{pid}")
        lines = (folder / "smaps_rollup").read_text().splitlines()
        memory += sum(
            int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:"))
        )
        descriptors += sum(1 for _ in (folder / "fd").iterdir())
        threads += sum(1 for _ in (folder / "task").iterdir())
        mappings += (folder / "maps").read_text().count("\n")
    return Sample(time.monotonic(), memory / 1024, descriptors, threads, mappings)


class Watcher(threading.Thread):
    """Takes samples of the processes that `subjects` yields, until `over` is set."""

    def __init__(
        self,
        subjects: Callable[[], Iterable[tuple[str, list[int]]]],
        interval: float,
        over: threading.Event,
    ):
        super().__init__(name="watcher", daemon=True)
        self._subjects, self._interval, self._over = subjects, interval, over
        self._samples: dict[str, list[Sample]] = {}

    def run(self) -> None:
        self._begin = time.monotonic()
        while not self._over.wait(self._interval):
            for name, pids in self._subjects():
                with suppress(FileNotFoundError, ProcessLookupError):  # the process has just ended
                    self._samples.setdefault(name, []).append(sample(pids))
        self._seconds = time.monotonic() - self._begin

    def rows(self) -> list[dict]:
        """One row for each process: its figures after the warm-up and at the end."""
        return [
            {"process": name}
            | {
                f"{figure}_{moment}": round(self._median(samples, figure, window), 1)
                for figure in MOST_GROWTH
                for moment, window in (("first", WARM_UP), ("last", LAST))
            }
            for name, samples in sorted(self._samples.items())
        ]

    def _median(self, samples: list[Sample], figure: str, window: tuple[float, float]) -> float:
        low, high = (self._begin + share * self._seconds for share in window)
        values = [getattr(each, figure) for each in samples if low <= each.time <= high]
        return statistics.median(values or [getattr(samples[-1], figure)])


def defects(rows: list[dict], minutes: float) -> list[str]:
    found = []
    for row in rows:
        for figure, most in MOST_GROWTH.items():
            if figure == "memory":
                most = MOST_GROWTH_OF_NODE if "node" in row["process"] else most
                most *= 1 if minutes >= MINUTES_OF_WARM_UP else 2
            first, last = row[f"{figure}_first"], row[f"{figure}_last"]
            if last - first > most:
                found.append(
                    f"{row['process']}: {figure}: expected a growth of at most {most}, got {first} to {last}"
                )
    return found
