"""`make parity`: hundreds of random pipelines and millions of adversarial rows, on both engines.

python tests/parity/run.py                             the fixed seed, then a fresh one
python tests/parity/run.py --seed 7 --pipelines 0:50   fifty pipelines of another seed
python tests/parity/run.py --only 7:31                 one pipeline, followed step by step
python tests/parity/run.py --real-only                 the pipelines of public documentation

Writes benchmarks/results/fidelity.json. An interrupted run continues where it stopped, unless the
package or this harness changed. Exits with 1 if an answer was wrong.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Use one thread, because sums over several threads change in their last bits. numpy reads these
# variables when it loads, so set them before.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
# It would override the engines that are compared.
os.environ.pop("SIDECALL_ENGINE", None)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from common import Report, WrongAnswerError, describe_versions, guarded

from parity import integers, real, sizes, texts
from parity.alone import examine
from parity.document import Fidelity, bars, print_found
from parity.drawing.pipelines import UndrawnError, draw
from parity.judging.judge import judge
from parity.ledger import PACKAGES, ROOT, Ledger

FIXED_SEED = 11
_PIPELINES, _FRESH = 300, 30
_ROWS, _ODD_ROWS = 17_000, 300
_REAL_ROWS = 1000
_MOST_TRIES = 3  # at most so many are tried for each wanted pipeline, because export refuses some


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--build",
        type=Path,
        default=ROOT / "build",
        help="folder for intermediate results (default: build)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="JSON file to write (default: benchmarks/results/fidelity.json)",
    )
    parser.add_argument(
        "--seed", type=int, help="use only this seed instead of the fixed and the fresh one"
    )
    parser.add_argument(
        "--pipelines", metavar="A:B", type=_range, help="the pipelines A to B - 1 of the seed"
    )
    parser.add_argument(
        "--rows", type=int, default=_ROWS, help=f"rows for each pipeline (default: {_ROWS})"
    )
    parser.add_argument(
        "--minutes", type=float, help="stop after this many minutes; the next run continues"
    )
    parser.add_argument(
        "--only",
        metavar="SEED:NUMBER",
        type=_name,
        help="examine one pipeline and print all its differences",
    )
    parser.add_argument(
        "--quick", action="store_true", help="few pipelines and rows: checks that the harness works"
    )
    parser.add_argument(
        "--real-only",
        action="store_true",
        help="judge the real pipelines, and keep the rest of the document",
    )
    return parser.parse_args()


def _range(text: str) -> range:
    first, _, last = text.partition(":")
    return range(int(first), int(last))


def _name(text: str) -> tuple[int, int]:
    seed, _, number = text.partition(":")
    return int(seed), int(number)


class Run:
    """Processes the pipelines of one or two seeds and keeps the results."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.folder = folder
        self.rows: int = 400 if options.quick else options.rows
        self.odd = 60 if options.quick else _ODD_ROWS
        self.ledger = Ledger(options.build / "parity" / "results.jsonl", f"{self.rows}/{self.odd}")
        self.deadline = None if options.minutes is None else time.monotonic() + 60 * options.minutes
        self.results: list[dict[str, Any]] = []
        self.is_complete = True
        # The estimators of docs/coverage.md, and why the native engine does not run them (empty
        # if it does); None until walk_estimators has run.
        self.estimators: dict[str, str] | None = None
        self.categories: list[dict[str, Any]] = []  # what sizes.py found
        self.texts: list[dict[str, Any]] = []  # what texts.py found
        self.integers: list[dict[str, Any]] = []  # what integers.py found
        self.real: list[dict[str, Any]] = []  # the results of real.py
        self.started = time.monotonic()

    def visit(self, seed: int, numbers: range, wanted: int) -> None:
        """Compares pipelines of the seed until `wanted` were compared."""
        compared = 0
        for number in numbers:
            if compared == wanted:
                return
            if self.deadline is not None and time.monotonic() > self.deadline:
                self.is_complete = False
                return
            result = self._result(seed, number)
            if result is None:
                continue
            self.results.append(result)
            compared += result["outcome"] == "compared"
            self._show(result, compared, wanted)

    def _result(self, seed: int, number: int) -> dict[str, Any] | None:
        name = f"{seed}:{number}"
        if name in self.ledger.results:
            return self.ledger.results[name]
        if self.ledger.died(name):
            return {
                "seed": seed,
                "number": number,
                "steps": "",
                "outcome": "defect",
                "where": "process",
                "reason": "the process died twice",
            }
        try:
            drawn = draw(seed, number)
        except UndrawnError:
            return None
        self.ledger.begin(name)
        result = judge(drawn, self.folder, self.rows, self.odd)
        self.ledger.add(name, result)
        (self.folder / f"{seed}-{number}.onnx").unlink(missing_ok=True)
        gc.collect()
        return result

    def judge_real(self) -> None:
        """Judges the pipelines of public documentation."""
        examples = real.examples()
        for number, example in enumerate(examples):
            if self.deadline is not None and time.monotonic() > self.deadline:
                self.is_complete = False
                return
            name = f"real:{example.name}"
            result = self.ledger.results.get(name)
            if result is None:
                self.ledger.begin(name)
                result = real.judge_example(example, number, self.folder, _REAL_ROWS, self.odd)
                self.ledger.add(name, result)
                gc.collect()
            self.real.append(result)
            print(f"[real {number + 1}/{len(examples)}] {real.shown(result)}", flush=True)

    def walk_estimators(self) -> None:
        """Fits every estimator of scikit-learn. Those that convert run on both engines."""
        sys.path.insert(0, str(ROOT / "tests/python/convert"))
        rows = importlib.import_module("walk_estimators").walk()
        self.estimators = {row.name: row.native_reason for row in rows if row.converts}

    def _show(self, result: dict[str, Any], compared: int, wanted: int) -> None:
        seconds = int(time.monotonic() - self.started)
        found = result["reason"] if result["outcome"] != "compared" else _summary(result)
        name, steps = f"{result['seed']}:{result['number']}", result["steps"][:70]
        clock = f"{seconds // 60}:{seconds % 60:02d}"
        print(f"[{compared}/{wanted} {clock}] {name} {steps}: {found}", flush=True)


