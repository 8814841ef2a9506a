"""One process that serves: opens the native server and waits for its end.

The process serves a Service or a ModelFile. Used by `serve` itself and by workers.
"""

from __future__ import annotations

import json
import os
import select
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from sidecall import _backend

from .network import Frontends
from .options import Log, Options
from .service import ModelFile, Service

if TYPE_CHECKING:
    from sidecall._protocols import Server as NativeServer


CUT = 4  # the exit status if calls were cut off
GRACE_NS = 2_000_000_000  # how long after the drain timeout a process that hangs is ended
CLOSE_NS = 5_000_000_000  # how long closing a server that has ended may take


def open_servers(served: Service | ModelFile, options: Options) -> tuple[NativeServer, Frontends]:
    """Opens the server that runs the object, and those for HTTP and gRPC.

    The golden rows are verified before an address appears.

    Raises sidecall.errors.Error.
    """
    backend = _backend.load(None)
    log = None if options.log is None else options.log.native()
    frontends = Frontends()
    # Without an address of its own, the first server runs the object behind its address for HTTP or
    # gRPC.
    at, others = options.at, options.network
    if at is None and others:
        at, others = others[0], others[1:]
    if isinstance(served, ModelFile):
        from sidecall._library import onnxruntime_package

        source = os.fsencode(served.path)
        model = backend.open(
            source,
            True,
            options.verify,
            0,
            -1,
            served.onnxruntime,
            onnxruntime_package(),
            engine=served.engine,
        )
        server = backend.serve_model(at, model, options.native, log)
        frontends.open(lambda each: backend.serve_model(each, model, options.native, log), others)
        return server, frontends
    report = _Report(options.log)
    server = backend.serve_function(
        at,
        served.signature,
        served.contract,
        served.function,
        report,
        options.verify,
        options.native,
        log,
    )
    frontends.open(lambda each: server.open_frontend(each, options.native, log), others)
    return server, frontends


class _Report:
    """Writes the traceback of a failed object to the log; the caller does not get it."""

    def __init__(self, log: Log | None) -> None:
        self.log = log

    def __call__(self, error: BaseException) -> None:
        if self.log is not None:
            text = "".join(traceback.format_exception(error))
            facts = json.dumps(
                {"type": type(error).__name__, "traceback": text},
                ensure_ascii=False,
                separators=(",", ":"),
            )
            # The rate of these lines is limited for each user, because clients can provoke them.
            _backend.load(None).log_event(3, "object.failed", facts)


class Signals:
    """Makes `fd` readable on the first SIGTERM or SIGINT.

    The next such signal has its default effect: it ends the process. SIGHUP is ignored, as in the
    native server. Only the main thread may use this class.
    """

    def __init__(self, ignored: tuple[signal.Signals, ...] = ()) -> None:
        self._ignored = (*ignored, signal.SIGHUP)

    def __enter__(self) -> Signals:
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._before = {
            number: signal.signal(number, signal.SIG_IGN if number in self._ignored else self._note)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        }
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._read)
        os.close(self._write)

    @property
    def fd(self) -> int:
        """A descriptor that becomes readable when a signal arrives."""
        return self._read

    def _note(self, number: int, frame: FrameType | None) -> None:
        for each in self._before:
            if each not in self._ignored:
                signal.signal(each, signal.SIG_DFL)


@contextmanager
def ended_by(fd: int, after_ns: int, status: int = CUT) -> Iterator[None]:
    """Ends the process with `status` if the block still runs `after_ns` after `fd` is readable.

    This is necessary because an object may never return, and may never release the GIL.
    """
    watchdog = _backend.load(None).Watchdog(fd, after_ns, status)
    try:
        yield
    finally:
        watchdog.close()


def cut_off(log: Log | None) -> NoReturn:
    """Ends the process immediately. Closing the server would wait for the calls that still run."""
    if log is not None:
        log.write(2, "serve.cut", reason="calls were still running at the drain timeout")
        log.flush()
    os._exit(CUT)


def readable(fds: list[int], timeout: float = float("inf")) -> set[int]:
    """Returns the descriptors that are readable or hung up. Waits for at most `timeout` seconds."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    ready: list[Any] = poll.poll(None if timeout == float("inf") else timeout * 1000)
    return {fd for fd, _ in ready}
