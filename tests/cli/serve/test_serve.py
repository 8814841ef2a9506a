"""sidecall serve of model files: answers, refusals, its end, and what it leaves behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import models
import pytest

from serving import row_of, serving


@pytest.fixture
def at(tmp_path: Path) -> str:
    return f"shm:{tmp_path}/jobs.sock"


def descriptors_of(served) -> int:
    return len(list(Path(f"/proc/{served.process.pid}/fd").iterdir()))


def test_a_server_gives_the_same_answers_as_the_file(sidecall, jobs, at):
    row = row_of(sidecall, jobs)
    here = sidecall("predict", jobs, stdin=row * 3)
    assert here.code == 0
    with serving(sidecall, jobs, at) as served:
        there = sidecall("predict", at, stdin=row * 3)
        assert (there.code, there.out, there.err) == (0, here.out, here.err)
        assert served.end() == 0


def test_a_server_gives_the_same_errors_as_the_file(sidecall, jobs, at):
    for row in ("{}\n", '{"nonsense": 1}\n', "[1]\n", "{\n"):
        here = sidecall("predict", jobs, stdin=row)
        with serving(sidecall, jobs, at):
            there = sidecall("predict", at, stdin=row)
        assert (there.code, there.out, there.err) == (here.code, here.out, here.err)
        assert here.code != 0


def test_copying_all_inputs_does_not_change_answers(sidecall, jobs, at):
    row = row_of(sidecall, jobs)
    here = sidecall("predict", jobs, stdin=row)
    with serving(sidecall, jobs, at, "--copy=always"):
        assert sidecall("predict", at, stdin=row).out == here.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_the_server_and_ends_it_with_0(sidecall, jobs, at, number, tmp_path):
    with serving(sidecall, jobs, at, "--json-log") as served:
        assert served.end(number) == 0
        events = [event["event"] for event in served.events()]
        assert (
            events.index("serve.ready")
            < events.index("serve.draining")
            < events.index("serve.ended")
        )
    assert not [path.name for path in tmp_path.iterdir() if ".sock" in path.name]


def test_a_server_leaks_no_descriptors_and_no_shared_memory(sidecall, jobs, at, shared_memory):
    before = shared_memory()
    with serving(sidecall, jobs, at) as served:
        sidecall("predict", at, stdin=row_of(sidecall, jobs))
        descriptors = descriptors_of(served)
        for _ in range(5):
            sidecall("predict", at, stdin=row_of(sidecall, jobs))
        # Waits a while, because the server may not have noticed yet that the last client is gone.
        deadline = time.monotonic() + 5
        while descriptors_of(served) > descriptors and time.monotonic() < deadline:
            time.sleep(0.02)
        assert descriptors_of(served) <= descriptors
        assert served.end() == 0
    assert shared_memory() == before


def test_a_dead_server_is_replaced(sidecall, jobs, at):
    row = row_of(sidecall, jobs)
    with serving(sidecall, jobs, at) as served:
        served.process.kill()
        served.process.wait()
        assert sidecall("status", at).code == 4
    with serving(sidecall, jobs, at):
        assert sidecall("predict", at, stdin=row).code == 0


def test_a_client_continues_after_its_server_is_killed_and_restarted(sidecall, jobs, at):
    row = row_of(sidecall, jobs).encode()
    with serving(sidecall, jobs, at) as served:
        client = sidecall.start("predict", at)
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(row)
        client.stdin.flush()
        first = client.stdout.readline()
        served.process.kill()
        served.process.wait()
        with serving(sidecall, jobs, at):
            client.stdin.write(row)
            client.stdin.flush()
            assert client.stdout.readline() == first
            client.stdin.close()
            assert client.wait(20) == 0


def test_a_second_server_at_an_address_is_refused(sidecall, jobs, at, tmp_path):
    with serving(sidecall, jobs, at):
        second = sidecall("serve", jobs, "--at", at)
        assert (second.code, second.out) == (4, "")
        assert (
            second.err.splitlines()[-1]
            == f"sidecall: {at}: cannot listen at '{tmp_path}/jobs.sock': another server is there"
        )
        assert sidecall("predict", at, stdin=row_of(sidecall, jobs)).code == 0


def test_a_model_whose_golden_rows_disagree_is_never_reachable(sidecall, at, tmp_path):
    """A file whose golden rows disagree is refused before any client can connect."""

    def spoil(contract):
        contract["verification"]["outputs"]["probabilities"][0] = [0.25, 0.75]

    models.classifier(tmp_path / "wrong.onnx", change=spoil)
    done = sidecall("serve", "wrong.onnx", "--at", at)
    assert done.code == 3
    assert "verification: golden row 0" in done.err
    assert not (tmp_path / "jobs.sock").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["jobs.onnx"],
            1,
            "serve: expected --at, --http or --grpc with an address, got nothing "
            "(see sidecall serve --help)",
        ),
        (["jobs.onnx", "--at", "jobs"], 1, "at: expected shm:NAME or shm:///path, got 'jobs'"),
        (["jobs.onnx", "--at", "shm:"], 1, None),
        (["jobs.onnx", "--at", "shm:a/b"], 1, None),
        (["nothing.onnx", "--at", "shm:x"], 3, "file 'nothing.onnx': no such file"),
        (["jobs.onnx", "--at", "shm:x", "--threads", "0"], 1, None),
        (
            ["jobs.onnx", "--at", "shm:x", "--copy", "never"],
            1,
            "serve: --copy: expected auto or always, got 'never' (see sidecall serve --help)",
        ),
        (
            ["jobs.onnx", "--at", "shm:x", "--group", "no such group"],
            1,
            "serve: --group: expected the name or number of a group, got 'no such group'",
        ),
        (["jobs.onnx", "--at", "shm:/no/folder/here/x.sock"], 4, None),
    ],
)
def test_wrong_arguments_are_refused(sidecall, jobs, words, code, message):
    done = sidecall("serve", *words)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("sidecall: ")
    if message is not None:
        assert message in done.err


def test_a_call_below_the_limit_of_max_call_is_answered(sidecall, jobs, at):
    with serving(sidecall, jobs, at, "--max-call", "0.05"):
        many = "[" + ",".join([row_of(sidecall, jobs).strip()] * 5000) + "]"
        assert len(many) > 0
        done = sidecall("predict", at, stdin=row_of(sidecall, jobs))
        assert done.code == 0


@pytest.mark.parametrize("option", ["--max-connections", "--max-connections-per-user"])
def test_connections_beyond_the_limit_are_refused(sidecall, jobs, at, option):
    with serving(sidecall, jobs, at, option, "1") as served:
        client = sidecall.start("predict", at)
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(row_of(sidecall, jobs).encode())
        client.stdin.flush()
        client.stdout.readline()
        second = sidecall("predict", at, stdin=row_of(sidecall, jobs))
        assert second.code == 4
        client.stdin.close()
        client.wait(20)
        assert served.status()["refused"] >= 1


def test_a_server_with_a_control_socket_needs_no_address(sidecall, jobs):
    """With SIDECALL_FD the parent's control socket replaces an address; its hang-up ends the
    server.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    env = sidecall.env | {"SIDECALL_FD": str(theirs.fileno())}
    process = subprocess.Popen(
        [sidecall.path, "serve", jobs],
        cwd=sidecall.cwd,
        env=env,
        pass_fds=[theirs.fileno()],
        stderr=subprocess.PIPE,
    )
    theirs.close()
    ours.settimeout(20)
    assert ours.recv(16) == b"\x03\x00\x00\x00\x00"  # LOAD message: ready, no connections
    ours.close()
    assert process.wait(20) == 0


