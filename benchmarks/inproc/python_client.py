"""The Python client of benchmarks/inproc and benchmarks/engine.

Started by run.py. It answers the same requests, `load` and `round`, as native/main.c.
"""

import gc
import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter_ns

import numpy as np

RING = 1024
# The statement is part of the loop itself, as in timeit, so that no function call of this file is
# included in the time. `ready` runs before the clock starts, `keep` after it stops.
LOOP = """
def loop(items, times, kept, clock, {names}):
    for x in items:
        {ready}
        start = clock()
        {statement}
        times.append(clock() - start)
        kept.append({keep})
"""


@dataclass
class Approach:
    """How one approach receives a request, and how its answer is decoded."""

    loop: Callable
    environment: dict[str, object]
    request: Callable[[int], object]  # argument: the first row
    decode: Callable[[object], tuple[object, np.ndarray]]  # labels (or None) and probabilities


class Client:
    """A loaded workload; an approach is made when it is first used."""

    def __init__(self, folder: Path, rows: int):
        available, width, self.classes = map(int, (folder / "shape.txt").read_text().split())
        self.model_path = folder / "model.onnx"
        self.folder = folder
        self.rows = rows
        self.features = np.fromfile(folder / "features.f64").reshape(available, width)[
            : RING + rows
        ]
        self.approaches: dict[str, Approach] = {}

    def approach(self, name: str) -> Approach:
        if name not in self.approaches:
            self.approaches[name] = getattr(self, f"make_{name}")()
        return self.approaches[name]

    def array(self, row: int) -> np.ndarray:
        return self.features[row : row + self.rows]

    def build(
        self,
        statement: str,
        decode: Callable,
        request: Callable | None = None,
        *,
        ready: str = "pass",
        keep: str = "out",
        **environment: object,
    ) -> Approach:
        scope: dict = {}
        exec(
            LOOP.format(names=", ".join(environment), ready=ready, statement=statement, keep=keep),
            scope,
        )
        return Approach(scope["loop"], environment, request or self.array, decode)

    def make_onnxruntime(self) -> Approach:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            self.model_path, options, providers=["CPUExecutionProvider"]
        )
        return self.build(
            "out = run(None, {'X': x})", lambda out: (out[0], out[1]), run=session.run
        )

    def make_predict_proba(self) -> Approach:
        model = pickle.loads((self.folder / "model.pickle").read_bytes())
        return self.build(
            "out = predict_proba(x)", lambda out: (None, out), predict_proba=model.predict_proba
        )

    def make_run(self) -> Approach:
        return self.build(
            "out = run({'X': x})",
            lambda out: (out["label"], out["probabilities"]),
            run=self.open().run,
        )

    def make_call(self) -> Approach:
        return self.build_call("given[...] = x; run()")

    def make_call_run(self) -> Approach:
        """Times only the run: the row is written before the clock starts."""
        return self.build_call("run()", ready="given[...] = x")

    def build_call(self, statement: str, ready: str = "pass") -> Approach:
        call = self.open().call(rows=self.rows)
        call.inputs["X"][...] = self.array(0)
        call.run()
        views = {
            "given": call.inputs["X"],
            "label": call.outputs["label"],
            "probabilities": call.outputs["probabilities"],
        }
        keep = "(label.copy(), probabilities.copy())"
        return self.build(statement, lambda out: out, ready=ready, keep=keep, run=call.run, **views)

    def make_predict(self) -> Approach:
        with (self.folder / "records.jsonl").open(encoding="utf-8") as lines:
            records = [json.loads(line) for line in islice(lines, RING + self.rows)]
        one = self.rows == 1
        return self.build(
            "out = predict(x)",
            lambda out: self.decode_records([out] if one else out),
            (lambda row: records[row]) if one else (lambda row: records[row : row + self.rows]),
            predict=self.open().predict,
        )

    def make_predict_frame(self) -> Approach:
        import pandas as pd

        model = self.open()
        names = [feature["name"] for feature in model.contract["features"]]
        frame = pd.DataFrame(self.features, columns=names)
        columns = [f"probabilities.{i}" for i in range(self.classes)]
        return self.build(
            "out = predict(x)",
            lambda out: (out["label"].to_numpy(), out[columns].to_numpy()),
            lambda row: frame.iloc[row : row + self.rows],
            predict=model.predict,
        )

    def make_clock(self) -> Approach:
        """The cost of reading the clock twice, which is part of every other time."""
        return self.build("out = x", lambda _: (None, np.empty(0)))

    def open(self):
        import sidecall

        return sidecall.open(self.model_path)

    @staticmethod
    def decode_records(records: list[dict]) -> tuple[list, np.ndarray]:
        return [record["label"] for record in records], np.array(
            [list(record["probabilities"].values()) for record in records]
        )

    def round(
        self, name: str, first: int, calls: int, warm_up: int
    ) -> tuple[np.ndarray, np.ndarray]:
        approach = self.approach(name)
        items = [approach.request((first + i) % RING) for i in range(calls + warm_up)]
        times: list[int] = []
        kept: list = []
        gc.collect()
        gc.disable()
        approach.loop(items[calls:], [], [], perf_counter_ns, **approach.environment)
        approach.loop(items[:calls], times, kept, perf_counter_ns, **approach.environment)
        gc.enable()
        if name == "clock":
            return np.array(times, np.int64), np.empty(0)
        answers = np.full((calls, self.rows, 1 + self.classes), -1.0)
        for answer, out in zip(answers, kept, strict=True):
            labels, probabilities = approach.decode(out)
            if labels is not None:
                answer[:, 0] = np.asarray(labels).reshape(-1)
            answer[:, 1:] = probabilities
        return np.array(times, np.int64), answers


def main(kind: type[Client] = Client) -> None:
    client = None
    for line in sys.stdin:
        request, *words = line.split()
        times, answers = np.empty(0, np.int64), np.empty(0)
        if request == "load":
            client = kind(Path(words[0]), int(words[1]))
        else:
            times, answers = client.round(words[0], *map(int, words[1:]))
        sys.stdout.buffer.write(
            f"ok {times.size} {answers.size}\n".encode() + times.tobytes() + answers.tobytes()
        )
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
