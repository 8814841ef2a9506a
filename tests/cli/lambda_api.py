"""A Runtime API of AWS Lambda on this host: hands out events, and records the answers."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ROOT = "/2018-06-01/runtime/"


@dataclass
class Sent:
    """What a function has sent: the path below ROOT, the headers and the body."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Event:
    body: bytes
    headers: dict[str, str]
    is_chunked: bool = False


@dataclass
class Api:
    """`status` is that of the replies to answers and errors."""

    status: int = 202
    sent: queue.Queue[Sent] = field(default_factory=queue.Queue)
    asked: queue.Queue[dict[str, str]] = field(default_factory=queue.Queue)  # headers of `next`
    connections: set[tuple[str, int]] = field(default_factory=set)
    _events: queue.Queue[Event] = field(default_factory=queue.Queue)
    _num_events: int = 0

    def __post_init__(self) -> None:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                assert self.path == ROOT + "invocation/next", self.path
                api.connections.add(self.client_address)
                api.asked.put(dict(self.headers))
                event = api._events.get()
                self.send_response(200)
                for name, value in event.headers.items():
                    self.send_header(name, value)
                if event.is_chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for at in range(0, len(event.body), 1000):
                        part = event.body[at : at + 1000]
                        self.wfile.write(b"%x;name=value\r\n%s\r\n" % (len(part), part))
                    self.wfile.write(b"0\r\nDate: now\r\n\r\n")
                else:
                    self.send_header("Content-Length", str(len(event.body)))
                    self.end_headers()
                    self.wfile.write(event.body)
                self.wfile.flush()

            def do_POST(self) -> None:
                assert self.path.startswith(ROOT), self.path
                body = self.rfile.read(int(self.headers["Content-Length"]))
                reply = b'{"status":"OK"}\n'
                self.send_response(api.status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)
                self.wfile.flush()
                api.sent.put(Sent(self.path.removeprefix(ROOT), dict(self.headers), body))

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def send(self, event: Any, *, is_chunked: bool = False, **headers: str | None) -> str:
        """Hands out an event, which is JSON or bytes, and returns the id of the invocation."""
        self._num_events += 1
        request_id = f"8476a536-e9f4-11e8-9739-{self._num_events:012d}"
        named: dict[str, str | None] = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": "32503680000000",
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:1:function:fraud",
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
        } | {"Lambda-Runtime-" + name.replace("_", "-"): value for name, value in headers.items()}
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        given = {name: value for name, value in named.items() if value is not None}
        self._events.put(Event(body, given, is_chunked))
        return request_id

    def call(self, event: Any, **options: Any) -> Sent:
        """Hands out an event and returns what the function sends for it."""
        request_id = self.send(event, **options)
        sent = self.sent.get(timeout=20)
        assert sent.path.startswith(f"invocation/{request_id}/"), sent
        return sent

    def answer(self, event: Any, **options: Any) -> Any:
        sent = self.call(event, **options)
        assert sent.path.endswith("/response"), sent
        return sent.json()

    def error(self, event: Any, **options: Any) -> Any:
        sent = self.call(event, **options)
        assert sent.path.endswith("/error"), sent
        return sent.json()


def ended(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Ends a function, and returns its exit code and what it wrote to stderr."""
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    return process.returncode, err.decode()


def http_event(body: Any, payload: str = "2.0") -> dict[str, Any]:
    """A request over HTTP as Lambda hands it out: payload 1.0 or 2.0."""
    text = body if isinstance(body, str) else json.dumps(body)
    if payload == "1.0":
        return {
            "resource": "/predict",
            "path": "/predict",
            "httpMethod": "POST",
            "headers": {"Content-Type": "application/json", "Host": "example.org"},
            "multiValueHeaders": {"Content-Type": ["application/json"], "Host": ["example.org"]},
            "queryStringParameters": None,
            "requestContext": {"httpMethod": "POST", "stage": "prod", "protocol": "HTTP/1.1"},
            "body": text,
            "isBase64Encoded": False,
        }
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/predict",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "example.org"},
        "requestContext": {
            "http": {"method": "POST", "path": "/predict", "protocol": "HTTP/1.1"},
            "stage": "$default",
            "timeEpoch": 1583348638390,
        },
        "body": text,
        "isBase64Encoded": False,
    }
