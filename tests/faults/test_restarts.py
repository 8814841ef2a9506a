"""A server that is killed again and again under load: with a wait for its successor only the calls that it had taken fail, and they say so."""

import json
import signal
import sys
import time
from random import Random

from fault_peers import HERE, IS_LONG, Peer, start_server

KILLS = 20 if IS_LONG else 3
RATE = 800  # requests a second
MICROSECONDS = 500  # that the server takes for each: it is at a call in four tenths of the time


def test_only_calls_that_a_dead_server_had_taken_fail(address: str) -> None:
    random = Random(0)
    server = start_server(address, microseconds=MICROSECONDS)
    try:
        assert server.line() == "ready"
        with Peer(["node", str(HERE / "restart_app.js"), address, str(RATE), "2"]) as service:
            assert service.line() == "ready"
            for _ in range(KILLS):
                time.sleep(0.5 + random.random() * 0.5)
                with server:
                    server.signal(signal.SIGKILL)
                time.sleep(0.5 + random.random() * 0.5)
                server = start_server(address, microseconds=MICROSECONDS)
                assert server.line() == "ready"
            time.sleep(0.5)
            service.process.stdin.close()
            counts = json.loads(service.line(60))
            assert service.lines() == []
    finally:
        with server:
            server.signal(signal.SIGKILL)
    print(f"{KILLS} kills: {counts}")
    assert set(counts) <= {"OK", "PEER_DIED"}
    assert counts["OK"] > 500 * KILLS
    assert counts.get("PEER_DIED", 0) <= KILLS, (
        "the server has one thread: it had taken one call at most when it died"
    )


def test_a_program_opens_a_server_that_comes_late(address: str) -> None:
    """A connected server has 30 s to answer an open; the wait for one that is not there yet is not counted."""
    seconds = 31 if IS_LONG else 1
    model = "import sidecall, sys; sidecall.open(sys.argv[1], wait=120); print('open', flush=True)"
    with Peer([sys.executable, "-c", model, address]) as program:
        time.sleep(seconds)
        with start_server(address) as server:
            assert server.line() == "ready"
            assert program.line(60) == "open"
