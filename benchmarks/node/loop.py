"""Measurements of benchmarks/node beside single calls: many at once, and the event loop while a slow model runs. Used by run.py."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rounds import Client

WIDTH = 256  # of the slow model
LAYERS = 24
SLOW_MS = 50


@dataclass
class Crowd:
    """An approach with `width` calls under way at once; what its rounds gave."""

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


def play_crowds(crowds: list[Crowd], rounds: int, budget_ns: float, check: Callable[[Crowd, int, np.ndarray], None]) -> None:
    """Lets each crowd run for about `budget_ns` in each round; the order turns around with every round."""

    def run(crowd: Crowd) -> tuple[int, np.ndarray]:
        times, answers = crowd.client.ask("concurrent", crowd.approach, crowd.width, crowd.next_call, crowd.calls)
        check(crowd, crowd.next_call, answers)
        crowd.next_call += crowd.calls
        return times[0], times[1:]

    for crowd in crowds:
        spent, _ = run(crowd)
        crowd.calls = int(np.clip(crowd.calls * budget_ns / spent, 2 * crowd.width, 20_000))
    for number in range(rounds):
        for crowd in crowds if number % 2 == 0 else reversed(crowds):
            spent, times = run(crowd)
            crowd.rates.append(crowd.calls / spent * 1e9)
            crowd.times.append(times)


def write_slow_model(path: Path) -> list[np.ndarray]:
    """Dense layers without a contract; gives their weights."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = [(rng.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH)).astype(np.float32) for _ in range(LAYERS)]
    nodes, name = [], "X"
    for i in range(LAYERS):
        last = "Y" if i == LAYERS - 1 else f"t{i}"
        nodes += [helper.make_node("MatMul", [name, f"w{i}"], [f"m{i}"]), helper.make_node("Tanh", [f"m{i}"], [last])]
        name = last
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", WIDTH]) for name in ("X", "Y")]
    constants = [numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights)]
    graph = helper.make_graph(nodes, "slow", tensors[:1], tensors[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return weights


def measure_delay(
    open_client: Callable[[str], Client], folder: Path, milliseconds: int, complain: Callable[[str], None]
) -> tuple[list[dict], dict[str, float], str]:
    """How late the event loop is while a model of 50 ms runs again and again: rows, p99 in ms by client, and a note."""
    path = folder / "slow.onnx"
    weights = write_slow_model(path)
    probe = 64
    with open_client("onnxruntime-node") as client:
        each = client.ask("delay", "onnxruntime", path, probe, WIDTH, 100)[0][3]
    rows = max(1, round(probe * SLOW_MS * 1e6 / each))
    expected = ((np.arange(rows * WIDTH) % 7 - 3) / 8).astype(np.float32).reshape(rows, WIDTH)
    for weight in weights:
        expected = np.tanh(expected @ weight)

    found, p99, runs = [], {}, []
    for name, runner in (("idle", "idle"), ("onnxruntime-node", "onnxruntime"), ("sidecall", "sidecall")):
        with open_client(name) as client:
            times, answers = client.ask("delay", runner, path, rows, WIDTH, milliseconds)
        if name != "idle" and not (np.abs(answers.reshape(expected.shape) - expected) <= 1e-3).all():
            complain(f"{name}, slow model: the output is not what numpy computes")
        delay_p50, delay_p99, longest, each, count = (float(value) for value in times)
        found.append(
            {
                "scenario": "event-loop delay",
                "rows": 0,
                "approach": "nothing runs" if name == "idle" else "run",
                "client": name,
                "p50_us": delay_p50 / 1000,
                "p99_us": delay_p99 / 1000,
                "max_us": longest / 1000,
                "calls": int(count),
            }
        )
        p99[name] = delay_p99 / 1e6
        if name != "idle":
            runs.append(f"{name} {each / 1e6:.1f} ms")
    note = f"event-loop delay: monitorEventLoopDelay at a resolution of 1 ms, which is part of every value; a run of the slow model took {', '.join(runs)}"
    return found, p99, note
