"""`make bench-reliability`: what hostile clients can do to a server, and what others notice of it.

`deadline`: how long after its deadline a call ends. `admission`: how long another user's `open`
takes while one user floods the server with connections. `memory`: how much memory clients can make
a server hold, relative to its limit. `endless`: how much memory a server on another host can make a
client hold. `handshakes`: how long the calls of a client take while another client does handshakes
of TLS. `flipped_bits`: how many exported files open although one bit of them is flipped. `opens`:
how much longer opening takes because it notices this. `hanging`: what becomes of requests while a
Python object hangs, and how soon its server answers again. Needs root, because the clients are
different users. Writes results/reliability.json, prints the table and bars.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sidecall

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from attacks import ATTACKS, Attack
from checked_open import measure_opens
from common import Bar, Report, describe_versions, guarded, parse, print_table
from endless import endless_rows
from flipped_bits import flip_bits
from handshakes import handshake_p99_ratio, handshake_rows
from hanging import hanging_rows
from processes import Flood, Newcomer, Server, write_models

# Users that need not exist. They have no rights except those that the server gives them.
FLOODER, NEWCOMER = 20001, 20002
LIMIT_MIB = 512
DEADLINE = 0.02
LONG_ELEMENTS = 100_000  # of the input of long.onnx; a run then takes about half a second


@dataclass(frozen=True)
class Deployment:
    name: str
    options: tuple[str, ...]


DEPLOYMENTS = (
    Deployment("native", ()),
    Deployment("workers", ("--workers", "2")),
)
RATES = {"1000 per second": 1000, "unlimited": 0}


def measure_admission(folder: Path, deployment: Deployment, rate: int, opens: int) -> np.ndarray:
    """The durations of the newcomer's opens, in microseconds."""
    options = ("--allow-uid", str(FLOODER), "--allow-uid", str(NEWCOMER), *deployment.options)
    with Server(folder, "echo.onnx", options) as server, Flood(server.address, FLOODER, rate):
        return Newcomer(server.address, NEWCOMER).open_times_us(opens)


def admission_rows(folder: Path, opens: int) -> list[dict]:
    rows = []
    for deployment in DEPLOYMENTS:
        for load, rate in RATES.items():
            times = measure_admission(folder, deployment, rate, opens)
            rows.append(
                {
                    "scenario": f"open during a flood, {load}",
                    "approach": deployment.name,
                    "client": "python",
                    "rows": 1,
                    "p50_us": float(np.percentile(times, 50)),
                    "p99_us": float(np.percentile(times, 99)),
                    "calls": opens,
                }
            )
    return rows


def measure_deadline(address: str, calls: int, freeze: Callable[[], None]) -> np.ndarray:
    """How long after its deadline each call ended, in microseconds."""
    with sidecall.open(address) as model:
        (tensor,) = model.signature.inputs
        row = np.ones((1, 1024) if len(tensor.shape) == 2 else LONG_ELEMENTS, "f4")
        with contextlib.suppress(sidecall.errors.Timeout):
            model.run({tensor.name: row}, timeout=DEADLINE)  # the first run also allocates memory
        freeze()
        times = []
        for _ in range(calls):
            begin = time.perf_counter()
            try:
                model.run({tensor.name: row}, timeout=DEADLINE)
            except sidecall.errors.Timeout:
                times.append(1e6 * (time.perf_counter() - begin - DEADLINE))
            else:
                raise RuntimeError(f"{address}: expected a timeout, got an answer")
    return np.array(times)


def deadline_rows(folder: Path, calls: int) -> list[dict]:
    def row(situation: str, approach: str, times: np.ndarray) -> dict:
        return {
            "scenario": f"time beyond a deadline of {DEADLINE * 1000:.0f} ms, {situation}",
            "approach": approach,
            "client": "python",
            "rows": 1,
            "p50_us": float(np.percentile(times, 50)),
            "p99_us": float(np.percentile(times, 99)),
            "calls": calls,
        }

    def nothing() -> None:
        pass

    long, rows = "the run takes longer", []
    rows.append(row(long, "file", measure_deadline(str(folder / "long.onnx"), calls, nothing)))
    with Server(folder, "long.onnx", ()) as server:
        rows.append(row(long, "native", measure_deadline(server.address, calls, nothing)))
    with Server(folder, "echo.onnx", ()) as server:
        times = measure_deadline(server.address, calls, server.freeze)
        rows.append(row("the server is frozen", "native", times))
    return rows


