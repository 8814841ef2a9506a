"""Worker processes are drained, are replaced if they are killed, and end with their supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sidecall
from serving_parts import Slow, misbehave
from sidecall import errors

PROGRAM = """
import sys, sidecall
from serving_parts import misbehave
sidecall.serve(misbehave, {at!r}, workers={workers}, log="json", drain_timeout={drain})
print("returned")
"""


def eventually(holds: Callable[[], Any], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return answer


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def processes_of(server: sidecall.Server) -> set[int]:
    return {worker["process"] for worker in server.status()["each"]}


@pytest.fixture
def program(at: str, environment: dict[str, str], tmp_path: Path) -> Any:
    """A process that serves `misbehave` until it gets a signal."""
    started: list[subprocess.Popen[str]] = []

    def start(workers: int | None = 2, drain: float = 10.0) -> subprocess.Popen[str]:
        code = PROGRAM.format(at=at, workers=workers, drain=drain)
        log = (tmp_path / "log").open("w")
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        started.append(process)
        sidecall.open(at, wait=60).predict({"how": "fine"})
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.parametrize("options", [{"workers": 2}, {"workers": 1}])
def test_a_killed_worker_is_replaced(serve, at, options):
    server = serve(misbehave, **options)
    assert eventually(lambda: len(processes_of(server)) == options["workers"])
    before = processes_of(server)
    client = sidecall.open(at)
    victim = int(client.predict({"how": "fine"})["prediction"])
    assert victim in before
    os.kill(victim, signal.SIGKILL)
    # The client finds that its connection is closed and connects again, to a worker that runs, so
    # this call succeeds.
    survivor = int(client.predict({"how": "fine"})["prediction"])
    assert survivor != victim
    eventually(
        lambda: (
            len(processes_of(server)) == options["workers"] and victim not in processes_of(server)
        )
    )


def test_only_the_calls_in_flight_fail(serve, at):
    server = serve(misbehave, workers=2)
    eventually(lambda: len(processes_of(server)) == 2)
    one, other = sidecall.open(at), sidecall.open(at)
    call, bystander = one.call(), other.call()
    call.set(0, "how", "fine")
    bystander.set(0, "how", "fine")
    call.run()
    bystander.run()
    with pytest.raises(errors.PeerDied) as caught:
        one.predict({"how": "kill"})
    assert caught.value.retryable
    assert other.predict({"how": "fine"})["prediction"] > 0
    assert one.predict({"how": "fine"})["prediction"] > 0


def test_workers_end_with_the_server(serve, at):
    server = serve(misbehave, workers=2)
    eventually(lambda: len(processes_of(server)) == 2)
    processes = processes_of(server)
    assert all(is_running(process) for process in processes)
    assert server.drain(10.0) is True
    assert not any(is_running(process) for process in processes)
    with pytest.raises(errors.Unreachable):
        sidecall.open(at)
    with pytest.raises(errors.InvalidArgument, match="closed"):
        server.status()


def test_a_worker_that_does_not_end_in_time_is_killed(serve, at):
    server = serve(misbehave, workers=1)
    client = sidecall.open(at)
    processes = eventually(lambda: processes_of(server))
    with pytest.raises(errors.Timeout):
        client.predict({"how": "sleep 60"}, timeout=0.05)
    assert server.drain(0.1) is False
    assert not any(is_running(process) for process in processes)


def test_an_object_that_no_worker_can_load_is_refused(at):
    with pytest.raises(errors.PeerDied, match="a worker ended before it was ready: exit status"):
        sidecall.serve(
            Slow(),
            at,
            workers=1,
            inputs={"x": "float64[N]"},
            outputs={"y": "float64[N]"},
            block=False,
            log=None,
        )
    with pytest.raises(errors.Unreachable):
        sidecall.open(at)


def test_an_object_that_cannot_be_pickled_is_refused(at):
    import threading

    lock = threading.Lock()

    def locked(x: float) -> float:
        with lock:
            return x

    with pytest.raises(
        errors.InvalidArgument,
        match="workers: expected an object that can be pickled, got one whose pickling raises TypeError",
    ):
        sidecall.serve(locked, at, workers=1, block=False, log=None)


def test_golden_rows_that_disagree_in_a_worker_fail_the_start(at):
    contract = {
        "format": 5,
        "model": {"name": "wrong"},
        "features": [
            {"name": "amount", "type": "float64", "nullable": False, "input": "amount", "column": 0}
        ],
        "outputs": [{"name": "prediction", "role": "prediction", "type": "float64"}],
        "verification": {
            "source": "synthetic",
            "rows": 1,
            "features": [[1.0]],
            "outputs": {"prediction": [3.0]},
            "tolerance": {"prediction": {"absolute": 0, "relative": 0}},
        },
    }
    with pytest.raises(errors.PeerDied):
        sidecall.serve(
            "serving_parts:double", at, workers=1, contract=contract, block=False, log=None
        )


def test_workers_need_an_address():
    with pytest.raises(errors.InvalidArgument, match="at: expected an address, which workers need"):
        sidecall.serve("serving_parts:double", None, workers=1, block=False, log=None)


def test_a_function_of_the_main_module_is_served_by_workers(at, environment, tmp_path):
    """Definitions of `__main__` are passed to workers by value."""
    (tmp_path / "app.py").write_text(
        "import sidecall\n"
        "def triple(amount: float) -> float:\n    return 3 * amount\n"
        f"with sidecall.serve(triple, {at!r}, workers=1, block=False, log=None):\n"
        f"    print(sidecall.open({at!r}).predict({{'amount': 14}}))\n"
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "app.py"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("{'prediction': 42.0}\n", "")


@pytest.mark.parametrize("workers", [None, 1])
def test_a_program_that_does_not_close_its_server_ends_cleanly(at, environment, workers, tmp_path):
    code = f"import sidecall; server = sidecall.serve('serving_parts:double', {at!r}, workers={workers}, block=False, log=None); print('up')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "up\n", "")
    assert not [path.name for path in tmp_path.iterdir() if ".sock" in path.name]


@pytest.mark.parametrize("workers", [None, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_serve_returns(program, at, number, workers, tmp_path, shared_memory):
    process = program(workers)
    before = shared_memory()
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "returned\n"), (tmp_path / "log").read_text()
    assert not [path.name for path in tmp_path.iterdir() if ".sock" in path.name]
    assert shared_memory() <= before


def test_a_running_call_is_answered_while_draining(program, at):
    process = program(2)
    client = sidecall.open(at)
    call = client.call()
    call.set(0, "how", "sleep 0.5")
    import threading

    answers: list[float] = []
    caller = threading.Thread(
        target=lambda: answers.append(client.predict({"how": "sleep 0.5"})["prediction"])
    )
    caller.start()
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    caller.join(30)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert answers
    assert answers[0] > 0


def test_workers_end_when_their_supervisor_is_killed(program, at):
    from sidecall.serving import status

    process = program(2)
    workers = eventually(
        lambda: [w["process"] for w in status(at)["each"]] if status(at)["workers"] == 2 else None
    )
    process.kill()
    process.communicate()
    eventually(lambda: not any(is_running(worker) for worker in workers))
    with pytest.raises(errors.Unreachable):
        sidecall.open(at)


def test_clients_continue_with_the_next_server(program, at):
    first = program(2)
    client = sidecall.open(at)
    client.predict({"how": "fine"})
    first.kill()
    first.communicate()
    program(2)
    assert client.predict({"how": "fine"})["prediction"] > 0


FORKS = """
import os, sys, sidecall
from serving_parts import double

with sidecall.serve(double, {at!r}, workers=1, block=False, log=None) as server:
    child = os.fork()
    if child == 0:
        sys.exit(0)  # also leaves the with block
    print(os.waitpid(child, 0)[1], flush=True)
    input()
"""


def test_a_forked_child_that_ends_does_not_affect_the_server(at, environment):
    program = [sys.executable, "-c", FORKS.format(at=at)]
    with subprocess.Popen(
        program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "0\n"
        (worker,) = {each["process"] for each in sidecall.serving.status(at)["each"]}
        os.kill(worker, signal.SIGKILL)
        # Workers are still replaced.
        eventually(
            lambda: {each["process"] for each in sidecall.serving.status(at)["each"]} - {worker}
        )
        assert sidecall.open(at, wait=30).predict({"amount": 2}) == {"prediction": 4.0}
        process.stdin.write("\n")
        process.stdin.close()
        assert process.wait(30) == 0