@pytest.mark.parametrize("value", ["", "x", "1", "999", "-1"])
def test_an_invalid_control_socket_is_refused(sidecall, jobs, value):
    done = sidecall("serve", jobs, env={"SIDECALL_FD": value})
    assert done.code == 1
    assert (
        f"SIDECALL_FD: expected the number of an inherited SEQPACKET socket, got '{value}'"
        in done.err
    )


def test_every_log_line_has_a_time_and_a_level(sidecall, jobs, at):
    with serving(sidecall, jobs, at, "--json-log", "--log-level", "debug") as served:
        sidecall("predict", at, stdin=row_of(sidecall, jobs))
        served.end()
        for event in served.events():
            assert list(event)[:3] == ["time", "level", "event"]
            assert event["level"] in ("debug", "info", "warning", "error")
        ready = next(event for event in served.events() if event["event"] == "serve.ready")
        assert ready["process"] == served.process.pid
        assert ready["at"] == at
    with serving(sidecall, jobs, at) as served:
        served.end()
        assert all(
            len(line.split()[0]) == len("2026-11-25T03:10:55.123Z")
            for line in served.log().splitlines()
        )
        assert f" info serve.ready at={at} " in served.log()


def test_serving_a_file_does_not_load_python(sidecall, jobs, at):
    with serving(sidecall, jobs, at) as served:
        maps = Path(f"/proc/{served.process.pid}/maps").read_text()
        assert "libpython" not in maps
        assert "onnxruntime" in maps


def test_running_calls_are_answered_while_the_server_drains(sidecall, jobs, at):
    """Clients that call continuously get an answer or a refused connection.

    They never get a wrong answer and never hang.
    """
    row = row_of(sidecall, jobs)
    expected = sidecall("predict", jobs, stdin=row).out
    outcomes: list[tuple[int, str]] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.is_set():
            done = sidecall("predict", at, stdin=row)
            outcomes.append((done.code, done.out))

    with serving(sidecall, jobs, at) as served:
        callers = [threading.Thread(target=call) for _ in range(2)]
        for caller in callers:
            caller.start()
        while len(outcomes) < 4:
            time.sleep(0.01)
        assert served.end() == 0
        stop.set()
        for caller in callers:
            caller.join(30)
    assert {code for code, _ in outcomes} <= {0, 4}
    assert {out for code, out in outcomes if code == 0} == {expected}
