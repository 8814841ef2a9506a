"""Worker processes behind one address.

Workers are started as fresh interpreters, replaced when they die, and drained together.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sidecall import _backend, errors

from .options import Options
from .process import CUT, readable
from .service import ModelFile, Service
from .service_manager import VARIABLES, ServiceManager
from .worker import pack

if TYPE_CHECKING:
    from sidecall._protocols import Supervisor as NativeSupervisor

# Seconds. A worker that dies sooner is started again only after a pause, which grows each time.
_MIN_LIFETIME = 2.0
_MAX_KILLED_STARTS = 5  # the start fails if this many workers are killed before one is ready
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
# The longest pause before a worker that was ready is replaced. The next worker dies only if another
# request kills it too, so a short pause is enough to protect the CPU.
_LONGEST_PAUSE_AFTER_READY = 0.25
_GRACE = 2.0  # how many seconds after the drain timeout a worker is killed
_POLL_INTERVAL = 0.05
_HUNG_INTERVAL = 2.0  # how often to look for workers that hang

# The native command starts Python with -P. Its workers must not import from the current folder
# either.
_SAFE_PATH = ["-P"] if sys.flags.safe_path else []


@dataclass
class _Worker:
    number: int
    process: subprocess.Popen[bytes]
    pidfd: int
    started: float
    place: int | None  # from 0 to the number of workers - 1; None for a spare worker
    was_ready: bool = False  # known once it has ended or was killed


class Stopped(Exception):
    """The server was asked to end before a worker was ready."""


class Workers:
    """Starts all workers and waits until the first one is ready.

    Raises sidecall.errors.Error if no worker becomes ready, and Stopped if the descriptor `stop`
    becomes readable before that.
    """

    def __init__(
        self, served: Service | ModelFile, count: int, options: Options, stop: int | None = None
    ) -> None:
        if options.place is None:
            raise errors.InvalidArgument("at: expected an address, which workers need, got None")
        self.options = options
        self._process = os.getpid()
        self._payload = pack(_pickled(served), _of_worker(options))
        self._count = count
        self._running: dict[int, _Worker] = {}  # by number
        # For each dead worker: when to start it again, and its place.
        self._due: list[tuple[float, int]] = []
        self._pauses: dict[int, float] = {}
        self._next = 0
        # The worker that seemed to hang at the last look, and since when; -1 for none.
        self._suspect, self._suspect_since = -1, 0.0
        # The worker that takes over if another one is killed because of a long run. It stays until
        # `_spare_until` although no run is long; another spare may start at `_spare_due`.
        self._spare: _Worker | None = None
        self._spare_until = self._spare_due = 0.0
        self.is_draining = False  # no worker is started any more
        self._supervisor: NativeSupervisor | None = None
        log = None if options.log is None else options.log.native()
        try:
            self._supervisor = _backend.load(None).supervise(options.at, options.native, log)
            for place in range(count):
                self._start(place)
            self._await_first(stop)
        except BaseException:
            self.end(0.0)
            raise

    @property
    def supervisor(self) -> NativeSupervisor:
        if self._supervisor is None:
            raise errors.InvalidArgument("the server is closed")
        return self._supervisor

    def watch(self, wake: int, manager: ServiceManager | None = None) -> None:
        """Replaces workers that die, and keeps `manager` informed, until `wake` is readable."""
        next_look = 0.0
        while True:
            next_due = min((due for due, _ in self._due), default=float("inf"))
            pause = max(0.0, min(_HUNG_INTERVAL, next_look, next_due - time.monotonic()))
            fds = [wake, *(worker.pidfd for worker in self._running.values())]
            ready = readable(fds, pause if manager is None else min(pause, manager.pause()))
            if wake in ready:
                return
            self._replace(ready)
            self._kill_hung()
            next_look = self._end_long_runs()
            if manager is not None:
                manager.keep_alive()

    def end(self, drain: float) -> bool:
        """Hangs up, waits until the workers have drained, and kills those that are left.

        Returns True if no call was cut off. Does nothing in a forked child, because the workers
        belong to the parent.
        """
        if os.getpid() != self._process:
            return True
        if self._supervisor is not None:
            self._supervisor.close()
            self._supervisor = None
        deadline = time.monotonic() + drain + (_GRACE if drain else 0.0)
        all_ended = True
        for worker in self._running.values():
            try:
                if worker.process.wait(max(0.0, deadline - time.monotonic())) == CUT:
                    all_ended = False
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
                all_ended = False
            os.close(worker.pidfd)
        self._running.clear()
        if self._payload >= 0:
            os.close(self._payload)
            self._payload = -1
        return all_ended

    def _start(self, place: int | None) -> _Worker:
        number, self._next = self._next, self._next + 1
        control = self.supervisor.add(number)
        environment = {**os.environ, "SIDECALL_FD": str(control)}
        for name in VARIABLES:
            environment.pop(name, None)
        environment.setdefault("OMP_NUM_THREADS", "1")  # the workers already run in parallel
        try:
            process = subprocess.Popen(
                [sys.executable, *_SAFE_PATH, "-m", "sidecall.serving.worker", str(self._payload)],
                env=environment,
                pass_fds=(control, self._payload),
                stdin=subprocess.DEVNULL,
            )
        finally:
            os.close(control)
        worker = _Worker(number, process, os.pidfd_open(process.pid), time.monotonic(), place)
        self._running[number] = worker
        return worker

    def _start_again(self, place: int | None) -> _Worker | None:
        """Starts a worker as `_start` does.

        If processes or descriptors run out, the worker is started later.
        """
        try:
            return self._start(place)
        except (OSError, errors.OutOfMemory) as error:
            if place is not None:
                self._due.append((time.monotonic() + _LONGEST_PAUSE, place))
            self._log(3, "worker.failed", reason=str(error), restart_in=_LONGEST_PAUSE)
            return None

    def _kill_hung(self) -> None:
        """Kills a worker that answers no new connection. It is then replaced like any other.

        After a pause of the whole machine or container, a worker seems to hang until the supervisor
        has read its messages. So a second look must find the same worker.
        """
        hung, now = self.supervisor.hung, time.monotonic()
        if hung != self._suspect:
            self._suspect, self._suspect_since = hung, now
        if hung < 0 or now - self._suspect_since < 1:
            return
        self._kill(hung, "it answers no connection")

    def _kill(self, number: int, reason: str, **facts: Any) -> None:
        worker = self._running.get(number)
        if worker is not None:
            process = worker.process
            self._log(3, "worker.hung", worker=number, process=process.pid, reason=reason, **facts)
            process.kill()
            worker.was_ready = self.supervisor.was_ready(number)
        self.supervisor.remove(number)  # so that the supervisor can name another one that hangs

    def _end_long_runs(self) -> float:
        """Kills the workers whose runs exceed the limit, and starts a spare worker before that.

        Returns how many seconds later to look again.
        """
        while True:
            number, run_ns, num_late, next_ns = self.supervisor.long_runs()
            if number < 0:
                break
            self._kill(number, "a run exceeds max_run", seconds=round(run_ns / 1e9, 3))
        self._keep_spare(num_late)
        return float("inf") if next_ns < 0 else next_ns / 1e9

    def _keep_spare(self, num_late: int) -> None:
        """Starts a spare worker while runs are late, and ends it when none was for a while."""
        now = time.monotonic()
        if num_late > 0:
            self._spare_until = now + self.options.native["max_run_ns"] / 1e9
            is_free = len(self._running) + len(self._due) <= self._count and now >= self._spare_due
            if self._spare is None and is_free and not self.is_draining:
                self._spare_due = now + _LONGEST_PAUSE
                self._spare = self._start_again(None)
                if self._spare is not None:
                    self._log(2, "worker.spare", worker=self._spare.number, late=num_late)
        elif self._spare is not None and now >= self._spare_until and self._is_idle(self._spare):
            self.supervisor.remove(self._spare.number)  # it drains and ends
            self._spare = None

    def _is_idle(self, worker: _Worker) -> bool:
        """Returns True if no run is under way in a worker. One that was never ready has none.

        A worker that is busy must not be removed: its drain may be shorter than max_run, and
        nothing watches its runs then.
        """
        if not self.supervisor.was_ready(worker.number):
            return True
        try:
            workers = json.loads(self.supervisor.status())["each"]
        except errors.Error:
            return False
        return any(each["worker"] == worker.number and each["in_flight"] == 0 for each in workers)

    def _replace(self, ready: set[int]) -> list[int]:
        """Reaps the workers whose descriptor is readable, and starts the workers that are due.

        Returns the exit statuses of the reaped workers.
        """
        statuses = [
            self._reap(worker) for worker in list(self._running.values()) if worker.pidfd in ready
        ]
        now = time.monotonic()
        if self.is_draining:
            self._due.clear()
        for due, place in [entry for entry in self._due if entry[0] <= now]:
            self._due.remove((due, place))
            self._start_again(place)
        return statuses

    def _reap(self, worker: _Worker) -> int:
        status = worker.process.wait()
        os.close(worker.pidfd)
        del self._running[worker.number]
        worker.was_ready |= self.supervisor.was_ready(worker.number)
        self.supervisor.remove(worker.number)
        facts = {"worker": worker.number, "process": worker.process.pid, "reason": _reason(status)}
        if worker is self._spare:
            self._spare = None
        if worker.place is None or self.is_draining:
            self._log(1 if status == 0 else 2, "worker.ended", **facts)
        elif self._spare is not None:
            self._log(2, "worker.ended", **facts, replaced_by=self._spare.number)
            self._spare.place, self._spare, self._spare_due = worker.place, None, 0.0
        else:
            pause = self._pause(worker)
            self._due.append((time.monotonic() + pause, worker.place))
            self._log(2, "worker.ended", **facts, restart_in=pause)
        return status

    def _pause(self, worker: _Worker) -> float:
        """Returns how many seconds later a dead worker is started again."""
        assert worker.place is not None
        if time.monotonic() - worker.started >= _MIN_LIFETIME:
            self._pauses.pop(worker.place, None)
            return 0.0
        longest = _LONGEST_PAUSE_AFTER_READY if worker.was_ready else _LONGEST_PAUSE
        pause = min(longest, 2 * self._pauses.get(worker.place, _FIRST_PAUSE / 2))
        self._pauses[worker.place] = pause
        return pause

    def _await_first(self, stop: int | None) -> None:
        """Waits until a worker is ready.

        If a worker fails before that, the start fails. A worker that is killed or asked to end is
        started again, because the kernel or an operator may have ended it.
        """
        killed = 0
        while not self.supervisor.listen(int(_POLL_INTERVAL * 1e9)):
            pidfds = [worker.pidfd for worker in self._running.values()]
            ready = readable(pidfds if stop is None else [stop, *pidfds], 0.0)
            if stop in ready:
                raise Stopped
            for status in self._replace(ready):
                if status > 0:
                    raise errors.PeerDied(
                        f"a worker ended before it was ready: {_reason(status)}; its log says why"
                    )
                killed += 1
                if killed == _MAX_KILLED_STARTS:
                    raise errors.PeerDied(
                        f"{killed} workers ended before one was ready, the last by "
                        f"{_reason(status)}"
                    )

    def _log(self, level: int, event: str, **facts: Any) -> None:
        if self.options.log is not None:
            self.options.log.write(level, event, **facts)


def _of_worker(options: Options) -> Options:
    # A worker has no address: its connections come from the supervisor.
    return Options(None, options.verify, options.drain_ns, options.native, options.log)


def _reason(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _pickled(served: Service | ModelFile) -> bytes:
    """Pickles the service, by value if possible, so that workers need not import the main module.

    Raises InvalidArgument.
    """
    try:
        dumps: Any = _by_value() or pickle.dumps
        content: bytes = dumps(served)
        return content
    except Exception as error:
        raise errors.InvalidArgument(
            "workers: expected an object that can be pickled, got one whose pickling raises "
            f"{type(error).__name__}; serve it from a module, as app:object"
        ) from error


def _by_value() -> Any:
    for name in ("cloudpickle", "joblib.externals.cloudpickle"):
        try:
            from importlib import import_module

            return import_module(name).dumps
        except ImportError:
            continue
    return None
