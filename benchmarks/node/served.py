"""Measurements of benchmarks/node on a model that another process serves; used by run.py."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from common import Bar, Report
from loop import Crowd, run_crowd_rounds
from models import Workload
from node_clients import Clients
from rounds import Client, run_rounds

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "shm"))

from servers import MODES, Paired, Server, Servers, bound

# The Python server serves the scikit-learn model, whose features have no names.
APPROACHES = {
    "native": ["run_sync", "predict_sync", "run_async", "predict"],
    "python": ["run_sync", "run_async"],
}
AT_ONCE = {"native": ["run_async", "predict"], "python": ["run_async"]}
WIDTHS = [1, 64]
# Both processes sleep on one CPU, or the kernel's choice of CPUs would decide: to be woken on
# another one takes several times as long. To poll, they need two.
CPU = {"adaptive": None, "sleep": min(os.sched_getaffinity(0))}


# Untimed calls of a round, by the kind of server. Node.js collects its garbage before each round
# and then compiles code again while it runs.
WARM_UP = {"native": 1000, "python": 100}
# A file is served as it is without options. The rest of benchmarks/node compares with ONNX Runtime.
SERVERS = {"SIDECALL_ENGINE": "native"}


class Warmed(Paired):
    """A contender whose rounds begin with many untimed calls."""

    def ask_round(self, calls: int, warm_up: int) -> tuple[np.ndarray, np.ndarray]:
        is_python = self.scenario.startswith("python")
        return super().ask_round(calls, max(warm_up, WARM_UP["python" if is_python else "native"]))


@dataclass
class Amount:
    """How much to measure."""

    rounds: int
    budget_ns: float
    crowd_rounds: int
    crowd_budget_ns: float


@dataclass
class Served:
    """The model gbm on servers, and the clients that call it; they end with `stack`."""

    build: Path
    clients: Clients
    servers: Servers
    gbm: Workload
    stack: ExitStack
    started: dict[tuple[str, str], tuple[Server, str]] = field(default_factory=dict)

    def server(self, kind: str, mode: str) -> tuple[Server, str]:
        if (kind, mode) not in self.started:
            self.started[kind, mode] = self.start(kind, mode)
        return self.started[kind, mode]

    def start(self, kind: str, mode: str) -> tuple[Server, str]:
        folder, cpu = Path(self.gbm.folder), CPU[mode]
        if kind == "native":
            return self.servers.native(folder / "model.onnx", mode, cpu)
        return self.servers.python(folder / "model.pickle", folder / "features.f64", mode, cpu)

    def node(self, server: Server, at: str, mode: str) -> Client:
        client = self.stack.enter_context(
            self.clients.open("sidecall", cpu=CPU[mode], **MODES[mode])
        )
        with server.awake():
            client.ask("load", self.gbm.folder, 1, at)
        return client

    def contenders(self, mode: str) -> list[Paired]:
        """The model from C and from Node.js, and a bare socket."""
        environment = self.clients.environment | MODES[mode]
        c = self.stack.enter_context(
            Client("c", bound([str(self.build / "bin/bench-shm-client")], CPU[mode]), environment)
        )
        c.ask("load", self.gbm.folder)
        contenders = []
        for kind, approaches in APPROACHES.items():
            server, at = self.server(kind, mode)
            scenario = f"{kind} server, {mode}"
            with server.awake():
                c.ask("open", kind, "gbm", at, 1)
            contenders.append(Warmed(c, kind, server=server, scenario=scenario))
            client = self.node(server, at, mode)
            contenders += [
                Warmed(client, name, server=server, scenario=scenario) for name in approaches
            ]
        echo, path = self.servers.socket(f"bare-{mode}", CPU[mode])
        client = self.node(echo, path, mode)
        contenders.append(Warmed(client, "socket", server=echo, scenario=f"bare, {mode}"))
        return contenders


def measure_served(
    amount: Amount,
    build: Path,
    clients: Clients,
    gbm: Workload,
    report: Report,
    report_fault: Callable[[str], None],
) -> None:
    """Adds rows for calls one by one in both waiting modes, and for many at once; and two bars."""
    check = gbm.checker(1, report_fault)
    folder = Path(gbm.folder).parent
    by_mode: dict[str, dict[tuple[str, str], Paired]] = {}
    with Servers(build, folder, clients.environment | SERVERS) as servers, ExitStack() as stack:
        served = Served(build, clients, servers, gbm, stack)
        for mode in ("adaptive", "sleep"):
            print(f"measuring a served model, waiting mode {mode}", file=sys.stderr)
            contenders = served.contenders(mode)
            run_rounds(contenders, amount.rounds, amount.budget_ns, check)
            report.rows += [one.row(one.scenario, 1) for one in contenders]
            by_mode[mode] = {(one.scenario, one.approach): one for one in contenders}
        for kind, approaches in AT_ONCE.items():
            print(f"measuring many calls of a {kind} server at once", file=sys.stderr)
            server, at = served.server(kind, "adaptive")
            client = served.node(server, at, "adaptive")
            crowds = [Crowd(client, name, width) for width in WIDTHS for name in approaches]
            with server.awake():
                run_crowd_rounds(crowds, amount.crowd_rounds, amount.crowd_budget_ns, check)
            report.rows += [crowd.row(f"{kind} server", 1) for crowd in crowds]
        servers.resume()
    add_bars(report, by_mode)


def add_bars(report: Report, by_mode: dict[str, dict[tuple[str, str], Paired]]) -> None:
    def find(mode: str, kind: str, approach: str) -> Paired:
        return by_mode[mode][f"{kind}, {mode}", approach]

    node = find("adaptive", "native server", "run_sync")
    c = find("adaptive", "native server", "native")
    asleep = find("sleep", "native server", "run_async")
    extra_us = float(np.median(np.array(node.medians) - np.array(c.medians))) / 1000
    ratio = asleep.ratio_to(find("sleep", "bare", "socket"))
    report.bars += [
        Bar("node_shm_sync_extra_us", extra_us, 2),
        Bar("node_shm_async_vs_socket", ratio, 1.1),
    ]
