"""Measures what a Python object that hangs does to its server: how many requests get no answer, and
how soon the server answers again. Called by run.py.
"""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import sidecall
from sidecall import errors

HERE = Path(__file__).resolve().parent
WORKERS = 2
WAITING = 4  # requests without a deadline that arrive while all workers hang
ANSWERED_S = 31  # a request that is answered later counts as unanswered
LONG_S = 600.0  # the deadline of the calls that hang, and how long they would take
ROUTES = ("http", "shm")


@dataclass
class Hung:
    route: str
    limit_s: float
    start_s: float  # from the start of a worker until it is ready: import, load, golden rows
    unanswered: int = 0
    recover_s: float = 0.0  # after the limit, without start_s
    outcomes: list[str] = field(default_factory=list)

    def row(self) -> dict:
        return {
            "route": self.route,
            "limit_s": self.limit_s,
            "start_s": round(self.start_s, 2),
            "requests": len(self.outcomes),
            "unanswered": self.unanswered,
            "recover_s": round(self.recover_s, 2),
        }


class Server:
    """`misbehaving.nap` with workers, over HTTP and shared memory.

    `folder` has a link to the command of the build, which leads to libsidecall-net.so.
    """

    def __init__(self, folder: Path, options: tuple[str, ...]):
        self.address = f"shm:{folder}/hanging.sock"
        self._log = folder / "hanging.log"
        words = [sys.executable, "-m", "sidecall.serving", "serve", "misbehaving:nap"]
        words += ["--at", self.address, "--http", "127.0.0.1:0", "--workers", str(WORKERS)]
        library = (folder / "sidecall").resolve().parents[1] / "lib/libsidecall-net.so"
        environment = os.environ | {"SIDECALL_NET": str(library)}
        with self._log.open("wb") as log:
            began = time.monotonic()
            self._process = subprocess.Popen(
                [*words, "--json-log", *options],
                cwd=HERE,
                env=environment,
                stdout=log,
                stderr=log,
            )
        while len(self.events("worker.ready")) < WORKERS or not self.events("serve.ready"):
            if self._process.poll() is not None:
                raise RuntimeError(f"expected a server, got none\n{self._log.read_text()}")
            time.sleep(0.01)
        # All workers start at once here, so the time is longer than that of a single one.
        self.start_s = time.monotonic() - began
        at = next(event["at"] for event in self.events("server.listening") if "at" in event)
        self._port = int(at.rpartition(":")[2])

    def events(self, name: str) -> list[dict]:
        lines = [line for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def call(self, route: str, seconds: float, timeout: float | None) -> str:
        """The status of the answer."""
        if route == "shm":
            with sidecall.open(self.address) as model:
                try:
                    model.predict({"seconds": seconds}, timeout=timeout)
                except errors.Error as error:
                    return type(error).__name__
                return "OK"
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=LONG_S)
        headers = {"content-type": "application/json"}
        if timeout is not None:
            headers["sidecall-timeout-ms"] = str(int(timeout * 1000))
        connection.request(
            "POST", "/v2/models/nap/predict", json.dumps({"seconds": seconds}), headers
        )
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return str(answer.get("status", "OK"))

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def measure(folder: Path, route: str, options: tuple[str, ...], limit_s: float) -> Hung:
    """Hangs all workers, with calls that have long deadlines. Meanwhile other calls come."""
    with Server(folder, options) as server:
        found = Hung(route, limit_s, server.start_s)
        lock, threads = threading.Lock(), []

        def call(seconds: float, timeout: float | None) -> None:
            began = time.monotonic()
            outcome = server.call(route, seconds, timeout)
            with lock:
                found.outcomes.append(outcome)
                found.unanswered += time.monotonic() - began > ANSWERED_S

        def start(action: Callable[[], None]) -> None:
            threads.append(threading.Thread(target=action, daemon=True))
            threads[-1].start()

        begun = time.monotonic()
        for _ in range(WORKERS):
            start(lambda: call(LONG_S, LONG_S))
            time.sleep(0.2)  # so that each worker gets one call
        last = time.monotonic()
        for _ in range(WAITING):
            start(lambda: call(0, None))
        time.sleep(max(0.0, begun + limit_s - time.monotonic()))
        # The first call that a healthy worker answers after the limit.
        while server.call(route, 0, limit_s) != "OK":
            time.sleep(0.05)
        found.recover_s = max(0.0, time.monotonic() - last - limit_s - server.start_s)
        until = begun + ANSWERED_S + 1
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        found.unanswered += sum(thread.is_alive() for thread in threads)
        return found


def hanging_rows(folder: Path, is_quick: bool) -> list[dict]:
    """With the defaults of `serve`, or with short limits for a quick run."""
    limit_s = 2.0 if is_quick else 30.0
    options = ("--max-run", str(limit_s), "--timeout", str(limit_s)) if is_quick else ()
    return [measure(folder, route, options, limit_s).row() for route in ROUTES]
