"""`make bench-cli`: measures the command and its alternatives in one run.

Writes results/cli.json, prints tables and bars.
"""

import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import (
    Bar,
    Report,
    WrongAnswerError,
    describe_versions,
    guarded,
    parse,
    print_table,
    run_on_onnxruntime,
)
from models import RING, Workload, write_workloads
from processes import (
    JOBLIB,
    ONNXRUNTIME,
    ColdStart,
    WholeFile,
    python,
    run_cold_rounds,
    time_stream,
)
from programs import DISTINCT, Programs, add_row, check_csv, differs, width_of, write_csv

HERE = Path(__file__).resolve().parent
PACKAGES = ["sidecall", "numpy", "onnxruntime", "scikit-learn", "joblib", "pandas", "pyarrow"]


class Settings:
    """How much to measure: everything, or a quick run that only shows that everything works."""

    def __init__(self, quick: bool):
        self.cold_rounds = 2 if quick else 30
        self.csv_rows = DISTINCT if quick else 1_000_000
        self.csv_rounds = 1 if quick else 5
        self.stream_rounds = 50 if quick else 5_000


def measure_cold(
    settings: Settings,
    programs: Programs,
    gbm: Workload,
    report: Report,
    report_fault: Callable[[str], None],
) -> None:
    print("measuring cold starts", file=sys.stderr)
    model, record = (
        gbm.folder / "model.onnx",
        (gbm.folder / "records.jsonl").read_bytes().split(b"\n")[0] + b"\n",
    )
    joblib.dump(
        pickle.loads((gbm.folder / "model.pickle").read_bytes()), gbm.folder / "model.joblib"
    )
    numbers = np.fromfile(gbm.folder / "features.f64", count=width_of(gbm))
    at = f"shm:{gbm.folder}/warm.sock"
    contenders = [
        ours := ColdStart(
            "sidecall", "predict", [str(programs.command), "predict", str(model)], record
        ),
        warm := ColdStart(
            "sidecall", "predict, warm shm:", [str(programs.command), "predict", at], record
        ),
        raw := ColdStart(
            "c",
            "onnxruntime",
            [str(programs.cold), str(programs.library), str(model)],
            ",".join(map(repr, numbers.tolist())).encode(),
        ),
        ColdStart("python", "onnxruntime", python(ONNXRUNTIME, model), record),
        slow := ColdStart(
            "python", "joblib, scikit-learn", python(JOBLIB, gbm.folder / "model.joblib"), record
        ),
    ]

    def check(contender: ColdStart, got: np.ndarray) -> None:
        if differs(got, gbm.expected[0]):
            report_fault(
                f"cold, {contender.client}, {contender.approach}: the answer is not that of the "
                "original model"
            )

    with programs.served(model, at):
        run_cold_rounds(contenders, settings.cold_rounds, programs.environment, check)
    for contender in contenders:
        add_row(
            report,
            "cold",
            1,
            contender.client,
            contender.approach,
            np.array(contender.times) / 1000,
        )
    report.bars.append(Bar("cold_vs_c", ours.ratio_to(raw), 1.0))
    report.bars.append(Bar("joblib_vs_cold", slow.ratio_to(ours), 25, at_least=True))
    report.bars.append(Bar("warm_shm_ms", float(np.median(warm.times)) / 1e6, 4))


