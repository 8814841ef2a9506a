"""The token file of a server: its format, and which clients are refused while it is damaged."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import sidecall
from own_server import MODEL, RECORD, OwnServer, Start, exchange, wait_until
from sidecall import errors
from vector_servers import MODELS, command_environment, command_path

pytestmark = pytest.mark.usefixtures("network_library")

HTTP = ("--http", "127.0.0.1:0")
LONG = "0123456789abcdef0123456789abcdef"  # as long as tokens should be


def status_with(own: OwnServer, token: str) -> int:
    return own.get(MODEL, authorization=f"Bearer {token}")[0]


def place(tokens: Path, text: str) -> None:
    """Replaces the file as a whole, as programs that manage secrets do."""
    (tokens.parent / "next").write_text(text)
    (tokens.parent / "next").rename(tokens)


def told(own: OwnServer) -> list[int | str]:
    """What the log tells about the file: numbers of tokens, and reasons why it cannot be used."""
    lines = [json.loads(line) for line in own.log().splitlines() if line.startswith("{")]
    return [
        event.get("tokens", event.get("reason"))
        for event in lines
        if event["event"] in ("server.tokens", "server.tokens_failed")
    ]


def test_tokens_are_needed_and_can_be_replaced(start: Start, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("# of the first quarter\nfirst-token\nsecond-token\n\n")
    mine = tmp_path / "mine"
    mine.write_text("second-token\n")
    own = start("penguins.onnx", "--tokens", str(tokens))
    assert own.get("/v2")[0] == 401
    for other in ("third-token", "#", "# of the first quarter", "", "first-toke", "first-token2"):
        assert status_with(own, other) == 401
    assert status_with(own, "first-token") == 200
    assert own.get("/v2/health/live")[0] == 200
    for protocol in ("http", "grpc"):
        with pytest.raises(errors.Denied):
            sidecall.open(own.uri(protocol, "penguins"))
        with sidecall.open(own.uri(protocol, "penguins") + f"?token={mine}") as model:
            model.predict(RECORD)
    tokens.write_text("third-token\n")
    wait_until(lambda: status_with(own, "third-token") == 200)
    assert status_with(own, "first-token") == 401


def test_what_the_file_says_holds_while_the_server_runs(start: Start, tmp_path: Path) -> None:
    tokens, at = tmp_path / "tokens", f"shm:{tmp_path}/socket"
    tokens.write_text("first-token\nsecond-token\n")
    own = start("penguins.onnx", "--at", at, *HTTP, "--tokens", str(tokens))
    assert told(own) == [2]

    def status(*options: str) -> str:
        words = [command_path(), "status", at, *options]
        environment = command_environment()
        return subprocess.run(
            words, env=environment, check=True, capture_output=True, text=True
        ).stdout

    def is_refused() -> bool:
        return status_with(own, "first-token") == status_with(own, "second-token") == 401

    # Without the file all clients are refused, but not if it is missing for a moment only.
    tokens.rename(tmp_path / "away")
    wait_until(is_refused)
    (server,) = json.loads(status("--json"))["network"]
    assert server["tokens"] == 0 and "none that can be opened" in server["tokens_failure"]
    assert "none that can be opened" in status()
    usable = 'sidecall_file_usable{at="' + own.at["http"] + '",file="tokens"}'
    assert f"{usable} 0\n" in status("--prometheus")
    (tmp_path / "away").rename(tokens)
    wait_until(lambda: status_with(own, "first-token") == 200)
    assert f"{usable} 1\n" in status("--prometheus")
    # Only the second token is cut off, but an incomplete file does not count at all.
    tokens.write_text("first-token\nsecond-tok")
    wait_until(is_refused)
    assert status_with(own, "second-tok") == 401
    place(tokens, LONG)  # as a secret of Kubernetes: whole, but without a line feed
    wait_until(lambda: status_with(own, LONG) == 200)
    tokens.write_text(LONG[:20])  # written in place, so it may be cut off
    wait_until(lambda: status_with(own, LONG) == 401)
    assert status_with(own, LONG[:20]) == 401
    place(tokens, "# none for now\n")
    wait_until(lambda: told(own)[-1] == 0)
    assert status_with(own, LONG) == 401
    place(tokens, "last-token\n")
    wait_until(lambda: status_with(own, "last-token") == 200)
    metrics = own.get("/metrics", authorization="Bearer last-token")[1]
    assert f'sidecall_tokens{{at="{own.at["http"]}"}} 1\n' in metrics
    assert f'sidecall_file_failures_total{{at="{own.at["http"]}",file="tokens"}} 3\n' in metrics
    wait_until(lambda: told(own)[-1] == 1)
    story = [each if isinstance(each, int) else "failed" for each in told(own)]
    assert story == [2, "failed", 2, "failed", 1, "failed", 0, 1]
    assert "second" not in own.log() and LONG[:20] not in own.log()


def test_many_tokens(start: Start, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("".join(f"token-{number}\n" for number in range(20_000)))
    own = start("penguins.onnx", *HTTP, "--tokens", str(tokens))
    assert told(own) == [20_000]
    for number in (0, 1023, 1024, 19_999):
        assert status_with(own, f"token-{number}") == 200
    assert status_with(own, "token-20000") == 401


@pytest.mark.parametrize("text", ["", "\n", "# none\n", "# none"])
def test_a_file_without_tokens_refuses_all_clients(start: Start, tmp_path: Path, text: str) -> None:
    (tmp_path / "tokens").write_text(text)
    own = start("penguins.onnx", *HTTP, "--tokens", str(tmp_path / "tokens"))
    assert own.get(MODEL)[0] == status_with(own, "") == status_with(own, "# none") == 401
    (event,) = own.await_events("server.tokens")
    assert (event["level"], event["tokens"]) == ("warning", 0)


def test_a_single_long_token_needs_no_line_feed(start: Start, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(LONG)
    own = start("penguins.onnx", *HTTP, "--tokens", str(tmp_path / "tokens"))
    assert status_with(own, LONG) == 200 and status_with(own, LONG[:20]) == 401


def test_a_token_without_a_line_feed_stays_valid_if_only_the_files_metadata_change(
    start: Start, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(LONG)
    own = start("penguins.onnx", *HTTP, "--tokens", str(tokens))
    changes: list[Callable[[], object]] = [
        lambda: tokens.chmod(0o600),
        tokens.touch,
        lambda: (tmp_path / "link").hardlink_to(tokens),
        lambda: tokens.write_text(LONG),
    ]
    for count, change in enumerate(changes, 2):
        change()
        wait_until(lambda count=count: len(told(own)) == count)
        assert told(own) == [1] * count
        assert status_with(own, LONG) == 200
    tokens.write_text(LONG[:20])  # may be cut off
    wait_until(lambda: status_with(own, LONG) == 401)
    tokens.write_text(LONG)
    wait_until(lambda: status_with(own, LONG) == 200)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "none that can be opened: No such file or directory"),
        (b"\xff\xfe\x00t", "one token of visible ASCII in each line, got other characters"),
        (b"first-token\ntwo words\n", "got other characters in line 2"),
        (b"first-token\n\x00\x00\x00\n", "got other characters in line 2"),
        (b"# \x00\nfirst-token\n", "got a NUL"),
        (b"x" * 10_000 + b"\n", "a longer one in line 1"),
        (b"first-token\nsecond-token-that-is-long", "a line feed after the last token"),
        (b"short-token", "a line feed after the last token"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    tokens = tmp_path / "tokens"
    if content is not None:
        tokens.write_bytes(content)
    done = subprocess.run(
        [command_path(), "serve", MODELS / "penguins.onnx", *HTTP, "--tokens", tokens],
        env=command_environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "tokens: expected " in done.stderr and message in done.stderr
    assert "second" not in done.stderr and "words" not in done.stderr


def test_a_folder_is_no_file_with_tokens(tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidArgument, match="tokens: expected a file"):
        sidecall.serve(
            MODELS / "penguins.onnx", http="127.0.0.1:0", tokens=tmp_path, block=False, log=None
        )


def test_a_request_without_a_token_is_refused_before_its_body(start: Start, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("token\n")
    own = start("penguins.onnx", "--tokens", str(tokens))
    head = f"POST {MODEL}/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n"
    answer = exchange(own.connect(), head.encode())
    assert answer.startswith(b"HTTP/1.1 401 ") and b"connection: close" in answer


@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
def test_tokens_of_a_python_object_can_be_revoked(
    start: Start, tmp_path: Path, workers: list[str]
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("right\n")
    own = start("serving_parts:judge", *HTTP, "--tokens", str(tokens), *workers)
    path = "/v2/models/judge"
    assert own.get(path, authorization="Bearer right")[0] == 200
    tokens.write_text("")
    wait_until(lambda: own.get(path, authorization="Bearer right")[0] == 401)
    wait_until(lambda: [event["tokens"] for event in own.events("server.tokens")] == [1, 0])
