"""The processes that benchmarks/engine measures, and their rounds; used by run.py."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import node_clients
import numpy as np
from cases import JUDGED, Case, link_judged
from common import Report, find_in_package
from models import is_far, is_other_label
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
COMPILE_SECONDS = 240  # the most that one of them gets
GENERATED = ("m2cgen", "tl2cgen", "lleaves")
Measured = dict[tuple[str, int], dict[tuple[str, str], Contender]]


class Clients:
    """The measured processes. sidecall uses its own engine in all of them.

    A process is started when it is first needed, and answers until the end, because some of the
    packages take seconds to load.
    """

    def __init__(self, build: Path):
        self.build = build
        self.started: dict[str, Client] = {}
        self.program = build / "bin" / "bench-engine"
        self.peers_python = build / "engine-peers" / "bin" / "python"
        if not self.program.is_file():
            raise FileNotFoundError(
                f"expected {self.program}: build it with -DSIDECALL_BUILD_BENCHMARKS=ON "
                "(make bench-engine does)"
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

    def __enter__(self) -> "Clients":
        return self

    def __exit__(self, *error: object) -> None:
        for client in self.started.values():
            client.__exit__(*error)

    def get(self, name: str) -> Client:
        if name not in self.started:
            start = {"c": self.native, "python": self.python, "python-peers": self.peers}
            made = start[name]() if name in start else self.node_client(name)
            self.started[name] = made
        return self.started[name]

    def drop(self, name: str) -> None:
        """Forgets a process that has ended because a request failed."""
        self.started.pop(name).__exit__(RuntimeError)

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
    cases: list[Case], clients: Clients, with_peers: list[str] | None, report: Report
) -> None:
    """Compiles the generated code and tries each approach once. Removes those that fail from the
    cases, and notes the reasons.

    `with_peers` has the names of the cases that engine-peers is used for; None means all.
    """
    for case in cases:
        wanted = [name for name in case.engines if name in COMPILED]
        reasons = {}
        if not clients.has_peers():
            reasons = dict.fromkeys([*wanted, *case.peers], "not installed")
        elif with_peers is not None and case.name not in with_peers:
            reasons = dict.fromkeys([*wanted, *case.peers], "left out of a short run")
        elif wanted:
            print(f"compiling {case.name}: {', '.join(wanted)}", file=sys.stderr)
            reasons = _compile(clients, case.folder, wanted)
        tried = [("c", name) for name in [*_ours(case), *case.engines]]
        tried += [("python-peers", name) for name in case.peers]
        for client, name in tried:
            reason = reasons.get(name) or _try(clients, client, case, name)
            if reason is None:
                continue
            reason = reason.replace(f"{case.folder}/", "")
            report.notes.append(f"not measured: {name} with {case.name}: {reason}")
            for names in (case.engines, case.peers):
                if name in names:
                    names.remove(name)
            if name in OURS:
                case.refused.append(name)


def _ours(case: Case) -> list[str]:
    return ["record"] if case.is_record else ["call"]


def _compile(clients: Clients, folder: Path, names: list[str]) -> dict[str, str]:
    """Returns the reasons why approaches cannot be measured."""
    reasons = {}
    for name in names:
        command = [clients.peers_python, "-W", "ignore", HERE / "compile_peers.py", folder, name]
        # A session of its own, so that the compilers that it started end too.
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | clients.environment,
            start_new_session=True,
        )
        try:
            out, _ = process.communicate(timeout=COMPILE_SECONDS)
            reason = "" if process.returncode == 0 else (out.splitlines() or ["it crashed"])[-1]
        except subprocess.TimeoutExpired:
            reason = f"compiling takes more than {COMPILE_SECONDS} seconds"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
        if reason:
            reasons[name] = reason
    return reasons


def _try(clients: Clients, client: str, case: Case, name: str) -> str | None:
    try:
        clients.get(client).ask("load", case.folder, 1)
        clients.get(client).ask("round", name, 0, 1, 0)
    except RuntimeError as error:
        clients.drop(client)
        return str(error).split(": ", 1)[1]
    return None


def _contenders(case: Case, rows: int, clients: Clients) -> list[Contender]:
    kinds = ["raw_record", "raw_record_arena"] if case.is_record else ["raw_kept", "raw_kept_arena"]
    names = [name for name in _ours(case) if name not in case.refused] + kinds + case.engines
    left_out = {"lightgbm_batch"} if rows == 1 else {"lightgbm_single_row"}
    if rows > LARGE:
        left_out |= {"raw_kept_arena", *GENERATED}
    found = [("c", name) for name in names if name not in left_out]
    if rows <= LARGE:
        found += [("python-peers", name) for name in case.peers]
        if not case.refused:
            found += [("python", name) for name in PYTHON.get(case.name, [])]
            found += [
                (client, name)
                for client, approaches in NODE.get(case.name, {}).items()
                for name in approaches
            ]
    for client in dict.fromkeys(client for client, _ in found):
        clients.get(client).ask("load", case.folder, rows)
    return [Contender(clients.get(client), name) for client, name in found]


def is_other(contender: Contender) -> bool:
    """Whether the contender is another engine: its wrong answers are counted, and do not fail the
    run.
    """
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
            contenders = _contenders(case, rows, clients)
            checks = {
                False: case.checker(rows, report_fault),
                True: case.checker(rows, lambda _: None),  # judge() counts these
            }

            def check(contender: Contender, first: int, answers: np.ndarray) -> None:
                checks[is_other(contender)](contender, first, answers)  # noqa: B023

            run_rounds(
                contenders,
                rounds,
                settings.budget_ns,
                check,
                blocks_below_ns=BLOCKS_BELOW_NS,
                can_block=[one for one in contenders if one.client.name == "c"],
                warm=rows <= LARGE,
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
        link_judged(case)
        names = dict.fromkeys(
            (client, approach)
            for (scenario, _), contenders in measured.items()
            if scenario == case.name
            for client, approach in contenders
            if client in ("c", "python-peers") and approach != "lightgbm_single_row"
        )
        for client in dict.fromkeys(client for client, _ in names):
            clients.get(client).ask("load", case.judged.folder, JUDGED)
        for client, approach in names:
            _, answers = clients.get(client).ask("round", approach, 0, 1, 0)
            answers = answers.reshape(JUDGED, -1)
            expected = case.judged.expected[:JUDGED]
            is_wrong = is_far(answers[:, 1:], expected, case.tolerance)
            is_wrong |= is_other_label(answers[:, 0], expected, case.tolerance)
            row = {"scenario": case.name, "client": client, "approach": approach}
            row |= {"rows": JUDGED, "wrong": int(is_wrong.sum())}
            row["bits_differ"] = int((answers[:, 1:] != expected).any(axis=1).sum())
            found.append(row)
            if approach in OURS and row["wrong"]:
                report_fault(
                    f"{case.name}, {approach}: {row['wrong']} of {JUDGED} rows beside thresholds "
                    "are wrong"
                )
    return found
