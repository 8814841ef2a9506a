"""Measurements of benchmarks/node other than single calls: many concurrent calls, and the delay of
the event loop while a slow model runs. Used by run.py.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rounds import Client

SLOW_MS = 50
SLOW_SHAPE = (
    588,
    256,
)  # size of the slow model's input: 602 112 bytes, as an image of 224 x 224 in three colours
PROBE_LAYERS = 8


@dataclass
class Crowd:
    """An approach with `width` calls in progress at any time, and the results of its rounds."""

    client: Client
    approach: str
    width: int
    calls: int = 200
    next_call: int = 0
    rates: list[float] = field(default_factory=list)  # calls per second, one per round
    times: list[np.ndarray] = field(default_factory=list)

    def row(self, scenario: str, rows: int) -> dict:
        p50, p99 = np.percentile(np.concatenate(self.times), [50, 99]) / 1000
        return {
            "scenario": f"{scenario}, {self.width} at once",
            "rows": rows,
            "approach": self.approach,
            "client": self.client.name,
            "p50_us": float(p50),
            "p99_us": float(p99),
            "calls_per_second": float(np.median(self.rates)),
            "calls": sum(len(times) for times in self.times),
            "rounds": len(self.rates),
        }


def run_crowd_rounds(
    crowds: list[Crowd],
    rounds: int,
    budget_ns: float,
    check: Callable[[Crowd, int, np.ndarray], None],
) -> None:
    """Lets each approach run for about `budget_ns` in each round.

    The order of the approaches is reversed after every round.
    """

    def run(crowd: Crowd) -> tuple[int, np.ndarray]:
        times, answers = crowd.client.ask(
            "concurrent", crowd.approach, crowd.width, crowd.next_call, crowd.calls
        )
        check(crowd, crowd.next_call, answers)
        crowd.next_call += crowd.calls
        return times[0], times[1:]

    for crowd in crowds:
        for _ in range(2):  # the first calls connect to a server
            spent, _ = run(crowd)
            crowd.calls = int(np.clip(crowd.calls * budget_ns / spent, 2 * crowd.width, 20_000))
    for number in range(rounds):
        for crowd in crowds if number % 2 == 0 else reversed(crowds):
            spent, times = run(crowd)
            crowd.rates.append(crowd.calls / spent * 1e9)
            crowd.times.append(times)


def write_slow_model(path: Path, layers: int) -> np.ndarray:
    """Writes a model of dense layers and a mean over the rows, without a contract.

    Returns its answer to the rows that client.js sends.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rows, width = SLOW_SHAPE
    rng = np.random.default_rng(0)
    weights = [
        (rng.standard_normal((width, width)) / np.sqrt(width)).astype(np.float32)
        for _ in range(PROBE_LAYERS)
    ]
    nodes, name = [], "X"
    values = ((np.arange(rows * width) % 7 - 3) / 8).astype(np.float32).reshape(rows, width)
    for i in range(layers):
        nodes += [
            helper.make_node("MatMul", [name, f"w{i % PROBE_LAYERS}"], [f"m{i}"]),
            helper.make_node("Tanh", [f"m{i}"], [f"t{i}"]),
        ]
        name = f"t{i}"
        values = np.tanh(values @ weights[i % PROBE_LAYERS])
    nodes.append(helper.make_node("ReduceMean", [name], ["Y"], axes=[0]))
    given = helper.make_tensor_value_info("X", TensorProto.FLOAT, ["N", width])
    answer = helper.make_tensor_value_info("Y", TensorProto.FLOAT, [1, width])
    constants = [numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights)]
    graph = helper.make_graph(nodes, "slow", [given], [answer], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path
    )
    return values.mean(axis=0)


def measure_delay(
    open_client: Callable[[str], Client],
    folder: Path,
    rounds: int,
    milliseconds: int,
    report_fault: Callable[[str], None],
) -> tuple[list[dict], dict[str, float], str]:
    """The delay of the event loop while a model of 50 ms runs repeatedly.

    The clients take turns of `milliseconds`. Returns rows, the p99 in ms by client (the median over
    the rounds), and a note.
    """
    probe, path = folder / "probe.onnx", folder / "slow.onnx"
    write_slow_model(probe, PROBE_LAYERS)
    with open_client("onnxruntime-node") as client:
        each = client.ask("delay", "onnxruntime-node", probe, *SLOW_SHAPE, 100)[0][3]
    expected = write_slow_model(path, max(1, round(PROBE_LAYERS * SLOW_MS * 1e6 / each)))
    found: dict[str, list[np.ndarray]] = {"idle": [], "onnxruntime-node": [], "sidecall": []}
    with ExitStack() as stack:
        clients = {name: stack.enter_context(open_client(name)) for name in found}
        for number in range(rounds):
            for name in found if number % 2 == 0 else reversed(found):
                times, answers = clients[name].ask("delay", name, path, *SLOW_SHAPE, milliseconds)
                found[name].append(times)
                if name != "idle" and not (np.abs(answers - expected) <= 1e-3).all():
                    report_fault(f"{name}, slow model: the output is not what numpy computes")

    medians = {name: np.median(times, axis=0) for name, times in found.items()}
    documented = [
        {
            "scenario": "event-loop delay",
            "rows": 0,
            "approach": "nothing runs" if name == "idle" else "run",
            "client": name,
            "p50_us": float(p50) / 1000,
            "p99_us": float(p99) / 1000,
            "max_us": float(longest) / 1000,
            "calls": int(sum(times[4] for times in found[name])),
            "rounds": rounds,
        }
        for name, (p50, p99, longest, *_) in medians.items()
    ]
    runs = ", ".join(f"{name} {medians[name][3] / 1e6:.1f} ms" for name in found if name != "idle")
    note = f"event-loop delay: monitorEventLoopDelay at a resolution of 1 ms, which is part of every value; a run of the slow model took {runs}"
    return documented, {name: float(times[1]) / 1e6 for name, times in medians.items()}, note
