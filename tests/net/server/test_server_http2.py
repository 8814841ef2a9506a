"""What a client can do wrong with HTTP/2, on purpose or not: the server ends the stream or the
connection, keeps its memory, and goes on serving others.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sidecall
from own_server import RECORD, OwnServer, wait_until

pytestmark = pytest.mark.usefixtures("network_library")
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED = 0, 1, 3, 5
FRAME_SIZE_ERROR, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 6, 9, 11


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def text(value: bytes) -> bytes:
    """A text of HPACK without Huffman coding, shorter than 127 bytes."""
    return bytes([len(value)]) + value


def field(name: bytes, value: bytes) -> bytes:
    """A header that HPACK does not index."""
    return b"\0" + text(name) + text(value)


def head(path: bytes = b"/inference.GRPCInferenceService/ServerLive", more: bytes = b"") -> bytes:
    return (
        field(b":method", b"POST")
        + field(b":scheme", b"http")
        + field(b":path", path)
        + field(b":authority", b"localhost")
        + field(b"content-type", b"application/grpc")
        + field(b"te", b"trailers")
        + more
    )


def request(stream: int, body: bytes = b"\0\0\0\0\0") -> bytes:
    """A call of ServerLive."""
    return frame(HEADERS, END_HEADERS, stream, head()) + frame(DATA, END_STREAM, stream, body)


class Http2:
    """A connection whose frames a test writes and reads itself."""

    def __init__(self, server: OwnServer, *settings: tuple[int, int]) -> None:
        self.socket = server.connect("grpc")
        self.rest = b""
        payload = b"".join(struct.pack("!HI", *each) for each in settings)
        self.send(PREFACE + frame(SETTINGS, 0, 0, payload) + frame(SETTINGS, ACK, 0))

    def __enter__(self) -> Http2:
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def flood(self, data: bytes, seconds: float = 10) -> int:
        """Sends data again and again until the server closes the connection; reads nothing. Returns
        how often it was sent.
        """
        self.socket.settimeout(2)
        end = time.monotonic() + seconds
        count = 0
        while time.monotonic() < end:
            try:
                self.socket.sendall(data)
            except (ConnectionError, TimeoutError):
                return count
            count += 1
        return count

    def frames(self, timeout: float = 10) -> Iterator[tuple[int, int, int, bytes]]:
        """The frames of the server, until it closes the connection."""
        end = time.monotonic() + timeout
        while True:
            size = int.from_bytes(self.rest[:3], "big") + 9 if len(self.rest) >= 9 else None
            if size is not None and len(self.rest) >= size:
                payload = self.rest[9:size]
                kind, flags, stream = struct.unpack("!BBI", self.rest[3:9])
                self.rest = self.rest[size:]
                yield kind, flags, stream & 0x7FFFFFFF, payload
                continue
            self.socket.settimeout(max(end - time.monotonic(), 0.01))
            try:
                part = self.socket.recv(65536)
            except ConnectionError:
                return
            if not part:
                return
            self.rest += part

    def until_goaway(self) -> int:
        """The code with which the server ends the connection; it must also close it."""
        codes = [
            struct.unpack("!I", payload[4:8])[0]
            for kind, _, _, payload in self.frames()
            if kind == GOAWAY
        ]
        assert codes, "expected GOAWAY, got none"
        return codes[-1]

    def until_reset(self, stream: int) -> int:
        """The code with which the server resets a stream."""
        for kind, _, number, payload in self.frames():
            if kind == RST_STREAM and number == stream:
                return int.from_bytes(payload, "big")
        raise AssertionError("expected RST_STREAM, got the end of the connection")

    def until_answer(self, stream: int) -> bytes:
        for kind, flags, number, payload in self.frames():
            if kind == HEADERS and number == stream and flags & END_STREAM:
                return payload
        raise AssertionError("expected an answer, got the end of the connection")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network_library: Path) -> Iterator[OwnServer]:
    started = OwnServer("penguins.onnx", tmp_path_factory.mktemp("server"))
    yield started
    assert started.end() == 0, started.log()


@pytest.fixture(autouse=True)
def others_are_served(server: OwnServer) -> Iterator[None]:
    with sidecall.open(server.uri("grpc", "penguins"), verify="off") as model:
        yield
        assert model.predict(RECORD)["label"] == "Adelie"
    assert server.is_alive()


def test_a_request_is_answered(server: OwnServer) -> None:
    with Http2(server) as connection:
        connection.send(request(1))
        connection.until_answer(1)


CONNECTION_ERRORS = {
    "no preface": (None, None),
    "data on stream 0": (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "headers on stream 0": (frame(HEADERS, END_HEADERS, 0, head()), PROTOCOL_ERROR),
    "headers on an even stream": (frame(HEADERS, END_HEADERS, 2, head()), PROTOCOL_ERROR),
    "a push": (frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2"), PROTOCOL_ERROR),
    "a frame that is too large": (frame(DATA, 0, 1, b"x" * 20000), FRAME_SIZE_ERROR),
    "settings of a wrong size": (frame(SETTINGS, 0, 0, b"xxx"), FRAME_SIZE_ERROR),
    "a ping of a wrong size": (frame(PING, 0, 0, b"x"), FRAME_SIZE_ERROR),
    "a window of zero": (frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), PROTOCOL_ERROR),
    "a window that is too large": (
        frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2,
        FLOW_CONTROL_ERROR,
    ),
    "an initial window that is too large": (
        frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 1 << 31)),
        FLOW_CONTROL_ERROR,
    ),
    "headers that HPACK cannot read": (
        frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff"),
        COMPRESSION_ERROR,
    ),
    "an index beyond the table": (frame(HEADERS, END_HEADERS, 1, b"\xfe"), COMPRESSION_ERROR),
    "padding beyond the frame": (
        frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + head()),
        PROTOCOL_ERROR,
    ),
    "a continuation without headers": (
        frame(CONTINUATION, END_HEADERS, 1, head()),
        PROTOCOL_ERROR,
    ),
    "another frame between headers": (
        frame(HEADERS, 0, 1, head()) + frame(PING, 0, 0, b"x" * 8),
        PROTOCOL_ERROR,
    ),
    "a stream that depends on itself": (
        frame(PRIORITY, 0, 1, struct.pack("!IB", 1, 16)),
        PROTOCOL_ERROR,
    ),
    "more streams than allowed": (
        b"".join(frame(HEADERS, END_HEADERS, stream, head()) for stream in range(1, 401, 2)),
        PROTOCOL_ERROR,
    ),
    "data of an idle stream": (frame(DATA, END_STREAM, 5, b"x"), None),
}


@pytest.mark.parametrize("name", CONNECTION_ERRORS)
def test_a_broken_connection_is_closed(server: OwnServer, name: str) -> None:
    data, code = CONNECTION_ERRORS[name]
    if data is None:
        with server.connect("grpc") as raw:
            raw.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while raw.recv(1000):
                pass
        return
    with Http2(server) as connection:
        connection.send(data)
        got = connection.until_goaway()
        assert code is None or got == code


STREAM_ERRORS = {
    "no path": frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        field(b":method", b"POST") + field(b":scheme", b"http") + field(b":authority", b"a"),
    ),
    "two paths": frame(HEADERS, END_HEADERS | END_STREAM, 1, head() + field(b":path", b"/")),
    "a pseudo header at the end": frame(
        HEADERS, END_HEADERS | END_STREAM, 1, head(more=field(b":method", b"GET"))
    ),
    "an unknown pseudo header": frame(
        HEADERS, END_HEADERS | END_STREAM, 1, field(b":other", b"x") + head()
    ),
    "a name in upper case": frame(
        HEADERS, END_HEADERS | END_STREAM, 1, head(more=field(b"X-Y", b"x"))
    ),
    "a header of HTTP/1.1": frame(
        HEADERS, END_HEADERS | END_STREAM, 1, head(more=field(b"connection", b"close"))
    ),
    "an encoding of HTTP/1.1": frame(
        HEADERS, END_HEADERS | END_STREAM, 1, head(more=field(b"transfer-encoding", b"chunked"))
    ),
    "a line feed in a value": frame(
        HEADERS, END_HEADERS | END_STREAM, 1, head(more=field(b"x", b"a\nb"))
    ),
    "a length that differs from the data": frame(
        HEADERS, END_HEADERS, 1, head(more=field(b"content-length", b"9"))
    )
    + frame(DATA, END_STREAM, 1, b"\0\0\0\0\0"),
    "two lengths": frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        head(more=field(b"content-length", b"0") + field(b"content-length", b"1")),
    ),
}


@pytest.mark.parametrize("name", STREAM_ERRORS)
def test_a_broken_stream_is_reset_and_the_connection_goes_on(server: OwnServer, name: str) -> None:
    with Http2(server) as connection:
        connection.send(STREAM_ERRORS[name])
        assert connection.until_reset(1) == PROTOCOL_ERROR
        connection.send(request(3))
        connection.until_answer(3)


# Floods.


def test_streams_that_are_reset_at_once(server: OwnServer) -> None:
    """CVE-2023-44487."""
    with Http2(server) as connection:
        stream = 1
        data = b""
        for stream in range(1, 2001, 2):
            data += frame(HEADERS, END_HEADERS, stream, head())
            data += frame(RST_STREAM, 0, stream, struct.pack("!I", 8))
        connection.flood(data, 0.01)
        assert connection.until_goaway() in (ENHANCE_YOUR_CALM, 2)


def test_streams_that_the_server_must_reset(server: OwnServer) -> None:
    """CVE-2025-8671: valid requests, and then frames that are errors of their streams."""
    with Http2(server) as connection:
        data = b""
        for stream in range(1, 2001, 2):
            data += frame(HEADERS, END_HEADERS, stream, head())
            data += frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\0")
        connection.flood(data, 0.01)
        assert connection.until_goaway() in (ENHANCE_YOUR_CALM, PROTOCOL_ERROR)


def test_continuations_without_end(server: OwnServer) -> None:
    before = server.metric("sidecall_held_bytes")
    with Http2(server) as connection:
        connection.send(frame(HEADERS, 0, 1, head()))
        assert connection.flood(frame(CONTINUATION, 0, 1, field(b"x", b"y")) * 100) < 50_000
    assert server.metric("sidecall_held_bytes") <= before + 100_000


def test_a_header_that_grows_when_it_is_decoded(server: OwnServer) -> None:
    """The HPACK bomb: one large entry of the table, named again and again."""
    with Http2(server) as connection:
        large = b"\x40" + text(b"x") + bytes([0x7F, 0xA1, 0x1E]) + b"y" * 4000
        connection.send(frame(HEADERS, END_HEADERS, 1, head(more=large + b"\xbe" * 8000)))
        connection.until_reset(1)
        connection.send(request(3))
        connection.until_answer(3)


@pytest.mark.parametrize(
    "data",
    [
        frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 65535)),
        frame(PING, 0, 0, b"x" * 8),
    ],
    ids=["settings", "pings"],
)
def test_a_client_that_reads_no_acknowledgements(server: OwnServer, data: bytes) -> None:
    before = memory_of(server)
    with Http2(server) as connection:
        connection.flood(data * 1000, 5)
        assert memory_of(server) - before < 20_000
        assert server.is_alive()


def test_settings_with_many_entries(server: OwnServer) -> None:
    with Http2(server) as connection:
        connection.send(frame(SETTINGS, 0, 0, struct.pack("!HI", 1, 4096) * 2000))
        assert connection.until_goaway() == ENHANCE_YOUR_CALM


def test_a_window_that_stays_closed(server: OwnServer) -> None:
    """The answer waits, and its memory is counted; nothing else waits with it."""
    with Http2(server, (4, 0)) as connection:
        connection.send(request(1))
        kinds = []
        connection.socket.settimeout(1)
        try:
            for kind, _, stream, _ in connection.frames(1):
                kinds.append((kind, stream))
        except TimeoutError:
            pass
        assert (DATA, 1) not in kinds and (HEADERS, 1) in kinds
        connection.send(frame(WINDOW_UPDATE, 0, 1, struct.pack("!I", 1000)))
        connection.until_answer(1)


def test_connections_that_end_early_leave_nothing_behind(server: OwnServer) -> None:
    data = PREFACE + frame(SETTINGS, 0, 0) + request(1)
    for end in range(0, len(data), 8):
        with server.connect("grpc") as connection:
            connection.sendall(data[:end])
            if end % 16:
                connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                )  # resets the connection
    wait_until(lambda: server.has_no_work(other_connections=1))


def memory_of(server: OwnServer) -> int:
    """The resident memory of a server, in KiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
