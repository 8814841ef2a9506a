"""Defines an approach: a file of approaches/ that holds a subclass of `Approach`.

Used by run.py, the tests, and every approach.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from host import Host

CLIENTS = ("native", "node", "python")


class Approach:
    """A way to call the model: what serves it, and how clients reach it.

    Class attributes describe it; `start` makes it run.
    """

    name: ClassVar[str]  # in tables, documents and on the command line: rest-json
    title: ClassVar[str]  # for readers: "FastAPI on uvicorn, JSON"
    group: ClassVar[
        str
    ]  # in process, shared memory, network, command, REST, gRPC, queue, Triton, service
    transport: ClassVar[str]  # one of the transports in clients/README.md
    body: ClassVar[str] = "none"
    clients: ClassVar[tuple[str, ...]] = CLIENTS
    workloads: ClassVar[tuple[str, ...]] = ("gbm", "null", "image")
    # the engine that computes: onnxruntime, scikit-learn, generated
    engine: ClassVar[str] = "onnxruntime"
    without: ClassVar[dict[str, str]] = {}  # clients that are left out, with the reason
    crossings: ClassVar[int] = (
        0  # number of times a body is copied into or out of the kernel or another process
    )
    max_rows: ClassVar[int] = 10_000
    warm_up: ClassVar[int] = (
        0  # untimed calls after the first one: a server in Node.js is slow until V8 has compiled it
    )
    has_crowds: ClassVar[bool] = (
        True  # whether measurements with many clients and fixed rates are meaningful
    )
    note: ClassVar[str] = (
        ""  # facts that a reader must know: settings, versions, advice of the peer's documentation
    )
    client_environment: ClassVar[
        dict[str, str]
    ] = {}  # environment of the client processes: a spinning server needs a spinning client

    def start(self, host: Host) -> dict:
        """Starts the servers and waits until they accept calls.

        Returns the value of `at` for the clients, in which `{workload}` stands for the name of a
        workload, and a dict by workload for the value of each. Raises UnavailableError with the
        reason if this machine cannot run the approach.
        """
        raise NotImplementedError

    def body_of(self, kind: str) -> str:
        """The body for workloads of this kind, "tensor" or "record"."""
        return self.body


def at_of(at: dict, workload: str) -> dict:
    """The value that `start` returned, filled in for one workload."""

    def filled(value: object) -> object:
        if isinstance(value, dict):
            return value[workload]
        if isinstance(value, str):
            return value.replace("{workload}", workload)
        return [filled(item) for item in value] if isinstance(value, list) else value

    return {key: filled(value) for key, value in at.items()}


def all_approaches() -> list[Approach]:
    """One instance of each class that the files of approaches/ define, in the order of file and
    definition.
    """
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
    """The approaches whose name or group is among the words; all if there are no words."""
    wanted = list(words)
    chosen = [one for one in approaches if not wanted or one.name in wanted or one.group in wanted]
    known = {name for one in chosen for name in (one.name, one.group)}
    missing = [word for word in wanted if word not in known]
    if missing:
        raise SystemExit(
            "--only: expected a name or group of benchmarks/network/approaches, got "
            f"{', '.join(missing)}"
        )
    return chosen
