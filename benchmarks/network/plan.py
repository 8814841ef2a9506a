"""Decides what is measured: the cells of each approach and client. Used by run.py."""

from dataclasses import dataclass

from approach import Approach
from workload import Workload

CROWDS = (8, 64)
RATES = (100, 400, 1600)  # calls per second
WORKERS = 64  # number of workers that take the calls of an open loop when they are due


@dataclass(frozen=True)
class Cell:
    """One measurement of one client: rows per call, number of callers and their rate."""

    workload: str
    rows: int
    clients: int = 1
    rate: int = 0  # calls per second; 0 is a closed loop

    @property
    def load(self) -> str:
        return f"open {self.rate}/s" if self.rate else f"closed {self.clients}"

    @property
    def scenario(self) -> str:
        return f"{self.workload}, {self.rows} row{'' if self.rows == 1 else 's'}, {self.load}"


@dataclass(frozen=True)
class Effort:
    """How long and how often to measure."""

    repetitions: int
    seconds: float  # length of a closed loop
    open_seconds: float
    warm_up: int
    rates: tuple[int, ...]
    crowds: tuple[int, ...]


FULL = Effort(
    repetitions=5, seconds=0.06, open_seconds=0.25, warm_up=20, rates=RATES, crowds=CROWDS
)
QUICK = Effort(repetitions=1, seconds=0.1, open_seconds=0.3, warm_up=5, rates=(400,), crowds=(8,))
GLANCE = Effort(repetitions=1, seconds=0.01, open_seconds=0.1, warm_up=1, rates=(100,), crowds=(2,))


def cells_of(
    approach: Approach, client: str, workloads: list[Workload], effort: Effort
) -> dict[tuple[str, int], list[Cell]]:
    """The cells of each combination of workload and rows per call; a client opens each combination
    once.

    Many clients and fixed rates are measured only with one row of gbm, or of the approach's first
    workload if the approach has no gbm.
    """
    found: dict[tuple[str, int], list[Cell]] = {}
    for workload in workloads:
        if workload.name not in approach.workloads:
            continue
        for rows in workload.rows:
            if rows > approach.max_rows:
                continue
            cells = [Cell(workload.name, rows)]
            if is_loaded(approach, workload.name, rows):
                cells += [Cell(workload.name, rows, crowd) for crowd in effort.crowds]
                if client == approach.clients[0]:
                    cells += [Cell(workload.name, rows, WORKERS, rate) for rate in effort.rates]
            found[workload.name, rows] = cells
    return found


def is_loaded(approach: Approach, workload: str, rows: int) -> bool:
    return (
        rows == 1
        and approach.has_crowds
        and workload == ("gbm" if "gbm" in approach.workloads else approach.workloads[0])
    )
