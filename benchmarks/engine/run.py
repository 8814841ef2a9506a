"""`make bench-engine`: sidecall's own engine, ONNX Runtime and other engines for the same models.

All alternate in one run. Writes results/engine.json, prints tables and bars.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "node"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engine"))

from calls import Clients, Measured, judge, measure_calls, note_unavailable
from cases import Case, Sizes, write_cases
from common import (
    Report,
    WrongAnswerError,
    by_scenario,
    describe_versions,
    guarded,
    parse,
    print_table,
)
from limits import add_call_bars, ort_of
from outside import count_bits, measure_cold, measure_csv, measure_opening
from programs import DISTINCT
from roofline import measure_machine, roofline_rows
from threadpoolctl import threadpool_limits

PACKAGES = [
    "sidecall",
    "numpy",
    "onnxruntime",
    "scikit-learn",
    "lightgbm",
    "xgboost",
    "m2cgen",
    "onnx",
]


class Settings:
    """How much to measure: everything, or a quick run that only shows that everything works."""

    def __init__(self, quick: bool):
        self.quick = quick
        self.rounds = {1: 2, 100: 2} if quick else {1: 40, 100: 20, 10_000: 9, 1_000_000: 2}
        self.batch = 100 if quick else 10_000
        self.budget_ns = 2e5 if quick else 4e6
        # write_csv takes the first DISTINCT rows of the workload.
        self.sizes = Sizes(DISTINCT, 20, 1_000) if quick else Sizes(1_000_000, 500, 20_000)
        # tl2cgen and lleaves compile for minutes, and the packages take seconds to load.
        self.with_peers = ["gbm-lightgbm"] if quick else None
        self.bit_rows = 1_200 if quick else 200_000
        self.openings = 3 if quick else 100
        self.cold_rounds = 2 if quick else 40
        self.csv_rows = DISTINCT if quick else 1_000_000
        self.csv_rounds = 1 if quick else 5


def add_call_rows(report: Report, measured: Measured) -> None:
    for (scenario, rows), contenders in measured.items():
        ort = ort_of(contenders)
        for contender in contenders.values():
            report.rows.append(contender.row(scenario, rows, vs_ort=contender.ratio_to(ort)))


def print_calls(report: Report) -> None:
    calls = [row for row in report.rows if "vs_ort" in row]
    for scenario, cells in by_scenario(calls).items():
        sizes = sorted({rows for *_, rows in cells})
        first = {}
        for client, approach, rows in sorted(cells, key=lambda key: key[2]):
            first.setdefault((client, approach), cells[client, approach, rows])
        table = []
        for name in sorted(first, key=lambda name: (first[name]["rows"], first[name]["p50_us"])):
            row = [" ".join(name)]
            for size in sizes:
                cell = cells.get((*name, size))
                row += (
                    ["", ""] if cell is None else [f"{cell['p50_us']:.3f}", f"{cell['vs_ort']:.2f}"]
                )
            table.append(row)
        head = ["client, approach"]
        for size in sizes:
            head += [f"{size} row{'s' if size > 1 else ''}", "x"]
        print(f"\n{scenario}: p50 in us; x: how many times as long as ONNX Runtime in C")
        print_table(head, table)


def print_tables(report: Report) -> None:
    judged = [
        [
            f"{one['scenario']}: {one['approach']}",
            *(str(one[key]) for key in ("rows", "wrong", "bits_differ")),
        ]
        for one in report.tables["judged"]
    ]
    print()
    print_table(["rows beside thresholds", "rows", "wrong", "bits differ"], judged)
    bounds = [
        [one["scenario"], *(f"{one[key]:.3g}" for key in list(one)[1:] if key != "cache")]
        for one in report.tables["roofline"]
    ]
    if bounds:
        print()
        print_table([key for key in report.tables["roofline"][0] if key != "cache"], bounds)
    others = [
        [
            f"{row['scenario']}: {row['client']} {row['approach']}",
            f"{row['p50_us'] / 1000:.3f}",
            f"{row['p99_us'] / 1000:.3f}",
        ]
        for row in report.rows
        if "vs_ort" not in row
    ]
    print()
    print_table(["once per process, model or file", "p50 ms", "p99 ms"], others)
    print("\n" + "\n".join(report.notes))


def run(settings: Settings, clients: Clients, folder: Path, report: Report) -> None:
    faults: list[str] = []
    with threadpool_limits(1):  # training must not disturb others
        cases = write_cases(folder, settings.sizes)
    note_unavailable(cases, clients, settings.with_peers, report)
    measured = measure_calls(cases, clients, settings, faults.append)
    report.tables["judged"] = judge(cases, clients, measured, faults.append)
    named: dict[str, Case] = {case.name: case for case in cases}
    bars = [
        measure_opening(named["gbm"], clients, settings.openings, folder, report),
        measure_cold(named["gbm"], clients, settings.cold_rounds, report, faults.append),
        measure_csv(named["gbm"], named["logistic"], clients, settings, report, faults.append),
        count_bits([case for case in cases if case.judged], settings.bit_rows, folder, report),
    ]
    if faults:
        raise WrongAnswerError("\n".join(dict.fromkeys(faults)))
    report.tables["caches"] = measure_machine(clients.get("c"), settings.quick)
    report.tables["roofline"] = roofline_rows(
        cases, measured, settings.batch, report.tables["caches"]
    )
    add_call_rows(report, measured)
    add_call_bars(report, measured, settings.batch)
    report.bars += bars


def main() -> int:
    options = parse(__doc__, "engine", "the CMake build folder, with node-peers and engine-peers")
    settings, clients = Settings(options.quick), Clients(options.build.resolve())
    report = Report("engine", describe_versions(PACKAGES) | clients.versions())
    with tempfile.TemporaryDirectory(prefix="sidecall-bench-") as name, clients:
        run(settings, clients, Path(name), report)
    path = report.write(options.output)
    print_calls(report)
    print_tables(report)
    print(f"\nwritten to {path}")
    report.print_bars()
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
