"""The addresses for HTTP and gRPC of a server, and the servers at them.

A server for HTTP and gRPC stands in front of the one that runs the object: of the workers, or of
the server in this process. It reads requests and writes answers, natively and without the GIL.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from sidecall._protocols import Server

_SCHEMES = ("http:", "https:", "http+unix:", "grpc:", "grpcs:", "grpc+unix:")


def is_network(at: str | None) -> bool:
    return at is not None and at.lower().startswith(_SCHEMES)


@dataclass
class Network:
    """What callers over HTTP and gRPC need: where a server listens, and who may call."""

    http: Sequence[str] = ()
    grpc: Sequence[str] = ()
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    tokens: str | None = None
    insecure: bool = False
    allow_hosts: Sequence[str] = ()

    def addresses(self) -> list[str]:
        """Returns the addresses as the library takes them (net/PROTOCOL.md, "The server")."""
        return [
            self._address(protocol, where)
            for protocol, places in (("http", self.http), ("grpc", self.grpc))
            for where in places
        ]

    def _address(self, protocol: str, where: str) -> str:
        is_socket = where.startswith("/")
        is_secure = self.tls_cert is not None and not is_socket
        scheme = protocol + ("+unix:" if is_socket else "s://" if is_secure else "://")
        options = [("tokens", self.tokens)]
        if not is_socket:
            options += [
                ("cert", self.tls_cert),
                ("key", self.tls_key),
                ("client_ca", self.tls_client_ca),
                ("insecure", "yes" if self.insecure else None),
            ]
        options += [("host", name) for name in self.allow_hosts]
        return with_options(scheme + quote(where, "/:[]"), options)


def with_options(address: str, options: Sequence[tuple[str, str | None]]) -> str:
    """Adds options to an address that may have some."""
    for name, value in options:
        if value is not None:
            address += ("&" if "?" in address else "?") + f"{name}={quote(value, safe='')}"
    return address


@dataclass
class Frontends:
    """The servers for HTTP and gRPC of one model."""

    servers: list[Server] = field(default_factory=list)

    def open(self, serve_at: Callable[[str], Server], addresses: Sequence[str]) -> None:
        """Opens a server at each address. Raises sidecall.errors.Error."""
        try:
            for address in addresses:
                self.servers.append(serve_at(address))
        except BaseException:
            self.close()
            raise

    def status(self) -> list[dict[str, Any]]:
        return [json.loads(server.status()) for server in self.servers]

    def begin_drain(self) -> None:
        """Lets all servers accept no more requests. Does not wait."""
        for server in self.servers:
            server.drain(0)

    def drain(self, seconds: float) -> bool:
        """Drains all servers at once. Returns False if requests were still running after that."""
        deadline = time.monotonic() + seconds
        self.begin_drain()  # all of them, before the first has answered everything
        is_done = True
        for server in self.servers:
            left = max(0.0, deadline - time.monotonic())
            is_done = server.drain(int(left * 1e9)) and is_done
        return is_done

    def close(self) -> None:
        """Ends all servers. Must come before the end of the server behind them."""
        while self.servers:
            self.servers.pop().close()
