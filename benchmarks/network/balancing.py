"""`make bench-balancing`: measures how sidecall's client spreads its calls over several servers.

Each server runs one call after the other and takes 5 ms for each, without using the CPU, so that
one machine can hold four of them. Calls are due at random times. Three ways to choose the server of
a call take turns and get the same times: sidecall's client with a list of addresses, the next
server of the list, and a random server. The results go to network.json, beside those of run.py.

python benchmarks/network/balancing.py --build build
"""

import argparse
import re
import sys
import tempfile
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from client_process import ClientProcess
from common import RESULTS, WrongAnswerError, find_in_package, guarded, make_parser, print_table
from host import Host, free_port, visit
from plan import WORKERS
from workload import all_workloads

from serving import write_section

WORKLOAD = "null"  # what the servers return
RUN_MS, SLOW_MS = 5, 20
# the milliseconds that a run takes on each server
SETUPS = (
    (RUN_MS,),
    (RUN_MS, RUN_MS),
    (RUN_MS, RUN_MS, RUN_MS, RUN_MS),
    (RUN_MS, RUN_MS, RUN_MS, SLOW_MS),
)
LOADS = (0.2, 0.4, 0.6, 0.8, 0.9)  # of what all servers of a setup can take
WAYS = ("sidecall", "in turn", "at random")


@dataclass
class Cell:
    """The measurements of one way to choose a server, at one load of one setup."""

    way: str
    load: float
    rate: int  # calls per second
    measured: list[dict] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)  # the calls that each server answered

    def row(self, run_ms: tuple[int, ...]) -> dict:
        calls = sum(one["calls"] for one in self.measured)
        return {
            "run_ms": list(run_ms),
            "way": self.way,
            "load": self.load,
            "rate": self.rate,
            "calls": calls,
            **{
                key: median(one[key] for one in self.measured)
                for key in ("p50_us", "p90_us", "p99_us")
            },
            "max_us": max(one["max_us"] for one in self.measured),
            "shares": [count / sum(self.counts) for count in self.counts],
        }


def at_of(way: str, ports: list[int]) -> dict:
    """How the client reaches the servers if it chooses among them in this way."""
    hosts = [f"127.0.0.1:{port}" for port in ports]
    if way == "sidecall":
        return {"uri": f"http://{','.join(hosts)}/{WORKLOAD}"}
    uris = [f"http://{host}/{WORKLOAD}" for host in hosts]
    return {"uris": uris, "choice": "turns" if way == "in turn" else "random"}


def num_answered(port: int) -> int:
    """The number of runs that a server has answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r'^sidecall_requests_total\{.*route="infer".* (\d+)$', text, re.MULTILINE)
    return sum(map(int, found))


@dataclass(frozen=True)
class Effort:
    """How long and how often to measure."""

    loads: tuple[float, ...]
    rounds: int
    seconds: float


FULL = Effort(LOADS, rounds=3, seconds=3.0)
QUICK = Effort((LOADS[0], LOADS[-1]), rounds=1, seconds=0.3)


def measure(host: Host, run_ms: tuple[int, ...], effort: Effort) -> list[dict]:
    ports = [free_port() for _ in run_ms]
    program = str(host.build / "bin/bench-network-sleeper")
    for port, milliseconds in zip(ports, run_ms, strict=True):
        address = f"http://127.0.0.1:{port}?name={WORKLOAD}"
        process = host.start([program, address, str(milliseconds)])
        host.wait_for_word(process, "a sleeping server")
    capacity = sum(1000 / milliseconds for milliseconds in run_ms)
    ways = WAYS if len(run_ms) > 1 else WAYS[:1]
    cells = [Cell(way, load, round(load * capacity)) for load in effort.loads for way in ways]
    for cell in cells:
        cell.counts = [0] * len(ports)
    for number in range(effort.rounds):
        for cell in cells if number % 2 == 0 else reversed(cells):
            with ClientProcess("native", host, {}) as client:
                client.ask(
                    do="open",
                    workload=str(host.workloads / WORKLOAD),
                    rows=1,
                    transport="sidecall",
                    at=at_of(cell.way, ports),
                )
                before = [num_answered(port) for port in ports]
                answer = client.ask(
                    do="open_loop",
                    clients=WORKERS,
                    rate=cell.rate,
                    seconds=effort.seconds,
                    first=number,
                    random=True,
                )
            if answer["wrong"] or answer["lost"]:
                raise WrongAnswerError(f"{cell.way}: {answer['wrong']} wrong, {answer['error']}")
            cell.measured.append(answer)
            for place, port in enumerate(ports):
                cell.counts[place] += num_answered(port) - before[place]
    return [cell.row(run_ms) for cell in cells]


def parse() -> argparse.Namespace:
    return make_parser(
        "Measures how calls are spread over servers.", "network", "the CMake build folder"
    ).parse_args()


def main() -> int:
    arguments = parse()
    effort = QUICK if arguments.quick else FULL
    rows: list[dict] = []
    with tempfile.TemporaryDirectory(prefix="sidecall-balancing-") as name:
        folder = Path(name)
        next(one for one in all_workloads() if one.name == WORKLOAD).write(folder / "workloads")
        for number, run_ms in enumerate(SETUPS):
            (folder / str(number)).mkdir()
            with visit(
                build=arguments.build.resolve(),
                folder=folder / str(number),
                workloads=folder / "workloads",
                onnxruntime=find_in_package("onnxruntime", "capi/libonnxruntime.so*"),
            ) as host:
                rows += measure(host, run_ms, effort)
    print_table(
        ["servers, ms", "way", "load", "calls/s", "p50 ms", "p99 ms", "shares"],
        [
            [
                " ".join(map(str, row["run_ms"])),
                row["way"],
                f"{row['load']:.0%}",
                str(row["rate"]),
                f"{row['p50_us'] / 1000:.1f}",
                f"{row['p99_us'] / 1000:.1f}",
                " ".join(f"{share:.0%}" for share in row["shares"]),
            ]
            for row in rows
        ],
    )
    if not arguments.quick or arguments.output:
        write_section("balancing", rows, [], arguments.output or RESULTS / "network.json")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
