"""`make bench-node`: the ways to call a model from Node.js, alternating in one run.

Writes results/node.json, prints tables and bars.
"""

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import (
    Bar,
    Report,
    WrongAnswerError,
    by_scenario,
    describe_versions,
    guarded,
    parse,
    print_table,
    run_on_onnxruntime,
)
from loop import Crowd, measure_delay, run_crowd_rounds
from models import Workload, write_workloads
from node_clients import Clients
from rounds import Contender, run_rounds
from served import Amount, measure_served

# The approaches of each client; see benchmarks/README.md.
APPROACHES = {
    "onnxruntime-node": ["run", "run_kept", "record"],
    "sidecall": ["run_sync", "run_async", "call", "call_run", "predict_sync", "predict"],
}
AT_ONCE = {"onnxruntime-node": ["run"], "sidecall": ["run_async", "predict"]}
WIDTHS = [1, 4, 16]
PACKAGES = ["sidecall", "numpy", "scikit-learn", "onnx", "lightgbm", "m2cgen"]


class Settings:
    """How much to measure: everything, or a quick run that only shows that everything works."""

    def __init__(self, quick: bool):
        self.workloads = ["gbm"] if quick else ["gbm", "logistic", "forest"]
        self.rounds = {1: 2, 100: 2} if quick else {1: 100, 100: 40, 10_000: 5}
        self.budget_ns = 2e5 if quick else 4e6
        self.crowds = [("gbm", 1)] if quick else [("gbm", 1), ("forest", 100)]
        self.crowd_rounds = 2 if quick else 20
        self.crowd_budget_ns = 1e6 if quick else 5e7
        self.served = Amount(
            rounds=2 if quick else 60,
            budget_ns=self.budget_ns,
            crowd_rounds=self.crowd_rounds,
            crowd_budget_ns=self.crowd_budget_ns,
        )
        self.delay_rounds, self.delay_ms = (2, 100) if quick else (7, 2_000)


def measure_calls(
    settings: Settings,
    clients: Clients,
    workloads: list[Workload],
    report: Report,
    report_fault: Callable,
) -> dict:
    """Measures every workload and number of rows; returns the contenders by (scenario, rows)."""
    measured = {}
    for workload in workloads:
        for rows, rounds in settings.rounds.items():
            print(f"measuring {workload.name}, {rows} rows", file=sys.stderr)
            with ExitStack() as stack:
                processes = {name: stack.enter_context(clients.open(name)) for name in APPROACHES}
                approaches = APPROACHES | (
                    {} if workload.twin is None else {"generated": ["m2cgen"]}
                )
                if "generated" in approaches:
                    processes["generated"] = stack.enter_context(clients.open("generated"))
                for process in processes.values():
                    process.ask("load", workload.folder, rows)
                contenders = [
                    Contender(processes[name], approach)
                    for name, names in approaches.items()
                    for approach in names
                ]
                run_rounds(
                    contenders, rounds, settings.budget_ns, workload.checker(rows, report_fault)
                )
                clock, _ = processes["sidecall"].ask("round", "clock", 0, 1000, 20)
            measured[workload.name, rows] = {contender.key: contender for contender in contenders}
    report.notes.append(
        f"every time includes the cost of reading the clock: about {np.median(clock) / 1000:.2f} us"
    )
    return measured


def measure_crowds(
    settings: Settings,
    clients: Clients,
    workloads: list[Workload],
    report: Report,
    report_fault: Callable,
) -> None:
    for name, rows in settings.crowds:
        workload = next(workload for workload in workloads if workload.name == name)
        print(f"measuring {name}, {rows} rows, many calls at once", file=sys.stderr)
        with ExitStack() as stack:
            processes = {client: stack.enter_context(clients.open(client)) for client in AT_ONCE}
            for process in processes.values():
                process.ask("load", workload.folder, rows)
            crowds = [
                Crowd(processes[c], approach, width)
                for width in WIDTHS
                for c, names in AT_ONCE.items()
                for approach in names
            ]
            run_crowd_rounds(
                crowds,
                settings.crowd_rounds,
                settings.crowd_budget_ns,
                workload.checker(rows, report_fault),
            )
        report.rows += [crowd.row(name, rows) for crowd in crowds]


def best_peer(contenders: dict) -> Contender:
    """The faster of onnxruntime-node's two ways to run."""
    return min(
        (contenders["onnxruntime-node", name] for name in ("run", "run_kept")),
        key=lambda contender: contender.percentile_us(50),
    )


def add_call_rows(report: Report, measured: dict) -> None:
    for (scenario, rows), contenders in measured.items():
        peer = best_peer(contenders)
        for contender in contenders.values():
            report.rows.append(
                contender.row(scenario, rows, vs_onnxruntime_node=contender.ratio_to(peer))
            )


