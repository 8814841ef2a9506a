"""The events of the soak: what happens to the servers and clients of one group. Used by soak.py.

Each group has a thread that makes its events happen one after the other, in rounds. A round has
every event of the group, in a random order.
"""

import math
import random
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from soak_call import DEADLINE
from soak_fleet import START_SECONDS, Client, Group, Server, is_running, signal_all
from soak_models import OTHER_SIGNATURE, SAME_SIGNATURE

WAIT_SECONDS = 10.0  # longer than a server takes to start
CLOCK_SECONDS = 1.5  # a process reads its clock's file once a second
WARM_LINES = 50  # by then a client in Python or Node.js has loaded its modules
NO_ROOM = 4  # the exit code of the command if the machine failed


class Disturber(threading.Thread):
    def __init__(self, group: Group, seed: str, pause: float, over: threading.Event):
        super().__init__(name=group.name, daemon=True)
        self._group, self._history, self._pause, self._over = group, group.history, pause, over
        self._random = random.Random(f"{seed} {group.name}")
        self.has_had_all = False

    def run(self) -> None:
        try:
            while True:
                events = self._events()
                self._random.shuffle(events)
                for event in events:
                    if self._over.wait(self._random.uniform(0, 2 * self._pause)):
                        return
                    self._replace_the_dead()
                    event()
                self.has_had_all = True
        except Exception as error:
            self.has_had_all = True
            self._history.add_defect(f"the events stopped: {type(error).__name__}: {error}")
            raise

    def _replace_the_dead(self) -> None:
        """Starts clients again that have ended by themselves, which is a defect."""
        for client in self._group.clients:
            code = client.process.poll()
            if code is not None:
                self._history.add_defect(f"{client.name}: ended too early, with exit code {code}")
                client.end()
                self._start(client)

    def start_all(self) -> None:
        """Starts the server and the clients."""
        if self._group.server is None:
            self._group.choose(self._model())
        else:
            self._group.server.start(self._model())
            self._group.server.wait_until_ready()
        for client in self._group.clients:
            self._start(client)

    def _start(self, client: Client) -> None:
        client.start(self._random.choice((0, WAIT_SECONDS)))

    def _model(self) -> int:
        return self._random.choice(SAME_SIGNATURE)

    def _seconds(self) -> float:
        """How long a state lasts: mostly shorter than the deadlines of calls, sometimes longer."""
        longest = DEADLINE + 1 if self._random.random() < 0.25 else 1.5
        return self._random.uniform(0.2, longest)

    def _sleep(self) -> None:
        self._over.wait(self._seconds())

    def _events(self) -> list[Callable[[], None]]:
        client = [self._stop_client, self._exhaust_client, self._set_clock_of_client]
        server = [
            self._stop_server,
            self._exhaust_server,
            self._set_clock_of_server,
            self._fill_disk,
        ]
        if self._group.is_calm:
            return [*client, *server]
        deaths = [self._kill_server, self._drain_server, self._change_model, self._change_signature]
        more = [self._kill_client, self._kill_client, self._kill_command]
        if self._group.kind == "workers":
            more.append(self._kill_worker)
        if self._group.server is not None:
            more.append(self._restart_on_full_disk)
        return [*client, *server, *deaths, *more]

    def _client(self) -> Client:
        return self._random.choice(self._group.clients)

    def _victim(self) -> tuple[list[int], list[str], Path]:
        """Chooses a server. Returns its processes, the clients that it serves, and its clock."""
        server = self._group.server
        if server is not None:
            return server.pids(), self._group.client_names(), server.clock
        clients = self._random.sample(self._group.clients, len(self._group.clients))
        client = next((each for each in clients if each.servers()), clients[0])
        return client.servers(), [client.name], client.clock

    # Events that end a server.

    def _kill_server(self) -> None:
        self._restart(signal.SIGKILL, None)

    def _drain_server(self) -> None:
        self._restart(signal.SIGTERM, None)

    def _change_model(self) -> None:
        self._history.counts["other model"] += 1
        self._restart(self._ending(), self._model())

    def _change_signature(self) -> None:
        self._history.counts["other signature"] += 1
        self._restart(self._ending(), OTHER_SIGNATURE)
        self._sleep()
        self._restart(self._ending(), self._model())

    def _ending(self) -> int:
        return self._random.choice((signal.SIGKILL, signal.SIGTERM))

    def _restart(self, number: int, model: int | None) -> None:
        """Ends the server by a signal, and starts the next one, with the same model if `model` is
        None."""
        kind = "server killed" if number == signal.SIGKILL else "server drained"
        server = self._group.server
        if server is None:
            self._restart_children(kind, number, model)
            return
        deaths = server.num_threads if number == signal.SIGKILL else 0
        with self._history.event(kind, self._group.client_names(), deaths):
            self._end(server, number)
            server.start(server.model if model is None else model)
            server.wait_until_ready()

    def _end(self, server: Server, number: int) -> None:
        if number == signal.SIGTERM:
            server.drain()
        else:
            server.end(number)

    def _restart_children(self, kind: str, number: int, model: int | None) -> None:
        """The same for exec:, for all clients if the model changes, and otherwise for one."""
        earlier = None if model is None else self._group.choose(model)
        children: list[int] = []
        events = []
        for client in self._group.clients if earlier else [self._client()]:
            of_client = client.servers()
            deaths = len(of_client) if number == signal.SIGKILL else 0
            if of_client:
                events.append(self._history.begin(kind, [client.name], deaths))
                signal_all(of_client, number)
                children += of_client
        until = time.monotonic() + START_SECONDS
        while any(map(is_running, children)):
            if time.monotonic() > until:
                raise TimeoutError("a server of exec: does not end")
            time.sleep(0.005)
        now = time.monotonic()
        for event in events:
            event.ended_by_ok_after = now
        if earlier:
            earlier.end = now
        while any(event.end == math.inf for event in events) and not self._over.wait(0.05):
            pass

    def _kill_worker(self) -> None:
        server = self._group.server
        before = server.pids()
        with self._history.event("worker killed", self._group.client_names(), deaths=1):
            signal_all([self._random.choice(before[1:])], signal.SIGKILL)
            until = time.monotonic() + START_SECONDS
            while len(server.pids()) < len(before) or server.pids() == before:
                if time.monotonic() > until:
                    raise TimeoutError("the supervisor does not replace a worker")
                time.sleep(0.01)

    # Events that a server survives.

    def _stop_server(self) -> None:
        pids, clients, _ = self._victim()
        with self._history.event("server stopped", clients), stopped(pids):
            self._sleep()

    def _exhaust_server(self) -> None:
        pids, clients, _ = self._victim()
        has_parent = self._group.kind in ("workers", "exec")
        kind = "descriptors of a worker" if has_parent else "descriptors of the server"
        with self._history.event(kind, clients), exhausted(pids):
            self._sleep()

    def _set_clock_of_server(self) -> None:
        _, clients, clock = self._victim()
        with self._history.event("clock of the server", clients):
            self._set_clock(clock)

    def _fill_disk(self) -> None:
        with (
            self._history.event("disk full", self._group.client_names()),
            full(self._group.folder),
        ):
            self._sleep()

    def _restart_on_full_disk(self) -> None:
        """Ends the server, and checks that the next one cannot start while the disk is full."""
        server, number = self._group.server, self._ending()
        kind = "disk full, restart refused"
        deaths = server.num_threads if number == signal.SIGKILL else 0
        with self._history.event(kind, self._group.client_names(), deaths):
            self._end(server, number)
            with full(self._group.folder):
                server.start(server.model)
                code = server.wait_for_end()
                if code != NO_ROOM:
                    self._history.add_defect(f"on a full disk a server ended with {code}")
            server.start(server.model)
            server.wait_until_ready()

    # Events of clients.

    def _stop_client(self) -> None:
        client = self._client()
        with self._history.event("client stopped", [client.name]), stopped(client.pids()):
            self._sleep()
        client.last_line = time.monotonic()

    def _exhaust_client(self) -> None:
        client = self._client()
        while client.num_lines < WARM_LINES:
            if self._over.wait(0.05):
                return
        with (
            self._history.event("descriptors of the client", [client.name]),
            exhausted(client.pids()),
        ):
            self._sleep()

    def _set_clock_of_client(self) -> None:
        client = self._client()
        with self._history.event("clock of the client", [client.name]):
            self._set_clock(client.clock)

    def _set_clock(self, clock: Path) -> None:
        hours = self._random.choice((-1, 1)) * self._random.randint(1, 48)
        set_clock(clock, hours)
        self._over.wait(CLOCK_SECONDS)

    def _kill_client(self) -> None:
        client = self._client()
        with self._history.event("client killed", [client.name]):
            client.kill()
            self._start(client)

    def _kill_command(self) -> None:
        client = self._group.clients[-1]
        event = self._history.begin("command killed", [client.name])
        signal_all(client.pids(), signal.SIGKILL)
        # The client may notice the death only when it makes its next call.
        event.ended_by_ok_after = time.monotonic()
        while event.end == math.inf and not self._over.wait(0.05):
            pass


def set_clock(clock: Path, hours: int) -> None:
    new = clock.with_suffix(".new")
    new.write_text(f"{hours:+d}h\n")
    new.rename(clock)


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    signal_all(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_all(pids, signal.SIGCONT)


@contextmanager
def exhausted(pids: list[int]) -> Iterator[None]:
    """While the body runs, the processes cannot get further descriptors."""
    limits = {}
    for pid in pids:
        with suppress(ProcessLookupError, FileNotFoundError):
            limits[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
            free = next(number for number in range(len(used) + 1) if number not in used)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, limits[pid][1]))
    try:
        yield
    finally:
        for pid, limit in limits.items():
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """While the body runs, the folder's file system has no room for more bytes or files."""
    (folder / "log").write_bytes(b"")
    files: list[Path] = []
    try:
        with suppress(OSError), (folder / "fill").open("wb", buffering=0) as file:
            files.append(folder / "fill")
            while True:
                file.write(bytes(4096))
        with suppress(OSError):
            while True:
                files.append(folder / f"fill-{len(files)}")
                files[-1].touch()
        yield
    finally:
        for file in files:
            file.unlink(missing_ok=True)
