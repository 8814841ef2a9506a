"""The server processes of benchmarks/shm and benchmarks/node; used by their run.py.

They start with the run and end with it, however the run ends. A server is stopped (SIGSTOP) while
it is not its turn, so that its polling does not disturb the others.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rounds import Contender

HERE = Path(__file__).resolve().parent


def bound(command: list[str], cpu: int | None) -> list[str]:
    """The command with a prefix that pins it to that CPU and kills it when this process ends.

    A process that is stopped, or that waits for a stopped process, would otherwise not notice that
    this process has ended.
    """
    pinned = [] if cpu is None else ["taskset", "-c", str(cpu)]
    return ["setpriv", "--pdeathsig", "KILL", *pinned, *command]


def end(process: subprocess.Popen) -> None:
    """Ends a process, even if it is stopped."""
    process.terminate()
    process.send_signal(signal.SIGCONT)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Server:
    """A process that prints "ready" on its stdout once it serves."""

    def __init__(self, command: list[str], environment: dict[str, str], cpu: int | None, log: Path):
        with log.open("a") as stderr:
            self._process = subprocess.Popen(
                bound(command, cpu),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=os.environ | environment,
                text=True,
            )
        self._command, self._log = command, log

    def await_ready(self) -> None:
        """Waits until the server is ready, then stops it with SIGSTOP."""
        line = self._process.stdout.readline().strip()
        if line != "ready":
            said = self._log.read_text()[-2000:]
            raise RuntimeError(
                f"{' '.join(self._command[:2])}: expected 'ready' on stdout, "
                f"got {repr(line) if line else 'end of file'}\n{said}"
            )
        self._signal(signal.SIGSTOP)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _signal(self, number: int) -> None:
        self._process.send_signal(number)

    @contextmanager
    def awake(self) -> Iterator[None]:
        self.resume()
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        end(self._process)
        self._process.stdin.close()
        self._process.stdout.close()


@dataclass
class Paired(Contender):
    """A contender with a server process that runs only during the contender's turn."""

    server: Server | None = None
    scenario: str = ""
    place: str = ""

    def ask_round(self, calls: int, warm_up: int) -> tuple[np.ndarray, np.ndarray]:
        if self.server is None:
            return super().ask_round(calls, warm_up)
        with self.server.awake():
            return super().ask_round(calls, warm_up)


class Servers:
    """All servers of a run; their sockets are in `folder`."""

    def __init__(self, build: Path, folder: Path, environment: dict[str, str]):
        self._build, self._folder, self._environment = build, folder, environment
        self._opened: list[Server] = []
        self._broker: subprocess.Popen | None = None

    def __enter__(self) -> "Servers":
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._opened:
            server.close()
        if self._broker is not None:
            end(self._broker)

    def resume(self) -> None:
        """Lets all servers run, so that clients can end.

        A server of iceoryx may have been stopped while it held a lock in shared memory. A client
        that ends waits for that lock.
        """
        for server in self._opened:
            server.resume()

    def _start(self, command: list[str], mode: str, cpu: int | None) -> Server:
        server = Server(command, self._environment | MODES[mode], cpu, self._folder / "servers.log")
        self._opened.append(server)
        server.await_ready()
        return server

    def _address(self, name: str) -> str:
        # Servers stay until the end, so each needs an address of its own.
        return f"shm:{self._folder}/{name}-{len(self._opened)}.sock"

    def bare(self, kind: str, mode: str, cpu: int | None) -> tuple[Server, str]:
        """Starts native/server.c."""
        at = self._address(f"{kind}-{mode}-{cpu}")
        return self._start([str(self._build / "bin" / "bench-shm-server"), kind, at], mode, cpu), at

    def socket(self, name: str, cpu: int | None) -> tuple[Server, str]:
        """Starts native/server.c as a bare echo; returns also the path of its socket."""
        at = str(self._folder / f"{name}.sock")
        return self._start(
            [str(self._build / "bin" / "bench-shm-server"), "socket", at], "sleep", cpu
        ), at

    def native(
        self, model: Path, mode: str, cpu: int | None, threads: int = 1
    ) -> tuple[Server, str]:
        """Starts `sidecall serve`, which is ready when its socket exists."""
        at = self._address(f"native-{mode}-{threads}-{cpu}")
        command = [
            str(self._build / "bin" / "sidecall"),
            "serve",
            str(model),
            "--at",
            at,
            "--threads",
            str(threads),
            "--max-connections=4096",
            "--max-connections-per-user=4096",
        ]
        return self._start(
            [sys.executable, str(HERE / "announce.py"), at.removeprefix("shm:"), *command],
            mode,
            cpu,
        ), at

    def python(self, pickle: Path, rows: Path, mode: str, cpu: int | None) -> tuple[Server, str]:
        """Starts `sidecall.serve` with the scikit-learn model itself."""
        at = self._address(f"python-{mode}-{cpu}")
        return self._start(
            [sys.executable, str(HERE / "python_server.py"), str(pickle), str(rows), at], mode, cpu
        ), at

    def iceoryx(self, mode: str, service: str, cpu: int | None) -> Server:
        if self._broker is None:
            command = bound(["iox-roudi", "--monitoring-mode", "off", "--log-level", "off"], None)
            self._broker = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(1)
        return self._start(
            [str(self._build / "bin" / "bench-shm-iceoryx-server"), mode, service], mode, cpu
        )


MODES = {
    "spin": {"SIDECALL_SPIN_US": "1000000"},
    "adaptive": {},
    "sleep": {"SIDECALL_SPIN_US": "0"},
}
