"""Models on several servers: the choice of a server, servers that end, and other models."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import sidecall
from peer import MODELS, Peer, PeerProcess, free_port
from raw_http2 import Answer, RawHttp2Server, break_off, go_away, refuse
from sidecall import errors

pytestmark = pytest.mark.usefixtures("network_library")
MODEL = "penguins.onnx"
ROUTES = ["http", "grpc"]


def uri_of(route: str, *peers: Peer | PeerProcess | RawHttp2Server, model: str = MODEL) -> str:
    return f"{route}://{','.join(peer.authority(route) for peer in peers)}/{model}"


def spoil(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name: array + 1 if array.dtype == np.float32 else array for name, array in outputs.items()
    }


def runs_of(peer: Peer, action: Callable[[], object]) -> int:
    """How many runs the server got during the action."""
    before = len(peer.seen)
    action()
    return len(peer.seen) - before


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def predict_many(
    model: sidecall.Model, record: dict, times: int, threads: int = 8
) -> list[dict | Exception]:
    def predict(_: int) -> dict | Exception:
        try:
            return model.predict(record)
        except errors.Error as error:
            return error

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(predict, range(times)))


# ---- The choice of a server ----


@pytest.mark.parametrize("route", ROUTES)
def test_all_servers_are_verified_and_get_runs(peers: list[Peer], route: str, record: dict) -> None:
    with sidecall.open(uri_of(route, *peers)) as model:
        assert model.warning is None
        assert [len(peer.seen) for peer in peers] == [1, 1]  # golden rows
        with sidecall.open(MODELS / MODEL) as local:
            expected = local.predict(record)
        assert predict_many(model, record, 60, 1) == [expected] * 60
    assert all(len(peer.seen) > 5 for peer in peers)


@pytest.mark.parametrize("route", ROUTES)
def test_a_slow_server_gets_fewer_runs(peers: list[Peer], route: str, record: dict) -> None:
    with sidecall.open(uri_of(route, *peers)) as model:
        peers[0].delay = 0.2
        predict_many(model, record, 100)
    assert len(peers[0].seen) < len(peers[1].seen) / 2


def test_one_host_may_have_several_ports_and_an_ip6_address(peers: list[Peer]) -> None:
    uri = uri_of("http", *peers).replace(f"/{MODEL}", f",[::1]:{free_port()},localhost:1/{MODEL}")
    sidecall.open(uri).close()


# ---- Servers that end ----


@pytest.mark.parametrize("route", ROUTES)
def test_no_run_of_a_pure_model_fails_when_a_server_is_killed(
    start_peer: Callable[..., PeerProcess], route: str, record: dict
) -> None:
    killed, other = start_peer(delay=0.01), start_peer(delay=0.01)
    with sidecall.open(uri_of(route, killed, other)) as model:
        threading.Timer(0.4, killed.kill).start()
        begin = time.monotonic()
        answers = predict_many(model, record, 400)
        assert time.monotonic() - begin > 0.4  # it was killed during the runs
        assert [answer for answer in answers if isinstance(answer, Exception)] == []


@pytest.mark.parametrize("route", ROUTES)
def test_only_runs_under_way_fail_when_a_server_of_a_model_without_id_is_killed(
    start_peer: Callable[..., PeerProcess], route: str
) -> None:
    killed, other = (
        start_peer(with_contract=False, delay=0.02),
        start_peer(with_contract=False, delay=0.02),
    )
    with sidecall.open(uri_of(route, killed, other, model="add.onnx")) as model:
        inputs = {spec.name: np.zeros((1, 2), np.float32) for spec in model.inputs}

        def run(_: int) -> Exception | None:
            try:
                model.run(inputs)
            except errors.Error as error:
                return error
            return None

        threading.Timer(0.5, killed.kill).start()
        with ThreadPoolExecutor(8) as pool:
            failed = [error for error in pool.map(run, range(400)) if error is not None]
    assert len(failed) <= 8
    assert {type(error) for error in failed} <= {errors.PeerDied}


@pytest.mark.parametrize("route", ROUTES)
def test_without_servers_a_run_fails_at_once_and_names_all(
    start_peer: Callable[..., PeerProcess], route: str, record: dict
) -> None:
    killed = [start_peer(), start_peer(), start_peer()]
    with sidecall.open(uri_of(route, *killed)) as model:
        model.predict(record)
        for peer in killed:
            peer.kill()
        for _ in range(5):
            begin = time.monotonic()
            with pytest.raises((errors.Unreachable, errors.PeerDied)):
                model.predict(record)
            assert time.monotonic() - begin < 1
        with pytest.raises(errors.Unreachable) as caught:
            model.predict(record)
        assert all(peer.authority(route) in str(caught.value) for peer in killed)


@pytest.mark.parametrize("route", ROUTES)
def test_without_servers_opening_fails_and_names_all(route: str) -> None:
    ports = [free_port(), free_port()]
    hosts = [f"127.0.0.1:{port}" for port in ports]
    with pytest.raises(errors.Unreachable) as caught:
        sidecall.open(f"{route}://{','.join(hosts)}/{MODEL}")
    assert all(f"{host}: " in str(caught.value) for host in hosts)


@pytest.mark.parametrize("route", ROUTES)
def test_a_server_that_comes_back_gets_runs_again(
    start_peer: Callable[..., PeerProcess], peers: list[Peer], route: str, record: dict
) -> None:
    killed = start_peer()
    with sidecall.open(uri_of(route, killed, peers[0])) as model:
        killed.kill()
        predict_many(model, record, 40, 2)
        ports = (killed.ports["http"], killed.ports["grpc"])
        back = Peer(MODELS, ports=ports)
        wait_until(lambda: runs_of(back, lambda: predict_many(model, record, 10, 2)) > 0)
        back.close()


@pytest.mark.parametrize("route", ROUTES)
def test_a_server_that_is_absent_at_open_is_verified_before_it_gets_runs(
    peers: list[Peer], route: str, record: dict
) -> None:
    ports = (free_port(), free_port())
    absent = f"127.0.0.1:{ports[ROUTES.index(route)]}"
    with sidecall.open(uri_of(route, peers[0]).replace("://", f"://{absent},")) as model:
        model.predict(record)
        wrong = Peer(MODELS, ports=ports)
        wrong.change = spoil
        golden_rows = 0

        def fail() -> bool:
            nonlocal golden_rows
            model.predict(record)
            golden_rows = len(wrong.seen)
            return golden_rows > 0

        wait_until(fail)
        num_runs = runs_of(wrong, lambda: predict_many(model, record, 40, 1))
        assert num_runs <= 1  # golden rows again
        wrong.change = lambda outputs: outputs
        wait_until(lambda: runs_of(wrong, lambda: predict_many(model, record, 20, 1)) > 1, 20)
        wrong.close()


@pytest.mark.parametrize("route", ROUTES)
def test_an_unavailable_server_is_replaced_only_for_pure_models(
    peers: list[Peer], route: str, record: dict
) -> None:
    with (
        sidecall.open(uri_of(route, *peers)) as pure,
        sidecall.open(uri_of(route, *peers, model="add.onnx")) as other,
    ):
        peers[0].status = 503
        assert not [a for a in predict_many(pure, record, 20, 1) if isinstance(a, Exception)]
        inputs = {spec.name: np.zeros((1, 2), np.float32) for spec in other.inputs}
        failed = 0
        for _ in range(20):
            try:
                other.run(inputs)
            except (errors.Busy, errors.Unreachable):
                failed += 1
        assert 1 <= failed < 20


def test_repeats_end_when_the_budget_is_used(peers: list[Peer], record: dict) -> None:
    with sidecall.open(uri_of("http", *peers)) as model:
        for peer in peers:
            peer.status = 0
        before = sum(len(peer.seen) for peer in peers)
        answers = predict_many(model, record, 60, 1)
        assert {type(answer) for answer in answers} == {errors.PeerDied}
        num_sent = sum(len(peer.seen) for peer in peers) - before
        assert 70 <= num_sent <= 60 + 10 + 6 + 1


@pytest.mark.parametrize("answer", [refuse, go_away], ids=["refused stream", "GOAWAY"])
def test_a_run_that_a_server_refuses_unread_goes_to_another(
    peers: list[Peer], answer: Answer
) -> None:
    """The model may have effects, so a run may be sent again only because no server began it."""
    refusing = RawHttp2Server(MODELS / "add.onnx", answer)
    peers[0].with_contract = False
    with sidecall.open(uri_of("grpc", refusing, peers[0], model="add.onnx")) as model:
        inputs = {spec.name: np.zeros((1, 2), np.float32) for spec in model.inputs}
        for _ in range(30):
            model.run(inputs)
        assert refusing.num_runs > 0
        assert len(peers[0].seen) == 30
    refusing.close()


def test_a_run_that_may_have_effects_is_not_sent_again_after_a_broken_connection(
    peers: list[Peer],
) -> None:
    breaking = RawHttp2Server(MODELS / "add.onnx", break_off)
    failed = 0
    with sidecall.open(uri_of("grpc", breaking, peers[0], model="add.onnx")) as model:
        inputs = {spec.name: np.zeros((1, 2), np.float32) for spec in model.inputs}
        for _ in range(20):
            try:
                model.run(inputs)
            except errors.PeerDied:
                failed += 1
    assert failed == breaking.num_runs > 0
    assert failed + len(peers[0].seen) == 20
    breaking.close()


def test_a_server_alone_that_refuses_every_run_gets_it_five_times() -> None:
    refusing = RawHttp2Server(MODELS / "add.onnx", refuse)
    with sidecall.open(uri_of("grpc", refusing, model="add.onnx")) as model:
        inputs = {spec.name: np.zeros((1, 2), np.float32) for spec in model.inputs}
        with pytest.raises(errors.PeerDied, match="refused the stream"):
            model.run(inputs, timeout=5)
    assert refusing.num_runs == 5
    refusing.close()


# ---- Other models ----


@pytest.mark.parametrize("route", ROUTES)
def test_an_answer_of_another_model_is_never_given(
    peers: list[Peer], route: str, record: dict
) -> None:
    for peer in peers:
        peer.model_id = "a" * 64
    with sidecall.open(uri_of(route, *peers)) as model:
        expected = model.predict(record)
        peers[0].model_id, peers[0].change = "b" * 64, spoil
        assert predict_many(model, record, 40) == [expected] * 40
        assert runs_of(peers[0], lambda: predict_many(model, record, 20)) == 0
        peers[1].model_id = "b" * 64
        with pytest.raises(errors.ContractChanged, match="open the model again"):
            model.predict(record)
        begin = time.monotonic()
        with pytest.raises(errors.ContractChanged):
            model.predict(record)
        assert time.monotonic() - begin < 0.5
        peers[1].model_id = "a" * 64

        def is_back() -> bool:
            with contextlib.suppress(errors.ContractChanged):
                return model.predict(record) == expected
            return False

        wait_until(is_back, 20)


@pytest.mark.parametrize("route", ROUTES)
def test_a_server_that_loses_the_model_is_left_out(
    peers: list[Peer], tmp_path: Path, route: str, record: dict
) -> None:
    with sidecall.open(uri_of(route, *peers)) as model:
        peers[0].folder = tmp_path

        def is_left_out() -> bool:
            return not [a for a in predict_many(model, record, 20, 1) if isinstance(a, Exception)]

        assert not is_left_out()
        wait_until(is_left_out)
        peers[0].folder = MODELS
        wait_until(lambda: runs_of(peers[0], lambda: predict_many(model, record, 20, 1)) > 1, 20)


@pytest.mark.parametrize("route", ROUTES)
def test_one_server_with_another_model_is_an_error(route: str, record: dict) -> None:
    peer = Peer(MODELS)
    peer.model_id = "a" * 64
    with sidecall.open(peer.uri(route, MODEL)) as model:
        model.predict(record)
        peer.model_id = "b" * 64
        for _ in range(3):
            with pytest.raises(errors.ContractChanged, match="now has another model"):
                model.predict(record)
    peer.close()


def test_an_asynchronous_run_gets_no_answer_of_another_model(
    peers: list[Peer], record: dict
) -> None:
    for peer in peers:
        peer.model_id = "a" * 64

    async def predict_all(model: sidecall.Model) -> list[dict]:
        return await asyncio.gather(*(model.apredict(record) for _ in range(16)))

    with sidecall.open(uri_of("grpc", *peers)) as model:
        expected = model.predict(record)
        peers[0].model_id, peers[0].change = "b" * 64, spoil
        assert asyncio.run(predict_all(model)) == [expected] * 16


@pytest.mark.parametrize("route", ROUTES)
def test_a_server_that_has_another_model_at_open_gets_no_runs(
    peers: list[Peer], route: str, record: dict
) -> None:
    peers[0].model_id, peers[1].model_id = "a" * 64, "b" * 64
    peers[1].change = spoil
    with sidecall.open(uri_of(route, *peers)) as model:
        assert runs_of(peers[1], lambda: predict_many(model, record, 30)) == 0
        peers[1].model_id, peers[1].change = "a" * 64, lambda outputs: outputs
        wait_until(lambda: runs_of(peers[1], lambda: predict_many(model, record, 20)) > 1, 20)


@pytest.mark.parametrize("route", ROUTES)
def test_wrong_golden_rows_of_one_server_name_it(
    peers: list[Peer], route: str, record: dict
) -> None:
    peers[1].change = spoil
    uri = uri_of(route, *peers)
    with pytest.raises(errors.VerificationFailed) as caught:
        sidecall.open(uri)
    assert str(caught.value).endswith(f" at {peers[1].authority(route)})")
    with sidecall.open(uri, verify="warn") as model:
        assert f" at {peers[1].authority(route)})" in str(model.warning)
        assert runs_of(peers[1], lambda: predict_many(model, record, 30)) > 0
    with sidecall.open(uri, verify="off") as model:
        assert model.warning is None


def test_other_inputs_at_one_server_keep_it_from_runs(tmp_path: Path, record: dict) -> None:
    (tmp_path / MODEL).write_bytes((MODELS / "add.onnx").read_bytes())
    right, wrong = Peer(MODELS), Peer(tmp_path)
    with sidecall.open(uri_of("http", right, wrong)) as model:
        predict_many(model, record, 20)
    assert wrong.seen == []
    right.close()
    wrong.close()


def test_a_server_that_is_started_again_with_other_inputs_is_left_out(
    tmp_path: Path, start_peer: Callable[..., PeerProcess], peers: list[Peer], record: dict
) -> None:
    killed = start_peer()
    (tmp_path / MODEL).write_bytes((MODELS / "add.onnx").read_bytes())
    with sidecall.open(uri_of("http", killed, peers[0])) as model:
        killed.kill()
        other = Peer(tmp_path, ports=(killed.ports["http"], killed.ports["grpc"]))

        def is_left_out() -> bool:
            # It does not understand the runs, so they fail until it is described.
            predict_many(model, record, 5, 1)
            return other.num_described > 0

        wait_until(is_left_out)
        assert not [a for a in predict_many(model, record, 40, 1) if isinstance(a, Exception)]
        other.close()


# ---- Deadlines and cancelling ----


def silent_host() -> socket.socket:
    """Accepts connections in the kernel, and never answers."""
    return socket.create_server(("127.0.0.1", 0), backlog=64)


def unreachable_host() -> tuple[socket.socket, list[socket.socket]]:
    """Whose queue of connections is full, so that it does not answer those who connect."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    for _ in range(4):
        waiting.append(socket.socket())
        waiting[-1].setblocking(False)
        with contextlib.suppress(BlockingIOError):
            waiting[-1].connect(listener.getsockname())
    time.sleep(0.05)
    return listener, waiting


