"""`make bench-inproc`: the ways to call a model inside a process, alternating in one run.

Writes results/inproc.json, prints tables and bars.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import extras
from common import (
    Bar,
    Report,
    WrongAnswerError,
    by_scenario,
    describe_versions,
    find_in_package,
    guarded,
    parse,
    print_table,
    run_on_onnxruntime,
)
from models import Workload, write_variants, write_workloads
from rounds import Client, Contender, run_rounds

HERE = Path(__file__).resolve().parent
# The approaches of each client. `contenders_of` adds others for some workloads or numbers of rows.
NATIVE = ["raw_run", "raw_run_arena", "raw_kept", "raw_kept_arena", "call", "setters", "json"]
PYTHON = ["onnxruntime", "run", "call", "call_run", "predict"]
PACKAGES = [
    "sidecall",
    "numpy",
    "onnxruntime",
    "scikit-learn",
    "onnx",
    "pandas",
    "lightgbm",
    "m2cgen",
]


class Settings:
    """How much to measure: everything, or a quick run that only shows that everything works."""

    def __init__(self, quick: bool):
        self.workloads = ["gbm", "forest"] if quick else ["gbm", "logistic", "mlp", "forest"]
        self.rounds = {1: 2, 100: 2} if quick else {1: 40, 100: 20, 10_000: 5}
        self.budget_ns = 2e5 if quick else 4e6
        self.openings = 3 if quick else 100
        self.imports = 2 if quick else 20
        self.allocation_calls = 100 if quick else 10_000
        self.growth = (20, 50) if quick else (1_000, 10_000)


class Clients:
    """The measured processes and the environment in which they start."""

    def __init__(self, build: Path):
        self.native_program = build / "bin" / "bench-inproc"
        self.count_malloc = build / "lib" / "libbench-count-malloc.so"
        for path in (self.native_program, self.count_malloc):
            if not path.is_file():
                raise FileNotFoundError(
                    f"expected {path}: build it with -DSIDECALL_BUILD_BENCHMARKS=ON (make bench-inproc does)"
                )
        self.environment = {
            "SIDECALL_ONNXRUNTIME": str(find_in_package("onnxruntime", "capi/libonnxruntime.so.*")),
            "BENCH_LIGHTGBM": str(find_in_package("lightgbm", "lib/lib_lightgbm.so")),
            "ORT_DISABLE_TELEMETRY": "1",
        }

    def native(self, **more: str) -> Client:
        return Client("c", [str(self.native_program)], self.environment | more)

    def python(self, name: str = "python", **more: str) -> Client:
        return Client(
            name, [sys.executable, str(HERE / "python_client.py")], self.environment | more
        )


def contenders_of(
    workload: Workload, rows: int, native: Client, python: Client, cffi: Client
) -> list[Contender]:
    twins = (
        [] if workload.twin is None else ["m2cgen"] + (["lightgbm_single_row"] if rows == 1 else [])
    )
    contenders = [Contender(native, name) for name in NATIVE + twins]
    contenders += [
        Contender(python, name)
        for name in PYTHON + (["predict_frame"] if rows > 1 else []) + ["predict_proba"]
    ]
    return [*contenders, Contender(cffi, "call")]


def measure_calls(
    settings: Settings, clients: Clients, workloads: list[Workload], report: Report, report_fault
) -> dict:
    """Measures every workload and number of rows; returns the contenders by (scenario, rows)."""
    measured = {}
    with ExitStack() as stack:
        native, python = (
            stack.enter_context(clients.native()),
            stack.enter_context(clients.python()),
        )
        cffi = stack.enter_context(clients.python("python-cffi", SIDECALL_PYTHON_BACKEND="cffi"))
        for workload in workloads:
            for rows, rounds in settings.rounds.items():
                print(f"measuring {workload.name}, {rows} rows", file=sys.stderr)
                for client in (native, python, cffi):
                    client.ask("load", workload.folder, rows)
                contenders = contenders_of(workload, rows, native, python, cffi)
                run_rounds(
                    contenders, rounds, settings.budget_ns, workload.checker(rows, report_fault)
                )
                measured[workload.name, rows] = {
                    contender.key: contender for contender in contenders
                }
        clock, _ = python.ask("round", "clock", 0, 1000, 20)
    report.notes.append(
        f"every time includes the cost of reading the clock: about 0.02 us in C, {np.median(clock) / 1000:.2f} us in Python"
    )
    return measured


def best_raw(contenders: dict) -> Contender:
    """The faster of the raw programs with a kept binding, with or without ONNX Runtime's arena."""
    return min(
        (contenders["c", name] for name in ("raw_kept", "raw_kept_arena")),
        key=lambda contender: contender.percentile_us(50),
    )


def add_call_rows(report: Report, measured: dict) -> None:
    for (scenario, rows), contenders in measured.items():
        raw = best_raw(contenders)
        for contender in contenders.values():
            report.rows.append(contender.row(scenario, rows, vs_raw=contender.ratio_to(raw)))


def add_time_row(
    report: Report, scenario: str, approach: str, client: str, times: np.ndarray
) -> None:
    p50, p99 = np.percentile(times, [50, 99]) / 1000
    report.rows.append(
        {
            "scenario": scenario,
            "rows": 0,
            "approach": approach,
            "client": client,
            "p50_us": float(p50),
            "p99_us": float(p99),
            "calls": len(times),
        }
    )


