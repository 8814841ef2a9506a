"""The end of a server with several addresses: all drain at once, and no child keeps an address."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import sidecall
from own_server import OBJECTS, OwnServer, Start, wait_until
from sidecall import errors

pytestmark = pytest.mark.usefixtures("network_library")

OBJECT, PATH = "serving_parts:misbehave", "/v2/models/misbehave"


class Run:
    """A run in a thread of its own, over HTTP or with our client."""

    def __init__(self, own: OwnServer, uri: str | None, how: str) -> None:
        self.answer: Any = None
        self._own, self._uri, self._how = own, uri, how
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        if self._uri is None:
            self.answer = self._own.post(f"{PATH}/predict", {"how": self._how})[0]
            return
        try:
            with sidecall.open(self._uri) as model:
                self.answer = model.predict({"how": self._how})["prediction"]
        except errors.Error as error:
            self.answer = type(error)

    def wait(self) -> Any:
        self._thread.join(60)
        return self.answer


def is_open(own: OwnServer, protocol: str) -> bool:
    try:
        own.connect(protocol).close()
    except ConnectionRefusedError:
        return False
    return True


def begin(own: OwnServer, uri: str | None, folder: Path) -> tuple[Run, Path]:
    """A run that lasts until the file exists."""
    folder.mkdir()
    run = Run(own, uri, f"await {folder} {folder}/end")
    wait_until(lambda: any(folder.iterdir()))
    return run, folder / "end"


def test_an_address_drains_while_a_run_hangs_at_another(start: Start, tmp_path: Path) -> None:
    own = start(OBJECT, "--threads", "3", "--drain-timeout", "6")
    hanging, _ = begin(own, own.uri("grpc", "misbehave"), tmp_path / "hanging")
    running, end = begin(own, None, tmp_path / "running")
    own.process.send_signal(signal.SIGTERM)
    wait_until(lambda: bool(own.events("serve.draining")))
    for protocol in ("http", "grpc"):
        wait_until(lambda protocol=protocol: not is_open(own, protocol), 3)
    assert own.process.poll() is None  # both wait for their runs
    end.touch()
    assert running.wait() == 200
    assert own.process.wait(20) == 4, own.log()
    assert hanging.wait() in (errors.PeerDied, errors.Unreachable)


def test_shared_memory_drains_while_a_run_hangs_at_another_address(
    start: Start, tmp_path: Path
) -> None:
    at = f"shm:{tmp_path}/m.sock"
    own = start(
        OBJECT, "--threads", "3", "--drain-timeout", "6", "--at", at, "--http", "127.0.0.1:0"
    )
    hanging, _ = begin(own, None, tmp_path / "hanging")
    with sidecall.open(at) as idle:
        assert idle.predict({"how": "fine"})["prediction"] == own.process.pid
        running, end = begin(own, at, tmp_path / "running")
        own.process.send_signal(signal.SIGTERM)

        def is_refused() -> bool:
            try:
                idle.predict({"how": "fine"})
            except errors.Unreachable:
                return True
            return False

        wait_until(is_refused, 3)
    assert own.process.poll() is None
    end.touch()
    assert running.wait() == own.process.pid
    assert own.process.wait(20) == 4, own.log()
    hanging.wait()


@pytest.mark.parametrize("served", ["penguins.onnx", OBJECT, f"{OBJECT} --workers 1"])
def test_sighup_ends_neither_a_server_nor_its_workers(start: Start, served: str) -> None:
    model, *options = served.split()
    own = start(model, *options)
    children = Path(f"/proc/{own.process.pid}/task/{own.process.pid}/children").read_text().split()
    assert len(children) == (1 if options else 0)
    for process in (own.process.pid, *map(int, children)):
        os.kill(process, signal.SIGHUP)
    assert own.is_alive()
    if model == OBJECT:
        assert own.post(f"{PATH}/predict", {"how": "fine"})[0] == 200
    assert len(own.events("worker.ended")) == 0
    assert own.end() == 0


@pytest.mark.parametrize("where", ["port", "socket"])
def test_a_forked_child_of_the_object_does_not_keep_the_address(
    start: Start, where: str, tmp_path: Path
) -> None:
    at = "127.0.0.1:0" if where == "port" else f"{tmp_path}/http"
    own = start(OBJECT, "--http", at)
    uri = own.uri("http", "misbehave") if where == "port" else f"http+unix:{at}/misbehave"
    with sidecall.open(uri) as model:
        child = int(model.predict({"how": "fork"})["prediction"])
        try:
            own.end(signal.SIGKILL)
            if where == "port":
                port = own.port()
                with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
                    probe.connect(("127.0.0.1", port))
                start(OBJECT, "--http", f"127.0.0.1:{port}")
            else:
                start(OBJECT, "--http", at)
            with sidecall.open(uri) as again:
                assert again.predict({"how": "fine"})["prediction"] not in (child, own.process.pid)
        finally:
            os.kill(child, signal.SIGKILL)


FORKS = """
import os, sidecall
from serving_parts import double

with sidecall.serve(double, http="127.0.0.1:0", block=False, log=None):
    if (child := os.fork()) == 0:
        with sidecall.serve(double, {at!r}, http="127.0.0.1:0", block=False, log=None):
            print(len(sidecall.serving.status({at!r})["network"]), flush=True)
        os._exit(0)
    print(os.waitpid(child, 0)[1])
"""


def test_a_forked_child_tells_only_the_status_of_its_own_servers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKS.format(at=f"shm:{tmp_path}/child.sock")],
        env=os.environ | {"PYTHONPATH": str(OBJECTS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("1\n0\n", "")
