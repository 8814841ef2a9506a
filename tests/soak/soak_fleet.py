"""The processes of the soak: servers, clients, and what they share. Used by soak.py."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/interop"))

import wire
from soak_judge import History, Outcome, Serving

HERE = Path(__file__).resolve().parent
LANGUAGES = ("c", "node", "python", "command")
KINDS = ("native", "python", "workers", "exec")
WORKERS = 2
START_SECONDS = 60.0  # generous: the machine may be busy
SILENCE_SECONDS = 60.0  # a client writes more often than this, except while it is stopped
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


class Site:
    """Where the soak finds its programs and keeps its files."""

    def __init__(self, build: Path, folder: Path):
        self.bin, self.folder = build / "bin", folder
        self.models = folder / "models"
        self._preload = f"{build}/lib/libsidecall-soak-clock.so:{FAKETIME[0]}"

    def environment(self, clock: Path, contract: Path) -> dict[str, str]:
        """The environment of a process whose wall clock differs from ours as the file `clock` says.

        Its monotonic clock and the times of files are real: a step of the wall clock does not move
        them.
        """
        return os.environ | {
            "LD_PRELOAD": self._preload,
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
            "NO_FAKE_STAT": "1",
            "SOAK_CONTRACT": str(contract),
        }


class Server:
    """A server at an address of its own, in a folder that is a small file system of its own."""

    def __init__(self, kind: str, site: Site, history: History, folder: Path):
        self.kind, self._site, self._history, self.folder = kind, site, history, folder
        self.uri = f"shm:{folder}/server.sock"
        self.clock = site.folder / "clocks" / f"{history.name}.server"
        self.num_threads = WORKERS if kind == "workers" else 1

    def _words(self, model: int) -> list[str]:
        at = ["--at", self.uri, "--log-level", "debug"]
        if self.kind == "native":
            command = str(self._site.bin / "sidecall")
            return [command, "serve", f"{self._site.models}/{model}.onnx", *at]
        serve = [sys.executable, "-P", "-m", "sidecall.serving", "serve", "soak_app:over_records"]
        workers = ["--workers", str(WORKERS)] if self.kind == "workers" else []
        return [*serve, "--contract", f"{self._site.models}/{model}.json", *workers, *at]

    def start(self, model: int) -> None:
        self.model = model
        self._serving = self._history.serve(model)
        contract = self._site.models / f"{model}.json"
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._words(model),
                env=self._site.environment(self.clock, contract),
                cwd=HERE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self) -> None:
        until = time.monotonic() + START_SECONDS
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"expected a server, got none: {self.said()}")
            time.sleep(0.005)

    def _listens(self) -> bool:
        try:
            wire.dial(self.uri).close()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def pids(self) -> list[int]:
        return family(self.process.pid)

    def end(self, number: int) -> int:
        """Sends a signal that ends the server, and returns its exit code."""
        self.process.send_signal(number)
        return self.wait_for_end()

    def wait_for_end(self) -> int:
        code = self.process.wait(START_SECONDS)
        self._serving.end = time.monotonic()
        return code

    def drain(self) -> None:
        code = self.end(signal.SIGTERM)
        if code != 0:
            self._history.add_defect(f"the server drained with exit code {code}: {self.said()}")

    def said(self) -> str:
        return (self.folder / "log").read_text()[-2000:]


class Client:
    """A client, which is started again each time it is killed."""

    _num_started = 0
    _lock = threading.Lock()

    def __init__(
        self, language: str, uri: str, site: Site, history: History, contract: Path, logs: Path
    ):
        self.language, self._uri, self._site, self._history = language, uri, site, history
        self.log = logs / f"{language}.log"
        self.name = f"{history.name} {language}"
        self.clock = site.folder / "clocks" / self.name
        self._contract = contract
        self.counts: Counter = Counter()
        self.last_line = math.inf  # when the client last wrote a line
        self.num_lines = 0  # since it was started

    def _words(self, wait: float) -> list[str]:
        with Client._lock:
            Client._num_started += 1
            number = Client._num_started
        command = str(self._site.bin / "sidecall")
        program = {
            "c": [str(self._site.bin / "sidecall-soak-client")],
            "node": ["node", str(HERE / "soak_client.js")],
            "python": [sys.executable, str(HERE / "soak_client.py")],
            "command": [sys.executable, str(HERE / "soak_command.py"), command],
        }[self.language]
        return [*program, self._uri, str(number * 1_000_000), str(number), str(wait)]

    def start(self, wait: float) -> None:
        self.last_line, self.num_lines = time.monotonic(), 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._words(wait),
                env=self._site.environment(self.clock, self._contract),
                cwd=HERE,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._reader = threading.Thread(target=self._read, args=(self.process, wait), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen, wait: float) -> None:
        numbers: set[int] = set()
        num_calls = -1
        for line in process.stdout:
            if not line.endswith(b"\n"):
                break  # the client was killed while it wrote
            self.last_line = time.monotonic()
            self.num_lines += 1
            values = json.loads(line)
            if values[0] == "end":
                num_calls = values[1]
                continue
            call = Outcome(*values)
            if call.outcome.startswith("EXIT"):
                call = call._replace(message="".join(self.log.read_text().splitlines()[-1:]))
            if call.number in numbers:
                self._history.add_defect(f"{self.name}: call {call.number} has two outcomes")
            numbers.add(call.number)
            self.counts[call.outcome] += 1
            self._history.judge(self.name, wait, call)
        if num_calls not in (-1, len(numbers)):
            self._history.add_defect(
                f"{self.name}: {num_calls} calls, but {len(numbers)} outcomes at its end"
            )

    def pids(self) -> list[int]:
        """The process that calls the model: the command, or the client itself."""
        children = family(self.process.pid)
        return children[1:2] if self.language == "command" else children[:1]

    def servers(self) -> list[int]:
        """The servers that the client has started (exec:)."""
        return [pid for pid in family(self.process.pid) if _is_server(pid)]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._finish()

    def end(self) -> None:
        """Closes stdin, and waits until the client ends."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            code = self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self._history.add_defect(f"{self.name}: does not end when its stdin ends")
            self.process.kill()
            code = self.process.wait()
        if code != 0:
            self._history.add_defect(
                f"{self.name}: exit code {code}: {self.log.read_text()[-2000:]}"
            )
        self._finish()

    def _finish(self) -> None:
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()


