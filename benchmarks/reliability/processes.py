"""The processes of benchmarks/reliability: servers, a flood of connections, and a newcomer."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SAMPLE_INTERVAL = 0.01
LONG_NODES = 1000


def write_models(folder: Path, build: Path) -> None:
    """Writes two models that answer with their input and one that takes long, and links the command
    into the folder.
    """
    import onnx
    from onnx import TensorProto, helper

    for name, kind, shape in (
        ("echo.onnx", TensorProto.FLOAT, ["N", 1024]),
        ("texts.onnx", TensorProto.STRING, ["N"]),
    ):
        graph = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])],
            "echo",
            [helper.make_tensor_value_info("x", kind, shape)],
            [helper.make_tensor_value_info("y", kind, shape)],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, folder / name)
    names = ["x", *(f"x{i}" for i in range(1, LONG_NODES)), "y"]
    graph = helper.make_graph(
        [helper.make_node("Sin", [a], [b]) for a, b in itertools.pairwise(names)],
        "long",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "long.onnx")
    (folder / "sidecall").symlink_to(build.resolve() / "bin/sidecall")


def environment() -> dict[str, str]:
    """The environment in which the command finds the ONNX Runtime of this Python."""
    import onnxruntime

    library = sorted(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*"))[-1]
    return os.environ | {"SIDECALL_ONNXRUNTIME": str(library)}


class Server:
    """A server with its workers, and the memory that they take.

    The command serves model files natively. With `--workers` the Python package serves.
    """

    def __init__(self, folder: Path, model: str, options: tuple[str, ...]):
        is_python = "--workers" in options
        command = (
            [sys.executable, "-P", "-m", "sidecall.serving", "serve"]
            if is_python
            else [folder / "sidecall", "serve"]
        )
        socket = folder / "server.sock"
        self.address = f"shm:{socket}"
        self._process = subprocess.Popen(
            [*command, folder / model, "--at", self.address, *options],
            stderr=(folder / "server.log").open("w"),
            env=environment(),
        )
        until = time.monotonic() + 60
        while not socket.exists():
            if self._process.poll() is not None or time.monotonic() > until:
                said = (folder / "server.log").read_text()
                raise RuntimeError(f"sidecall serve {model}: expected a server, got none\n{said}")
            time.sleep(0.01)
        time.sleep(1)  # all workers are ready
        self._idle_shared = shared_kib()
        self._peak = 0.0
        self._is_over = threading.Event()
        self._sampler = threading.Thread(target=self._sample)
        self._sampler.start()

    def _sample(self) -> None:
        while not self._is_over.wait(SAMPLE_INTERVAL):
            self._peak = max(self._peak, self.memory_mib())

    def memory_mib(self) -> float:
        """Anonymous memory of all processes, and shared memory since the start of the server.

        Shared memory is that of the whole machine, so files that wait in a socket count too.
        """
        anonymous = sum(map(anonymous_kib, family(self._process.pid)))
        return (anonymous + shared_kib() - self._idle_shared) / 1024

    def peak_mib(self) -> float:
        return self._peak

    def freeze(self) -> None:
        """Stops the process, as a debugger or a machine without free memory would.

        Returns when all threads of the process have stopped.
        """
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._sampler.join()
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


def family(pid: int) -> Iterator[int]:
    """A process and all its descendants."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))


def anonymous_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def shared_kib() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Shmem:"))


class Flood:
    """Two processes of one user that connect again and again.

    `rate`: connections a second of both processes together; 0 for no limit.
    """

    def __init__(self, address: str, user: int, rate: int):
        words = [sys.executable, HERE / "flood.py", address, str(user), str(rate // 2)]
        self._processes = [
            subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        for process in self._processes:
            process.stdout.readline()

    def __enter__(self) -> "Flood":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


class Newcomer:
    """A process of another user that opens the model several times."""

    def __init__(self, address: str, user: int):
        self._words = [sys.executable, HERE / "newcomer.py", address, str(user)]

    def open_times_us(self, opens: int) -> np.ndarray:
        done = subprocess.run(
            [*self._words, str(opens)], stdout=subprocess.PIPE, text=True, check=True, timeout=600
        )
        return np.array([float(line) for line in done.stdout.split()])
