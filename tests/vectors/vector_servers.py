"""Serves models of tests/vectors on this host.

The native command serves each model when it is first needed. Used by tests/python and tests/cli.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parent / "models"
Case = dict[str, Any]


def command_path() -> str:
    """The sidecall command: from the environment, from the build, or next to this Python."""
    named = os.environ.get("SIDECALL_CLI")
    beside_python = Path(sys.executable).parent / "sidecall"
    for candidate in (
        [named] if named else [Path(__file__).parents[2] / "build/bin/sidecall", beside_python]
    ):
        if candidate and os.access(candidate, os.X_OK):
            return str(candidate)
    raise RuntimeError(
        f"no sidecall command: expected SIDECALL_CLI, build/bin/sidecall or {beside_python}"
    )


def command_environment(**changes: str) -> dict[str, str]:
    """An environment in which the command finds ONNX Runtime.

    If the command is that of a build, it loads the libsidecall-net.so of the same build.
    """
    environment = {"SIDECALL_ONNXRUNTIME": engine_path()} | os.environ
    library = Path(command_path()).parents[1] / "lib/libsidecall-net.so"
    if library.is_file():
        environment["SIDECALL_NET"] = str(library)
    return environment | changes


def reason_to_leave_out(case: Case) -> str | None:
    """The reason why a case cannot run on a server; None if it can."""
    how = case.get("open", {})
    if how.get("as") == "bytes":
        return "opened as bytes: a server takes a path"
    if "uri" in how:
        return "opened by a file URI: a served model has the address of its server"
    if "expect_status" in case and not {"inputs", "record", "json"} & set(case):
        return "refused when it is opened: nothing is served"
    return None


def stop_process(process: int) -> None:
    """Sends SIGSTOP and waits until every thread of the process is stopped."""
    os.kill(process, signal.SIGSTOP)
    while any(
        (thread / "stat").read_text().rpartition(")")[2].split()[0] != "T"
        for thread in Path(f"/proc/{process}/task").iterdir()
    ):
        time.sleep(0.001)


class Servers:
    """Addresses by model. Only a few server processes run at a time; `close` ends them.

    With `network`, each server also listens at sockets for HTTP and gRPC. `options` are further
    options of the servers.
    """

    MOST = 8

    def __init__(self, network: bool = False, options: Sequence[str] = ()) -> None:
        self._network, self._options = network, options
        self._folder = Path(tempfile.mkdtemp(prefix="sidecall-"))
        self._served: dict[tuple[str, str], tuple[str, subprocess.Popen[bytes]]] = {}
        self._num_started = 0

    def address(self, model: str, verify: str = "error") -> str:
        """The address of a served model.

        Open it with a `wait`, because the server may still be starting.
        """
        known = self._served.pop((model, verify), None)
        if known is None:
            while len(self._served) >= self.MOST:
                self._end(next(iter(self._served)))
            known = self._start(model, verify)
        self._served[model, verify] = known
        return known[0]

    def network_address(self, protocol: str, model: str, verify: str = "error") -> str:
        """The address of a served model over "http" or "grpc"."""
        socket = self.address(model, verify).removeprefix("shm:") + f".{protocol}"
        return f"{protocol}+unix:{socket}/model"

    def address_over(self, route: str, model: str) -> str:
        """The address of a served model over "shm", "http" or "grpc"."""
        return self.address(model) if route == "shm" else self.network_address(route, model)

    def restart(self, model: str, number: int, verify: str = "error") -> None:
        """Ends a server by a signal and starts another one at the same address."""
        address, process = self._served[model, verify]
        process.send_signal(number)
        process.wait(30)
        self._served[model, verify] = self._start(model, verify, address)

    def signal(self, model: str, number: int, verify: str = "error") -> None:
        self._served[model, verify][1].send_signal(number)

    def stop(self, model: str, verify: str = "error") -> None:
        stop_process(self._served[model, verify][1].pid)

    def close(self) -> None:
        for key in list(self._served):
            self._end(key)
        shutil.rmtree(self._folder)

    def _start(
        self, model: str, verify: str, address: str = ""
    ) -> tuple[str, subprocess.Popen[bytes]]:
        self._num_started += 1
        address = address or f"shm:{self._folder}/{self._num_started}.sock"
        environment = command_environment(SIDECALL_VERIFY=verify)
        words = [command_path(), "serve", str(MODELS / model), "--at", address, *self._options]
        if self._network:
            path = address.removeprefix("shm:")
            words += ["--http", f"{path}.http", "--grpc", f"{path}.grpc", "--name", "model"]
        with (self._folder / "log").open("ab") as log:
            return address, subprocess.Popen(
                words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _end(self, key: tuple[str, str]) -> None:
        _, process = self._served.pop(key)
        process.terminate()
        process.wait(30)


def engine_path() -> str:
    spec = find_spec("onnxruntime")
    files = (
        sorted(Path(spec.submodule_search_locations[0]).glob("capi/libonnxruntime.so*"))
        if spec and spec.submodule_search_locations
        else []
    )
    return str(files[0]) if files else ""
