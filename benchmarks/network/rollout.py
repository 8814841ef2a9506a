"""`make rollout`: replaces servers under load, and counts the calls that this fails.

Two servers of a model stand behind one client. Threads call it over HTTP and over gRPC without a
pause, while the servers are replaced one after the other: by SIGTERM, as a rollout does it, and by
SIGKILL. A file has no effects, so no call may fail in either case, and no answer may be wrong.

The same happens to a function that has an effect. Its servers note each execution, so that no call
may be executed twice, and each answered call exactly once. By SIGTERM no call may fail. By SIGKILL
only calls may fail that are in flight while a server dies, each with an error of sidecall.

python benchmarks/network/rollout.py --build build
"""

import itertools
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import RESULTS, Bar, find_in_package, guarded, make_parser
from host import Host, free_port, visit
from workload import all_workloads

from serving import write_section

TERMINATIONS, KILLS = 1000, 200
THREADS = 4  # for each protocol
NAME = "penguins"


@dataclass
class Outcomes:
    """What the calls of all threads ended with; the lock guards the rest."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    calls: int = 0
    wrong: int = 0
    failures: Counter[str] = field(default_factory=Counter)


class Pair:
    """Two servers, each with one port for HTTP and one for gRPC, which stay the same."""

    def __init__(self, host: Host, command: list[str]) -> None:
        """`command` serves a model; HTTP and GRPC in its words stand for the addresses."""
        self.host, self.command = host, command
        self.kills: list[tuple[float, float]] = []  # when SIGKILL was sent, and the server's end
        self.ports = [(free_port(), free_port()) for _ in range(2)]
        self.processes = [self._start(number) for number in range(2)]

    def _start(self, number: int) -> Any:
        http, grpc = self.ports[number]
        at = {"HTTP": f"127.0.0.1:{http}", "GRPC": f"127.0.0.1:{grpc}"}
        command = [
            word.replace("HTTP", at["HTTP"]).replace("GRPC", at["GRPC"]) for word in self.command
        ]
        process = self.host.start(command)
        self.host.wait_for_port(grpc, "the sidecall server")
        return process

    def uri(self, protocol: str) -> str:
        place = 0 if protocol == "http" else 1
        hosts = ",".join(f"127.0.0.1:{ports[place]}" for ports in self.ports)
        return f"{protocol}://{hosts}/{NAME}"

    def replace(self, number: int, by: signal.Signals) -> None:
        process = self.processes[number]
        begun = time.monotonic()
        process.send_signal(by)
        code = process.wait(30)
        if by == signal.SIGKILL:
            self.kills.append((begun, time.monotonic()))
        if by == signal.SIGTERM and code != 0:
            raise SystemExit(f"a server ended with {code} after SIGTERM")
        self.host.processes.remove(process)
        self.processes[number] = self._start(number)


@dataclass
class Call:
    """One call of a function."""

    number: int
    begun: float
    ended: float = 0.0
    error: Exception | None = None


def predict_until(
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


def wait_until_used(calls: int, found: Outcomes) -> None:
    """Lets the load go on until so many calls were made."""
    with found.lock:
        end = found.calls + calls
    deadline = time.monotonic() + 10
    while found.calls < end and time.monotonic() < deadline:
        time.sleep(0.005)


def replace_under_load(
    pair: Pair,
    by: signal.Signals,
    times: int,
    found: Outcomes,
    call_until: Callable[[threading.Event, Any], None],
) -> None:
    """Calls the servers in threads while they are replaced."""
    import sidecall

    stop = threading.Event()
    models = [sidecall.open(pair.uri(protocol)) for protocol in ("http", "grpc")]
    threads = [
        threading.Thread(target=call_until, args=(stop, each))
        for each in models
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    try:
        for number in range(times):
            wait_until_used(100, found)
            pair.replace(number % 2, by)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        for each in models:
            each.close()


def replace_servers_of_a_file(host: Host, by: signal.Signals, times: int) -> Outcomes:
    import sidecall

    model = host.workloads / NAME / "model.onnx"
    lines = (host.workloads / NAME / "records.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines[:32]]
    with sidecall.open(model) as local:
        expected = [local.predict(record) for record in records]
    addresses = ["--http", "HTTP", "--grpc", "GRPC"]
    pair = Pair(host, [host.sidecall, "serve", str(model), "--name", NAME, *addresses])
    found = Outcomes()
    replace_under_load(
        pair,
        by,
        times,
        found,
        lambda stop, each: predict_until(stop, each, records, expected, found),
    )
    return found


def judge_calls(
    calls: list[Call], executed: Counter[int], kills: list[tuple[float, float]], found: Outcomes
) -> None:
    """Counts as wrong what no signal may bring about.

    Wrong are a call that was executed twice, an answered call that was not executed exactly once,
    an error of another kind, and the failure of a call that was not in flight while a server died.
    """
    import sidecall

    found.wrong += sum(count > 1 for count in executed.values())
    for begin, end in kills:
        failed = sum(
            call.error is not None and call.begun <= end and begin <= call.ended for call in calls
        )
        found.wrong += max(0, failed - 2 * THREADS)  # no more calls are in flight at once
    for call in calls:
        if call.error is None:
            found.wrong += executed[call.number] != 1
            continue
        text = f"{type(call.error).__name__}: {call.error}"[:300]
        found.failures[text] += 1
        in_flight = any(call.begun <= end and begin <= call.ended for begin, end in kills)
        is_typed = isinstance(call.error, sidecall.Error)
        # A server that cannot be reached has executed nothing.
        is_true = not isinstance(call.error, sidecall.errors.Unreachable) or (
            executed[call.number] == 0
        )
        found.wrong += not (is_typed and is_true and (in_flight or not kills))


def replace_servers_of_a_function(host: Host, by: signal.Signals, times: int) -> Outcomes:
    import numpy as np

    noted = host.folder / "executed"
    addresses = [f"{protocol.lower()}://{protocol}?name={NAME}" for protocol in ("HTTP", "GRPC")]
    pair = Pair(host, [str(host.build / "bin/sidecall-effects-server"), str(noted), *addresses])
    found, numbers = Outcomes(), itertools.count(1)
    calls: list[Call] = []

    def call_until(stop: threading.Event, model: Any) -> None:
        while not stop.is_set():
            call = Call(next(numbers), time.monotonic())
            answer = None
            try:
                answer = model.run({"id": np.array([call.number])}, timeout=10)["done"]
            except Exception as error:
                call.error = error
            call.ended = time.monotonic()
            with found.lock:
                found.calls += 1
                found.wrong += answer is not None and answer.tolist() != [call.number]
                calls.append(call)

    replace_under_load(pair, by, times, found, call_until)
    judge_calls(calls, Counter(array("q", noted.read_bytes())), pair.kills, found)
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
        outcomes: dict[tuple[str, str], Outcomes] = {}
        models = {"file": replace_servers_of_a_file, "function": replace_servers_of_a_function}
        signals = ((signal.SIGTERM, terminations), (signal.SIGKILL, kills))
        for (kind, replace), (by, times) in itertools.product(models.items(), signals):
            place = folder / f"{kind}-{by.name}"
            place.mkdir()
            begun = time.monotonic()
            with visit(
                build=arguments.build.resolve(),
                folder=place,
                workloads=folder / "workloads",
                onnxruntime=library,
            ) as host:
                found = replace(host, by, times)
            outcomes[kind, by.name] = found
            rows.append(
                {
                    "model": kind,
                    "signal": by.name,
                    "replaced": times,
                    "calls": found.calls,
                    "failed": found.failures.total(),
                    "wrong": found.wrong,
                    "seconds": round(time.monotonic() - begun, 1),
                }
            )
            print(rows[-1])
            for text, count in found.failures.most_common(5):
                print(f"  {count} x {text}")
        failed = {key: float(found.failures.total()) for key, found in outcomes.items()}
        wrong = {key: float(found.wrong) for key, found in outcomes.items()}
        bars += [
            Bar("rollout_failed", failed["file", "SIGTERM"] + failed["function", "SIGTERM"], 0),
            Bar("rollout_killed_failed", failed["file", "SIGKILL"], 0),
            Bar("rollout_wrong", wrong["file", "SIGTERM"] + wrong["file", "SIGKILL"], 0),
            # Executed twice, or failed although no server died during the call.
            Bar(
                "rollout_function_wrong",
                wrong["function", "SIGTERM"] + wrong["function", "SIGKILL"],
                0,
            ),
        ]
    for bar in bars:
        print(f"{bar.name:<24} {bar.value:6.0f} {'holds' if bar.holds else 'MISSED'}")
    if not arguments.quick:
        write_section("rollout", rows, bars, arguments.output or RESULTS / "network.json")
    return 0 if all(bar.holds for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(guarded(main))
