"""sidecall lambda ends with one clear error if the Runtime API breaks the protocol."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import models
import pytest
from lambda_api import Api, ended

EVENT = json.dumps(models.ROWS[0]).encode()
ID = b"Lambda-Runtime-Aws-Request-Id: 8476a536\r\n"
OK = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


def reply(*lines: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines]) + b"\r\n" + ID + b"\r\n" + body


GOOD = reply(b"Content-Length: %d" % len(EVENT), body=EVENT)
CHUNKED = b"Transfer-Encoding: chunked"


class Script:
    """Answers the requests of one function with these bytes, one after the other.

    An empty text closes the connection. After the last one the connections stay open and silent,
    or are closed after it if `closes`.
    """

    def __init__(self, replies: list[bytes], closes: bool) -> None:
        self.replies, self.closes = iter(replies), closes
        self.requests: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.open: list[socket.socket] = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.open.append(connection)
                self.talk(connection)

    def talk(self, connection: socket.socket) -> None:
        while request := self.read_request(connection):
            self.requests.append(request)
            text = next(self.replies, None)
            if text:
                connection.sendall(text)
            if text == b"" or (text is not None and self.closes):
                connection.close()
                return

    def read_request(self, connection: socket.socket) -> bytes:
        text = b""
        while b"\r\n\r\n" not in text:
            part = connection.recv(65536)
            if not part:
                return b""
            text += part
        head, _, body = text.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self.listener.close()
        for each in self.open:
            each.close()


@contextlib.contextmanager
def api_that_says(*replies: bytes, closes: bool = False) -> Iterator[Script]:
    script = Script(list(replies), closes)
    try:
        yield script
    finally:
        script.close()


@pytest.fixture
def outcome(sidecall, jobs):
    """Runs a function against a script; returns its exit code and the last part of its error."""

    def run(*replies: bytes, closes: bool = False) -> tuple[int, str]:
        with api_that_says(*replies, closes=closes) as script:
            sidecall.env["AWS_LAMBDA_RUNTIME_API"] = script.address
            done = sidecall("lambda", jobs)
            assert done.out == ""
            assert done.err.count("\n") == 1
            return done.code, done.err.partition("expected ")[2].rstrip()

    return run


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", "a reply, got the end of the connection"),
        (b"\x00" * 100, "a status line, got the end of the connection"),
        (b"\r\n", "the status line of an HTTP/1.1 reply, got another line"),
        (b"HTTP/1.0 200 OK\r\n\r\n", "the status line of an HTTP/1.1 reply, got another line"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "the status line of an HTTP/1.1 reply, got another line"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "the status line of an HTTP/1.1 reply, got another line"),
        (b"HTTP/1.1 +20 OK\r\n\r\n", "the status line of an HTTP/1.1 reply, got another line"),
        (b"HTTP/1.1 100 Go\r\n\r\n", "the status line of an HTTP/1.1 reply, got another line"),
        (b"HTTP/1.1 200 OK\r\n", "a header, got the end of the connection"),
        (b"x" * 70000, "a status line of at most 65536 bytes, got more"),
        (reply(b"X: " + b"x" * 200000), "a header of at most 65536 bytes, got more"),
        (reply(*[b"X: " + b"x" * 1000] * 70), "headers of at most 65536 bytes, got more"),
        (reply(b"no colon"), "a header NAME: VALUE, got another line"),
        (reply(b": x"), "a header NAME: VALUE, got another line"),
        (reply(b"na me: x"), "a header NAME: VALUE, got another line"),
        (reply(b"X: a", b" b"), "a header NAME: VALUE, got another line"),
        (reply(b"X: a\x00b"), "a header NAME: VALUE, got another line"),
        (reply(b"X: a\nY: b"), "a header NAME: VALUE, got another line"),
        (reply(), "a Content-Length or a Transfer-Encoding, got neither"),
        (
            reply(b"Content-Length: 0", CHUNKED, body=b"0\r\n\r\n"),
            "a Content-Length or a Transfer-Encoding, got both of them",
        ),
        (
            reply(b"Content-Length: 2", b"Content-Length: 2", body=b"{}"),
            "one content-length, got two",
        ),
        (
            reply(b"Content-Length: -1"),
            "a Content-Length of at most 67108864, got another value",
        ),
        (
            reply(b"Content-Length: 99999999999999999999"),
            "a Content-Length of at most 67108864, got another value",
        ),
        (reply(b"Content-Length: 99", body=b"{}"), "99 bytes of a body, got 2 bytes"),
        (reply(b"Content-Length: 2", body=b"{}}"), "the end of the reply, got more"),
        (reply(b"Transfer-Encoding: gzip"), "the Transfer-Encoding chunked, got another one"),
        (reply(CHUNKED, body=b"2\r\n{}\r\n"), "the size of a chunk, got the end of the connection"),
        (reply(CHUNKED, body=b"2\r\n{}}\r\n"), "the end of a chunk, got more bytes"),
        (reply(CHUNKED, body=b"0\r\nX\r\n\r\n"), "a header NAME: VALUE, got another line"),
        (
            reply(CHUNKED, body=b"zz\r\n"),
            "the size of a chunk, and at most 67108864 bytes in all, got another line",
        ),
        (
            reply(CHUNKED, body=b"2\r\n{}\r\n3ffffff\r\n"),
            "the size of a chunk, and at most 67108864 bytes in all, got another line",
        ),
        (
            reply(CHUNKED, body=b"ffffffffffffffff\r\n"),
            "the size of a chunk, and at most 67108864 bytes in all, got another line",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_not_a_reply_of_http_ends_the_function(outcome, text, error):
    assert outcome(text, closes=True) == (4, error)


@pytest.mark.long
def test_a_reply_that_is_cut_anywhere_ends_the_function(outcome):
    chunked = reply(CHUNKED, body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(EVENT), EVENT))
    for text in (GOOD, chunked):
        for cut in range(1, len(text), 3):
            code, error = outcome(text[:cut], closes=True)
            assert code == 4
            assert ", got " in error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            "status 200 with an invocation, got status 403",
        ),
        (
            b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
            "status 200 with an invocation, got status 500",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
            "an id in the header Lambda-Runtime-Aws-Request-Id, got no header",
        ),
        (
            GOOD.replace(b"8476a536", b"../init/error"),
            "an id in the header Lambda-Runtime-Aws-Request-Id, got another value",
        ),
        (
            GOOD.replace(ID, ID + b"Lambda-Runtime-Deadline-Ms: soon\r\n"),
            "milliseconds since 1970 in the header Lambda-Runtime-Deadline-Ms, got another value",
        ),
        (
            GOOD.replace(ID, ID + b"Lambda-Runtime-Deadline-Ms: -5\r\n"),
            "milliseconds since 1970 in the header Lambda-Runtime-Deadline-Ms, got another value",
        ),
    ],
    ids=lambda value: str(value)[-60:],
)
def test_an_invocation_that_is_not_one_ends_the_function(outcome, text, error):
    assert outcome(text) == (4, error)


def test_a_runtime_api_that_fails_after_an_answer_ends_the_function(outcome):
    text = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
    expected = "status 202 after invocation/8476a536/response, got status 500"
    assert outcome(GOOD, text) == (4, expected)
    assert outcome(GOOD, b"gone", closes=True)[0] == 4


def test_the_error_of_a_model_is_written_if_it_cannot_be_sent(sidecall):
    with Api(status=500) as api:
        sidecall.env["AWS_LAMBDA_RUNTIME_API"] = api.address
        done = sidecall("lambda", "none.onnx")
    first, second = done.err.splitlines()
    assert done.code == 4
    assert "none.onnx" in first
    assert second.endswith("expected status 202 after init/error, got status 500")


def is_connecting(port: int) -> bool:
    """Whether a socket of this host has sent its first packet to this port, without an answer."""
    lines = Path("/proc/net/tcp").read_text().splitlines()
    return any(line.split()[2:4] == [f"0100007F:{port:04X}", "02"] for line in lines)


@pytest.mark.long
def test_a_signal_during_the_connecting_ends_the_function_with_0(sidecall, jobs):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        host, port = listener.getsockname()
        sidecall.env["AWS_LAMBDA_RUNTIME_API"] = f"{host}:{port}"
        with (
            socket.create_connection((host, port)),  # the queue of the listener is full now
            sidecall.start("lambda", jobs) as process,
        ):
            until = time.monotonic() + 20
            while not is_connecting(port):
                assert process.poll() is None and time.monotonic() < until
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            listener.accept()[0].close()
            _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, b"")


@pytest.mark.long
def test_a_reply_that_stops_ends_the_function_after_ten_seconds(outcome):
    expected = "a byte within 10 seconds, got nothing"
    assert outcome(GOOD[:-1]) == (4, expected)


def test_an_answer_that_the_runtime_api_refuses_is_logged(sidecall, jobs):
    with Api(status=413) as api:
        sidecall.env["AWS_LAMBDA_RUNTIME_API"] = api.address
        with sidecall.start("lambda", jobs) as process:
            api.call(models.ROWS[0])
            request = api.call(models.ROWS[0]).path
            code, err = ended(process)
    assert code == 0
    line = f"sidecall: lambda: the Runtime API: expected status 202 after {request}, got status 413"
    assert err.splitlines()[-1] == line


@pytest.mark.parametrize("says_so", [True, False])
def test_a_connection_that_was_closed_while_idle_is_opened_again(sidecall, jobs, says_so):
    first = GOOD.replace(b"\r\n", b"\r\nConnection: Close\r\n", 1) if says_so else GOOD
    # Without the header, the function learns of the end when it sends its answer.
    with api_that_says(first, OK, GOOD, OK, closes=True) as script:
        sidecall.env["AWS_LAMBDA_RUNTIME_API"] = script.address
        with sidecall.start("lambda", jobs) as process:
            for _ in range(500):
                if len(script.requests) >= 5:
                    break
                threading.Event().wait(0.02)
            assert ended(process) == (0, "")
    paths = [request.split()[1].rpartition(b"/")[2] for request in script.requests]
    assert paths == [b"next", b"response", b"next", b"response", b"next"]


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("127.0.0.1", "expected HOST:PORT, got another address"),
        ("127.0.0.1:http", "cannot find the address: Name or service not known"),
        ("127.0.0.1:1", "cannot connect: connection refused"),
    ],
)
def test_an_address_without_a_runtime_api_is_an_error(sidecall, jobs, address, error):
    sidecall.env["AWS_LAMBDA_RUNTIME_API"] = address
    done = sidecall("lambda", jobs)
    assert (done.code, done.out) == (4, "")
    assert done.err.endswith(f"the Runtime API at {address}: {error}\n")
