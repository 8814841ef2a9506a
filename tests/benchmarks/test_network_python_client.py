"""The Python client of benchmarks/network implements the protocol of clients/README.md.

It measures, and counts wrong and lost answers.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
RING, MAX_ROWS, COLUMNS = 8, 4, 3
ROUND = {"seconds": 0.02, "warm_up": 2, "first": 5}
FIGURES = {
    "calls",
    "wrong",
    "lost",
    "seconds",
    "p50_us",
    "p90_us",
    "p99_us",
    "p999_us",
    "max_us",
    "request_bytes",
    "response_bytes",
    "cpu_s",
    "error",
}


class Client:
    def __init__(self) -> None:
        command = [sys.executable, ROOT / "benchmarks/network/clients/python/client.py"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def say(self, line: str) -> dict:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def ask(self, **request: object) -> dict:
        return self.say(json.dumps(request))

    def end(self) -> int:
        self._process.stdin.close()
        code = self._process.wait(timeout=30)
        self._process.stdout.close()
        return code


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    one = Client()
    yield one
    assert one.end() == 0, "the client ends when its stdin is closed"


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its answers have two outputs: twice the input, and as the label the sign of its sum."""
    folder = tmp_path_factory.mktemp("workload") / "twice"
    folder.mkdir()
    rows = np.random.default_rng(0).standard_normal((RING + MAX_ROWS, COLUMNS)).astype(np.float32)
    document = {
        "name": "twice",
        "kind": "tensor",
        "ring": RING,
        "max_rows": MAX_ROWS,
        "tolerance": 1e-6,
        "input": {"name": "X", "dims": [COLUMNS]},
        "outputs": [
            {"name": "label", "dtype": "int64", "dims": []},
            {"name": "twice", "dtype": "float32", "dims": [COLUMNS]},
        ],
        "classes": [0, 1],
    }
    (folder / "workload.json").write_text(json.dumps(document))
    rows.tofile(folder / "input.f32")
    (2 * rows).astype(np.float64).tofile(folder / "expected.f64")
    (rows.sum(axis=1) > 0).astype(np.int64).tofile(folder / "labels.i64")
    return folder


Answer = Callable[[list], dict | None]


def right(rows: list) -> dict:
    return {
        "label": [int(sum(row) > 0) for row in rows],
        "twice": [[2 * value for value in row] for row in rows],
    }


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Starts an HTTP server that answers with the function's result; None drops the connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["X"]
            found = answer(rows) if self.path == "/twice" else None
            if found is None:
                self.close_connection = True
                return
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Logs nothing to stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def after_the_first(later: Answer) -> Answer:
    """Answers the first two calls, those of `open`, correctly, and later calls with `later`."""
    opening = [right, right]
    return lambda rows: (opening.pop() if opening else later)(rows)


def open_http(client: Client, workload: Path, url: str, rows: int = 2) -> dict:
    return client.ask(
        do="open", workload=str(workload), rows=rows, transport="http", body="json", at={"url": url}
    )


def check_measured(measured: dict) -> None:
    assert set(measured) == FIGURES
    assert measured["calls"] > 0
    assert measured["seconds"] > 0
    assert 0 < measured["p50_us"] <= measured["p90_us"] <= measured["p99_us"] <= measured["p999_us"]


def test_concurrent_callers_and_fixed_rates_are_measured_over_http(
    client: Client, workload: Path
) -> None:
    with serving(right) as url:
        assert open_http(client, workload, url)["ok"]
        alone = client.ask(do="closed", clients=1, **ROUND)
        crowd = client.ask(do="closed", clients=3, **ROUND)
        timed = client.ask(do="open_loop", clients=4, rate=200, **ROUND | {"seconds": 0.1})
        client.ask(do="close")
    for measured in (alone, crowd, timed):
        check_measured(measured)
        assert (measured["wrong"], measured["lost"], measured["error"]) == (0, 0, None)
        assert measured["response_bytes"] > 0 < measured["request_bytes"]
    assert timed["calls"] == 20


def test_latency_counts_from_the_scheduled_start(client: Client, workload: Path) -> None:
    """There is one worker and a slow server, so the last call waits for all calls before it."""
    pause = threading.Event()

    def slow(rows: list) -> dict:
        pause.wait(0.05)
        return right(rows)

    with serving(slow) as url:
        assert open_http(client, workload, url)["ok"]
        measured = client.ask(do="open_loop", clients=1, rate=100, seconds=0.1, warm_up=0, first=0)
        client.ask(do="close")
    assert measured["calls"] == 10
    assert measured["max_us"] > 10 * 50_000 - 9 * 10_000


@pytest.mark.parametrize("clients", [1, 3])
@pytest.mark.parametrize("lie", ["number", "label", "nan", "short"])
def test_a_wrong_answer_is_counted(client: Client, workload: Path, lie: str, clients: int) -> None:
    def bent(rows: list) -> dict:
        answer = right(rows)
        match lie:
            case "number":
                answer["twice"][-1][0] += 1e-3
            case "nan":
                answer["twice"][0][0] = None
            case "label":
                answer["label"][0] ^= 1
            case "short":
                answer["twice"].pop()
        return answer

    with serving(after_the_first(bent)) as url:
        assert open_http(client, workload, url)["ok"]
        measured = client.ask(do="closed", clients=clients, **ROUND)
        client.ask(do="close")
    assert measured["wrong"] == measured["calls"] > 0
    assert measured["lost"] == 0


@pytest.mark.parametrize("clients", [1, 3])
def test_a_dropped_call_is_counted_as_lost(client: Client, workload: Path, clients: int) -> None:
    with serving(after_the_first(lambda rows: None)) as url:
        assert open_http(client, workload, url)["ok"]
        measured = client.ask(do="closed", clients=clients, **ROUND)
        client.ask(do="close")
    assert measured["lost"] == measured["calls"] > 0
    assert measured["wrong"] == 0
    assert "RemoteDisconnected" in measured["error"]


def test_a_wrong_first_answer_fails_the_open(client: Client, workload: Path) -> None:
    with serving(lambda rows: {"label": [0, 0], "twice": rows}) as url:
        assert "first answer: expected" in open_http(client, workload, url)["error"]
    assert "no workload is open" in client.ask(do="closed", clients=1, **ROUND)["error"]
