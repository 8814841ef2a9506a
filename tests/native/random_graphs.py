"""Random graphs of the native engine's operators, whose answers are compared with ONNX Runtime.

Each graph has preprocessing, categories, trees, linear models and other steps in a random order, and
gets random rows in batches of 1, 2, 17 and 100. All answers must have the same bits, except those
of sums and functions such as Softmax, which judging.py judges by the inputs of their node.

    python tests/native/random_graphs.py --graphs 1000 --rows 1000

prints one line at the end. For a difference it saves the graph and the rows, and prints a command
that repeats it. The exit status is 1 if any answer differs, or the engine crashes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import judging_svm  # noqa: F401
import numpy as np
import random_categories  # noqa: F401
import random_layouts  # noqa: F401
import random_models  # noqa: F401
import sidecall
from graph_builder import Builder, Drawn, Inexact
from judging import Answer, first_of, is_equal, judge
from onnx import NodeProto
from operator_cases import Random, pick
from random_steps import ENDS, NUMBERS, STEPS
from two_engines import Array, Native, OnnxRuntime, Refused

BATCHES = (1, 2, 17, 100)
ROOT = Path(__file__).resolve().parents[2]
# A graph takes well under a second; a worker that is silent for longer hangs.
SILENCE_SECONDS = 120


def draw(rng: Random) -> Drawn:
    """A graph of random steps."""
    b = Builder(rng, int(pick(rng, [13, 17, 19, 21, 21])), int(pick(rng, [3, 3, 5])))
    is_wide = rng.random() < 0.5
    if is_wide:
        b.add_input(str(pick(rng, ["float64", "float32"])), int(pick(rng, [1, 4, 30])))
    for _ in range(int(rng.integers(0 if is_wide else 1, 4))):
        b.add_input(str(pick(rng, [*NUMBERS, "object", "object", "bool"])), 1)
    if rng.random() < 0.2:
        b.add_input(str(pick(rng, [*NUMBERS, "object"])), 0)
    for _ in range(int(pick(rng, [3, 8, 16, 40]))):
        pick(rng, STEPS)(b)
    for _ in range(int(pick(rng, [0, 0, 1, 2]))):
        pick(rng, ENDS)(b)
    if not b.nodes:
        b.step("Identity", [b.inputs[0].name], b.inputs[0])
    return b.finish()


@dataclass
class Result:
    """What became of one graph."""

    number: int
    rows: int = 0
    wrong: list[str] = field(default_factory=list)
    # Both engines refuse the rows, such as those with NaN for Binarizer.
    refused_batches: int = 0
    is_invalid: bool = False  # ONNX Runtime refuses the graph: the fault is that of draw()
    seconds: float = 0


class Comparison:
    """Both engines with one graph."""

    def __init__(self, drawn: Drawn) -> None:
        self.drawn = drawn
        model = drawn.model.SerializeToString()
        try:
            self.other = OnnxRuntime(model)
        except Refused:
            # The optimiser makes nodes that ONNX Runtime refuses, such as a factor of 1 / 5e-324.
            self.other = OnnxRuntime(model, is_optimised=False)
        self.native = Native(model)
        self.names = drawn.outputs()

    def compare(self, inputs: dict[str, Array]) -> list[str] | None:
        """What differs; None if both engines refuse the rows."""
        try:
            want = dict(zip(self.names, self.other.run(inputs), strict=True))
        except Refused as refusal:
            try:
                self.native.run(inputs)
            except sidecall.errors.Engine:
                return None
            return [f"only ONNX Runtime refuses the rows: {refusal}"]
        try:
            got = dict(zip(self.names, self.native.run(inputs), strict=True))
        except sidecall.errors.Error as error:
            return [f"only the native engine refuses the rows: {error}"]
        wrong = []
        for name, loose in self.drawn.loose_zeros.items():
            text = self.exact(got[name], want[name], loose)
            wrong += [f"output {name}: {each}" for each in text]
        # The answer of such a node is judged by its inputs, so those must be right.
        for each in [] if wrong else self.drawn.inexact:
            text = self.inexact(each, got, want)
            wrong += [f"node {each.node.name}: {each_text}" for each_text in text]
        return wrong

    @staticmethod
    def exact(got: Array, want: Array, loose: bool) -> list[str]:
        if got.dtype != want.dtype or got.shape != want.shape:
            return [f"{got.dtype}{got.shape} instead of {want.dtype}{want.shape}"]
        return first_of(~is_equal(got, want, signed_zeros=not loose), got, want, "differs")

    def inexact(self, each: Inexact, got: dict[str, Array], want: dict[str, Array]) -> list[str]:
        def outputs(node: NodeProto, values: dict[str, Array]) -> list[Array]:
            return [values[name] for name in node.output]

        wrong = []
        raw = None
        if each.raw is not None:
            raw = outputs(each.raw, got)
            for value, other in zip(raw, outputs(each.raw, want), strict=True):
                wrong += self.exact(value, other, False)
        constants = self.drawn.constants
        inputs = [constants[name] if name in constants else got[name] for name in each.node.input]
        answer = Answer(
            each.node,
            self.drawn.versions[each.node.domain],
            inputs,
            outputs(each.node, got),
            outputs(each.node, want),
            raw,
        )
        return wrong or judge(answer)


def batches(drawn: Drawn, rng: Random, rows: int) -> Iterator[dict[str, Array]]:
    while rows > 0:
        for count in BATCHES:
            yield drawn.rows(rng, count)
            rows -= count


def run_graph(seed: int, number: int, rows: int, folder: Path | None = None) -> Result:
    """Draws the graph of this number, and compares it; saves it to `folder` if an answer differs."""
    begin = time.monotonic()
    rng = np.random.default_rng([seed, number])
    drawn = draw(rng)
    result = Result(number)
    try:
        comparison = Comparison(drawn)
    except Refused as refusal:
        return Result(number, is_invalid=True, wrong=[f"ONNX Runtime refuses it: {refusal}"])
    except sidecall.errors.Error as error:
        result.wrong = [f"the native engine refuses it: {error}"]
        save(drawn, {}, folder, seed, number)
        return result
    with np.errstate(all="ignore"):
        for inputs in batches(drawn, rng, rows):
            wrong = comparison.compare(inputs)
            result.rows += len(next(iter(inputs.values())))
            result.refused_batches += wrong is None
            if wrong:
                result.wrong = wrong
                save(drawn, inputs, folder, seed, number)
                break
    result.seconds = time.monotonic() - begin
    return result


def save(
    drawn: Drawn, inputs: dict[str, Array], folder: Path | None, seed: int, number: int
) -> None:
    if folder is None:
        return
    at = folder / f"{seed}-{number}"
    at.mkdir(parents=True, exist_ok=True)
    (at / "graph.onnx").write_bytes(drawn.model.SerializeToString())
    rows: dict[str, Any] = {
        name: x.astype(str) if x.dtype == object else x for name, x in inputs.items()
    }
    np.savez(at / "rows.npz", **rows)
    (at / "graph.json").write_text(json.dumps({"seed": seed, "number": number}) + "\n")


# ---- The campaign ----


def work(seed: int, numbers: list[int], rows: int, folder: Path, pipe: Connection) -> None:
    """Compares these graphs, in a process of its own: a crash ends only this process."""
    for number in numbers:
        try:
            result = run_graph(seed, number, rows, folder)
        except Exception:
            result = Result(number, wrong=[traceback.format_exc()])
        pipe.send(result)
    pipe.close()


class Worker:
    def __init__(self, seed: int, numbers: list[int], rows: int, folder: Path) -> None:
        self.left = numbers
        self.arguments = (rows, folder)
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=work, args=(seed, numbers, rows, folder, theirs))
        self.process.start()
        theirs.close()


def campaign(seed: int, numbers: list[int], rows: int, folder: Path, jobs: int) -> Iterator[Result]:
    """The results of all graphs. One that crashes the engine, or makes it hang, is a difference."""
    workers = [Worker(seed, numbers[i::jobs], rows, folder) for i in range(min(jobs, len(numbers)))]
    while workers:
        ready = wait([worker.pipe for worker in workers], SILENCE_SECONDS)
        for worker in [each for each in workers if each.pipe in ready or not ready]:
            workers.remove(worker)
            try:
                if not ready:
                    worker.process.kill()
                    raise EOFError
                result: Result = worker.pipe.recv()
                worker.left = worker.left[1:]
                yield result
            except EOFError:
                worker.process.join()
                status = worker.process.exitcode
                if worker.left:
                    what = "hangs" if not ready else f"ends the process with status {status}"
                    yield Result(worker.left[0], wrong=[f"the graph {what}"])
                if worker.left[1:]:
                    workers.append(Worker(seed, worker.left[1:], rows, folder))
                continue
            workers.append(worker)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--graphs", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1000, help="for each graph, at least")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of a single graph")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--folder", type=Path, default=ROOT / "build/native-differences")
    options = parser.parse_args()
    numbers = list(range(options.graphs)) if options.only is None else [options.only]
    results = []
    begin = time.monotonic()
    for result in campaign(options.seed, numbers, options.rows, options.folder, options.jobs):
        results.append(result)
        if not result.wrong:
            continue
        print(f"graph {result.number}: {'; '.join(result.wrong)[:1500]}", flush=True)
        if not result.is_invalid:
            print(f"  saved to {options.folder}/{options.seed}-{result.number}; again with")
        command = f"--seed {options.seed} --only {result.number} --rows {options.rows}"
        print(f"  python tests/native/random_graphs.py {command}", flush=True)
    different = sum(bool(result.wrong) for result in results)
    print(
        f"{len(results)} graphs, {sum(result.rows for result in results)} rows, "
        f"{different} differences, {sum(result.refused_batches for result in results)} batches "
        f"refused by both engines, seed {options.seed}, {time.monotonic() - begin:.0f} seconds"
    )
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
