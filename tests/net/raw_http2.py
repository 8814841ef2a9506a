"""A server of gRPC that describes a model, and then refuses every run as a test names it."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from peer import Served, messages
from raw_server import Listening

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
REFUSED_STREAM = 7
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PREFACE_BYTES = 24

Answer = Callable[[socket.socket, int], None]


def send_frame(connection: socket.socket, kind: int, flags: int, stream: int, data: bytes) -> None:
    head = struct.pack(">I", len(data))[1:] + struct.pack(">BBI", kind, flags, stream)
    connection.sendall(head + data)


def refuse(connection: socket.socket, stream: int) -> None:
    send_frame(connection, RST_STREAM, 0, stream, struct.pack(">I", REFUSED_STREAM))


def go_away(connection: socket.socket, stream: int) -> None:
    """Says that the last stream that it works on is the one before, and ends the connection."""
    send_frame(connection, GOAWAY, 0, 0, struct.pack(">II", max(stream - 2, 0), 0))
    connection.shutdown(socket.SHUT_WR)


def break_off(connection: socket.socket, _: int) -> None:
    connection.shutdown(socket.SHUT_RDWR)


class RawHttp2Server(Listening):
    def __init__(self, path: Path, answer: Answer) -> None:
        self.answer = answer
        self.num_runs = 0
        self._messages = self._describe(Served(path, with_contract=False), path.name)
        super().__init__()

    def describe_nothing(self) -> None:
        """Gives every request the answer of a run."""
        self._messages.clear()

    def authority(self, _: str) -> str:
        return f"127.0.0.1:{self.port}"

    @staticmethod
    def _describe(served: Served, name: str) -> list[bytes]:
        """The answers to the first two requests."""
        protos, _ = messages()
        metadata = protos.ModelMetadataResponse(name=name, platform="onnxruntime")
        for specs, to in ((served.inputs, metadata.inputs), (served.outputs, metadata.outputs)):
            for each, kind, shape in specs:
                to.add(name=each, datatype=kind, shape=shape)
        ready = protos.ModelReadyResponse(ready=True)
        return [ready.SerializeToString(), metadata.SerializeToString()]

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            receive(connection, PREFACE_BYTES)
            send_frame(connection, SETTINGS, 0, 0, b"")
            while True:
                head = receive(connection, 9)
                kind, flags, stream = struct.unpack(">BBI", head[3:])
                data = receive(connection, int.from_bytes(head[:3], "big"))
                if kind in (SETTINGS, PING) and not flags & ACK:
                    send_frame(connection, kind, ACK, 0, data if kind == PING else b"")
                elif kind == DATA and flags & END_STREAM:
                    self._reply(connection, stream)

    def _reply(self, connection: socket.socket, stream: int) -> None:
        if not self._messages:
            self.num_runs += 1
            self.answer(connection, stream)
            return
        message = self._messages.pop(0)
        ok = b"\x88" + literal(b"content-type", b"application/grpc")
        send_frame(connection, HEADERS, END_HEADERS, stream, ok)
        send_frame(connection, DATA, 0, stream, b"\0" + struct.pack(">I", len(message)) + message)
        trailers = literal(b"grpc-status", b"0")
        send_frame(connection, HEADERS, END_HEADERS | END_STREAM, stream, trailers)


def literal(name: bytes, value: bytes) -> bytes:
    """A header in the form of HPACK that needs no table."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