@pytest.mark.parametrize("route", ROUTES)
def test_a_host_that_does_not_answer_does_not_delay_the_others(
    peers: list[Peer], route: str, record: dict
) -> None:
    silent, (full, waiting) = silent_host(), unreachable_host()
    ports = [silent.getsockname()[1], full.getsockname()[1]]
    uri = uri_of(route, peers[0]).replace("://", "://" + "".join(f"127.0.0.1:{p}," for p in ports))
    begin = time.monotonic()
    with sidecall.open(uri) as model:
        assert time.monotonic() - begin < 3
        begin = time.monotonic()
        assert not [a for a in predict_many(model, record, 40) if isinstance(a, Exception)]
        assert time.monotonic() - begin < 3
    for each in (silent, full, *waiting):
        each.close()


@pytest.mark.parametrize("route", ROUTES)
def test_a_server_that_falls_silent_is_left_out_after_a_deadline(
    peers: list[Peer], route: str, record: dict
) -> None:
    with sidecall.open(uri_of(route, *peers), timeout=0.3) as model:
        model.predict(record)
        peers[0].delay = 1.5
        slow = 0
        for _ in range(12):
            begin = time.monotonic()
            try:
                model.predict(record)
            except errors.Timeout:
                slow += 1
            assert time.monotonic() - begin < 0.5
        assert slow <= 3


def test_a_run_that_is_repeated_can_be_cancelled(
    start_peer: Callable[..., PeerProcess], peers: list[Peer]
) -> None:
    killed = start_peer(with_contract=False)
    with sidecall.open(uri_of("grpc", killed, peers[0], model="add.onnx")) as model:
        killed.kill()
        time.sleep(0.1)
        with model.call(1) as call:
            for spec in model.inputs:
                call.inputs[spec.name][:] = 0
            peers[0].delay = 3
            for num_cancelled in range(1, 4):
                begin = time.monotonic()
                threading.Timer(0.2, call.cancel).start()
                with pytest.raises(errors.Cancelled):
                    call.run()
                assert time.monotonic() - begin < 1
                wait_until(
                    lambda n=num_cancelled: peers[0].num_cancelled >= n,  # type: ignore[misc]
                    2,
                )
