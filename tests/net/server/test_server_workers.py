"""Workers behind HTTP and gRPC: runs spread over them, and go on while workers die or hang."""

from __future__ import annotations

import os
import resource
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sidecall
from own_server import RECORD, OwnServer, Start, wait_until
from sidecall import errors
from vector_servers import MODELS, stop_process

pytestmark = pytest.mark.usefixtures("network_library")

OBJECT, PATH = "serving_parts:misbehave", "/v2/models/misbehave"
PROTOCOLS = ("http", "grpc")


def num_ready(own: OwnServer) -> int:
    return len(own.events("worker.ready")) - len(own.events("worker.ended"))


@pytest.fixture
def start_workers(start: Start) -> Any:
    def begin(number: int, *options: str) -> OwnServer:
        own = start(OBJECT, "--workers", str(number), *options)
        wait_until(lambda: num_ready(own) == number, 60)
        return own

    return begin


class Requests:
    """Runs in threads of their own, over HTTP without our client, or with it."""

    def __init__(self, own: OwnServer, protocol: str = "http") -> None:
        self.own, self.answers, self.threads = own, dict[int, Any](), list[threading.Thread]()
        self.model = sidecall.open(own.uri(protocol, "misbehave")) if protocol == "grpc" else None

    def add(self, how: str, timeout: float = 30) -> None:
        index = len(self.threads)
        self.threads.append(threading.Thread(target=self._run, args=(index, how, timeout)))
        self.threads[-1].start()

    def _run(self, index: int, how: str, timeout: float) -> None:
        if self.model is None:
            ms = str(int(timeout * 1000))
            answer = self.own.post(f"{PATH}/predict", {"how": how}, sidecall_timeout_ms=ms)[1]
            self.answers[index] = answer.get("prediction", answer.get("status"))
        else:
            try:
                self.answers[index] = self.model.predict({"how": how}, timeout=timeout)[
                    "prediction"
                ]
            except errors.Error as error:
                self.answers[index] = type(error).__name__

    def wait(self) -> list[Any]:
        for thread in self.threads:
            thread.join(120)
        if self.model is not None:
            self.model.close()
        return [self.answers[index] for index in range(len(self.threads))]


def refuses_connections(own: OwnServer) -> bool:
    try:
        own.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def overlapping(own: OwnServer, *protocols: str) -> list[int]:
    """The workers that execute runs at the same time, one run for each of `protocols`.

    No run ends before all have begun, so that a busy machine cannot execute one after another.
    """
    with tempfile.TemporaryDirectory() as folder:
        begun, end = Path(folder, "begun"), Path(folder, "end")
        begun.mkdir()
        requests = {protocol: Requests(own, protocol) for protocol in set(protocols)}
        for protocol in protocols:
            requests[protocol].add(f"await {begun} {end}")
        try:
            wait_until(lambda: len(list(begun.iterdir())) == len(protocols), 20)
        finally:
            end.touch()
            answers = [answer for each in requests.values() for answer in each.wait()]
    return [int(answer) for answer in answers]