def add_call_bars(report: Report, contenders: dict) -> None:
    raw, call = best_raw(contenders), contenders["c", "call"]
    onnxruntime = contenders["python", "onnxruntime"]
    report.bars.append(Bar("c_call_vs_raw", call.ratio_to(raw), 1.10))
    report.bars.append(Bar("json_vs_call", contenders["c", "json"].ratio_to(call), 2.0))
    report.bars.append(
        Bar("py_run_vs_onnxruntime", contenders["python", "run"].ratio_to(onnxruntime), 0.6)
    )
    report.bars.append(
        Bar("py_call_vs_onnxruntime", contenders["python", "call_run"].ratio_to(onnxruntime), 0.42)
    )


def measure_extras(
    settings: Settings, clients: Clients, gbm: Workload, folder: Path, report: Report
) -> None:
    print("measuring opening, import, allocations and memory", file=sys.stderr)
    variants = folder / "variants"
    write_variants(variants, gbm.folder / "model.onnx", settings.openings)
    with clients.native() as client:
        opening = extras.time_opening(client, variants, settings.openings)
    for i, approach in enumerate(
        ["sidecall, verified", "session, default options", "session, sidecall's options"]
    ):
        add_time_row(report, "open", approach, "c", opening[:, i])
    report.bars.append(Bar("open_vs_session", float(np.median(opening[:, 0] / opening[:, 1])), 1.3))

    imports, heavy = extras.time_import(settings.imports)
    add_time_row(report, "import", "sidecall, after numpy", "python", imports)
    report.bars.append(Bar("import_extra_ms", float(np.median(imports)) / 1e6, 15))
    report.bars.append(Bar("import_heavy_packages", len(heavy), 0))

    with clients.native(LD_PRELOAD=str(clients.count_malloc)) as client:
        allocations = extras.count_allocations(
            client, gbm.folder, ["raw_kept", "call"], settings.allocation_calls
        )
    report.notes.append(
        f"allocations per call of one row: raw {allocations['raw_kept']:g}, sidecall {allocations['call']:g}"
    )
    report.bars.append(Bar("c_call_allocations", allocations["call"] - allocations["raw_kept"], 0))

    warm_up, count = settings.growth
    with clients.native() as client:
        grown = extras.measure_growth(client, gbm.folder / "model.onnx", warm_up, count)
    report.bars.append(Bar("open_close_growth_kib", grown, 1024))


def print_report(report: Report) -> None:
    calls = [row for row in report.rows if row["rows"] > 0]
    for scenario, cells in by_scenario(calls).items():
        sizes = sorted({rows for *_, rows in cells})
        names = list(dict.fromkeys(key[:2] for key in sorted(cells, key=lambda key: -key[2])))
        names.sort(
            key=lambda name: min(
                cells[(*name, size)]["p50_us"] for size in sizes if (*name, size) in cells
            )
        )
        print(
            f"\n{scenario}: p50 in us, for one row also p99; x raw: how many times as long as the "
            "faster raw program with a kept binding"
        )
        table = []
        for name in names:
            row = [f"{name[0]} {name[1]}"]
            for size in sizes:
                cell = cells.get((*name, size))
                row += (
                    ["", "", ""][: 3 if size == 1 else 2]
                    if cell is None
                    else (
                        [f"{cell['p50_us']:.2f}"]
                        + ([f"{cell['p99_us']:.2f}"] if size == 1 else [])
                        + [f"{cell['vs_raw']:.2f}"]
                    )
                )
            table.append(row)
        head = ["client, approach"]
        for size in sizes:
            head += (
                [f"{size} row{'s' if size > 1 else ''}"]
                + (["p99"] if size == 1 else [])
                + ["x raw"]
            )
        print_table(head, table)
    others = [
        [
            f"{row['scenario']}: {row['approach']}",
            f"{row['p50_us'] / 1000:.2f}",
            f"{row['p99_us'] / 1000:.2f}",
        ]
        for row in report.rows
        if row["rows"] == 0
    ]
    print()
    print_table(["once per process or model", "p50 ms", "p99 ms"], others)
    print("\n" + "\n".join(report.notes))


def main() -> int:
    options = parse(__doc__, "inproc")
    note = run_on_onnxruntime()
    settings = Settings(options.quick)
    clients = Clients(options.build.resolve())
    faults: list[str] = []
    report = Report("inproc", describe_versions(PACKAGES))
    report.notes.append(note)
    with tempfile.TemporaryDirectory(prefix="sidecall-bench-") as name:
        folder = Path(name)
        workloads = write_workloads(folder, max(settings.rounds), settings.workloads)
        measured = measure_calls(settings, clients, workloads, report, faults.append)
        if faults:
            raise WrongAnswerError("\n".join(dict.fromkeys(faults)))
        add_call_rows(report, measured)
        add_call_bars(report, measured["gbm", 1])
        measure_extras(settings, clients, workloads[0], folder, report)
    path = report.write(options.output)
    print_report(report)
    print(f"\nwritten to {path}")
    report.print_bars()
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