def measure_memory(folder: Path, deployment: Deployment, attack: Attack) -> dict:
    options = ("--max-memory", str(LIMIT_MIB), *attack.options, *deployment.options)
    with Server(folder, attack.model, options) as server:
        idle = server.memory_mib()
        refused = attack.run(server)
        peak = server.peak_mib()
    return {
        "attack": attack.name,
        "approach": deployment.name,
        "limit_mib": LIMIT_MIB,
        "idle_mib": round(idle, 1),
        "peak_mib": round(peak, 1),
        "ratio": round((peak - idle) / LIMIT_MIB, 3),
        "refused": refused,
    }


def memory_rows(folder: Path) -> list[dict]:
    rows = []
    for deployment in DEPLOYMENTS:
        for attack in ATTACKS:
            rows.append(measure_memory(folder, deployment, attack))
    return rows


def bars_of(report: Report) -> list[Bar]:
    def newcomer_ms(load: str) -> float:
        return max(row["p99_us"] for row in report.rows if row["scenario"].endswith(load)) / 1000

    overruns = [row["p99_us"] for row in report.rows if "beyond a deadline" in row["scenario"]]
    return [
        Bar("deadline_overrun_p99_ms", max(overruns) / 1000, 5),
        Bar("newcomer_p99_ms", newcomer_ms("per second"), 50),
        Bar("newcomer_unlimited_p99_ms", newcomer_ms("unlimited"), 250),
        Bar("endless_answer_mib", max(row["growth_mib"] for row in report.tables["endless"]), 128),
        Bar("max_memory_ratio", max(row["ratio"] for row in report.tables["memory"]), 1.1),
        Bar("handshake_p99_ratio", handshake_p99_ratio(report.tables["handshakes"]), 3),
        Bar("flipped_bits_wrong", sum(row["wrong"] for row in report.tables["flipped_bits"]), 0),
        Bar("open_checked_extra_ratio", max(row["ratio"] for row in report.tables["opens"]), 1.03),
        Bar("hung_unanswered", sum(row["unanswered"] for row in report.tables["hanging"]), 0),
        Bar("hung_recover_s", max(row["recover_s"] for row in report.tables["hanging"]), 2),
    ]


def show(rows: list[dict]) -> None:
    head = list(rows[0])
    print_table(
        head,
        [
            [f"{row[key]:.0f}" if key.endswith("_us") else str(row[key]) for key in head]
            for row in rows
        ],
    )
    print()


def main() -> int:
    options = parse(__doc__.splitlines()[0], "reliability")
    if os.geteuid() != 0:
        print("bench-reliability: expected root: its clients run as other users", file=sys.stderr)
        return 2
    report = Report("reliability", describe_versions(["numpy", "onnxruntime"]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_models(folder, options.build)
        calls = 20 if options.quick else 500
        report.rows = deadline_rows(folder, calls) + admission_rows(folder, calls)
        show(report.rows)
        report.tables["memory"] = memory_rows(folder)
        show(report.tables["memory"])
        report.tables["endless"] = endless_rows(options.build)
        show(report.tables["endless"])
        report.tables["handshakes"] = handshake_rows(folder, calls)
        show(report.tables["handshakes"])
        report.tables["flipped_bits"] = flip_bits(folder, 1000 if options.quick else 100_000)
        show(report.tables["flipped_bits"])
        report.tables["opens"] = measure_opens(
            folder, 2 if options.quick else 21, is_quick=options.quick
        )
        show(report.tables["opens"])
        report.tables["hanging"] = hanging_rows(folder, options.quick)
        show(report.tables["hanging"])
    report.bars = bars_of(report)
    report.print_bars()
    if options.quick:
        report.notes.append("a quick run: it checks the scenarios and measures nothing")
    report.write(options.output, keep_others=True)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