def measure_csv(
    settings: Settings,
    programs: Programs,
    logistic: Workload,
    report: Report,
    report_fault: Callable[[str], None],
) -> None:
    print(f"measuring a CSV file of {settings.csv_rows} rows", file=sys.stderr)
    source, target, model = (
        logistic.folder / "rows.csv",
        logistic.folder / "answers.csv",
        logistic.folder / "model.onnx",
    )
    write_csv(source, logistic, settings.csv_rows)
    rival = [sys.executable, str(HERE / "rivals.py")]
    contenders = [
        ours := WholeFile(
            "sidecall", "predict", [str(programs.command), "predict", str(model), str(source)], True
        ),
        pandas := WholeFile(
            "python",
            "pandas, onnxruntime",
            [*rival, "pandas", str(model), str(source), str(target)],
            False,
        ),
        WholeFile(
            "python",
            "pyarrow, onnxruntime",
            [*rival, "pyarrow", str(model), str(source), str(target)],
            False,
        ),
    ]
    cpu = max(os.sched_getaffinity(0))
    for number in range(settings.csv_rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            contender.run(target, programs.environment, cpu)
            fault = check_csv(target, settings.csv_rows, logistic.expected)
            if fault:
                report_fault(f"csv, {contender.client}, {contender.approach}: {fault}")
    for contender in contenders:
        row = add_row(
            report,
            "csv",
            settings.csv_rows,
            contender.client,
            contender.approach,
            np.array(contender.seconds) * 1e6,
        )
        row["rows_per_s"] = settings.csv_rows / float(np.median(contender.seconds))
        row["peak_mb"] = max(contender.peaks_mb)
    report.bars.append(
        Bar(
            "csv_rows_per_s", settings.csv_rows / float(np.median(ours.seconds)), 1e6, at_least=True
        )
    )
    report.bars.append(Bar("csv_peak_mb", max(ours.peaks_mb), 200))
    report.bars.append(Bar("pandas_vs_csv", pandas.ratio_to(ours), 2.5, at_least=True))


def measure_stream(
    settings: Settings,
    programs: Programs,
    gbm: Workload,
    report: Report,
    report_fault: Callable[[str], None],
) -> None:
    print("measuring --stream", file=sys.stderr)
    lines = [
        line + b"\n" for line in (gbm.folder / "records.jsonl").read_bytes().split(b"\n")[:RING]
    ]

    def check(row: int, got: np.ndarray) -> None:
        if differs(got, gbm.expected[row]):
            report_fault("stream: an answer is not that of the original model")

    command = [str(programs.command), "predict", str(gbm.folder / "model.onnx"), "--stream"]
    times = time_stream(command, lines, settings.stream_rounds, programs.environment, check) / 1000
    add_row(report, "stream", 1, "sidecall", "predict --stream", times)
    report.bars.append(Bar("stream_us", float(np.median(times)), 60))


def print_report(report: Report) -> None:
    table = []
    for row in report.rows:
        table.append(
            [
                f"{row['scenario']}: {row['client']} {row['approach']}",
                f"{row['p50_us'] / 1000:.3f}",
                f"{row['p99_us'] / 1000:.3f}",
            ]
        )
        table[-1] += (
            [f"{row['rows_per_s']:,.0f}", f"{row['peak_mb']:.0f}"] if "peak_mb" in row else ["", ""]
        )
    print()
    print_table(["scenario: client, approach", "p50 ms", "p99 ms", "rows/s", "peak MB"], table)
    print("\n" + "\n".join(report.notes))


def main() -> int:
    options = parse(__doc__, "cli")
    note = run_on_onnxruntime()
    settings, programs = Settings(options.quick), Programs(options.build.resolve())
    faults: list[str] = []
    report = Report("cli", describe_versions(PACKAGES))
    report.notes.append(note)
    report.notes.append(
        "cold: from the start of a process to its end, input and output by pipes; the C program "
        "releases its objects and returns"
    )
    report.notes.append(
        f"csv: 30 features of 7 digits, {DISTINCT} distinct rows that repeat, every process pinned "
        "to one CPU; onnxruntime with one thread"
    )
    folder = Path(tempfile.mkdtemp(prefix="sidecall-bench-"))
    try:
        gbm, logistic = write_workloads(folder, DISTINCT, ["gbm", "logistic"])
        measure_cold(settings, programs, gbm, report, faults.append)
        measure_csv(settings, programs, logistic, report, faults.append)
        measure_stream(settings, programs, gbm, report, faults.append)
    finally:
        shutil.rmtree(folder)
    if faults:
        raise WrongAnswerError("\n".join(dict.fromkeys(faults)))
    path = report.write(options.output)
    print_report(report)
    print(f"\nwritten to {path}")
    report.print_bars()
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
