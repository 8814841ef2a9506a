"""`make bench-capacity`: compares what queueing.py predicts with servers that run.

Two kinds of server are called over HTTP at half and at four fifths of what they can answer, at
random times: a file with 100 trees that one thread runs on 1,000 rows a call; and one, two and four
servers that take 5 ms for each call without using the CPU, so that one machine can hold them. The
time that a run takes is measured first, with one caller. The rows go to scaleout.json.

python benchmarks/scaleout/capacity.py --build build
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import queueing

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "network"))

from client_process import ClientProcess
from common import (
    RESULTS,
    Report,
    WrongAnswerError,
    describe_versions,
    find_in_package,
    guarded,
    make_parser,
    print_table,
)
from host import Host, free_port, visit
from plan import WORKERS
from workload import all_workloads

LOADS = (0.5, 0.8)  # of what the servers can answer
SLEEP_MS = 5


@dataclass(frozen=True)
class Setup:
    """Servers of one model. `sleepers`: so many programs that sleep, or 0 for a model that runs."""

    title: str
    workload: str
    rows: int
    sleepers: int

    @property
    def servers(self) -> int:
        return max(self.sleepers, 1)

    def start(self, host: Host) -> str:
        """Starts the servers and returns the URI of all of them."""
        ports = [free_port() for _ in range(self.servers)]
        for port in ports:
            address = f"127.0.0.1:{port}"
            if self.sleepers:
                program = str(host.build / "bin/bench-network-sleeper")
                process = host.start([program, f"http://{address}?name=null", str(SLEEP_MS)])
                host.wait_for_word(process, "a sleeping server")
            else:
                model = str(host.workloads / self.workload / "model.onnx")
                host.start(
                    [host.sidecall, "serve", model, "--name", self.workload, "--http", address]
                )
                host.wait_for_port(port, "the sidecall server")
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        return f"http://{hosts}/{self.workload}"


SETUPS = (
    Setup("100 trees, 1,000 rows", "gbm", 1000, 0),
    Setup("sleeps 5 ms", "null", 1, 1),
    Setup("sleeps 5 ms", "null", 1, 2),
    Setup("sleeps 5 ms", "null", 1, 4),
)


@dataclass(frozen=True)
class Effort:
    rounds: int
    seconds: float


FULL = Effort(rounds=3, seconds=8)
QUICK = Effort(rounds=1, seconds=0.5)


@contextmanager
def client_of(host: Host, setup: Setup, uri: str) -> Iterator[ClientProcess]:
    with ClientProcess("native", host, {}) as client:
        client.ask(
            do="open",
            workload=str(host.workloads / setup.workload),
            rows=setup.rows,
            transport="sidecall",
            at={"uri": uri},
        )
        yield client


def checked(answer: dict) -> dict:
    if answer["wrong"] or answer["lost"]:
        raise WrongAnswerError(f"{answer['wrong']} wrong, {answer['lost']} lost: {answer['error']}")
    return answer


def service_times(host: Host, setup: Setup, uri: str, effort: Effort) -> np.ndarray:
    """A thousand times in milliseconds, with the percentiles that one caller alone measured."""
    with client_of(host, setup, uri) as client:
        answer = checked(client.ask(do="closed", clients=1, seconds=effort.seconds, first=0))
    percentiles = (0, 50, 90, 99, 99.9, 100)
    keys = ("p50_us", "p50_us", "p90_us", "p99_us", "p999_us", "max_us")
    times = [answer[key] / 1000 for key in keys]
    return np.interp(np.linspace(0, 100, 1000), percentiles, times)


def measure(host: Host, setup: Setup, effort: Effort) -> Iterator[dict]:
    uri = setup.start(host)
    service = service_times(host, setup, uri, effort)
    mean = float(np.mean(service))
    for load in LOADS:
        rate = load * setup.servers * 1000 / mean
        predicted = queueing.simulate(service, rate, setup.servers)
        measured = []
        for number in range(effort.rounds):
            with client_of(host, setup, uri) as client:
                answer = client.ask(
                    do="open_loop",
                    clients=WORKERS,
                    rate=round(rate),
                    seconds=effort.seconds,
                    first=number,
                    random=True,
                )
            measured.append(checked(answer))
        yield {
            "model": setup.title,
            "servers": setup.servers,
            "service_ms": round(mean, 3),
            "load": load,
            "rate": round(rate),
            "calls": sum(one["calls"] for one in measured),
            "predicted_p50_ms": round(predicted.p50_ms, 2),
            "measured_p50_ms": round(median(one["p50_us"] for one in measured) / 1000, 2),
            "predicted_p99_ms": round(predicted.p99_ms, 2),
            "measured_p99_ms": round(median(one["p99_us"] for one in measured) / 1000, 2),
        }


def main() -> int:
    arguments = make_parser(
        "Compares predicted with measured times of busy servers.", "scaleout", "the build folder"
    ).parse_args()
    effort = QUICK if arguments.quick else FULL
    rows: list[dict] = []
    with tempfile.TemporaryDirectory(prefix="sidecall-capacity-") as name:
        folder = Path(name)
        for workload in all_workloads():
            if workload.name in {setup.workload for setup in SETUPS}:
                workload.write(folder / "workloads")
        for number, setup in enumerate(SETUPS):
            (folder / str(number)).mkdir()
            with visit(
                build=arguments.build.resolve(),
                folder=folder / str(number),
                workloads=folder / "workloads",
                onnxruntime=find_in_package("onnxruntime", "capi/libonnxruntime.so*"),
            ) as host:
                rows += measure(host, setup, effort)
    header = list(rows[0])
    print_table(header, [[str(row[key]) for key in header] for row in rows])
    if not arguments.quick or arguments.output:
        report = Report("scaleout", describe_versions(["numpy", "onnxruntime"]))
        report.tables["capacity"] = rows
        report.write(arguments.output or RESULTS / "scaleout.json", keep_others=True)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
