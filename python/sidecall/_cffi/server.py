"""Servers of the cffi backend: the functions of server.h, the same as in `_native`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from sidecall import errors
from sidecall._cffi.header import NULL, CallError, encoded, ffi, lib, new_struct, new_view, text_of
from sidecall._cffi.values import Refused, Spec, array_of, spec_of, view_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sidecall._cffi import Model

    LogLines = tuple[int, bool, int] | None

_ENGINE = errors.Engine.status
_current = threading.local()


def serve_model(at: str | None, model: Model, options: dict[str, Any], log: LogLines) -> Server:
    native = _Options(options, log)
    error, server = CallError(), ffi.new("sidecall_server **")
    error.check(
        lib.sidecall_server_open(_text(at), model.handle, native.struct, server, error.struct)
    )
    return Server(server[0], native)


def serve_function(
    at: str | None,
    signature: str | None,
    contract: str | None,
    function: Callable[..., Any],
    on_error: Callable[[BaseException], None],
    verify: int,
    options: dict[str, Any],
    log: LogLines,
) -> Server:
    native, served = _Options(options, log), _Served(function, on_error)
    service = new_struct("sidecall_service")
    texts = [_text(signature), _text(contract)]
    service.signature, service.contract = texts
    service.signature_length, service.contract_length = (
        0 if text == NULL else len(text) - 1 for text in texts
    )
    service.handler, service.context = served.callback, NULL
    error, server = CallError(), ffi.new("sidecall_server **")
    error.check(
        lib.sidecall_server_open_service(
            _text(at), service, verify, native.struct, server, error.struct
        )
    )
    return Server(server[0], native, served)


def supervise(at: str | None, options: dict[str, Any], log: LogLines) -> Supervisor:
    native = _Options(options, log)
    error, supervisor = CallError(), ffi.new("sidecall_supervisor **")
    error.check(lib.sidecall_supervisor_open(_text(at), native.struct, supervisor, error.struct))
    return Supervisor(supervisor[0], native)


def query(at: str, wait_ns: int) -> str:
    error, text = CallError(), ffi.new("sidecall_text **")
    error.check(lib.sidecall_server_query(_text(at), wait_ns, text, error.struct))
    return _take_text(text[0])


def remaining() -> float | None:
    request = getattr(_current, "request", None)
    left = -1 if request is None else lib.sidecall_request_remaining(request)
    return None if left < 0 else left / 1e9


def log_line(fd: int, as_json: bool, level: int, json: str) -> None:
    lines = new_struct("sidecall_log_lines")
    lines.fd, lines.as_json, lines.least_level = fd, as_json, 0
    lib.sidecall_log_line(lines, level, encoded(json))


def log_event(level: int, event: str, facts: str) -> None:
    request = getattr(_current, "request", None)
    if request is not None:
        lib.sidecall_request_log(request, level, encoded(event), encoded(facts))


def log_flush(timeout_ns: int) -> None:
    lib.sidecall_log_flush(timeout_ns)


class Watchdog:
    """Ends the process if the process does not end by itself in time."""

    def __init__(self, fd: int, after_ns: int, exit_code: int) -> None:
        error, watchdog = CallError(), ffi.new("sidecall_watchdog **")
        error.check(lib.sidecall_watchdog_open(fd, after_ns, exit_code, watchdog, error.struct))
        self._handle = watchdog[0]

    def close(self) -> None:
        handle, self._handle = self._handle, NULL
        lib.sidecall_watchdog_close(handle)

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self.close()


class Server:
    """A running server of this process."""

    def __init__(self, handle: Any, *keep: Any) -> None:
        self._handle, self._keep_alive = handle, keep

    def status(self) -> str:
        error, text = CallError(), ffi.new("sidecall_text **")
        error.check(lib.sidecall_server_status(self._opened(), text, error.struct))
        return _take_text(text[0])

    @property
    def fd(self) -> int:
        fd: int = lib.sidecall_server_fd(self._opened())
        return fd

    def drain(self, timeout_ns: int) -> bool:
        error = CallError()
        return _in_time(error, lib.sidecall_server_drain(self._opened(), timeout_ns, error.struct))

    def open_frontend(self, at: str, options: dict[str, Any], log: LogLines) -> Server:
        return _open_frontend(lib.sidecall_server_open_frontend, self._opened(), at, options, log)

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.sidecall_server_close(handle)

    def __del__(self) -> None:
        self.close()

    def _opened(self) -> Any:
        if self._handle is None:
            raise errors.InvalidArgument("the server is closed")
        return self._handle


class Supervisor:
    """Accepts connections at one address for several worker processes."""

    def __init__(self, handle: Any, *keep: Any) -> None:
        self._handle, self._keep_alive = handle, keep

    def add(self, worker: int) -> int:
        error, fd = CallError(), ffi.new("int32_t *")
        error.check(lib.sidecall_supervisor_add(self._opened(), worker, fd, error.struct))
        number: int = fd[0]
        return number

    def remove(self, worker: int) -> None:
        lib.sidecall_supervisor_remove(self._opened(), worker)

    @property
    def num_ready(self) -> int:
        number: int = lib.sidecall_supervisor_num_ready(self._opened())
        return number

    @property
    def hung(self) -> int:
        number: int = lib.sidecall_supervisor_hung(self._opened())
        return number

    def long_runs(self) -> tuple[int, int, int, int]:
        run_ns, num_late, next_ns = ffi.new("int64_t *"), ffi.new("int32_t *"), ffi.new("int64_t *")
        worker = lib.sidecall_supervisor_long_runs(self._opened(), run_ns, num_late, next_ns)
        return worker, run_ns[0], num_late[0], next_ns[0]

    def was_ready(self, worker: int) -> bool:
        return bool(lib.sidecall_supervisor_was_ready(self._opened(), worker))

    def listen(self, wait_ns: int) -> bool:
        error = CallError()
        return _in_time(
            error, lib.sidecall_supervisor_listen(self._opened(), wait_ns, error.struct)
        )

    def open_frontend(self, at: str, options: dict[str, Any], log: LogLines) -> Server:
        return _open_frontend(
            lib.sidecall_supervisor_open_frontend, self._opened(), at, options, log
        )

    def status(self) -> str:
        error, text = CallError(), ffi.new("sidecall_text **")
        error.check(lib.sidecall_supervisor_status(self._opened(), text, error.struct))
        return _take_text(text[0])

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.sidecall_supervisor_close(handle)

    def __del__(self) -> None:
        self.close()

    def _opened(self) -> Any:
        if self._handle is None:
            raise errors.InvalidArgument("the supervisor is closed")
        return self._handle


def _open_frontend(
    open_function: Any, backend: Any, at: str, options: dict[str, Any], log: LogLines
) -> Server:
    native = _Options(options, log)
    error, server = CallError(), ffi.new("sidecall_server **")
    error.check(open_function(backend, _text(at), native.struct, server, error.struct))
    return Server(server[0], native)


class _Options:
    """A sidecall_server_options and the memory that it points to."""

    def __init__(self, values: dict[str, Any], log: LogLines) -> None:
        self.struct = new_struct("sidecall_server_options")
        uids: Iterable[int] = values.get("allow_uids", ())
        self._uids = ffi.new("uint32_t[]", list(uids))
        for name, value in values.items():
            if name != "allow_uids":
                setattr(self.struct, name, value)
        self.struct.allow_uids, self.struct.num_allow_uids = self._uids, len(self._uids)
        if log is not None:
            fd, as_json, level = log
            self._lines = new_struct("sidecall_log_lines")
            self._lines.fd, self._lines.as_json, self._lines.least_level = fd, as_json, level
            self.struct.log = self._lines


class _Served:
    """A Python function as a sidecall_handler."""

    def __init__(
        self, function: Callable[..., Any], on_error: Callable[[BaseException], None]
    ) -> None:
        self.function, self.on_error = function, on_error
        self.inputs: list[Spec] = []
        self.outputs: list[Spec] = []
        self.callback = ffi.callback("sidecall_handler", self._handle, error=errors.Internal.status)

    def _handle(self, _: Any, request: Any) -> int:
        _current.request = request
        try:
            self._answer(request)
            return 0
        except errors.Error as error:
            return self._fail(request, error.status, error)
        except BaseException as error:  # a sys.exit() of the object must not end the server
            text = str(error).partition("\n")[0][:300]
            message = f"the served object failed with {type(error).__name__}" + (
                f": {text}" if text else ""
            )
            status = self._fail(request, _ENGINE, errors.Engine(message))
            self.on_error(error)
            return status
        finally:
            _current.request = None

    def _answer(self, request: Any) -> None:
        if not self.outputs:
            self.inputs = [
                spec_of(lib.sidecall_request_input_spec(request, i))
                for i in range(lib.sidecall_request_num_inputs(request))
            ]
            self.outputs = [
                spec_of(lib.sidecall_request_output_spec(request, i))
                for i in range(lib.sidecall_request_num_outputs(request))
            ]
        result = self.function(
            *(self._input(request, i, spec) for i, spec in enumerate(self.inputs))
        )
        if not isinstance(result, tuple):
            if len(self.outputs) != 1:
                raise errors.Engine(
                    f"the served function: expected a tuple of {len(self.outputs)} outputs, got "
                    f"{type(result).__name__}"
                )
            result = (result,)
        if len(result) != len(self.outputs):
            raise errors.Engine(
                f"the served function: expected {len(self.outputs)} outputs, got {len(result)}"
            )
        for i, (value, spec) in enumerate(zip(result, self.outputs, strict=True)):
            self._set_output(request, i, value, spec)

    def _input(self, request: Any, index: int, spec: Spec) -> NDArray[Any]:
        error, view = CallError(), new_view()
        error.check(lib.sidecall_request_input(request, index, view, error.struct))
        return array_of(view, spec.dtype)

    def _set_output(self, request: Any, index: int, value: Any, spec: Spec) -> None:
        try:
            view, keep = view_of(value, spec)
        except Refused as refused:
            raise errors.Engine(
                f"output '{spec.name}': expected {spec.dtype}, got {refused}"
            ) from None
        got = text_of(lib.sidecall_dtype_name(view.dtype))
        if got != spec.dtype:
            raise errors.Engine(f"output '{spec.name}': expected {spec.dtype}, got {got}")
        error = CallError()
        if spec.dtype == "string":
            error.check(
                lib.sidecall_request_set_strings(
                    request,
                    index,
                    view.dims,
                    view.rank,
                    ffi.cast("char *", view.data),
                    view.offsets,
                    error.struct,
                )
            )
        else:
            target = new_view()
            error.check(
                lib.sidecall_request_output(
                    request, index, view.dims, view.rank, target, error.struct
                )
            )
            ffi.memmove(target.data, ffi.cast("char *", view.data), view.data_bytes)
        del keep

    def _fail(self, request: Any, status: int, error: errors.Error) -> int:
        texts = [_text(text) for text in (error.name, error.expected, error.got, str(error))]
        lib.sidecall_request_fail(request, status, -1 if error.row is None else error.row, *texts)
        return status


def _in_time(error: CallError, status: int) -> bool:
    if status == errors.Timeout.status:
        return False
    error.check(status)
    return True


def _text(text: str | None) -> Any:
    return NULL if text is None else ffi.new("char[]", encoded(text))


def _take_text(text: Any) -> str:
    result = text_of(text.data, text.length)
    lib.sidecall_text_close(text)
    return result
