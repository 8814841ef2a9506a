"""A server that is killed repeatedly under load.

Clients wait for its successor. Only the calls that the dead server had taken fail, with PEER_DIED.
"""

import json
import signal
import sys
import time
from random import Random

from fault_peers import HERE, IS_LONG, Peer, start_server

KILLS = 20 if IS_LONG else 3
RATE = 800  # requests per second
MICROSECONDS = 500  # time of the server per call: it is busy 40 % of the time


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


def test_a_program_opens_a_server_that_starts_late(address: str) -> None:
    """A program waits for a server that starts late.

    A connected server has 30 s to answer an open; the wait for a server that does not exist yet is
    not included.
    """
    seconds = 31 if IS_LONG else 1
    model = "import sidecall, sys; sidecall.open(sys.argv[1], wait=120); print('open', flush=True)"
    with Peer([sys.executable, "-c", model, address]) as program:
        time.sleep(seconds)
        with start_server(address) as server:
            assert server.line() == "ready"
            assert program.line(60) == "open"
