"""The exceptions of sidecall, one class for each status of the C ABI.

Each class also derives from the built-in exception with the closest meaning.

>>> issubclass(Timeout, TimeoutError), Timeout.code, Timeout.family
(True, 'TIMEOUT', 50)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple


class Fault(NamedTuple):
    """A fault of one value, or of one row that the model refuses.

    A call finds all faults before it fails.
    """

    code: str
    row: int | None
    name: str | None
    expected: str | None
    got: str | None
    message: str


class Error(Exception):
    """The base class of all errors of the library.

    The message comes from the library and is the same in every language. Neither the message nor
    the attributes ever hold a value of the data.

    row, name, expected, got  of the first fault; None if they do not apply
    faults                    all faults of a call: one for each bad value and one for each row that
                              the model refuses; at most 1 000 are kept
    retryable                 whether the same call may succeed later
    """

    status: ClassVar[int] = 0
    code: ClassVar[str] = "UNKNOWN"
    family: ClassVar[int] = 0

    def __init__(
        self,
        message: str = "",
        *,
        retryable: bool = False,
        row: int | None = None,
        name: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        faults: Iterable[Fault] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable
        self.row = row
        self.name = name
        self.expected = expected
        self.got = got
        self.faults = list(faults)

    def __str__(self) -> str:
        return self.message  # KeyError and OSError would add quotes or an error number

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message,), dict(vars(self))


class InvalidArgument(Error, ValueError):
    """An option or index is out of range, or a handle is closed."""

    status, code, family = 10, "INVALID_ARGUMENT", 10


class Busy(Error, RuntimeError):
    """The call is running, or the queue of asynchronous runs is full."""

    status, code, family = 11, "BUSY", 10


class NotRun(Error, RuntimeError):
    """Outputs were read before a run succeeded."""

    status, code, family = 12, "NOT_RUN", 10


class Cancelled(Error, RuntimeError):
    """The run was cancelled."""

    status, code, family = 13, "CANCELLED", 10


class FileNotFound(Error, FileNotFoundError):
    """The file does not exist."""

    status, code, family = 20, "FILE_NOT_FOUND", 20


class FileUnreadable(Error, OSError):
    """The path is a directory, permission is missing, or an I/O error occurred."""

    status, code, family = 21, "FILE_UNREADABLE", 20


class FileInvalid(Error, ValueError):
    """The file is not an ONNX file, or it is truncated."""

    status, code, family = 22, "FILE_INVALID", 20


class FileTooLarge(Error, ValueError):
    """The file has more than 2 GiB of protobuf, or more than 1 TiB of external data."""

    status, code, family = 23, "FILE_TOO_LARGE", 20


class FileForbidden(Error, PermissionError):
    """The model refers to external data outside its own folder."""

    status, code, family = 24, "FILE_FORBIDDEN", 20


class ContractInvalid(Error, ValueError):
    """The contract in the file does not describe the graph, or it is not valid JSON."""

    status, code, family = 30, "CONTRACT_INVALID", 30


class ContractFormat(Error, ValueError):
    """The contract has a format that this version does not know."""

    status, code, family = 31, "CONTRACT_FORMAT", 30


class NoContract(Error, ValueError):
    """Records need a contract and the file has none; `run` still works."""

    status, code, family = 32, "NO_CONTRACT", 30


class Unsupported(Error, NotImplementedError):
    """The graph has sequences, maps or optionals, or a URI is for another platform or version."""

    status, code, family = 33, "UNSUPPORTED", 30


class VerificationFailed(Error, ArithmeticError):
    """The golden rows give other answers than at export."""

    status, code, family = 34, "VERIFICATION_FAILED", 30


class ContractChanged(Error, RuntimeError):
    """The server came back with another signature."""

    status, code, family = 35, "CONTRACT_CHANGED", 30


class DtypeMismatch(Error, TypeError):
    """A value or tensor has another type than the input or feature."""

    status, code, family = 40, "DTYPE_MISMATCH", 40


class ShapeMismatch(Error, ValueError):
    """The rank, the dimensions or the number of rows do not fit."""

    status, code, family = 41, "SHAPE_MISMATCH", 40


class UnknownName(Error, KeyError):
    """There is no input, output, feature or column of that name."""

    status, code, family = 42, "UNKNOWN_NAME", 40


class MissingInput(Error, KeyError):
    """An input was not given."""

    status, code, family = 43, "MISSING_INPUT", 40


class MissingValue(Error, ValueError):
    """A value is missing (absent, None, NaN) in a feature that is not nullable."""

    status, code, family = 44, "MISSING_VALUE", 40


class UnknownCategory(Error, ValueError):
    """The fitted encoder does not accept the category."""

    status, code, family = 45, "UNKNOWN_CATEGORY", 40


class InvalidString(Error, ValueError):
    """A string is not UTF-8, contains a NUL, or is empty where the model does not accept that."""

    status, code, family = 46, "INVALID_STRING", 40


class InvalidJson(Error, ValueError):
    """The text is not JSON, is nested too deep, or contains the same key twice."""

    status, code, family = 47, "INVALID_JSON", 40


class OutOfRange(Error, OverflowError):
    """The type cannot hold the number, or the model does not accept it."""

    status, code, family = 48, "OUT_OF_RANGE", 40


class Refused(Error, ValueError):
    """A step of the model computes a number that it or the next step does not accept."""

    status, code, family = 49, "REFUSED", 40


class PeerDied(Error, ConnectionResetError):
    """The process at the other end is gone."""

    status, code, family = 50, "PEER_DIED", 50


class Timeout(Error, TimeoutError):
    """The deadline passed."""

    status, code, family = 51, "TIMEOUT", 50


class Unreachable(Error, ConnectionRefusedError):
    """No server can be reached at that URI."""

    status, code, family = 52, "UNREACHABLE", 50


class Denied(Error, PermissionError):
    """The server does not admit this user."""

    status, code, family = 53, "DENIED", 50


class Protocol(Error, ConnectionAbortedError):
    """The peer broke the protocol, or both ends have no version in common."""

    status, code, family = 54, "PROTOCOL", 50


class Forked(Error, RuntimeError):
    """A handle of the parent process is used in its child."""

    status, code, family = 55, "FORKED", 50


class Engine(Error, RuntimeError):
    """ONNX Runtime refused the model or failed during the run; the message quotes its error."""

    status, code, family = 60, "ENGINE", 60


class EngineNotFound(Error, ImportError):
    """There is no ONNX Runtime library; the message lists the places that were tried."""

    status, code, family = 61, "ENGINE_NOT_FOUND", 60


class EngineTooOld(Error, ImportError):
    """The ONNX Runtime that was found is older than this library needs."""

    status, code, family = 62, "ENGINE_TOO_OLD", 60


class OutOfMemory(Error, MemoryError):
    """There was not enough memory."""

    status, code, family = 63, "OUT_OF_MEMORY", 60


class Internal(Error, RuntimeError):
    """A bug in sidecall: please report it."""

    status, code, family = 99, "INTERNAL", 99


_BY_STATUS: dict[int, type[Error]] = {kind.status: kind for kind in Error.__subclasses__()}


def make(
    status: int,
    message: str | None,
    retryable: bool = False,
    row: int | None = None,
    name: str | None = None,
    expected: str | None = None,
    got: str | None = None,
    faults: Iterable[tuple[int, int | None, str | None, str | None, str | None, str | None]] = (),
) -> Error:
    """Makes the exception for a status. The backends pass the fields of a sidecall_error."""
    listed = [Fault(_code(fault[0]), *fault[1:5], fault[5] or "") for fault in faults]
    kind = _BY_STATUS.get(status, Error)
    return kind(
        message or "",
        retryable=retryable,
        row=row,
        name=name,
        expected=expected,
        got=got,
        faults=listed,
    )


def _code(status: int) -> str:
    return _BY_STATUS.get(status, Error).code
