"""The processes that benchmarks/engine measures, and their rounds; used by run.py."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import node_clients
import numpy as np
from cases import JUDGED, Case
from common import Report, find_in_package
from rounds import Client, Contender, run_rounds

if TYPE_CHECKING:
    from run import Settings

HERE = Path(__file__).resolve().parent
OURS = ("call", "record")
ORT = ("raw_kept", "raw_kept_arena", "raw_record", "raw_record_arena")
BLOCKS_BELOW_NS = 500
LARGE = 100_000  # with more rows, a call takes seconds
# The approaches of Python and Node.js, for the cases in which they are measured.
PYTHON = {
    name: ["onnxruntime", "run", "call", "call_run"] for name in ("gbm", "forest", "logistic")
}
NODE = {
    "gbm": {
        "onnxruntime-node": ["run", "run_kept"],
        "sidecall": ["run_sync", "call", "call_run", "predict_sync"],
    },
    "penguins": {"sidecall": ["predict_sync"]},
}
COMPILED = ("tl2cgen", "lleaves")
Measured = dict[tuple[str, int], dict[tuple[str, str], Contender]]


class Clients:
    """The measured processes. sidecall uses its own engine in all of them."""

    def __init__(self, build: Path):
        self.build = build
        self.program = build / "bin" / "bench-engine"
        self.peers_python = build / "engine-peers" / "bin" / "python"
        if not self.program.is_file():
            raise FileNotFoundError(
                f"expected {self.program}: build it with -DSIDECALL_BUILD_BENCHMARKS=ON (make bench-engine does)"
            )
        self.node = node_clients.Clients(build)
        self.engine = "native"
        self.library = find_in_package("onnxruntime", "capi/libonnxruntime.so.*")
        self.environment = {
            "SIDECALL_ENGINE": self.engine,
            "SIDECALL_ONNXRUNTIME": str(self.library),
            "BENCH_LIGHTGBM": str(find_in_package("lightgbm", "lib/lib_lightgbm.so")),
            "BENCH_XGBOOST": str(find_in_package("xgboost", "lib/libxgboost.so")),
            "ORT_DISABLE_TELEMETRY": "1",
            "OMP_NUM_THREADS": "1",
        }

    def native(self) -> Client:
        return Client("c", [str(self.program)], self.environment)

    def python(self) -> Client:
        client = HERE.parent / "inproc" / "python_client.py"
        return Client("python", [sys.executable, str(client)], self.environment)

    def peers(self) -> Client:
        command = [str(self.peers_python), "-W", "ignore", str(HERE / "peers_client.py")]
        return Client("python-peers", command, self.environment)

    def node_client(self, name: str) -> Client:
        # onnxruntime-node brings its own library; sidecall does not load any.
        return self.node.open(name, SIDECALL_ENGINE=self.engine)

    def has_peers(self) -> bool:
        return self.peers_python.is_file()

    def versions(self) -> dict[str, str]:
        found = self.node.versions()
        if self.has_peers():
            names = "tl2cgen", "lleaves", "ydf", "scikit-learn-intelex", "treelite"
            program = f"""
from importlib import metadata
for name in {names!r}:
    try: print(name, metadata.version(name))
    except metadata.PackageNotFoundError: pass