def family(pid: int) -> list[int]:
    """A process and all its descendants, each before its own children."""
    found = [pid]
    with suppress(FileNotFoundError, ProcessLookupError):  # the process has just ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found


def _is_server(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"serve" in words or any(word.endswith(b"soak_app.py") for word in words)


def is_running(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def signal_all(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


class Group:
    """A server of one kind and a client of each language.

    If the group is calm, none of its processes is ever killed, and their memory is watched. Over
    exec: each client has a server of its own, as its child process: a native server for C++ and the
    command, and a server in Python for Python and Node.js.
    """

    def __init__(self, kind: str, is_calm: bool, site: Site):
        self.kind, self.is_calm = kind, is_calm
        self.name = f"{kind} {'calm' if is_calm else 'chaos'}"
        self.folder = site.folder / "servers" / self.name.replace(" ", "-")
        self.history = History(self.name, is_exec=kind == "exec")
        self.server = None if kind == "exec" else Server(kind, site, self.history, self.folder)
        # Two links, this path with .onnx and with .json, lead to the model that exec: serves.
        self._site, self._current = site, site.models / self.folder.name
        self._serving: Serving | None = None
        contract = self._current.with_suffix(".json")
        # The servers of exec: write to the log of their client.
        logs = self.folder if kind == "exec" else site.folder / "logs" / self.folder.name
        self.clients = [
            Client(language, self._uri(language, site), site, self.history, contract, logs)
            for language in LANGUAGES
        ]

    def _uri(self, language: str, site: Site) -> str:
        if self.server is not None:
            return self.server.uri
        if language in ("c", "command"):
            model = self._current.with_suffix(".onnx")
            return f"exec:'{site.bin}/sidecall' serve '{model}' --log-level debug"
        return f"exec:'{sys.executable}' '{HERE}/soak_app.py'"

    def choose(self, model: int) -> Serving | None:
        """Makes the servers of exec: that start from now on use another model.

        Returns the record of the earlier model. The caller sets its end when the servers that still
        have this model have ended.
        """
        earlier, self._serving = self._serving, self.history.serve(model)
        for suffix in (".onnx", ".json"):
            link = self._current.with_suffix(".new")
            link.symlink_to(f"{model}{suffix}")
            link.rename(self._current.with_suffix(suffix))
        return earlier

    def client_names(self) -> list[str]:
        return [client.name for client in self.clients]

    def subjects(self) -> Iterator[tuple[str, list[int]]]:
        """The processes whose memory is watched."""
        for client in self.clients:
            yield f"client in {client.language}, {self.kind}", client.pids()
            if self.server is None:
                yield f"server of {client.language}, {self.kind}", client.servers()[:1]
        if self.server is not None:
            yield f"server, {self.kind}", self.server.pids()