def processes(own: OwnServer) -> set[int]:
    """The workers that answer."""
    return set(overlapping(own, *["http"] * num_ready(own)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("number", [1, 3])
def test_runs_at_the_same_time_go_to_different_workers(
    start_workers: Any, number: int, protocol: str
) -> None:
    own = start_workers(number)
    for _ in range(2):  # over new and over kept connections
        assert len(set(overlapping(own, *[protocol] * number))) == number


def test_http_and_grpc_share_the_workers(start_workers: Any) -> None:
    own = start_workers(2)
    for _ in range(2):
        assert len(set(overlapping(own, "http", "grpc"))) == 2


def test_more_runs_than_workers_wait_for_their_turn(start_workers: Any) -> None:
    own = start_workers(2)
    requests = Requests(own)
    for _ in range(12):
        requests.add("sleep 0.05")
    answers = requests.wait()
    assert len(set(answers)) == 2 and all(isinstance(answer, int) for answer in answers)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_only_the_runs_of_a_killed_worker_fail(
    start_workers: Any, protocol: str, tmp_path: Path
) -> None:
    own = start_workers(3)
    workers = processes(own)
    requests = Requests(own, protocol)
    begun, end = tmp_path / "begun", tmp_path / "end"
    begun.mkdir()
    for _ in range(3):
        requests.add(f"await {begun} {end}")
    # A run that no worker has taken yet would go to another one.
    wait_until(lambda: len(list(begun.iterdir())) == 3)
    victim = min(workers)
    os.kill(victim, signal.SIGKILL)
    end.touch()
    failed = [answer for answer in requests.wait() if isinstance(answer, str)]
    assert failed == ["PEER_DIED" if protocol == "http" else "PeerDied"]
    wait_until(lambda: len(own.events("worker.ready")) == 4, 60)
    # The new worker gets its share, although connections to the others were kept.
    assert len(processes(own) - workers) == 1 and victim not in processes(own)


def test_runs_spread_evenly_again_once_a_worker_was_replaced(
    start_workers: Any, tmp_path: Path
) -> None:
    own = start_workers(2, "--threads", "4")
    victim, left = processes(own)
    begun, end = tmp_path / "begun", tmp_path / "end"
    begun.mkdir()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: num_ready(own) == 1)
    requests = Requests(own)
    for _ in range(4):
        requests.add(f"await {begun} {end}")
    wait_until(lambda: len(list(begun.iterdir())) == 4)
    wait_until(lambda: num_ready(own) == 2, 60)
    # This run takes note of the new worker, while the others still use connections to the old one.
    assert own.post(f"{PATH}/predict", {"how": "fine"})[1]["prediction"] not in (victim, left)
    end.touch()
    assert requests.wait() == [left] * 4
    assert sorted(Counter(overlapping(own, *["http"] * 4)).values()) == [2, 2]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_run_that_kills_its_worker_is_not_executed_again(
    start_workers: Any, protocol: str
) -> None:
    own = start_workers(2)
    requests = Requests(own, protocol)
    requests.add("kill")
    assert requests.wait() == ["PEER_DIED" if protocol == "http" else "PeerDied"]
    wait_until(lambda: len(own.events("worker.ended")) == 1)
    wait_until(lambda: num_ready(own) == 2, 60)
    assert len(own.events("worker.ended")) == 1


def test_the_server_is_ready_only_while_a_worker_is(start_workers: Any) -> None:
    own = start_workers(1)
    assert own.post(f"{PATH}/predict", {"how": "kill"})[0] == 502
    seen = set[int]()

    def is_ready_again() -> bool:
        seen.add(own.get("/v2/health/ready")[0])
        assert own.is_alive()
        return 503 in seen and own.get(f"{PATH}/ready")[0] == 200

    wait_until(is_ready_again, 60)


def test_a_request_waits_for_a_worker_that_starts_again(start_workers: Any) -> None:
    own = start_workers(1)
    before = processes(own)
    assert own.post(f"{PATH}/predict", {"how": "kill"})[0] == 502
    status, answer = own.post(f"{PATH}/predict", {"how": "fine"})
    assert status == 200 and answer["prediction"] not in before


def test_a_worker_that_hangs_delays_no_other_request(start_workers: Any) -> None:
    """Deadlines are kept, although neither kept nor new connections to it are answered."""
    own = start_workers(1)
    (worker,) = processes(own)
    stop_process(worker)
    try:
        requests = Requests(own)
        for _ in range(3):
            requests.add("fine", timeout=5)
        wait_until(lambda: own.metric("sidecall_runs") == 3)
        assert own.is_alive() and own.get(PATH)[0] == 200
        assert own.metric("sidecall_runs") == 3
        assert requests.wait() == ["TIMEOUT"] * 3
        wait_until(lambda: own.metric("sidecall_runs") == 0)
    finally:
        os.kill(worker, signal.SIGCONT)
    assert own.post(f"{PATH}/predict", {"how": "fine"})[0] == 200


def test_a_worker_that_stays_hung_is_replaced_and_its_requests_go_to_others(
    start_workers: Any, tmp_path: Path
) -> None:
    own = start_workers(2)
    stopped, left = processes(own)
    stop_process(stopped)
    begun, end = tmp_path / "begun", tmp_path / "end"
    begun.mkdir()
    requests = Requests(own)
    for _ in range(12):
        requests.add(f"await {begun} {end}", timeout=100)
    # All are under way at once, so some need new connections, which the worker does not answer.
    wait_until(lambda: own.metric("sidecall_runs") == 12)
    end.touch()
    answers = requests.wait()
    assert not [answer for answer in answers if isinstance(answer, str) or answer == stopped]
    assert [event["process"] for event in own.await_events("worker.hung")] == [stopped]
    wait_until(lambda: len(own.events("worker.ready")) == 3, 60)
    # The new worker gets its share, although many connections to the other one were kept.
    for _ in range(2):
        answering = processes(own)
        assert len(answering) == 2 and left in answering and stopped not in answering


@pytest.mark.long
def test_a_worker_without_free_descriptors_does_not_count_as_hung(start_workers: Any) -> None:
    own = start_workers(1, "--threads", "2")
    (worker,) = processes(own)
    before = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, before[1]))
    requests = Requests(own)
    for _ in range(2):  # the second one needs another connection, which the worker cannot take
        requests.add("sleep 1", timeout=3)
    requests.wait()
    time.sleep(18)
    assert own.post(f"{PATH}/predict", {"how": "fine"})[1]["prediction"] == worker
    assert own.await_events("control.exhausted")  # a connection was lost
    assert not own.events("worker.hung")
    resource.prlimit(worker, resource.RLIMIT_NOFILE, before)
    assert own.post(f"{PATH}/predict", {"how": "fine"})[1]["prediction"] == worker


