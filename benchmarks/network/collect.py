"""Combines the measurements: one row per approach, client and cell, over all repetitions. Used by
run.py.
"""

import statistics
from dataclasses import dataclass, field

from approach import Approach
from plan import Cell

PERCENTILES = ("p50_us", "p90_us", "p99_us", "p999_us")
TOO_LATE = 0.9  # fraction of the requested calls; an open loop that answers fewer did not keep up


@dataclass
class Series:
    """The measurements of one cell, one per repetition."""

    approach: Approach
    client: str
    cell: Cell
    measured: dict[int, dict] = field(
        default_factory=dict
    )  # by repetition: the client's answer, and server_cpu_s
    memory: list[tuple[float, float]] = field(
        default_factory=list
    )  # MiB of the servers and of the client

    def median(self, key: str) -> float:
        return statistics.median(one[key] for one in self.measured.values())

    def total(self, key: str) -> float:
        return sum(one[key] for one in self.measured.values())

    def row(self) -> dict:
        calls = int(self.total("calls"))
        all_calls = max(self.total("server_calls"), 1)
        p50s = [one["p50_us"] for one in self.measured.values()]
        row = {
            "scenario": self.cell.scenario,
            "workload": self.cell.workload,
            "rows": self.cell.rows,
            "load": self.cell.load,
            "approach": self.approach.name,
            "client": self.client,
            "calls": calls,
            **{key: self.median(key) for key in PERCENTILES},
            "max_us": max(one["max_us"] for one in self.measured.values()),
            "p50_us_spread": [min(p50s), max(p50s)],
            "calls_per_s": statistics.median(
                one["calls"] / one["seconds"] for one in self.measured.values()
            ),
            "cpu_s_per_million": 1e6
            * (self.total("cpu_s") / max(calls, 1) + self.total("server_cpu_s") / all_calls),
            "client_mib": max(mib for _, mib in self.memory),
            "server_mib": max(mib for mib, _ in self.memory),
            "body_bytes": int(self.median("request_bytes") + self.median("response_bytes")),
            "bytes_copied": int(
                self.approach.crossings
                * (self.median("request_bytes") + self.median("response_bytes"))
            ),
            "wrong": int(self.total("wrong")),
            "lost": int(self.total("lost")),
            "repetitions": len(self.measured),
        }
        if self.cell.rate:
            row["kept_up"] = row["calls_per_s"] >= TOO_LATE * self.cell.rate
        return row


@dataclass
class Collection:
    """All series, in the order in which they were first measured."""

    series: dict[tuple[str, str, Cell], Series] = field(default_factory=dict)
    cold: dict[tuple[str, str], list[float]] = field(
        default_factory=dict
    )  # seconds, by approach and client
    unavailable: dict[str, str] = field(default_factory=dict)  # the reason, by approach
    failed: dict[str, str] = field(
        default_factory=dict
    )  # the first wrong or lost answer, by approach
    num_faults: int = 0  # answers that were wrong or lost

    def add(
        self,
        approach: Approach,
        client: str,
        cell: Cell,
        repetition: int,
        measured: dict,
        memory: tuple[float, float],
    ) -> None:
        series = self.series.setdefault(
            (approach.name, client, cell), Series(approach, client, cell)
        )
        series.measured[repetition] = measured
        series.memory.append(memory)
        where = f"{approach.name}, {client}, {cell.scenario}"
        for kind in ("wrong", "lost"):
            if measured[kind]:
                reason = f"{where}: {measured[kind]} answers {kind}{': ' + measured['error'] if measured['error'] else ''}"
                self.fail(approach, reason, measured[kind])

    def fail(self, approach: Approach, reason: str, answers: int = 1) -> None:
        self.num_faults += answers
        self.failed.setdefault(approach.name, reason)

    def is_left_out(self, approach: str) -> bool:
        """Whether the approach failed or is unavailable.

        Its figures are then not used, not even those of repetitions that succeeded.
        """
        return approach in self.failed or approach in self.unavailable

    def find(self, approach: str, client: str, cell: Cell) -> Series | None:
        return None if self.is_left_out(approach) else self.series.get((approach, client, cell))

    def ratio(
        self, above: tuple[str, str], below: tuple[str, str], cell: Cell, key: str = "p50_us"
    ) -> float | None:
        """The median of the ratios within a repetition, or None if one of the two was not measured.

        A disturbance during a repetition affects both approaches, so it hardly affects ratios.
        """
        first, second = self.find(*above, cell), self.find(*below, cell)
        if first is None or second is None:
            return None
        shared = first.measured.keys() & second.measured.keys()
        ratios = [first.measured[number][key] / second.measured[number][key] for number in shared]
        return statistics.median(ratios) if ratios else None

    def smaller_ratio(
        self, above: str, below: str, cell: Cell, clients: tuple[str, ...]
    ) -> float | None:
        found = [self.ratio((above, client), (below, client), cell) for client in clients]
        return None if None in found else min(ratio for ratio in found if ratio is not None)

    def rows(self) -> list[dict]:
        return [
            series.row()
            for series in self.series.values()
            if not self.is_left_out(series.approach.name)
        ]

    def cold_rows(self, approaches: list[Approach]) -> list[dict]:
        """The rows for cold starts.

        A cold start lasts from the start of brokers and servers to the first correct answer.
        """
        titles = {one.name: one for one in approaches}
        rows = []
        for (approach, client), seconds in self.cold.items():
            if self.is_left_out(approach):
                continue
            times = sorted(1e6 * one for one in seconds)
            row = {
                "scenario": "cold start to the first answer",
                "workload": "gbm",
                "rows": 1,
                "load": "cold",
                "approach": approach,
                "client": client,
            }
            row |= {
                "p50_us": statistics.median(times),
                "p99_us": times[-1],
                "max_us": times[-1],
                "calls": len(times),
                "group": titles[approach].group,
            }
            rows.append(row)
        return rows
