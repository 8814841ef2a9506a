"""The processes behind the channel: started for the run, stopped (SIGSTOP) while it is not their turn, so that nobody's polling disturbs another. Used by run.py."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Server:
    """A process that says "ready" on its stdout once it serves."""

    def __init__(self, command: list[str], environment: dict[str, str], cpu: int | None, log: Path):
        with log.open("a") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=os.environ | environment,
                text=True,
                preexec_fn=None if cpu is None else lambda: os.sched_setaffinity(0, {cpu}),
            )
        line = self._process.stdout.readline().strip()
        if line != "ready":
            raise RuntimeError(f"{' '.join(command[:2])}: expected ready, got {line or 'its end'}\n{log.read_text()[-2000:]}")
        self._signal(signal.SIGSTOP)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _signal(self, number: int) -> None:
        self._process.send_signal(number)

    @contextmanager
    def awake(self) -> Iterator[None]:
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def close(self) -> None:
        self._signal(signal.SIGCONT)
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait(timeout=30)
        self._process.stdout.close()


class Servers:
    """All servers of a run; sockets in `folder`."""

    def __init__(self, build: Path, folder: Path, environment: dict[str, str]):
        self._build, self._folder, self._environment = build, folder, environment
        self._opened: list[Server] = []
        self._broker: subprocess.Popen | None = None

    def __enter__(self) -> "Servers":
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._opened:
            with contextlib.suppress(Exception):
                server.close()
        if self._broker is not None:
            self._broker.terminate()
            self._broker.wait(timeout=30)

    def _start(self, command: list[str], mode: str, cpu: int | None) -> Server:
        server = Server(command, self._environment | MODES[mode], cpu, self._folder / "servers.log")
        self._opened.append(server)
        return server

    def _address(self, name: str) -> str:
        return f"shm:{self._folder}/{name}.sock"

    def bare(self, kind: str, mode: str, cpu: int | None) -> tuple[Server, str]:
        """native/server.c."""
        at = self._address(f"{kind}-{mode}-{cpu}")
        return self._start([str(self._build / "bin" / "bench-shm-server"), kind, at], mode, cpu), at

    def native(self, model: Path, mode: str, cpu: int | None, threads: int = 1) -> tuple[Server, str]:
        """`sidecall serve`; ready when its socket is there."""
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
        return self._start([sys.executable, str(HERE / "announce.py"), at.removeprefix("shm:"), *command], mode, cpu), at

    def python(self, pickle: Path, rows: Path, mode: str, cpu: int | None) -> tuple[Server, str]:
        """`sidecall.serve` of the scikit-learn model itself."""
        at = self._address(f"python-{mode}-{cpu}")
        return self._start([sys.executable, str(HERE / "python_server.py"), str(pickle), str(rows), at], mode, cpu), at

    def iceoryx(self, mode: str, service: str, cpu: int | None) -> Server:
        if self._broker is None:
            self._broker = subprocess.Popen(
                ["iox-roudi", "--monitoring-mode", "off", "--log-level", "off"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(1)
        return self._start([str(self._build / "bin" / "bench-shm-iceoryx-server"), mode, service], mode, cpu)


MODES = {"spin": {"SIDECALL_SPIN_US": "1000000"}, "adaptive": {}, "sleep": {"SIDECALL_SPIN_US": "0"}}
