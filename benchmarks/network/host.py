"""The processes, ports and folders of an approach on this machine; they are always cleaned up.

Used by run.py and approaches/.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

HERE = Path(__file__).resolve().parent
READY_S = 90


class UnavailableError(Exception):
    """An approach cannot run on this machine; the text gives the reason."""


@dataclass
class Host:
    """The resources of one visit, in which an approach is started, measured and ended.

    `close` ends all processes that `start` started, and their children.
    """

    build: Path  # CMake's build folder: bin/sidecall, bin/bench-network-*, and peers/
    folder: Path  # the folder of this visit: sockets, logs, configuration
    workloads: Path  # holds one folder per workload, by name
    onnxruntime: Path  # the library that sidecall's programs open
    processes: list[subprocess.Popen] = field(default_factory=list)

    @property
    def python(self) -> str:
        return sys.executable

    @property
    def sidecall(self) -> str:
        return str(self.build / "bin" / "sidecall")

    @property
    def servers(self) -> Path:
        return HERE / "servers"

    @property
    def peers(self) -> Path:
        """The folder into which `make bench` installs peers outside of the virtual environment."""
        return self.build / "peers"

    @property
    def network_library(self) -> Path:
        """The library that sidecall's servers and clients load for HTTP and gRPC."""
        return self.build / "lib" / "libsidecall-net.so"

    def workload_names(self) -> list[str]:
        return sorted(folder.name for folder in self.workloads.iterdir())

    def environment(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        """The environment of servers: one thread per library, and a path to the shared server
        modules.
        """
        given = {
            name: value
            for name, value in os.environ.items()
            if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
        }
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        named = {
            "SIDECALL_ONNXRUNTIME": str(self.onnxruntime),
            "SIDECALL_NET": str(self.network_library),
            "ORT_DISABLE_TELEMETRY": "1",
            "BENCH_WORKLOADS": str(self.workloads),
        }
        modules = {"PYTHONPATH": os.pathsep.join([str(self.servers), str(self.peers / "python")])}
        return given | threads | named | modules | (extra or {})

    def start(
        self, command: list[str], environment: dict[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen:
        """Starts a process in its own group; its output goes to a log of the visit."""
        log = self.folder / f"{len(self.processes)}-{Path(command[0]).name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=self.environment(environment),
                cwd=cwd or self.folder,
                start_new_session=True,
            )
        process.log = log  # type: ignore[attr-defined]
        self.processes.append(process)
        return process

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Waits until `ready` returns true.

        Raises RuntimeError with the end of the logs if a process fails, or after READY_S seconds.
        """
        deadline = time.monotonic() + READY_S
        while not ready():
            ended = [process for process in self.processes if process.poll() not in (None, 0)]
            if ended or time.monotonic() > deadline:
                said = "\n".join(
                    process.log.read_text(errors="replace")[-2000:]
                    for process in ended or self.processes
                )  # type: ignore[attr-defined]
                raise RuntimeError(f"{what} is not ready: {said}")
            time.sleep(0.005)

    def wait_for_word(self, process: subprocess.Popen, what: str) -> None:
        """Waits until a worker that does not listen on a port prints "ready"."""
        log: Path = process.log  # type: ignore[attr-defined]
        self.wait_until(lambda: b"ready" in log.read_bytes(), what)

    def wait_for_port(self, port: int, what: str) -> None:
        self.wait_until(lambda: _connects(socket.AF_INET, ("127.0.0.1", port)), what)

    def wait_for_url(self, url: str, what: str) -> None:
        self.wait_until(lambda: _answers(url), what)

    def wait_for_socket(self, path: Path, what: str) -> None:
        self.wait_until(lambda: _connects(socket.AF_UNIX, str(path)), what)

    def wait_for_file(self, path: Path, what: str) -> None:
        """Waits until a server has created its socket, without connecting to it.

        Use this for a server that is ready as soon as its socket appears. A connection that only
        tests whether the server is ready would appear in the counters of the server.
        """
        self.wait_until(path.exists, what)

    def run(self, command: list[str], environment: dict[str, str] | None = None) -> str:
        """Runs a command that ends by itself. Raises RuntimeError with its output if it fails."""
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=self.environment(environment),
            cwd=self.folder,
            timeout=READY_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"{Path(command[0]).name} ended with exit code {done.returncode}: "
                f"{(done.stderr or done.stdout)[-2000:]}"
            )
        return done.stdout

    def cost(self) -> tuple[float, float]:
        """CPU seconds and MiB (proportional set size) of all servers and their children so far."""
        return cost_of([process.pid for process in self.processes])

    def close(self) -> None:
        for process in reversed(self.processes):
            _end(process)
        self.processes.clear()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def cost_of(pids: list[int]) -> tuple[float, float]:
    seconds = mib = 0.0
    for pid in pids:
        try:
            root = psutil.Process(pid)
            family = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for one in family:
            try:
                times = one.cpu_times()
                seconds += times.user + times.system
                mib += one.memory_full_info().pss / 2**20
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
    return seconds, mib


def _connects(kind: socket.AddressFamily, address: object) -> bool:
    with socket.socket(kind) as one:
        return one.connect_ex(address) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def _end(process: subprocess.Popen) -> None:
    """Sends SIGTERM to the process group, then SIGKILL to the rest of it.

    The group belongs to this process alone (start_new_session).
    """
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline and _is_alive(process):
            time.sleep(0.01)
    process.wait(timeout=10)


def _is_alive(process: subprocess.Popen) -> bool:
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def visit(**fields: object) -> Iterator[Host]:
    host = Host(**fields)  # type: ignore[arg-type]
    try:
        yield host
    finally:
        host.close()