def _summary(result: dict[str, Any]) -> str:
    parts = [f"{result['rows']} rows", f"{result['wrong']} wrong"]
    domain = result["refused_by_original"] + result["refused_by_file"]
    parts += [f"{domain} refused by one model"] if domain else []
    parts += [f"{result['routes']} differ as records"] if result["routes"] else []
    parts += [f"{result['tree_bits']} tree outputs differ"] if result["tree_bits"] else []
    parts += [f"about {result['unstable']:g} unstable"] if result["unstable"] else []
    native = result["native"]
    if native["outcome"] != "compared":
        parts.append(f"native: {native['outcome']}: {native['reason']}")
    elif native["wrong"]:
        parts.append(f"native: {native['wrong']} wrong")
    return ", ".join(parts)


def main() -> int:
    options = _parse()
    if options.only is not None:
        seed, number = options.only
        return examine(seed, number, options.rows, _ODD_ROWS, options.build / "parity")
    with tempfile.TemporaryDirectory() as folder:
        run = Run(options, Path(folder))
        if options.real_only:
            run.judge_real()
            return _conclude_real(run, options)
        wanted = 6 if options.quick else _PIPELINES
        seed = FIXED_SEED if options.seed is None else options.seed
        numbers = (
            options.pipelines if options.pipelines is not None else range(_MOST_TRIES * wanted)
        )
        run.visit(seed, numbers, len(numbers) if options.pipelines is not None else wanted)
        if (
            options.seed is None
            and options.pipelines is None
            and not options.quick
            and run.is_complete
        ):
            run.visit(run.ledger.fresh_seed(int(time.time())), range(_MOST_TRIES * _FRESH), _FRESH)
            run.judge_real()
            run.walk_estimators()
            run.categories = sizes.export_categories()
            run.texts = texts.measure_batches()
            run.integers = integers.measure()
    return _conclude(run, options)


def _conclude(run: Run, options: argparse.Namespace) -> int:
    estimators = run.estimators or {}
    refused = {name: reason for name, reason in estimators.items() if reason}
    report = Fidelity(
        "fidelity",
        describe_versions(PACKAGES),
        results=run.results,
        estimators_refused=refused,
        categories=run.categories,
        texts=run.texts,
        integers=integers.summary(run.integers),
        bars=[
            *bars(run.results, len(estimators) - len(refused) if estimators else None),
            *(real.bars(run.real) if run.real else []),
            *(sizes.bars(run.categories) if run.categories else []),
            *(texts.bars(run.texts) if run.texts else []),
            *(integers.bars(run.integers) if run.integers else []),
        ],
    )
    if run.real:
        report.tables["real_pipelines"] = real.table(run.real)
    judged = [*run.results, *run.real]
    rows = sum(result.get("rows", 0) for result in judged)
    minutes = (time.monotonic() - run.started) / 60
    report.notes.append(f"{rows:,} rows of {len(judged)} pipelines in {minutes:.0f} minutes")
    if not run.is_complete:
        report.notes.append("stopped by --minutes: some pipelines were not examined")
    print_found(run.results)
    path = report.write(options.output)
    return _print_and_check(report, path)


def _conclude_real(run: Run, options: argparse.Namespace) -> int:
    """Replaces what the document says about the real pipelines; the rest of it stays."""
    report = Report("fidelity", describe_versions(PACKAGES), bars=real.bars(run.real))
    report.tables["real_pipelines"] = real.table(run.real)
    report.notes.append(f"{len(run.real)} real pipelines, judged alone")
    return _print_and_check(report, report.write(options.output, keep_others=True))


def _print_and_check(report: Report, path: Path) -> int:
    print(f"\n{report.notes[0]}; written to {path}")
    report.print_bars()
    wrong = sum(bar.value for bar in report.bars if bar.name.endswith(("_wrong_rows", "_wrong")))
    if wrong:
        raise WrongAnswerError(
            f"{wrong} rows; the list above has each pipeline, with the command that examines it if "
            "it is a random one"
        )
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