def test_a_client_that_leaves_while_its_run_is_connecting_ends_it(start_workers: Any) -> None:
    own = start_workers(1)
    (worker,) = processes(own)
    stop_process(worker)
    try:
        body = b'{"how": "fine"}'
        head = f"POST {PATH}/predict HTTP/1.1\r\nHost: localhost\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        clients = [own.connect() for _ in range(3)]
        for client in clients:
            client.sendall(head.encode() + body)
        wait_until(lambda: own.metric("sidecall_runs") == 3)
        for client in clients:
            client.shutdown(socket.SHUT_RDWR)
            client.close()
        wait_until(lambda: own.metric("sidecall_runs") == 0)
    finally:
        os.kill(worker, signal.SIGCONT)


def test_a_signal_lets_requests_finish_before_the_workers_end(
    start_workers: Any, tmp_path: Path
) -> None:
    own = start_workers(2)
    workers = processes(own)
    begun, end = tmp_path / "begun", tmp_path / "end"
    begun.mkdir()
    by_http, by_grpc = Requests(own, "http"), Requests(own, "grpc")
    by_http.add(f"await {begun} {end}")
    by_grpc.add(f"await {begun} {end}")
    wait_until(lambda: own.metric("sidecall_runs") == 2, 20)
    wait_until(lambda: len(list(begun.iterdir())) == 2, 20)
    own.process.send_signal(signal.SIGTERM)
    wait_until(lambda: refuses_connections(own))
    end.touch()
    assert {int(answer) for answer in by_http.wait() + by_grpc.wait()} == workers
    assert own.process.wait(20) == 0, own.log()
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    with pytest.raises(errors.Unreachable):
        sidecall.open(own.uri("http", "misbehave"))


@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
def test_runs_that_last_too_long_are_cut(start: Start, workers: list[str]) -> None:
    own = start(OBJECT, "--drain-timeout", "0.3", *workers)
    requests = Requests(own, "grpc")
    requests.add("sleep 30")
    wait_until(lambda: own.metric("sidecall_runs") == 1)
    assert own.end() == 4, own.log()
    assert requests.wait()[0] in ("PeerDied", "Unreachable")


def test_workers_end_when_the_server_is_killed(start_workers: Any) -> None:
    own = start_workers(2)
    workers = processes(own)
    own.end(signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{worker}/exe").exists() for worker in workers), 20)


@pytest.mark.parametrize("workers", [None, 2])
def test_a_file_can_be_served_by_python(workers: int | None) -> None:
    file = MODELS / "penguins.onnx"
    places = {"http": "127.0.0.1:0", "grpc": "127.0.0.1:0", "name": "birds"}
    with (
        sidecall.serve(str(file), workers=workers, block=False, log=None, **places) as server,
        sidecall.open(file) as model,
    ):
        expected = model.predict(RECORD)
        for each in server.status()["network"]:
            with sidecall.open(each["at"] + "/birds") as served:
                assert served.predict(RECORD) == expected
