"""Measurements of benchmarks/engine apart from calls: opening, processes, CSV files, and bits.

Used by run.py.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import trees
from calls import Clients
from cases import Case
from common import Bar, Report
from models import write_variants
from processes import ColdStart, WholeFile, run_cold_rounds
from programs import DISTINCT, Programs, add_row, check_csv, differs, width_of, write_csv

if TYPE_CHECKING:
    from run import Settings


# How many files one way opens before the next one does. The bar is that of the first number. An
# opening that follows one by the other library finds caches, branch predictor and heap as that
# left them, and a short opening suffers more from this than a long one; so it is shown, too.
_FILES_AT_ONCE = {10: "", 1: ", in turns"}


def measure_opening(gbm: Case, clients: Clients, count: int, folder: Path, report: Report) -> Bar:
    print("measuring opening", file=sys.stderr)
    write_variants(folder / "variants", gbm.folder / "model.onnx", count)
    ratios = []
    with clients.native() as client:
        for at_once, suffix in _FILES_AT_ONCE.items():
            times, _ = client.ask("opening", folder / "variants", count, at_once)
            opening = times.reshape(count, 3)
            ratios.append(float(np.median(opening[:, 0] / opening[:, 1])))
            for i, (client_name, approach) in enumerate(
                [
                    ("sidecall", "open, verified"),
                    ("onnxruntime", "session, default options"),
                    ("onnxruntime", "session, one thread, no arena"),
                ]
            ):
                add_row(report, "open", 0, client_name, approach + suffix, opening[:, i] / 1000)
    return Bar("native_open_vs_session", ratios[0], 0.3)


def _environment(programs: Programs, clients: Clients) -> dict[str, str]:
    return programs.environment | {"SIDECALL_ENGINE": clients.engine}


def measure_cold(
    gbm: Case, clients: Clients, rounds: int, report: Report, report_fault: Callable[[str], None]
) -> Bar:
    """From the start of a process to its end, for one row."""
    print("measuring cold starts", file=sys.stderr)
    programs, model = Programs(clients.build), gbm.folder / "model.onnx"
    record = (gbm.folder / "records.jsonl").read_bytes().split(b"\n")[0] + b"\n"
    numbers = np.fromfile(gbm.folder / "features.f64", count=width_of(gbm)).tolist()
    contenders = [
        ours := ColdStart(
            "sidecall", "predict", [str(programs.command), "predict", str(model)], record
        ),
        ColdStart(
            "c",
            "onnxruntime",
            [str(programs.cold), str(programs.library), str(model)],
            ",".join(map(repr, numbers)).encode(),
        ),
    ]

    def check(contender: ColdStart, got: np.ndarray) -> None:
        if differs(got, gbm.expected[0]):
            report_fault(f"cold, {contender.client}: the answer is not that of the original model")

    run_cold_rounds(contenders, rounds, _environment(programs, clients), check)
    for one in contenders:
        add_row(report, "cold", 1, one.client, one.approach, np.array(one.times) / 1000)
    return Bar("native_cold_ms", float(np.median(ours.times)) / 1e6, 4)


def measure_csv(
    gbm: Case,
    logistic: Case,
    clients: Clients,
    settings: "Settings",
    report: Report,
    report_fault: Callable[[str], None],
) -> Bar:
    """The same rows with both models; each process is pinned to one CPU."""
    print(f"measuring a CSV file of {settings.csv_rows} rows", file=sys.stderr)
    programs = Programs(clients.build)
    source, target = gbm.folder / "rows.csv", gbm.folder / "answers.csv"
    write_csv(source, gbm, settings.csv_rows)
    command = str(programs.command)
    contenders = {
        case.name: WholeFile(
            "sidecall",
            f"predict, {case.name}",
            [command, "predict", str(case.folder / "model.onnx"), str(source)],
            True,
        )
        for case in (gbm, logistic)
    }
    cpu = max(os.sched_getaffinity(0))
    for number in range(settings.csv_rounds):
        cases = [gbm, logistic]
        for case in cases if number % 2 == 0 else reversed(cases):
            contenders[case.name].run(target, _environment(programs, clients), cpu)
            fault = check_csv(target, settings.csv_rows, case.expected)
            if fault:
                report_fault(f"csv, {case.name}: {fault}")
    for one in contenders.values():
        times = np.array(one.seconds) * 1e6
        row = add_row(report, "csv", settings.csv_rows, one.client, one.approach, times)
        row["rows_per_s"] = settings.csv_rows / float(np.median(one.seconds))
    report.notes.append(
        f"csv: 30 features of 7 digits, {DISTINCT} distinct rows that repeat; one CPU for each "
        "process"
    )
    ratio = contenders["logistic"].ratio_to(contenders["gbm"])
    return Bar("native_csv_gbm_vs_lr", ratio, 0.8, at_least=True)


def count_bits(cases: list[Case], rows: int, folder: Path, report: Report) -> Bar:
    """Compares the sums over the trees, before any exponential function, with ONNX Runtime's."""
    print("comparing the bits of the sums over the trees", file=sys.stderr)
    total = different = 0
    for number, case in enumerate(cases):
        count = -(-rows // len(cases))
        half = count // 2
        width = width_of(case)
        drawn = np.fromfile(case.folder / "features.f64", count=(count - half) * width)
        ordinary = drawn.reshape(-1, width)
        model = case.folder / "model.onnx"
        edges = trees.rows_beside_thresholds(model, ordinary, half, seed=1_000 + number)
        total += len(ordinary) + len(edges)
        different += trees.count_different_bits(
            model, folder / "sums.onnx", np.concatenate([ordinary, edges])
        )
    report.notes.append(
        f"bits: the sums over the trees of {total} rows, of which half lie beside thresholds"
    )
    return Bar("native_tree_bits_differ", different, 0)
