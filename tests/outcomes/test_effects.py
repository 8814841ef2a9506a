"""A function with an effect, on two servers: no call is executed twice, however a server ends."""

import os
import signal
import subprocess
import time
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import sidecall
from peer import free_port

ROOT = Path(__file__).resolve().parents[2]
SERVER = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build")) / "bin/sidecall-effects-server"
LONG_CALL = -1  # see effects_server.c

pytestmark = pytest.mark.usefixtures("network_library")


class EffectsServer:
    def __init__(self, protocol: str, noted: Path) -> None:
        self.noted, self.port = noted, free_port()
        at = f"{protocol}://127.0.0.1:{self.port}?name=effects"
        self.process = subprocess.Popen([SERVER, noted, at], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def executed(self) -> list[int]:
        return array("q", self.noted.read_bytes()).tolist()

    def end(self, by: signal.Signals) -> int:
        with self.process:
            self.process.send_signal(by)
            return self.process.wait(20)


@pytest.fixture(params=["http", "grpc"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[EffectsServer]]:
    started = [EffectsServer(request.param, tmp_path / f"noted-{number}") for number in range(2)]
    yield started
    for server in started:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


@pytest.fixture
def model(servers: list[EffectsServer], request: pytest.FixtureRequest) -> Iterator[sidecall.Model]:
    protocol = request.node.callspec.params["servers"]
    hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
    with sidecall.open(f"{protocol}://{hosts}/effects") as opened:
        yield opened


def run(model: sidecall.Model, number: int) -> list[int]:
    return model.run({"id": np.array([number])}, timeout=20)["done"].tolist()


def end_during_a_call(
    model: sidecall.Model, servers: list[EffectsServer], by: signal.Signals
) -> tuple[list[int] | Exception, int]:
    """Ends the server that executes a long call. Returns the outcome of the call, and the code."""
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(run, model, LONG_CALL)
        while not (busy := [server for server in servers if server.executed()]):
            assert not call.done(), call.result()
            time.sleep(0.002)
        code = busy[0].end(by)
        error = call.exception(30)
        return (call.result() if error is None else error), code  # type: ignore[return-value]


def executed(servers: list[EffectsServer]) -> list[int]:
    return sorted(number for server in servers for number in server.executed())


def test_a_call_whose_server_is_killed_fails_and_is_not_executed_again(
    model: sidecall.Model, servers: list[EffectsServer]
) -> None:
    outcome, _ = end_during_a_call(model, servers, signal.SIGKILL)
    assert isinstance(outcome, sidecall.errors.PeerDied)
    assert executed(servers) == [LONG_CALL]
    # The other server takes the calls that follow.
    assert [run(model, number) for number in (5, 6, 7)] == [[5], [6], [7]]
    assert executed(servers) == [LONG_CALL, 5, 6, 7]


def test_a_call_whose_server_is_replaced_is_answered(
    model: sidecall.Model, servers: list[EffectsServer]
) -> None:
    assert end_during_a_call(model, servers, signal.SIGTERM) == ([LONG_CALL], 0)
    assert [run(model, number) for number in (5, 6, 7)] == [[5], [6], [7]]
    assert executed(servers) == [LONG_CALL, 5, 6, 7]


def test_a_call_fails_without_an_execution_if_no_server_is_left(
    model: sidecall.Model, servers: list[EffectsServer]
) -> None:
    for server in servers:
        server.end(signal.SIGKILL)
    with pytest.raises((sidecall.errors.Unreachable, sidecall.errors.PeerDied)):
        run(model, 1)
    assert executed(servers) == []
