"""A completion queue over the network: the event loop of examples/c, which knows no route."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from own_server import OwnServer, Start, wait_until
from vector_servers import command_environment

EVENT_LOOP = Path(__file__).parents[2] / "build/bin/example-event-loop"
QUESTIONS = 2000

pytestmark = pytest.mark.usefixtures("network_library")


def uri(server: OwnServer, protocol: str) -> str:
    return f"{server.at[protocol]}/penguins"


def number_of_answers(server: OwnServer) -> float:
    lines = str(server.get("/metrics")[1]).splitlines()
    answers = [line for line in lines if line.startswith("sidecall_requests_total{")]
    return sum(float(line.split()[-1]) for line in answers if 'status="2xx"' in line)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_event_loop_keeps_calls_under_way(start: Start, protocol: str) -> None:
    command = [EVENT_LOOP, uri(start("penguins.onnx"), protocol), str(QUESTIONS)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env=command_environment(), check=False
    )
    assert (done.stdout, done.stderr) == (f"{QUESTIONS} of {QUESTIONS} say Gentoo\n", "")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_each_run_has_an_outcome_although_the_server_ends(start: Start, protocol: str) -> None:
    served = start("penguins.onnx")
    with subprocess.Popen(
        [EVENT_LOOP, uri(served, protocol), "20000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=command_environment(),
    ) as loop:
        wait_until(lambda: number_of_answers(served) > 2000)
        served.end(signal.SIGKILL)
        said, problems = loop.communicate(timeout=120)
    assert said.endswith(" of 20000 say Gentoo\n")
    answered = int(said.split()[0])
    assert 1000 < answered < 20000 and problems.count("\n") == 20000 - answered
