"""What a client can do wrong with HTTP/1.1, on purpose or not: each time the server answers with
one error, closes the connection, and goes on serving others.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from own_server import MODEL, RECORD, OwnServer, exchange, wait_until

pytestmark = pytest.mark.usefixtures("network_library")
BODY = json.dumps(RECORD).encode()
TYPE = "Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, network_library: Path) -> Iterator[OwnServer]:
    started = OwnServer("penguins.onnx", tmp_path_factory.mktemp("server"))
    yield started
    assert started.end() == 0, started.log()


def post(headers: str, body: bytes = BODY, line: str = f"POST {MODEL}/predict HTTP/1.1") -> bytes:
    return f"{line}\r\nHost: localhost\r\n{TYPE}{headers}\r\n".encode() + body


LENGTH = f"Content-Length: {len(BODY)}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
CHUNKS = f"{len(BODY):x}\r\n".encode() + BODY + b"\r\n0\r\n\r\n"
WRONG = {
    "a length and an encoding": (post(LENGTH + CHUNKED, CHUNKS), 400),
    "an encoding and a length": (post(CHUNKED + LENGTH, CHUNKS), 400),
    "two lengths": (post(LENGTH + "Content-Length: 1\r\n"), 400),
    "two equal lengths": (post(LENGTH + LENGTH), 400),
    "a list of lengths": (post(f"Content-Length: {len(BODY)}, {len(BODY)}\r\n"), 400),
    "a length with a sign": (post(f"Content-Length: +{len(BODY)}\r\n"), 400),
    "a negative length": (post("Content-Length: -1\r\n"), 400),
    "a hexadecimal length": (post("Content-Length: 0x10\r\n"), 400),
    "a length beyond 64 bits": (post("Content-Length: 99999999999999999999999\r\n"), 400),
    "a length beyond the limit": (post("Content-Length: 9999999999\r\n"), 413),
    "an empty length": (post("Content-Length: \r\n"), 400),
    "an unknown encoding": (post("Transfer-Encoding: gzip\r\n"), 501),
    "two encodings": (post("Transfer-Encoding: gzip, chunked\r\n", CHUNKS), 501),
    "chunked twice": (post("Transfer-Encoding: chunked, chunked\r\n", CHUNKS), 400),
    "an encoding after a tab": (post("Transfer-Encoding:\x0bchunked\r\n", CHUNKS), 400),
    "a space before the colon": (post(f"Content-Length : {len(BODY)}\r\n"), 400),
    "a header on two lines": (post(LENGTH + "X: a\r\n b\r\n"), 400),
    "a line that ends with a line feed": (post(LENGTH + "X: a\n"), 400),
    "a line that ends with a carriage return": (post(LENGTH + "X: a\rY: b\r\n"), 400),
    "a NUL in a header": (post(LENGTH + "X: a\0b\r\n"), 400),
    "a header without a name": (post(LENGTH + ": a\r\n"), 400),
    "a chunk with an extension": (post(CHUNKED, b"2;a=b\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk of another size": (post(CHUNKED, b"1\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk with a negative size": (post(CHUNKED, b"-1\r\n{}\r\n0\r\n\r\n"), 400),
    "a chunk with a size beyond 64 bits": (post(CHUNKED, b"f" * 17 + b"\r\n"), 400),
    "a chunk that ends with a line feed": (post(CHUNKED, b"2\n{}\n0\n\n"), 400),
    "trailers": (post(CHUNKED, b"0\r\nX: a\r\n\r\n"), 400),
    "two spaces after the method": (b"GET  /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "two spaces after the path": (b"GET /v2  HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a space after the version": (b"GET /v2 HTTP/1.1 \r\nHost: localhost\r\n\r\n", 400),
    "HTTP/1.0 with an encoding": (
        f"POST {MODEL}/predict HTTP/1.0\r\n{TYPE}{CHUNKED}\r\n".encode() + CHUNKS,
        400,
    ),
    "no host": (b"GET /v2 HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    "another protocol": (b"SSH-2.0-OpenSSH_9\r\n", 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /v2\r\n", 400),
    "HTTP/2.0": (b"GET /v2 HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
    "an unknown method": (b"BREW /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a tunnel": (b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", 400),
    "a target of a proxy": (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "TLS": (bytes.fromhex("160301020001000001fc0303") + b"\0" * 40, 400),
    "an unknown expectation": (post(LENGTH + "Expect: 200-ok\r\n"), 417),
    "many headers": (post(LENGTH + "X: a\r\n" * 200), 431),
    "a large header": (post(LENGTH + f"X: {'a' * 20_000}\r\n"), 431),
    "a long target": (f"GET /{'a' * 20_000} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 431),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_request_ends_the_connection_with_one_error(server: OwnServer, name: str) -> None:
    request, status = WRONG[name]
    with server.connect() as connection:
        # What follows the request must not be taken for another one.
        answer = exchange(connection, request + b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    head = answer.split(b"\r\n\r\n")[0].decode()
    assert head.startswith(f"HTTP/1.1 {status} "), head
    assert "connection: close" in head and len(re.findall(rb"HTTP/1\.1 \d", answer)) == 1
    assert server.is_alive()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_a_request_may_come_in_small_parts(server: OwnServer, size: int) -> None:
    request = post(CHUNKED + "Connection: close\r\n", CHUNKS)
    with server.connect() as connection:
        for begin in range(0, len(request), size):
            connection.sendall(request[begin : begin + size])
        answer = exchange(connection, b"")
    assert answer.startswith(b"HTTP/1.1 200 ") and b"Adelie" in answer


def test_requests_may_follow_each_other_without_waiting(server: OwnServer) -> None:
    one = post(LENGTH)
    with server.connect() as connection:
        answer = exchange(connection, one * 50 + post(LENGTH + "Connection: close\r\n"))
    assert answer.count(b"HTTP/1.1 200 OK") == 51 and answer.count(b"Adelie") >= 51


def test_a_client_that_reads_no_answers_fills_no_memory(server: OwnServer) -> None:
    body = json.dumps([RECORD] * 200).encode()
    request = post(f"Content-Length: {len(body)}\r\n", body)
    requests = request * 8
    with server.connect() as connection:
        connection.setblocking(False)
        sent = 0
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            try:
                sent += connection.send(requests[sent % len(request) :])
            except BlockingIOError:
                time.sleep(0.01)
        assert server.metric("sidecall_held_bytes") < 8 * 1024 * 1024
        assert server.is_alive()
    assert sent < 64 * 1024 * 1024


def test_upgrades_are_ignored(server: OwnServer) -> None:
    headers = (
        "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    )
    with server.connect() as connection:
        answer = exchange(connection, post(LENGTH + headers))
    assert answer.startswith(b"HTTP/1.1 200 ") and b"Adelie" in answer


def test_a_body_that_is_announced_is_asked_for(server: OwnServer) -> None:
    with server.connect() as connection:
        connection.sendall(post(LENGTH + "Expect: 100-continue\r\nConnection: close\r\n", b""))
        connection.settimeout(10)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert b"Adelie" in exchange(connection, BODY)


def test_a_large_body_may_come_before_it_is_asked_for(server: OwnServer) -> None:
    body = json.dumps([RECORD] * 3000).encode()
    headers = f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n"
    with server.connect() as connection:
        answer = exchange(connection, post(headers, body))
    assert answer.startswith(b"HTTP/1.1 100 ") and answer.count(b'Adelie",') >= 3000


@pytest.mark.parametrize("path", ["/v2/health/live", "/", "/v2/models/penguins", "/metrics"])
def test_only_runs_may_have_large_bodies(server: OwnServer, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n"
    with server.connect() as connection:
        answer = exchange(connection, head.encode())
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "host",
    [
        *("", "[::1]evil.com", "[::1", "::1", "[::1]:x", "[127.0.0.1]", "[fe80::1%25lo]", "[]"),
        *("a b", "a/b", "user@localhost", "localhost:80:80", "localhost:99999", "localhost:-1"),
        *(":80", "a%", "a%zz", "http://localhost", 'a"b', "a\\b"),
    ],
)
def test_a_malformed_host_is_refused(server: OwnServer, host: str) -> None:
    request = f"GET /v2 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with server.connect() as connection:
        answer = exchange(connection, request.encode())
    assert answer.startswith(b"HTTP/1.1 400 ") and b"header Host: " in answer


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "localhost:", "[::1]", "[::1]:1"])
def test_a_proper_host_is_taken(server: OwnServer, host: str) -> None:
    request = f"GET /v2 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with server.connect() as connection:
        assert exchange(connection, request.encode()).startswith(b"HTTP/1.1 200 ")


def test_empty_lines_may_come_before_a_request(server: OwnServer) -> None:
    request = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    with server.connect() as connection:
        answer = exchange(connection, b"\r\n" + request + b"\r\n" + last)
    assert answer.count(b"HTTP/1.1 200 ") == 2


def test_http_1_0_keeps_the_connection_if_the_client_asks_for_it(server: OwnServer) -> None:
    line = f"POST {MODEL}/predict HTTP/1.0\r\n{TYPE}{LENGTH}"
    kept = f"{line}Connection: keep-alive\r\n\r\n".encode() + BODY
    last = f"{line}\r\n".encode() + BODY
    with server.connect() as connection:
        answers = exchange(connection, kept + kept + last).split(b"HTTP/1.1 200 OK")[1:]
    said = [b"connection: keep-alive" in answer for answer in answers]
    assert said == [True, True, False] and b"connection: close" in answers[2]
    assert all(b"Adelie" in answer for answer in answers)


def test_http_1_0(server: OwnServer) -> None:
    request = f"POST {MODEL}/predict HTTP/1.0\r\n{TYPE}{LENGTH}\r\n".encode() + BODY
    with server.connect() as connection:
        answer = exchange(connection, request)
    assert b"connection: close" in answer and b"Adelie" in answer


def test_connections_that_end_early_leave_nothing_behind(server: OwnServer) -> None:
    whole = post(LENGTH)
    for end in range(0, len(whole), 16):
        with server.connect() as connection:
            connection.sendall(whole[:end])
            if end % 32:
                connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                )  # resets the connection
    wait_until(server.has_no_work)


def test_slow_heads_are_cut_off(server: OwnServer) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n")
        begun = time.monotonic()
        answer = exchange(connection, b"X: ", timeout=20)
    assert answer.startswith(b"HTTP/1.1 408 ") and 9 < time.monotonic() - begun < 14
