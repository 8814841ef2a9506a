"""Either side is killed, stopped or exits at each step of the protocol.

Each call has one outcome, nothing is left behind, and no other client is disturbed.
"""

import signal
import time
from itertools import product
from random import Random

import pytest
from fault_peers import (
    CLIENTS,
    IS_LONG,
    Peer,
    fault_points,
    outcomes,
    start_client,
    start_server,
    wait_until,
)

CALLS = 40
ENDS = ["kill", "exit"]
# Points that are reached only when the server dies or does not answer.
ON_FAILURE = {
    "client.resends",
    "client.given_up",
}
ON_THE_WAY = [point for point in fault_points("client") if point not in ON_FAILURE]


# A fault happens when its point is reached for the N-th time. This is N for each point of the
# handshake; for other points see nth(). A client makes two handshakes: the first only asks what is
# served, the second gets memory. The fault is meant for the second handshake. Three points are
# reached in both handshakes, so their N is 2; the others are reached only in the second.
HANDSHAKE = {
    "server.hello": 2,
    "client.hello": 2,
    "client.welcomed": 2,
    "server.welcome": 1,
    "client.connected": 1,
}


def choose(points: list[str], actions: list[str]) -> list[tuple[str, str, str]]:
    """Returns (language, point, action): with SIDECALL_LONG=1 every combination.

    Otherwise C gets all actions at each point, and the other languages get one action at each.
    """
    # In Node.js's asynchronous calls the event loop sleeps, not the channel.
    pairs = [pair for pair in product(CLIENTS, points) if pair != ("node", "client.sleeps")]
    chosen = []
    for i, (language, point) in enumerate(pairs):
        wanted = actions if IS_LONG or language == "c" else [actions[i % len(actions)]]
        chosen += [(language, point, action) for action in wanted]
    return chosen


def nth(point: str) -> str:
    return f"{point}@{1 if point == 'client.sleeps' else HANDSHAKE.get(point, 3)}"


def ready(server: Peer) -> Peer:
    assert server.line() == "ready"
    return server


def test_each_side_has_fault_points() -> None:
    assert len(fault_points("client")) >= 5
    assert len(fault_points("server")) >= 5


@pytest.mark.parametrize(("language", "point", "action"), choose(fault_points("server"), ENDS))
def test_a_server_that_dies_is_replaced(
    address: str, language: str, point: str, action: str
) -> None:
    with (
        ready(start_server(address, f"{nth(point)}:{action}")) as first,
        start_client(language, address, CALLS) as client,
    ):
        said = client.line()
        first.process.wait(timeout=30)
        with ready(start_server(address)):
            ended = outcomes(client.lines())
    if said != "open OK":  # the server died in the handshake of this client
        assert said.split()[1] in ("PEER_DIED", "UNREACHABLE")
        return
    assert len(ended) == CALLS
    assert set(ended) <= {"OK", "PEER_DIED", "UNREACHABLE"}
    assert ended.count("PEER_DIED") <= 1, "one server died once"
    assert ended[-3:] == ["OK"] * 3


@pytest.mark.parametrize(("language", "point", "action"), choose(fault_points("server"), ["stop"]))
def test_calls_to_a_stopped_server_end_at_their_deadlines(
    address: str, language: str, point: str, action: str
) -> None:
    with (
        ready(start_server(address, f"{nth(point)}:{action}")) as server,
        start_client(language, address, CALLS, timeout_ms=100) as client,
    ):
        wait_until(server.is_stopped)
        said = []
        if point not in HANDSHAKE:
            said.append(client.line())
            while said[-1].endswith("OK"):
                said.append(client.line())
        server.signal(signal.SIGCONT)
        said += client.lines()
    assert said[0] == "open OK"
    ended = outcomes(said[1:])
    assert len(ended) == CALLS
    assert set(ended) <= {"OK", "TIMEOUT"}
    assert "TIMEOUT" in ended or point in HANDSHAKE
    assert ended[-3:] == ["OK"] * 3


