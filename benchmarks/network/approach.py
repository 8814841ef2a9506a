"""What an approach is: one file of approaches/, which holds a subclass of `Approach`. Used by run.py, the tests, and every approach."""

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from host import Host

CLIENTS = ("native", "node", "python")


class Approach:
    """A way to call the model: what serves it, and how clients reach it. Class attributes describe it; `start` makes it run."""

    name: ClassVar[str]  # in tables, documents and on the command line: rest-json
    title: ClassVar[str]  # for people: "FastAPI on uvicorn, JSON"
    group: ClassVar[str]  # in process, shared memory, command, REST, gRPC, queue, Triton, service
    transport: ClassVar[str]  # clients/README.md
    body: ClassVar[str] = "none"
    clients: ClassVar[tuple[str, ...]] = CLIENTS
    workloads: ClassVar[tuple[str, ...]] = ("gbm", "null", "image")
    engine: ClassVar[str] = "onnxruntime"  # what computes: onnxruntime, scikit-learn, generated
    without: ClassVar[dict[str, str]] = {}  # a client that is left out and why
    crossings: ClassVar[int] = (
        0  # how often a body is copied into or out of a kernel or another process on its way
    )
    max_rows: ClassVar[int] = 10_000
    warm_up: ClassVar[int] = (
        0  # calls after the first that are not measured: a server in Node.js is slow until V8 has compiled it
    )
    has_crowds: ClassVar[bool] = (
        True  # whether many clients at once and fixed rates say something about it
    )
    note: ClassVar[str] = (
        ""  # what a reader must know: settings, versions, the peer's advice that was followed
    )
    client_environment: ClassVar[
        dict[str, str]
    ] = {}  # of the client processes: a spinning server wants a client that spins too

    def start(self, host: Host) -> dict:
        """Starts what serves, ready for calls; returns what clients find in `at`, where `{workload}` stands for a workload's name.
        Raises UnavailableError with the reason where this machine cannot."""
        raise NotImplementedError

    def body_of(self, kind: str) -> str:
        """The body for workloads of this kind, "tensor" or "record"."""
        return self.body


def at_of(at: dict, workload: str) -> dict:
    """What `start` returned, for one workload."""

    def filled(value: object) -> object:
        if isinstance(value, str):
            return value.replace("{workload}", workload)
        return [filled(item) for item in value] if isinstance(value, list) else value

    return {key: filled(value) for key, value in at.items()}


def all_approaches() -> list[Approach]:
    """One of each class that the files of approaches/ define, in the order of file and definition."""
    found = []
    for module in sorted(
        info.name for info in pkgutil.iter_modules([str(Path(__file__).parent / "approaches")])
    ):
        loaded = importlib.import_module(f"approaches.{module}")
        for value in vars(loaded).values():
            if (
                isinstance(value, type)
                and issubclass(value, Approach)
                and value.__module__ == loaded.__name__
                and "name" in vars(value)
            ):
                found.append(value())
    return found


def named(approaches: Iterable[Approach], words: Iterable[str]) -> list[Approach]:
    """Those whose name or group is among the words; all where there is no word."""
    wanted = list(words)
    chosen = [one for one in approaches if not wanted or one.name in wanted or one.group in wanted]
    known = {name for one in chosen for name in (one.name, one.group)}
    missing = [word for word in wanted if word not in known]
    if missing:
        raise SystemExit(
            f"approach: expected a name or group of benchmarks/network/approaches, got {', '.join(missing)}"
        )
    return chosen
