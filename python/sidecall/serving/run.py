"""`sidecall.serve`: makes a running server from a Python object or a path."""

from __future__ import annotations

import json
import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from sidecall import errors
from sidecall._model import ENGINE, VERIFY, choice

from .network import Frontends, Network, is_network, with_options
from .options import Options, log_of, native_options
from .process import CLOSE_NS, GRACE_NS, Signals, cut_off, ended_by, open_servers, readable
from .service import ModelFile, Service
from .service_manager import ServiceManager
from .targets import resolve, service_of
from .workers import Stopped, Workers

if TYPE_CHECKING:
    from sidecall._protocols import Server as NativeServer

_MIB = 1 << 20
_LONGEST = 1e9  # seconds, which fit into nanoseconds

Verify = Literal["error", "warn", "off"]
LogForm = Literal["text", "json"]


def serve(
    target: Any,
    at: str | None = None,
    *,
    http: str | Sequence[str] = (),
    grpc: str | Sequence[str] = (),
    workers: int | None = None,
    threads: int = 1,
    data: Any = None,
    contract: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    name: str | None = None,
    version: str = "",
    metadata: Mapping[str, Any] | None = None,
    verify: Verify = "error",
    engine: Literal["auto", "native", "onnxruntime"] = "auto",
    golden: Literal["synthetic", "real", "none"] = "synthetic",
    ranges: bool = True,
    dtype: str | Mapping[str, str] | None = None,
    feature_names: Sequence[str] | None = None,
    trust_pickle: bool = False,
    copy: Literal["auto", "always"] = "auto",
    allow_uids: Sequence[int] = (),
    group: int | str | None = None,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    tls_client_ca: str | os.PathLike[str] | None = None,
    tokens: str | os.PathLike[str] | None = None,
    insecure: bool = False,
    allow_hosts: Sequence[str] = (),
    max_connections: int = 1024,
    max_connections_per_user: int = 512,
    max_call_bytes: int = 256 * _MIB,
    max_memory_bytes: int = 4096 * _MIB,
    max_memory_per_user_bytes: int | None = None,
    timeout: float = 30.0,
    max_run: float | None = None,
    unready_after: float = 5.0,
    drain_timeout: float = 10.0,
    log: LogForm | None = "text",
    log_level: str = "info",
    block: bool = True,
) -> Any:
    """Lets programs in any language call an object: `sidecall.open("shm:NAME")`.

    target         a fitted estimator or pipeline; a function over records or arrays;
                   "module:object"; the path of an .onnx file (served without Python) or, with
                   trust_pickle, of a .joblib or .pkl file
    at             "shm:NAME" or "shm:///path", for programs of this host; None without `http` and
                   `grpc` uses the control socket that a parent process passes (`exec:`)
    http, grpc     "HOST:PORT" or the "/path" of a socket, or several of them: programs of other
                   hosts open "http://HOST:PORT/NAME" or "grpc://HOST:PORT/NAME". A native server
                   stands in front of the object; it needs libsidecall-net.so (sidecall[net])
    workers        how many processes serve, each with a copy of the object; a worker that dies is
                   replaced. None serves in this process
    threads        how many threads of each process run the object; more than one helps if the
                   object releases the GIL
    data           rows as the object takes them. The contract of an estimator is made from them, as
                   at export. For a function without type hints, they show its inputs and outputs
    contract       the contract itself, or the path of a .contract.json, instead of data
    inputs,        for a function over arrays: its tensors by name, {"X": "float32[N,30]"}; the
    outputs        function is called with copies in this order and returns an array, a tuple or a
                   dict
    verify         what happens if the golden rows give answers other than the expected ones:
                   "error", "warn" or "off"; SIDECALL_VERIFY overrides this option
    engine         which engine runs an .onnx file, as for `sidecall.open`
    golden, ranges, dtype, feature_names, metadata, name, version   as for `sidecall.export`
    copy           "always" also copies the inputs of a model file; Python objects always get copies
    allow_uids,    users and a group that are admitted in addition to this user and root
    group
    tls_cert,      paths of PEM files for TLS over HTTP and gRPC: the certificate, its key, and the
    tls_key,       authorities of which clients need a certificate
    tls_client_ca
    tokens         path of a file with one token in each line, of which clients over HTTP and gRPC
                   need one
    insecure       True lets anyone call who reaches an address of `http` or `grpc` beyond this host
    allow_hosts    further names under which clients reach this server over HTTP; "*" for any
    max_connections   for the whole server; max_connections_per_user is a limit of each worker.
                   Over HTTP and gRPC both hold for each address, and the second one for the clients
                   with one IP address
    max_memory_bytes   the most memory, in bytes, that the server and its workers hold for all
                   clients together; each address of `http` and `grpc` has the same limit for itself
    max_memory_per_user_bytes   the same limit for the clients of one user; None is half of
                   max_memory_bytes if allow_uids or group admit other users, and all of it
                   otherwise
    timeout        the deadline of calls that have none, in seconds
    max_run        how many seconds a run may take in a worker, whatever its deadline is. Then the
                   worker is killed and replaced, and the call ends with Timeout. None is `timeout`
                   with `workers`; 0 is no limit. Needs `workers`
    unready_after  the server is not ready if calls wait and no worker has been idle or has ended a
                   run for this many seconds
    drain_timeout  how many seconds calls in progress get to finish when the server stops
    log            lines on stderr, as "text" or "json"; None for no log
    block          True serves until SIGTERM or SIGINT, then drains and returns; a second signal
                   ends the process. True also reports to systemd (Type=notify) if systemd started
                   the process. False returns a `Server`

    A function over records needs type hints (one TypedDict or dataclass, a list of them, or a
    parameter for each feature) or `data`. The defaults of the parameters or fields replace missing
    values. If the function raises an exception, the caller gets Engine with the type and the
    message of the exception; the traceback only goes to the log. Errors of `sidecall.errors` go to
    the caller unchanged.

    Raises Busy (a running server has the address), Denied (also for an address beyond this host
    without tokens, tls_client_ca or insecure), Unsupported (libsidecall-net.so is missing),
    InvalidArgument, ContractInvalid, VerificationFailed, PeerDied (no worker started); and the
    errors of `sidecall.export` for data and models that no contract can describe.

    >>> import sidecall
    >>> def double(amount: float) -> float:
    ...     return 2 * amount
    >>> with serve(double, "shm:double", block=False, log=None) as server:
    ...     sidecall.open("shm:double").predict({"amount": 21})
    {'prediction': 42.0}
    """
    verify_mode = choice("verify", VERIFY, verify)
    engine_number = choice("engine", ENGINE, engine)
    if workers is not None and workers < 1:
        raise errors.InvalidArgument(f"workers: expected 1 or more, or None, got {workers}")
    for option, seconds in (
        ("drain_timeout", drain_timeout),
        ("timeout", timeout),
        ("unready_after", unready_after),
    ):
        if not 0 < seconds <= _LONGEST:
            raise errors.InvalidArgument(
                f"{option}: expected more than 0 and at most {_LONGEST:.0f} seconds, got {seconds}"
            )
    if max_run is not None and not 0 <= max_run <= _LONGEST:
        raise errors.InvalidArgument(
            f"max_run: expected 0 to {_LONGEST:.0f} seconds, or None, got {max_run}"
        )
    if max_run and workers is None:
        raise errors.InvalidArgument(
            f"max_run: expected workers that can be replaced, got {max_run} without workers: add "
            "workers=1 or more (--workers), or leave max_run out"
        )
    if max_run is None:
        max_run = 0.0 if workers is None else timeout
    drain_ns = int(drain_timeout * 1e9)
    native = native_options(
        threads=threads,
        copy=copy,
        allow_uids=allow_uids,
        group=group,
        max_connections=max_connections,
        max_connections_per_user=max_connections_per_user,
        max_call_bytes=max_call_bytes,
        max_memory_bytes=max_memory_bytes,
        max_memory_per_user_bytes=max_memory_per_user_bytes or 0,
        drain_ns=drain_ns,
        timeout=timeout,
        max_run=max_run,
        unready_after=unready_after,
    )
    network = Network(
        _several(http),
        _several(grpc),
        _path(tls_cert),
        _path(tls_key),
        _path(tls_client_ca),
        _path(tokens),
        insecure,
        allow_hosts,
    ).addresses()
    if is_network(at):
        at, network = None, [str(at), *network]
    options = Options(at, verify_mode, drain_ns, native, log_of(log, log_level), network)
    found, found_name = resolve(target, trust_pickle=trust_pickle)
    served: Service | ModelFile
    if isinstance(found, ModelFile):
        served = found
        served.engine = engine_number
    elif engine != "auto":
        raise errors.InvalidArgument(
            f"engine: expected 'auto' for a target that is not an .onnx file, got {engine!r}"
        )
    else:
        served = service_of(
            found,
            data=data,
            contract=contract,
            inputs=inputs,
            outputs=outputs,
            name=name if name is not None else found_name or "",
            version=version,
            metadata=metadata,
            golden=golden,
            ranges=ranges,
            dtype=dtype,
            feature_names=feature_names,
        )
    options.network = [
        with_options(address, _about(served, name, found_name)) for address in network
    ]
    if not block:
        return Server(served, workers, options)
    # A supervisor needs more time: it kills a worker that hangs only after the worker's own grace
    # period.
    after_ns = drain_ns + (GRACE_NS if workers is None else 2 * GRACE_NS)
    with Signals() as signals, ended_by(signals.fd, after_ns):
        try:
            server = Server(served, workers, options, stop=signals.fd)
        except Stopped:
            if options.log is not None:
                options.log.write(1, "serve.ended")
                options.log.flush()
            return None
        server._until(signals.fd, ServiceManager(at, options.places()))
    return None


