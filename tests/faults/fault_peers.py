"""Processes of the fault tests: servers and clients that use a library with fault points.

Their output is read line by line. Used by test_*.py in this folder.
"""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
FAULTS = BUILD / "faults"
HERE = Path(__file__).resolve().parent

# `make faults` runs every combination and ten thousand kills; `make test` runs each step once per
# language.
IS_LONG = os.environ.get("SIDECALL_LONG") == "1"

CLIENTS = {
    "c": [str(FAULTS / "client")],
    "python": [sys.executable, str(HERE / "fault_client.py")],
    "node": ["node", str(HERE / "fault_client.js")],
    "node-sync": ["node", str(HERE / "fault_client.js")],
}


def fault_points(side: str) -> list[str]:
    """Every fault point in the source of the channel, so that none can be added without a test."""
    found = {
        name
        for path in sorted((ROOT / "shm").rglob("*.cpp"))
        for name in re.findall(r'fault_point\("([^"]+)"\)', path.read_text())
    }
    return sorted(name for name in found if name.startswith(side + "."))


class Peer:
    """A process whose stdout is collected. It is killed at the end of its with block."""

    def __init__(self, command: list[str], fault: str | None = None, **environment: str):
        env = {
            key: value for key, value in os.environ.items() if not key.startswith("SIDECALL_")
        } | environment
        env |= {
            "LD_LIBRARY_PATH": str(FAULTS),
            "SIDECALL_NODE_ADDON": str(FAULTS / "sidecall.node"),
        }
        if fault:
            env["SIDECALL_FAULT"] = fault
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self._lines.put(line.strip())
        self._lines.put("")

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=10)
        self._reader.join(timeout=10)
        self.process.stdin.close()
        self.process.stdout.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def line(self, timeout: float = 30) -> str:
        """The next line, or "" at the end of the output.

        Raises queue.Empty after the timeout: the process then hangs.
        """
        return self._lines.get(timeout=timeout)

    def lines(self, timeout: float = 60) -> list[str]:
        """All lines until the end of the output."""
        deadline = time.monotonic() + timeout
        found = []
        while line := self.line(deadline - time.monotonic()):
            found.append(line)
        self.process.wait(timeout=10)
        return found

    def signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)

    def is_stopped(self) -> bool:
        state = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        return state == "T"

    def resources(self) -> tuple[int, int]:
        """The numbers of open descriptors and of memfd mappings."""
        maps = Path(f"/proc/{self.pid}/maps").read_text()
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir()), maps.count("/memfd:")

    def settled_resources(self) -> tuple[int, int]:
        """resources() once they no longer change.

        The mappings and descriptors of a connection are released one after the other.
        """
        found = [self.resources()]
        while len(found) < 20 or len(set(found[-20:])) > 1:
            time.sleep(0.005)
            found.append(self.resources())
        return found[-1]

    def resident_kib(self) -> int:
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Rss:"))


def start_server(
    address: str, fault: str | None = None, microseconds: int = 0, **environment: str
) -> Peer:
    return Peer([str(FAULTS / "server"), address, str(microseconds)], fault, **environment)


def start_client(
    language: str,
    address: str,
    calls: int,
    timeout_ms: int = 500,
    fault: str | None = None,
    **environment: str,
) -> Peer:
    return Peer(
        [*CLIENTS[language], address, str(calls), str(timeout_ms), *language.split("-")[1:]],
        fault,
        **environment,
    )


def outcomes(lines: list[str]) -> list[str]:
    """The outcome of each call, in order; one line per call, and none may be missing."""
    numbered = [line.split() for line in lines if line.split()[0].isdigit()]
    assert [int(number) for number, _ in numbered] == list(range(len(numbered)))
    return [outcome for _, outcome in numbered]


def wait_until(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.005)
