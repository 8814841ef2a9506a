"""A client process of one language that speaks the protocol of clients/README.md. Used by run.py
and the tests.
"""

import contextlib
import json
import os
import selectors
import shutil
import subprocess
import sys
from pathlib import Path

from host import Host, cost_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATIENCE_S = 120


class ClientError(RuntimeError):
    """A client refused a request, did not answer in time, or ended."""


def command_of(client: str, build: Path) -> list[str]:
    """The command that starts the client. Raises ClientError if its program does not exist."""
    if client == "native":
        program = build / "bin" / "bench-network-client"
        if not program.exists():
            raise ClientError(f"{program.name} was not built: make bench installs what it needs")
        return [str(program)]
    if client == "node":
        node = shutil.which("node")
        if node is None:
            raise ClientError("node is not installed")
        return [node, "--expose-gc", str(HERE / "clients/node/client.js")]
    return [sys.executable, str(HERE / "clients/python/client.py")]


def environment_of(build: Path) -> dict[str, str]:
    """The environment in which the Node client finds packages from other folders."""
    return {
        "BENCH_NODE_MODULES": str(build / "peers/node/node_modules"),
        "NODE_PATH": str(build / "peers/node/node_modules"),
        "BENCH_SIDECALL": str(ROOT / "bindings/node"),
        "BENCH_ONNXRUNTIME_NODE": str(build / "node-peers/node_modules/onnxruntime-node"),
        "BENCH_PEERS": str(build / "peers"),
    }


class ClientProcess:
    """A running client; it ends with `close` or at the end of the `with` block."""

    def __init__(self, client: str, host: Host, extra: dict[str, str]):
        self.client = client
        environment = host.environment(environment_of(host.build) | extra)
        self._log = (host.folder / f"client-{client}.log").open("w+")
        self._process = subprocess.Popen(
            command_of(client, host.build),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
            cwd=host.folder,
        )
        os.set_blocking(self._process.stdout.fileno(), False)
        self._unread = b""

    def __enter__(self) -> "ClientProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ask(self, **request: object) -> dict:
        """Sends a request and returns the answer. Raises ClientError if it is an error or does not
        arrive.
        """
        words = json.dumps(request)
        try:
            self._process.stdin.write(words.encode() + b"\n")
            self._process.stdin.flush()
            answer = json.loads(self._read_line())
        except (BrokenPipeError, EOFError, TimeoutError, ValueError) as error:
            raise ClientError(
                f"client {self.client}, {request.get('do')}: {error or type(error).__name__}; its last output: {self._said()}"
            ) from error
        if answer.get("error") and "calls" not in answer:
            raise ClientError(f"client {self.client}, {request.get('do')}: {answer['error']}")
        return answer

    def memory_mib(self) -> float:
        return cost_of([self._process.pid])[1]

    def close(self) -> None:
        if not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
        self._process.stdout.close()
        self._log.close()

    def _read_line(self) -> bytes:
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(PATIENCE_S):
                    raise TimeoutError(f"no answer within {PATIENCE_S} s")
                got = os.read(self._process.stdout.fileno(), 1 << 16)
                if not got:
                    raise EOFError("the process ended")
                self._unread += got
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _said(self) -> str:
        self._log.flush()
        self._log.seek(0)
        return self._log.read()[-1500:]
