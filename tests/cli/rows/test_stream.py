"""sidecall predict --stream: one line in, one line out, whatever the line contains."""

from __future__ import annotations

import json
import signal

import models
import pytest

from serving import serving

GOOD = json.dumps(models.ROWS[0])


class Stream:
    def __init__(self, process) -> None:
        self.process = process

    def ask(self, line: str | bytes) -> dict:
        self.process.stdin.write((line.encode() if isinstance(line, str) else line) + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> int:
        self.process.stdin.close()
        return self.process.wait(30)


@pytest.fixture
def stream(sidecall, jobs):
    with sidecall.start("predict", jobs, "--stream", "--max-line=1000000") as process:
        yield Stream(process)


def test_each_line_is_answered_before_the_next_line_is_sent(stream):
    for row in models.ROWS * 20:
        expected = models.answer(models.FEATURES, row)
        got = stream.ask(json.dumps(row))
        assert got["label"] == expected["label"]
        assert got["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
    assert stream.end() == 0
    assert stream.process.stderr.read() == b""


@pytest.mark.parametrize(
    ("line", "status"),
    [
        pytest.param(
            b'{"age": "old", "income": 1, "kids": 0, "job": "nurse"}', "DTYPE_MISMATCH", id="type"
        ),
        pytest.param(b'{"age": 1, "kids": 0, "job": "nurse"}', "MISSING_VALUE", id="missing"),
        pytest.param(
            b'{"age": 1, "income": 1, "kids": 0, "job": "pirate"}',
            "UNKNOWN_CATEGORY",
            id="category",
        ),
        pytest.param(
            b'{"age": 1, "income": 1, "kids": 0, "job": "nurse", "x": 1}',
            "UNKNOWN_NAME",
            id="unknown",
        ),
        pytest.param(
            b'{"age": 1e999, "income": 1, "kids": 0, "job": "nurse"}', "OUT_OF_RANGE", id="1e999"
        ),
        pytest.param(b'{"age": NaN}', "INVALID_JSON", id="nan"),
        pytest.param(b"", "INVALID_JSON", id="empty"),
        pytest.param(b"age=39", "INVALID_JSON", id="no_json"),
        pytest.param(b'{"age": 1, "age": 2}', "INVALID_JSON", id="a_key_twice"),
        pytest.param(b'{"a":' * 100_000, "INVALID_JSON", id="deep"),
        pytest.param(b'{"x":' * 100_000, "INVALID_JSON", id="deep_unknown"),
        pytest.param(
            b'{"age": 1, "income": 1, "kids": 0, "job": "\\ud800"}',
            "INVALID_JSON",
            id="lone_surrogate",
        ),
        pytest.param(
            b'{"age": 1, "income": 1, "kids": 0, "job": "\xff"}', "INVALID_JSON", id="invalid_utf8"
        ),
        pytest.param(
            b'{"age": 1, "income": 1, "kids": 0, "job": "\x00"}', "INVALID_JSON", id="nul"
        ),
        pytest.param(b"[" + GOOD.encode() + b"]", "DTYPE_MISMATCH", id="list"),
        pytest.param(b"x" * 3_000_000, "INVALID_JSON", id="endless_line"),
    ],
)
def test_an_error_is_one_line_and_the_stream_continues(stream, line, status):
    good = stream.ask(GOOD)
    error = stream.ask(line)["error"]
    assert error["status"] == status
    assert set(error) == {"status", "message", "retryable", "faults"}
    assert error["retryable"] is False and error["message"]
    assert stream.ask(GOOD) == good
    assert stream.end() == 0
    assert stream.process.stderr.read() == b""


def test_an_error_lists_every_fault(stream):
    faults = stream.ask('{"age": "old", "kids": true, "job": "nurse"}')["error"]["faults"]
    assert {
        fault["name"]: (fault["status"], fault["expected"], fault["got"]) for fault in faults
    } == {
        "age": ("DTYPE_MISMATCH", "float32", "string"),
        "income": ("MISSING_VALUE", "float32", "a missing value"),
        "kids": ("DTYPE_MISMATCH", "int64", "bool"),
    }


def test_a_stream_supports_keep_and_only(sidecall, jobs):
    record = json.dumps(models.ROWS[0] | {"tx": 17})
    done = sidecall(
        "predict", jobs, "--stream", "--keep=tx", "--only=label", stdin=record + "\n" + record
    )
    assert [json.loads(line) for line in done.lines()] == [{"tx": 17, "label": "yes"}] * 2


def test_a_server_that_died_is_reported_as_an_error_line(sidecall, jobs):
    at = f"shm:{sidecall.cwd}/dies.sock"
    with (
        serving(sidecall, jobs, at) as server,
        sidecall.start("predict", at, "--stream") as process,
    ):
        stream = Stream(process)
        assert "label" in stream.ask(GOOD)
        server.process.kill()
        server.process.wait()
        error = stream.ask(GOOD)["error"]
        assert error["status"] in ("PEER_DIED", "UNREACHABLE") and error["retryable"] is True
        assert stream.ask(GOOD)["error"]["retryable"] is True
        assert stream.end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_stream(stream, number):
    assert "label" in stream.ask(GOOD)
    stream.process.send_signal(number)
    assert stream.process.wait(30) == -number
    assert stream.process.stdout.read() == stream.process.stderr.read() == b""


@pytest.mark.parametrize("option", ["--from=csv", "--to=csv", "--on-error=null", "--batch=2"])
def test_options_of_format_and_batches_are_refused_with_stream(sidecall, jobs, option):
    done = sidecall("predict", jobs, "--stream", option, stdin=GOOD)
    assert (done.code, done.out) == (1, "")
    assert "--stream" in done.err
