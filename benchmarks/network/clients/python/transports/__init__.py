"""The base classes of transports. Used by client.py and by every transport.

Each other file of this folder is one transport and defines a class `Transport`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from bodies import codec
from workload_folder import WorkloadFolder

CALL_TIMEOUT_S = 30.0  # an answer that has not arrived by then is lost


def nothing() -> None:
    """Closes a connection that has nothing to close."""


@dataclass(frozen=True)
class Connection:
    """One thread's connection.

    `call` takes a row and returns the answer to it, both in the form that a Python program uses,
    such as an array or a dict.
    """

    call: Callable[[Any], Any]
    close: Callable[[], None] = field(default=nothing)


class BaseTransport:
    """A way to reach a server; it is opened once, and then each calling thread connects."""

    def __init__(self, folder: WorkloadFolder, body: str, at: dict[str, Any]):
        self.folder, self.body, self.at = folder, body, at

    def connect(self, crowded: bool = False) -> Connection:
        """A connection for the calling thread, or a shared one if the library's client is meant to
        be shared.

        `crowded`: other threads call too.
        """
        raise NotImplementedError

    def unpack(self, answer: Any) -> Any:
        """Converts an answer of `call` to the mapping that WorkloadFolder checks; not timed."""
        return answer

    def sizes(self, row: Any) -> tuple[int, int]:
        """The lengths of a call's bodies; may make a call."""
        return 0, 0

    def close(self) -> None:
        """Closes whatever the connections share."""


class BytesTransport(BaseTransport):
    """A transport that moves bodies without reading them; it only needs `dial`."""

    def __init__(self, folder: WorkloadFolder, body: str, at: dict[str, Any]):
        super().__init__(folder, body, at)
        self.encode, self.decode = codec(body, folder)

    def dial(self, crowded: bool) -> tuple[Callable[[bytes], bytes], Callable[[], None]]:
        """Returns the function that sends a request and returns its response, and the function that
        closes the connection.
        """
        raise NotImplementedError

    def connect(self, crowded: bool = False) -> Connection:
        exchange, close = self.dial(crowded)
        encode, decode = self.encode, self.decode
        self._exchange = exchange
        return Connection(lambda row: decode(exchange(encode(row))), close)

    def sizes(self, row: Any) -> tuple[int, int]:
        request = self.encode(row)
        return len(request), len(self._exchange(request))


def open_transport(
    name: str, folder: WorkloadFolder, body: str, at: dict[str, Any]
) -> BaseTransport:
    known = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    if name not in known:
        raise ValueError(f"transport: expected {', '.join(known)}, got {name}")
    return import_module(f"transports.{name}").Transport(folder, body, at)
