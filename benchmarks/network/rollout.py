"""`make rollout`: replaces servers under load, and counts the calls that this fails.

Two servers of a model stand behind one client. Threads call it over HTTP and over gRPC without a
pause, while the servers are replaced one after the other: by SIGTERM, as a rollout does it, and by
SIGKILL. A file has no effects, so no call may fail in either case, and no answer may be wrong.

python benchmarks/network/rollout.py --build build
"""

import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from approaches.own_server import start_server
from common import RESULTS, Bar, find_in_package, guarded, make_parser
from host import Host, free_port, visit
from workload import all_workloads

from serving import write_section

TERMINATIONS, KILLS = 1000, 200
THREADS = 4  # for each protocol
NAME = "penguins"


@dataclass
class Outcomes:
    """What the calls of all threads ended with."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    calls: int = 0
    wrong: int = 0
    failures: Counter[str] = field(default_factory=Counter)


class Pair:
    """Two servers, each with one port for HTTP and one for gRPC, which stay the same."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.ports = [(free_port(), free_port()) for _ in range(2)]
        self.processes = [self._start(number) for number in range(2)]

    def _start(self, number: int) -> Any:
        http, grpc = self.ports[number]
        addresses = {"http": f"127.0.0.1:{http}", "grpc": f"127.0.0.1:{grpc}"}
        return start_server(self.host, NAME, **addresses)

    def uri(self, protocol: str) -> str:
        place = 0 if protocol == "http" else 1
        hosts = ",".join(f"127.0.0.1:{ports[place]}" for ports in self.ports)
        return f"{protocol}://{hosts}/{NAME}"

    def replace(self, number: int, by: signal.Signals) -> None:
        process = self.processes[number]
        process.send_signal(by)
        code = process.wait(30)
        if by == signal.SIGTERM and code != 0:
            raise SystemExit(f"a server ended with {code} after SIGTERM")
        self.host.processes.remove(process)
        self.processes[number] = self._start(number)


def call_until(
    stop: threading.Event, model: Any, records: list[dict], expected: list[Any], found: Outcomes
) -> None:
    chance = random.Random(threading.get_ident())
    while not stop.is_set():
        place = chance.randrange(len(records))
        try:
            answer = model.predict(records[place], timeout=10)
            is_wrong, failure = answer != expected[place], None
        except Exception as error:
            is_wrong, failure = False, f"{type(error).__name__}: {error}"[:300]
        with found.lock:
            found.calls += 1
            found.wrong += is_wrong
            if failure is not None:
                found.failures[failure] += 1


def wait_until_used(models: list[Any], calls: int, found: Outcomes) -> None:
    """Lets the load go on until so many calls were made."""
    with found.lock:
        end = found.calls + calls
    deadline = time.monotonic() + 10
    while found.calls < end and time.monotonic() < deadline:
        time.sleep(0.005)


def replace_under_load(host: Host, by: signal.Signals, times: int) -> Outcomes:
    import sidecall

    model = host.workloads / NAME / "model.onnx"
    lines = (host.workloads / NAME / "records.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines[:32]]
    with sidecall.open(model) as local:
        expected = [local.predict(record) for record in records]
    pair = Pair(host)
    found, stop = Outcomes(), threading.Event()
    models = [sidecall.open(pair.uri(protocol)) for protocol in ("http", "grpc")]
    threads = [
        threading.Thread(target=call_until, args=(stop, each, records, expected, found))
        for each in models
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    try:
        for number in range(times):
            wait_until_used(models, 100, found)
            pair.replace(number % 2, by)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        for each in models:
            each.close()
    return found


def main() -> int:
    parser = make_parser("Replaces servers under load.", "network", "the CMake build folder")
    arguments = parser.parse_args()
    terminations, kills = (20, 6) if arguments.quick else (TERMINATIONS, KILLS)
    os.environ.setdefault("SIDECALL_NET", str(arguments.build.resolve() / "lib/libsidecall-net.so"))
    rows: list[dict] = []
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory(prefix="sidecall-rollout-") as name:
        folder = Path(name)
        next(one for one in all_workloads() if one.name == NAME).write(folder / "workloads")
        library = find_in_package("onnxruntime", "capi/libonnxruntime.so*")
        os.environ.setdefault("SIDECALL_ONNXRUNTIME", str(library))
        outcomes: list[Outcomes] = []
        for by, times in ((signal.SIGTERM, terminations), (signal.SIGKILL, kills)):
            (folder / by.name).mkdir()
            begun = time.monotonic()
            with visit(
                build=arguments.build.resolve(),
                folder=folder / by.name,
                workloads=folder / "workloads",
                onnxruntime=library,
            ) as host:
                found = replace_under_load(host, by, times)
            outcomes.append(found)
            failed = found.failures.total()
            rows.append(
                {
                    "signal": by.name,
                    "replaced": times,
                    "calls": found.calls,
                    "failed": failed,
                    "wrong": found.wrong,
                    "seconds": round(time.monotonic() - begun, 1),
                }
            )
            print(rows[-1])
            for text, count in found.failures.most_common(5):
                print(f"  {count} x {text}")
        bars += [
            Bar("rollout_failed", float(outcomes[0].failures.total()), 0),
            Bar("rollout_killed_failed", float(outcomes[1].failures.total()), 0),
            Bar("rollout_wrong", float(sum(one.wrong for one in outcomes)), 0),
        ]
    for bar in bars:
        print(f"{bar.name:<24} {bar.value:6.0f} {'holds' if bar.holds else 'MISSED'}")
    if not arguments.quick:
        write_section("rollout", rows, bars, arguments.output or RESULTS / "network.json")
    return 0 if all(bar.holds for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(guarded(main))
