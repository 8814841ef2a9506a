"""HTTP by urllib3, over TCP or a Unix socket, kept alive. A connection a thread."""

import socket
from collections.abc import Callable

import urllib3
from bodies import CONTENT_TYPES
from urllib3.connection import HTTPConnection

from transports import CALL_TIMEOUT_S, BytesTransport


class Transport(BytesTransport):
    def dial(self, crowded: bool) -> tuple[Callable[[bytes], bytes], Callable[[], None]]:
        if "unix" in self.at:
            pool: urllib3.HTTPConnectionPool = UnixPool(self.at["unix"])
            path = f"{self.at.get('path', '').rstrip('/')}/{self.folder.name}"
        else:
            url = urllib3.util.parse_url(self.at["url"])
            pool = urllib3.HTTPConnectionPool(url.host, url.port, maxsize=1, timeout=CALL_TIMEOUT_S, retries=False)
            path = f"{(url.path or '').rstrip('/')}/{self.folder.name}"
        headers = {"Content-Type": CONTENT_TYPES[self.body]}

        def exchange(body: bytes) -> bytes:
            response = pool.urlopen("POST", path, body=body, headers=headers)
            if response.status != 200:
                raise RuntimeError(f"POST {path}: expected 200, got {response.status}: {response.data[:200]!r}")
            return response.data

        return exchange, pool.close


class UnixConnection(HTTPConnection):
    """urllib3 has no Unix sockets of its own; this is how Docker's client adds them."""

    def __init__(self, path: str):
        super().__init__("localhost", timeout=CALL_TIMEOUT_S)
        self._path = path

    def _new_conn(self) -> socket.socket:
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(self.timeout)
        one.connect(self._path)
        return one


class UnixPool(urllib3.HTTPConnectionPool):
    def __init__(self, path: str):
        super().__init__("localhost", maxsize=1, timeout=CALL_TIMEOUT_S, retries=False)
        self._path = path

    def _new_conn(self) -> UnixConnection:
        return UnixConnection(self._path)
