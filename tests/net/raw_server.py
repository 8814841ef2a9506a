"""A server that sends given bytes, for tests of clients whose server breaks the protocol."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable

READY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def answer(body: bytes | str | dict, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer of HTTP/1.1 with the right length."""
    if isinstance(body, dict):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


METADATA = {
    "name": "m",
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "datatype": "FP64", "shape": [-1]}],
}


class Listening:
    """Listens on a free port, and serves each connection in a thread of its own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        raise NotImplementedError


class RawServer(Listening):
    """Answers by path: what `answers` has for the end of the path, or 404.

    An answer is bytes, after which the connection stays open for the next request, or a function
    that gets the connection, which ends afterwards.
    """

    def __init__(self, infer: bytes | Callable[[socket.socket], None], **others: bytes) -> None:
        self.answers: dict[str, bytes | Callable[[socket.socket], None]] = {
            "/ready": READY,
            "/v2": answer({"extensions": ["binary_tensor_data"]}),
            "/m": answer(METADATA),
            "/infer": infer,
        } | {f"/{name}": value for name, value in others.items()}
        self.requests: list[bytes] = []
        super().__init__()
        self.uri = f"http://127.0.0.1:{self.port}/m"

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while (request := read_request(connection)) is not None:
                self.requests.append(request)
                path = request.split(b" ")[1].decode()
                reply = next(
                    (reply for end, reply in self.answers.items() if path.endswith(end)),
                    answer("", "404 Not Found"),
                )
                if callable(reply):
                    reply(connection)
                    return
                connection.sendall(reply)


def read_request(connection: socket.socket) -> bytes | None:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return None
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    ]
    while lengths and len(body) < lengths[0]:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def drip(data: bytes, pause: float) -> Callable[[socket.socket], None]:
    """Sends one byte at a time."""

    def send(connection: socket.socket) -> None:
        for i in range(len(data)):
            connection.sendall(data[i : i + 1])
            time.sleep(pause)

    return send