def _several(places: str | Sequence[str]) -> Sequence[str]:
    return [places] if isinstance(places, str) else list(places)


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _about(
    served: Service | ModelFile, name: str | None, found: str | None
) -> list[tuple[str, str | None]]:
    """What clients over HTTP and gRPC are told, as options of an address."""
    if isinstance(served, ModelFile):
        return [("name", name), ("repeatable", "yes")]
    # A contract has the name already. Without one, a function has the name that Python gives it.
    if name is None and found is not None and found.isidentifier():
        name = found
    return [
        ("name", name if served.contract is None else None),
        ("repeatable", "yes" if served.is_repeatable else None),
    ]


def status(at: str, *, wait: float = 0.0) -> dict[str, Any]:
    """Returns the counters of a server in another process, summed over its workers.

    docs/serving.md names the counters.

    wait  seconds to wait for a server that is still starting

    Raises Unreachable, Denied, Timeout, Protocol.
    """
    from sidecall import _backend

    answer: dict[str, Any] = json.loads(_backend.load(None).query(at, int(wait * 1e9)))
    return answer


class Server:
    """A running server, from `serve(..., block=False)`. A `with` block closes it at its end."""

    def __init__(
        self,
        served: Service | ModelFile,
        workers: int | None,
        options: Options,
        *,
        stop: int | None = None,
    ) -> None:
        self._options = options
        self._process = os.getpid()
        self._native: NativeServer | None = None
        self._workers: Workers | None = None
        self._frontends = Frontends()
        self._watcher: threading.Thread | None = None
        self._wake: tuple[int, int] | None = None
        # The finalizers close the server if the program ends without closing it, because no call
        # may arrive while the interpreter shuts down.
        if workers is None:
            self._native, self._frontends = open_servers(served, options)
            weakref.finalize(self, self._native.close)
        else:
            self._workers = Workers(served, workers, options, stop)
            weakref.finalize(self, self._workers.end, 0.0)
            self._open_frontends(self._workers)
        weakref.finalize(self, self._frontends.close)  # runs before the others
        places = options.places()
        self._log(
            "serve.ready",
            at=places if options.network else options.at or "SIDECALL_FD",
            workers=workers,
            process=os.getpid(),
        )

    def _open_frontends(self, workers: Workers) -> None:
        options = self._options
        log = None if options.log is None else options.log.native()
        try:
            self._frontends.open(
                lambda at: workers.supervisor.open_frontend(at, options.native, log),
                options.network,
            )
        except BaseException:
            workers.end(0.0)
            raise

    @property
    def at(self) -> str | None:
        """The address of the server over shared memory, or else its first one."""
        return self._options.place

    def status(self) -> dict[str, Any]:
        """Returns the counters, summed over all workers; docs/serving.md names them.

        Raises InvalidArgument after `close`.
        """
        source = self._opened() if self._workers is None else self._workers.supervisor
        answer: dict[str, Any] = json.loads(source.status())
        if self._frontends.servers:
            answer.setdefault("network", []).extend(self._frontends.status())
        return answer

    def watch(self) -> None:
        """Starts a thread that replaces workers that die. Does nothing without workers."""
        if self._workers is None or self._watcher is not None:
            return
        self._wake = os.pipe2(os.O_CLOEXEC)
        self._watcher = threading.Thread(
            target=self._workers.watch, args=(self._wake[0],), name="sidecall-workers", daemon=True
        )
        self._watcher.start()

    def drain(self, timeout: float | None = None) -> bool:
        """Accepts no more calls, answers the accepted ones, and ends the server.

        timeout  seconds; by default the drain_timeout of `serve`

        Returns False if calls were still running after that time.
        """
        seconds = self._options.drain_ns / 1e9 if timeout is None else timeout
        deadline = time.monotonic() + seconds
        if self._workers is None:
            # All addresses at the same time. A server of a function also waits for those in front
            # of it, whose requests it runs.
            self._frontends.begin_drain()
            is_done = self._opened().drain(int(seconds * 1e9))
            return self._frontends.drain(max(0.0, deadline - time.monotonic())) and is_done
        # Requests over HTTP and gRPC drain first, because they need the workers. A run that exceeds
        # its limit meanwhile is ended, but no worker is started any more.
        self._workers.is_draining = True
        if self._frontends.servers:
            self.watch()
        is_done = self._frontends.drain(seconds)
        self._stop_watching()
        left = max(0.0, deadline - time.monotonic())
        self._frontends.close()
        return self._workers.end(left) and is_done

    def close(self) -> None:
        """Ends the server without draining it. May be called twice.

        Calls that run in this process are asked to stop, and `close` waits for them. Worker
        processes are killed.
        """
        self._stop_watching()
        self._frontends.close()
        if self._workers is not None:
            self._workers.end(0.0)
        if self._native is not None:
            native, self._native = self._native, None
            native.close()
        self._flush()

    def __enter__(self) -> Server:
        self.watch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _until(self, wake: int, manager: ServiceManager) -> None:
        """Serves until `wake` is readable or a parent process hangs up, then drains."""
        with ExitStack() as stack:
            manager.ready()
            is_signal = True
            if self._workers is not None:
                self._workers.watch(wake, manager)
            else:
                ended = self._opened().fd
                stack.enter_context(ended_by(ended, CLOSE_NS))
                while not (ready := readable([wake, ended], manager.pause())):
                    manager.keep_alive()
                is_signal = wake in ready
            manager.stopping()
            if is_signal:
                self._log("serve.draining")
            # After a hang-up, the library has already drained.
            if not self.drain(None if is_signal else 0.0):
                cut_off(self._options.log)
            self.close()
            self._log("serve.ended")
            self._flush()

    def _stop_watching(self) -> None:
        if self._watcher is None or self._wake is None or os.getpid() != self._process:
            return
        os.write(self._wake[1], b"\0")
        self._watcher.join()
        self._watcher = None
        for fd in self._wake:
            os.close(fd)

    def _opened(self) -> NativeServer:
        if self._native is None:
            raise errors.InvalidArgument("the server is closed")
        return self._native

    def _flush(self) -> None:
        if self._options.log is not None:
            self._options.log.flush()

    def _log(self, event: str, level: int = 1, **facts: Any) -> None:
        if self._options.log is not None:
            self._options.log.write(level, event, **facts)