"""
            done = subprocess.run(
                [self.peers_python, "-c", program], check=True, capture_output=True, text=True
            )
            found |= dict(line.split() for line in done.stdout.splitlines())
        return found


def note_unavailable(
    cases: list[Case], clients: Clients, compiled: list[str] | None, report: Report
) -> None:
    """Compiles what is to be compiled, tries each approach once in a process of its own, removes
    from the cases what does not work, and notes the reasons.
    """
    for case in cases:
        wanted = [name for name in case.engines if name in COMPILED]
        reasons = {}
        if compiled is not None and case.name not in compiled:
            reasons = dict.fromkeys(wanted, "not compiled in a quick run")
        elif wanted and clients.has_peers():
            print(f"compiling {case.name}: {', '.join(wanted)}", file=sys.stderr)
            reasons = _compile(clients, case.folder, wanted)
        if not clients.has_peers():
            reasons = dict.fromkeys([*wanted, *case.peers], "not installed")
        tried = [(clients.native, name) for name in [*_ours(case), *case.engines]]
        tried += [(clients.peers, name) for name in case.peers]
        for start, name in tried:
            reason = reasons.get(name) or _try(start, case, name)
            if reason is None:
                continue
            report.notes.append(f"not measured: {name} with {case.name}: {reason}")
            for names in (case.engines, case.peers):
                if name in names:
                    names.remove(name)
            if name in OURS:
                case.refused.append(name)


def _ours(case: Case) -> list[str]:
    return ["record"] if case.is_record else ["call"]


def _compile(clients: Clients, folder: Path, names: list[str]) -> dict[str, str]:
    done = subprocess.run(
        [clients.peers_python, "-W", "ignore", HERE / "compile_peers.py", folder, *names],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=os.environ | clients.environment,
    )
    lines = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    return {name: reason for name, reason in lines if reason}


def _try(start: Callable[[], Client], case: Case, name: str) -> str | None:
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(start())
        try:
            client.ask("load", case.folder, 1)
            client.ask("round", name, 0, 1, 0)
        except RuntimeError as error:
            return str(error).split(": ", 1)[1]
    return None


def _contenders(case: Case, rows: int, stack: ExitStack, clients: Clients) -> list[Contender]:
    native = stack.enter_context(clients.native())
    kinds = ["raw_record", "raw_record_arena"] if case.is_record else ["raw_kept", "raw_kept_arena"]
    names = [name for name in _ours(case) if name not in case.refused] + kinds + case.engines
    left_out = {"lightgbm_batch"} if rows == 1 else {"lightgbm_single_row"}
    if rows > LARGE:
        left_out |= {"raw_kept_arena", "tl2cgen"}
    found = [Contender(native, name) for name in names if name not in left_out]
    if rows > LARGE:
        _load([native], case, rows)
        return found
    processes = [native]
    if case.peers:
        processes.append(stack.enter_context(clients.peers()))
        found += [Contender(processes[-1], name) for name in case.peers]
    if case.name in PYTHON and not case.refused:
        processes.append(stack.enter_context(clients.python()))
        found += [Contender(processes[-1], name) for name in PYTHON[case.name]]
    if case.name in NODE and not case.refused:
        for name, approaches in NODE[case.name].items():
            processes.append(stack.enter_context(clients.node_client(name)))
            found += [Contender(processes[-1], approach) for approach in approaches]
    _load(processes, case, rows)
    return found


def _load(processes: list[Client], case: Case, rows: int) -> None:
    for process in processes:
        process.ask("load", case.folder, rows)


def is_other(contender: Contender) -> bool:
    """Whether an engine of others, whose wrong answers are counted, answers this contender."""
    names = {*OURS, *ORT}
    return contender.client.name in ("c", "python-peers") and contender.approach not in names


def measure_calls(
    cases: list[Case], clients: Clients, settings: "Settings", report_fault: Callable[[str], None]
) -> Measured:
    """Measures every case and number of rows."""
    measured: Measured = {}
    for case in cases:
        for rows, rounds in settings.rounds.items():
            if rows > LARGE and case.is_record:
                continue
            print(f"measuring {case.name}, {rows} rows", file=sys.stderr)
            with ExitStack() as stack:
                contenders = _contenders(case, rows, stack, clients)
                checks = {
                    False: case.checker(rows, report_fault),
                    True: case.checker(rows, lambda _: None),  # judge() counts these
                }

                def check(contender: Contender, first: int, answers: np.ndarray) -> None:
                    checks[is_other(contender)](contender, first, answers)  # noqa: B023

                warm = rows <= LARGE
                native = [one for one in contenders if one.client.name == "c"]
                run_rounds(
                    contenders,
                    rounds,
                    settings.budget_ns,
                    check,
                    blocks_below_ns=BLOCKS_BELOW_NS,
                    warm=warm,
                    can_block=native,
                )
            measured[case.name, rows] = {contender.key: contender for contender in contenders}
    return measured


def judge(
    cases: list[Case],
    clients: Clients,
    measured: Measured,
    report_fault: Callable[[str], None],
) -> list[dict]:
    """Counts the rows that each engine answers wrongly, on rows of which half lie beside
    thresholds.

    An answer is wrong if it is further from the original's than the tolerance of the case, or has
    another label.
    """
    found = []
    for case in cases:
        if case.judged is None:
            continue
        names = dict.fromkeys(
            (key[0], key[1], is_other(contender))
            for (scenario, _), contenders in measured.items()
            if scenario == case.name
            for key, contender in contenders.items()
            if key[0] in ("c", "python-peers") and key[1] != "lightgbm_single_row"
        )
        with ExitStack() as stack:
            processes: dict[str, Client] = {}
            for client, approach, other in names:
                if client not in processes:
                    start = clients.native if client == "c" else clients.peers
                    processes[client] = stack.enter_context(start())
                    processes[client].ask("load", case.judged.folder, JUDGED)
                _, answers = processes[client].ask("round", approach, 0, 1, 0)
                answers = answers.reshape(JUDGED, -1)
                expected = case.judged.expected[:JUDGED]
                far = ~(np.abs(answers[:, 1:] - expected) <= case.tolerance).all(axis=1)
                top = np.sort(expected, axis=1)
                is_tie = top[:, -1] - top[:, -2] <= 2 * case.tolerance
                labels = answers[:, 0]
                far |= ~((labels == -1) | (labels == expected.argmax(axis=1)) | is_tie)
                row = {"scenario": case.name, "client": client, "approach": approach}
                row |= {"rows": JUDGED, "wrong": int(far.sum())}
                row["bits_differ"] = int((answers[:, 1:] != expected).any(axis=1).sum())
                found.append(row)
                if approach in OURS and not other and row["wrong"]:
                    report_fault(
                        f"{case.name}, {approach}: {row['wrong']} of {JUDGED} rows beside thresholds are wrong"
                    )
    return found
