"""Checks every event and every status of outcomes.py, over every route, in each language."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import outcomes
import pytest
from peer import free_port
from vector_servers import engine_path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BIN = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build")) / "bin"
SERVER = BIN / "sidecall-outcomes-server"
CLIENTS = {
    "c": [str(BIN / "sidecall-outcomes-client")],
    "python": [sys.executable, str(HERE / "outcomes_client.py")],
    "node": ["node", str(HERE / "outcomes_client.js")],
}


@pytest.fixture
def uri_of(tmp_path: Path, network_library: Path) -> Iterator[dict[str, str]]:
    """Yields the URI of each route. The servers run until the test has ended."""
    at = {"shm": f"shm:{tmp_path}/outcomes.sock"} | {
        protocol: f"{protocol}://127.0.0.1:{free_port()}" for protocol in ("http", "grpc")
    }
    servers = [
        subprocess.Popen(
            [SERVER, address if route == "shm" else f"{address}?name=outcomes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for route, address in at.items()
    ]
    try:
        for server in servers:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
        yield {
            "file": str(ROOT / "tests/vectors/models/slow.onnx"),
            "shm": at["shm"],
            "exec": f"exec:{SERVER}",
            "http": f"{at['http']}/outcomes",
            "grpc": f"{at['grpc']}/outcomes",
        }
    finally:
        for server in servers:
            with server:
                server.kill()


def call(language: str, uri: str, mode: str, asked: list[int]) -> list[str]:
    """Makes one call for each number in `asked`. Returns the outcomes of the calls."""
    environment = {"SIDECALL_ONNXRUNTIME": engine_path()} | os.environ
    done = subprocess.run(
        [*CLIENTS[language], uri, mode, *map(str, asked)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("language", outcomes.LANGUAGES)
@pytest.mark.parametrize("route", outcomes.ROUTES)
def test_every_event_has_its_outcome(language: str, route: str, uri_of: dict[str, str]) -> None:
    found = {
        event.text: call(language, uri_of[route], event.mode, [event.asked])
        for event in outcomes.EVENTS
        if route in event.routes and event.asked != outcomes.DIE
    }
    assert found == {
        event.text: [event.outcome] for event in outcomes.EVENTS if event.text in found
    }


@pytest.mark.parametrize("language", outcomes.LANGUAGES)
@pytest.mark.parametrize("route", outcomes.REMOTE)
@pytest.mark.parametrize(
    "event",
    [event for event in outcomes.EVENTS if event.asked == outcomes.DIE],
    ids=lambda event: event.mode,
)
def test_a_killed_server_ends_the_call(
    language: str, route: str, event: outcomes.Event, uri_of: dict[str, str]
) -> None:
    assert call(language, uri_of[route], event.mode, [event.asked]) == [event.outcome]


@pytest.mark.parametrize("language", outcomes.LANGUAGES)
@pytest.mark.parametrize("route", outcomes.REMOTE)
@pytest.mark.parametrize("mode", ["synchronous", "asynchronous"])
def test_every_status_of_a_served_function_arrives(
    language: str, route: str, mode: str, uri_of: dict[str, str]
) -> None:
    found = call(language, uri_of[route], mode, list(outcomes.STATUSES.values()))
    assert dict(zip(outcomes.STATUSES, found, strict=True)) == {
        status: outcomes.answered(status) for status in outcomes.STATUSES
    }


def test_the_page_is_up_to_date() -> None:
    assert outcomes.PAGE.read_text() == outcomes.page(), (
        "run python tests/outcomes/outcomes.py --update"
    )