@pytest.mark.parametrize(("language", "point", "action"), choose(ON_THE_WAY, [*ENDS, "stop"]))
def test_a_client_that_dies_does_not_affect_the_server_or_other_clients(
    address: str, language: str, point: str, action: str
) -> None:
    # This point needs a client that goes to sleep. Often the answer arrives earlier, even without
    # spinning, so many more calls are made.
    waiting, calls = (
        ({"SIDECALL_SPIN_US": "0"}, 100 * CALLS) if point == "client.sleeps" else ({}, CALLS)
    )
    with ready(start_server(address, **waiting)) as server:
        with start_client("c", address, 1) as first:
            assert outcomes(first.lines()) == ["OK"]
        wait_until(lambda: server.resources()[1] == 0)
        before = server.settled_resources()
        fault = f"{nth(point)}:{action}"
        with (
            start_client("c", address, CALLS) as honest,
            start_client(language, address, calls, fault=fault, **waiting) as victim,
        ):
            if action == "stop":
                wait_until(victim.is_stopped, 30)
                victim.signal(signal.SIGKILL)
            victim.lines()
            assert victim.process.returncode == (7 if action == "exit" else -signal.SIGKILL), (
                "the point was reached"
            )
            assert outcomes(honest.lines()) == ["OK"] * CALLS
        wait_until(lambda: server.resources() == before)


@pytest.mark.parametrize("language", CLIENTS)
@pytest.mark.parametrize("action", ENDS)
def test_a_client_that_dies_while_it_cancels_does_no_harm(
    address: str, language: str, action: str
) -> None:
    with ready(start_server(address, "server.running@3:stop")) as server:
        with start_client(
            language, address, CALLS, timeout_ms=50, fault=f"client.given_up:{action}"
        ) as victim:
            victim.lines()
            assert victim.process.returncode == (7 if action == "exit" else -signal.SIGKILL)
        server.signal(signal.SIGCONT)
        with start_client("c", address, CALLS) as honest:
            assert outcomes(honest.lines()) == ["OK"] * CALLS
        wait_until(lambda: server.resources()[1] == 0)


@pytest.mark.parametrize("language", CLIENTS)
@pytest.mark.parametrize("action", ENDS)
def test_a_client_that_dies_while_it_resends_does_no_harm(
    address: str, language: str, action: str
) -> None:
    with (
        ready(start_server(address, "server.seen@3:kill")) as first,
        start_client(language, address, CALLS, fault=f"client.resends:{action}") as victim,
    ):
        first.process.wait(timeout=30)
        with ready(start_server(address)) as second, start_client("c", address, CALLS) as honest:
            victim.lines()
            assert outcomes(honest.lines()) == ["OK"] * CALLS
            wait_until(lambda: second.resources()[1] == 0)


def test_killed_clients_leak_no_resources_in_the_server(address: str) -> None:
    """Clients are killed at random moments.

    Afterwards the server has as many descriptors and mappings as before, and its memory has not
    grown.
    """
    deaths = 10_000 if IS_LONG else 60
    random = Random(0)
    with ready(start_server(address)) as server, start_client("c", address, 10_000_000) as honest:
        with start_client("c", address, 1) as first:
            first.lines()
        wait_until(lambda: server.resources()[1] == 2)
        before, memory = server.settled_resources(), 0
        for death in range(deaths):
            with start_client("c", address, 1_000_000) as victim:
                victim.line()
                time.sleep(random.random() * 0.005)
                victim.signal(signal.SIGKILL)
            if death == deaths // 5:
                memory = server.resident_kib()
        wait_until(lambda: server.resources() == before)
        assert server.resident_kib() - memory < 1024
        honest.signal(signal.SIGKILL)
        assert set(outcomes(honest.lines()[1:])) == {"OK"}