def add_bars(report: Report, contenders: dict, delay_p99: float) -> None:
    peer = best_peer(contenders)
    limits = {
        "node_runsync_vs_ort": ("run_sync", 0.32),
        "node_call_vs_ort": ("call", 0.28),
        "node_predict_vs_ort": ("predict_sync", 0.35),
        "node_run_vs_ort": ("run_async", 0.6),
    }
    report.bars += [
        Bar(name, contenders["sidecall", approach].ratio_to(peer), limit)
        for name, (approach, limit) in limits.items()
    ]
    report.bars.append(Bar("node_loop_delay_p99_ms", delay_p99, 2))


def print_served(report: Report) -> None:
    rows = [
        row
        for row in report.rows
        if row["scenario"].startswith(("native server, ", "python server, ", "bare, "))
        and "calls_per_second" not in row
    ]
    print()
    print_table(
        ["served", "p50 us", "p99 us"],
        [
            [
                f"{row['scenario']}: {row['client']} {row['approach']}",
                f"{row['p50_us']:.2f}",
                f"{row['p99_us']:.2f}",
            ]
            for row in rows
        ],
    )


def print_calls(report: Report) -> None:
    calls = [row for row in report.rows if "vs_onnxruntime_node" in row]
    for scenario, cells in by_scenario(calls).items():
        sizes = sorted({rows for *_, rows in cells})
        names = sorted(
            {name[:2] for name in cells}, key=lambda name: cells[(*name, sizes[0])]["p50_us"]
        )
        table = []
        for name in names:
            row = [" ".join(name)]
            for size in sizes:
                cell = cells[(*name, size)]
                row += [
                    f"{cell['p50_us']:.2f}",
                    *([f"{cell['p99_us']:.2f}"] if size == 1 else []),
                    f"{cell['vs_onnxruntime_node']:.2f}",
                ]
            table.append(row)
        head = ["client, approach"]
        for size in sizes:
            head += [f"{size} row{'s' if size > 1 else ''}", *(["p99"] if size == 1 else []), "x"]
        print(
            f"\n{scenario}: p50 in us, for one row also p99; x: how many times as long as the "
            "faster way of onnxruntime-node"
        )
        print_table(head, table)


def print_loop(report: Report) -> None:
    crowds = [row for row in report.rows if "calls_per_second" in row]
    print()
    print_table(
        ["calls at once", "rows", "calls/s", "p50 us", "p99 us"],
        [
            [
                f"{row['scenario']}: {row['client']} {row['approach']}",
                str(row["rows"]),
                f"{row['calls_per_second']:.0f}",
                f"{row['p50_us']:.1f}",
                f"{row['p99_us']:.1f}",
            ]
            for row in crowds
        ],
    )
    delays = [row for row in report.rows if row["scenario"] == "event-loop delay"]
    print()
    print_table(
        ["event-loop delay, a model of 50 ms runs", "p50 ms", "p99 ms", "max ms", "runs"],
        [
            [
                f"{row['client']}: {row['approach']}",
                *(f"{row[key] / 1000:.2f}" for key in ("p50_us", "p99_us", "max_us")),
                str(row["calls"]),
            ]
            for row in delays
        ],
    )
    print("\n" + "\n".join(report.notes))


def main() -> int:
    options = parse(__doc__, "node", "the CMake build folder, with the addon and node-peers")
    note = run_on_onnxruntime()
    settings = Settings(options.quick)
    clients = Clients(options.build.resolve())
    faults: list[str] = []
    report = Report("node", describe_versions(PACKAGES) | clients.versions())
    report.notes.append(note)
    with tempfile.TemporaryDirectory(prefix="sidecall-bench-") as name:
        folder = Path(name)
        workloads = write_workloads(folder, max(settings.rounds), settings.workloads)
        measured = measure_calls(settings, clients, workloads, report, faults.append)
        add_call_rows(report, measured)
        measure_crowds(settings, clients, workloads, report, faults.append)
        gbm = next(workload for workload in workloads if workload.name == "gbm")
        measure_served(
            settings.served, options.build.resolve(), clients, gbm, report, faults.append
        )
        print("measuring the event loop's delay while a slow model runs", file=sys.stderr)
        rows, p99, note = measure_delay(
            clients.open, folder, settings.delay_rounds, settings.delay_ms, faults.append
        )
        if faults:
            raise WrongAnswerError("\n".join(dict.fromkeys(faults)))
        report.rows += rows
        report.notes.append(note)
        add_bars(report, measured["gbm", 1], p99["sidecall"])
    path = report.write(options.output)
    print_calls(report)
    print_served(report)
    print_loop(report)
    print(f"\nwritten to {path}")
    report.print_bars()
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
