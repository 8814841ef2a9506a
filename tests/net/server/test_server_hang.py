"""Runs that hang: their worker is replaced, their callers get TIMEOUT, and the server says that it
is not ready while no run can make progress.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sidecall
from own_server import OwnServer, Start, wait_until
from sidecall import errors, serving
from vector_servers import MODELS, command_environment, command_path, stop_process

pytestmark = pytest.mark.usefixtures("network_library")

OBJECT, PATH = "hanging_parts:work", "/v2/models/work"
ROUTES = ("http", "grpc", "shm")
FOR_EVER = "sleep 600"
LONG = 100.0  # a deadline that no test reaches


class Hanging:
    """A server for HTTP, gRPC and shared memory."""

    def __init__(self, own: OwnServer, address: str) -> None:
        self.own, self.address = own, address

    def open(self, route: str) -> sidecall.Model:
        at = self.address if route == "shm" else self.own.uri(route, "work")
        return sidecall.open(at, wait=60)

    def outcome(self, route: str, how: str, timeout: float | None = LONG) -> Any:
        with self.open(route) as model:
            try:
                return int(model.predict({"how": how}, timeout=timeout)["prediction"])
            except errors.Error as error:
                return type(error).__name__

    def at_once(self, route: str, *hows: str) -> list[Any]:
        """The outcomes of runs that are under way at the same time."""
        outcomes: list[Any] = [None] * len(hows)

        def run(index: int) -> None:
            outcomes[index] = self.outcome(route, hows[index])

        threads = [threading.Thread(target=run, args=(index,)) for index in range(len(hows))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return outcomes

    def status(self) -> dict[str, Any]:
        return serving.status(self.address)

    def workers(self) -> set[int]:
        return {worker["process"] for worker in self.status()["each"]}

    def hung(self, count: int = 0) -> list[int]:
        """The processes that were ended, once the log has at least `count` of them."""
        return [event["process"] for event in self.own.await_events("worker.hung", count)]

    def is_ready(self) -> set[bool]:
        """The answers of all ways to ask; one element if they agree."""
        own = self.own
        command = [command_path(), "status", self.address, "--ready"]
        asked = subprocess.run(
            command, env=command_environment(), check=False, stdout=subprocess.DEVNULL
        )
        codes = (own.get("/v2/health/ready")[0], own.get(f"{PATH}/ready")[0])
        return {asked.returncode == 0, self.is_ready_for_grpc(), *(code == 200 for code in codes)}

    def is_ready_for_grpc(self) -> bool:
        try:
            sidecall.open(self.own.uri("grpc", "work")).close()
        except errors.Unreachable:
            return False
        return True


@pytest.fixture
def begin(start: Start, tmp_path: Path) -> Any:
    def begin_one(*options: str, workers: int = 1) -> Hanging:
        address = f"shm:{tmp_path}/hanging.sock"
        more = ["--workers", str(workers)] if workers else []
        places = ["--at", address, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
        server = Hanging(start(OBJECT, *places, *more, *options), address)
        wait_until(lambda: len(server.status().get("each", [1])) == max(workers, 1), 60)
        return server

    return begin_one


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[tuple[str, Path, Path]]:
    """A run that lasts until the second path exists. The first one has a file for each of them."""
    begun, end = tmp_path / "begun", tmp_path / "end"
    begun.mkdir()
    yield f"await {begun} {end}", begun, end
    end.touch()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("how", [FOR_EVER, "hold 600"])
def test_a_run_that_exceeds_its_limit_costs_its_worker_and_is_told(
    begin: Any, route: str, how: str
) -> None:
    server = begin("--max-run", "0.5")
    (worker,) = server.workers()
    assert server.outcome(route, how) == "Timeout"
    assert server.hung(1) == [worker]
    assert server.outcome(route, "fine") != worker
    assert server.status()["workers_hung"] == 1
    assert server.own.metric("sidecall_workers_hung_total") == 2  # at each of the two addresses
    page = subprocess.run(
        [command_path(), "status", server.address, "--prometheus"],
        env=command_environment(),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "sidecall_workers_hung_total 1\n" in page


def test_over_http_such_a_run_is_answered_with_504(begin: Any) -> None:
    server = begin("--max-run", "0.5")
    code, answer = server.own.post(
        f"{PATH}/predict", {"how": FOR_EVER}, sidecall_timeout_ms="90000"
    )
    assert code == 504 and answer["status"] == "TIMEOUT" and "--max-run" in answer["error"]


@pytest.mark.parametrize("route", ROUTES)
def test_a_short_deadline_never_costs_a_worker(begin: Any, route: str) -> None:
    server = begin("--max-run", "20", workers=2)
    before = server.workers()
    with server.open(route) as model:
        for _ in range(200):
            with pytest.raises(errors.Timeout):
                model.predict({"how": "sleep 0.01"}, timeout=0.001)
    assert server.outcome(route, "fine") in before
    assert server.workers() == before
    assert not server.own.events("worker.ended") and not server.own.events("worker.spare")


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("route", ROUTES)
def test_a_call_without_a_deadline_ends_after_the_timeout_of_the_server(
    begin: Any, route: str, workers: int
) -> None:
    options = ["--timeout", "0.3", "--drain-timeout", "0.1"]
    server = begin(*options, *(["--max-run", "0"] if workers else []), workers=workers)
    assert server.outcome(route, "sleep 3", timeout=None) == "Timeout"
    assert not server.hung()
    assert isinstance(server.outcome(route, "sleep 0.5"), int)  # its own deadline is longer


def test_the_command_uses_the_timeout_of_the_server(begin: Any) -> None:
    server = begin("--timeout", "0.3", "--drain-timeout", "0.1")
    done = subprocess.run(
        [command_path(), "predict", server.address],
        env=command_environment(),
        input='{"how": "sleep 3"}',
        capture_output=True,
        text=True,
    )
    assert done.returncode == 4 and "the deadline passed" in done.stderr


def test_the_timeout_of_the_server_also_holds_without_a_header(begin: Any) -> None:
    server = begin("--timeout", "0.3", "--max-run", "0", "--drain-timeout", "0.1")
    assert server.own.post(f"{PATH}/predict", {"how": "sleep 3"})[0] == 504


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_longest_timeout_of_a_server_is_none(
    monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """Programs in C may give INT64_MAX nanoseconds."""
    monkeypatch.setattr("sidecall.serving.run._LONGEST", 1e10)
    place = {protocol: "127.0.0.1:0"}
    server = sidecall.serve(MODELS / "add.onnx", **place, timeout=2**63 / 1e9 - 1, block=False)
    with server, sidecall.open(f"{server.status()['at']}/add") as model:
        model.run({"x": np.zeros((1, 2), np.float32)})


@pytest.mark.parametrize("route", ["http", "grpc", "shm", "exec"])
def test_the_timeout_also_holds_for_files(
    start: Start, tmp_path: Path, record: dict[str, Any], route: str
) -> None:
    file, address = MODELS / "penguins.onnx", f"shm:{tmp_path}/file.sock"
    command = [command_path(), "serve", str(file), "--timeout", "0.000000001"]
    if route == "exec":
        words = f"exec:{' '.join(command)}"
        model = sidecall.open(words, allow_exec=True)
    else:
        places = ["--at", address, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
        own = start("penguins.onnx", *places, "--timeout", "0.000000001")
        model = sidecall.open(address if route == "shm" else own.uri(route, "penguins"))
    with model, sidecall.open(file) as here:
        assert model.predict(record, timeout=LONG) == here.predict(record)
        with pytest.raises(errors.Timeout):
            model.predict(record)


@pytest.mark.parametrize("route", ROUTES)
def test_several_workers_that_hang_at_once_are_all_replaced(begin: Any, route: str) -> None:
    server = begin("--max-run", "0.5", workers=3)
    before = server.workers()
    assert server.at_once(route, *[FOR_EVER] * 3) == ["Timeout"] * 3
    assert set(server.hung(3)) == before
    assert server.outcome(route, "fine") not in before
    # The spare has taken the place of one of them, so there is none left over.
    wait_until(lambda: len(server.workers()) == 3, 60)
    assert not server.workers() & before


@pytest.mark.parametrize("route", ROUTES)
def test_a_worker_that_hangs_again_after_its_replacement_is_replaced_again(
    begin: Any, route: str
) -> None:
    server = begin("--max-run", "0.3")
    for _ in range(3):
        assert server.outcome(route, FOR_EVER) == "Timeout"
    assert isinstance(server.outcome(route, "fine"), int)
    assert len(set(server.hung(3))) == 3
    assert server.status()["workers_hung"] == 3


def test_a_run_that_waits_behind_one_that_hangs_is_executed(begin: Any) -> None:
    server = begin("--max-run", "1")
    outcomes = server.at_once("http", FOR_EVER, *["fine"] * 4)
    assert outcomes[0] == "Timeout" and all(isinstance(each, int) for each in outcomes[1:])


def test_a_spare_that_is_not_needed_ends(begin: Any) -> None:
    server = begin("--max-run", "2")
    (worker,) = server.workers()
    assert server.outcome("http", "sleep 1.2") == worker
    assert server.own.await_events("worker.spare")
    wait_until(lambda: len(server.own.events("worker.ended")) == 1, 60)
    assert server.workers() == {worker} and not server.hung()


def test_a_spare_that_is_busy_stays_until_its_runs_have_ended(
    begin: Any, gate: tuple[str, Path, Path]
) -> None:
    run, _, end = gate
    server = begin("--max-run", "4", "--drain-timeout", "0.1")
    (worker,) = server.workers()
    late = threading.Thread(target=server.outcome, args=("http", run))
    late.start()
    wait_until(lambda: len(server.workers()) == 2, 60)
    (spare,) = server.workers() - {worker}
    # Both clients call the spare, because the other worker has a late run, and keep it busy for
    # longer than it is needed.
    with server.open("shm") as one, server.open("shm") as other:

        def call(model: sidecall.Model) -> set[float]:
            return {model.predict({"how": "sleep 0.8"}, timeout=LONG)["prediction"] for _ in "1234"}

        assert one.predict({"how": "fine"})["prediction"] == spare
        assert other.predict({"how": "fine"})["prediction"] == spare
        end.touch()
        late.join()
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(call, (one, other))) == [{spare}] * 2
    wait_until(lambda: len(server.own.events("worker.ended")) == 1, 60)
    assert server.workers() == {worker} and not server.hung()


def test_a_run_that_ends_close_to_its_limit_has_one_outcome(begin: Any) -> None:
    """Either the run is answered, or its worker is killed; the next run is never hit."""
    server = begin("--max-run", "0.3")
    num_ended = 0
    for milliseconds in (298, 299, 300, 301, 302, 303):
        outcome = server.outcome("shm", f"sleep {milliseconds / 1000}")
        num_ended += outcome == "Timeout"
        assert outcome == "Timeout" or isinstance(outcome, int)
        assert isinstance(server.outcome("shm", "fine"), int)
    assert len(server.hung(num_ended)) == num_ended


def test_a_stopped_worker_is_replaced_at_its_limit(begin: Any) -> None:
    server = begin("--max-run", "4")
    (worker,) = server.workers()
    outcomes: list[Any] = []
    caller = threading.Thread(target=lambda: outcomes.append(server.outcome("http", FOR_EVER)))
    caller.start()
    # The supervisor starts a spare worker at half the limit, so it knows of the run. It would not
    # know of one that begins less than 10 ms before its worker is stopped.
    server.own.await_events("worker.spare", 1)
    stop_process(worker)
    caller.join()
    assert outcomes == ["PeerDied"]  # it could not say which run was to blame
    assert server.hung(1) == [worker]
    assert isinstance(server.outcome("http", "fine"), int)


def test_a_server_is_not_ready_while_runs_wait_and_none_ends(
    begin: Any, gate: tuple[str, Path, Path]
) -> None:
    run, begun, end = gate
    server = begin("--max-run", "0", "--unready-after", "0.2", workers=2)
    assert server.is_ready() == {True}
    calls = [threading.Thread(target=server.outcome, args=("http", run)) for _ in range(3)]
    for call in calls[:2]:
        call.start()
    wait_until(lambda: len(list(begun.iterdir())) == 2)
    assert server.is_ready() == {True}  # no run waits
    calls[2].start()
    wait_until(lambda: server.is_ready() == {False})
    assert server.own.is_alive()
    end.touch()
    wait_until(lambda: server.is_ready() == {True})
    for call in calls:
        call.join()


def test_the_same_holds_without_workers(begin: Any, gate: tuple[str, Path, Path]) -> None:
    run, _, end = gate
    server = begin("--unready-after", "0.2", workers=0)
    calls = [threading.Thread(target=server.outcome, args=("shm", run)) for _ in range(2)]
    for call in calls:
        call.start()
    wait_until(lambda: server.is_ready() == {False})
    end.touch()
    wait_until(lambda: server.is_ready() == {True})
    for call in calls:
        call.join()


def test_runs_that_wait_alone_do_not_make_a_server_unready(begin: Any) -> None:
    server = begin()
    done = threading.Event()

    def call() -> None:
        while not done.is_set():
            server.own.post(f"{PATH}/predict", {"how": "sleep 0.02"})

    calls = [threading.Thread(target=call) for _ in range(8)]
    for each in calls:
        each.start()
    try:
        for _ in range(10):
            wait_until(lambda: server.own.metric("sidecall_runs") > 1)
            assert server.is_ready() == {True}
    finally:
        done.set()
        for each in calls:
            each.join()


@pytest.mark.parametrize("how", [FOR_EVER, "hold 600"])
def test_a_server_ends_in_time_although_a_run_hangs(begin: Any, how: str) -> None:
    server = begin("--max-run", "60", "--drain-timeout", "0.3", workers=2)
    workers = server.workers()
    call = threading.Thread(target=server.outcome, args=("http", how))
    call.start()
    wait_until(lambda: server.status()["in_flight"] == 1)
    assert server.own.end() == 4, server.own.log()
    call.join()
    assert not any(Path(f"/proc/{worker}/exe").exists() for worker in workers)


def test_a_run_that_exceeds_its_limit_during_the_drain_is_ended(begin: Any) -> None:
    server = begin("--max-run", "1", "--drain-timeout", "60", workers=2)
    outcomes: list[Any] = []
    call = threading.Thread(target=lambda: outcomes.append(server.outcome("http", FOR_EVER)))
    call.start()
    wait_until(lambda: server.status()["in_flight"] == 1)
    server.own.process.send_signal(signal.SIGTERM)
    assert server.own.process.wait(60) == 0, server.own.log()
    call.join()
    assert outcomes == ["Timeout"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_stays_if_the_server_ends_during_a_replacement(begin: Any, number: int) -> None:
    server = begin("--max-run", "2", "--drain-timeout", "0.3", workers=2)
    calls = [threading.Thread(target=server.outcome, args=("http", FOR_EVER)) for _ in range(2)]
    for call in calls:
        call.start()
    server.own.await_events("worker.spare")
    family = children(server.own.process.pid)
    assert len(family) == 3
    server.own.process.send_signal(number)
    server.own.process.wait(60)
    for call in calls:
        call.join()
    wait_until(lambda: not any(Path(f"/proc/{child}/exe").exists() for child in family), 30)


def children(process: int) -> set[int]:
    files = Path(f"/proc/{process}/task").glob("*/children")
    return {int(child) for file in files for child in file.read_text().split()}


def test_workers_that_were_ready_are_started_again_soon(begin: Any) -> None:
    server = begin()
    for _ in range(6):
        assert server.outcome("http", "kill") == "PeerDied"
    assert isinstance(server.outcome("http", "fine"), int)
    assert max(event["restart_in"] for event in server.own.events("worker.ended")) <= 0.25


def test_a_limit_for_runs_is_refused_without_workers(tmp_path: Path) -> None:
    def refused(model: str) -> str:
        words = [command_path(), "serve", model, "--at", f"shm:{tmp_path}/x", "--max-run", "3"]
        environment = command_environment() | {"PYTHONPATH": os.fspath(MODELS)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        return done.stderr

    assert "--workers" in refused(str(MODELS / "penguins.onnx"))
    with pytest.raises(errors.InvalidArgument, match=r"max_run: .*--workers"):
        sidecall.serve(lambda x: x, f"shm:{tmp_path}/x", max_run=3, block=False)


@pytest.mark.parametrize(
    "options", [{"timeout": 0}, {"unready_after": -1}, {"max_run": -1, "workers": 1}]
)
def test_times_are_checked(tmp_path: Path, options: dict[str, Any]) -> None:
    (name, _) = next(iter(options.items()))
    with pytest.raises(errors.InvalidArgument, match=f"{name}: expected"):
        sidecall.serve(lambda x: x, f"shm:{tmp_path}/x", block=False, **options)
