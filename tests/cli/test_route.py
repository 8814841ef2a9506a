"""Models of other processes: every command that takes a model also takes shm: and exec:."""

from __future__ import annotations

import json
import threading
import time

import pytest

from serving import serving

ROW = b'{"age": 39, "income": 1000, "kids": 0, "job": "nurse"}\n'


@pytest.fixture
def served(sidecall, jobs):
    at = f"shm:{sidecall.cwd}/jobs.sock"
    with serving(sidecall, jobs, at):
        yield at


def test_predict_gives_the_same_answers_over_shm(sidecall, jobs, served):
    rows = ROW * 100
    assert sidecall("predict", served, stdin=rows).out == sidecall("predict", jobs, stdin=rows).out
    done = sidecall("predict", served, stdin=ROW + b'{"age": "x"}\n')
    assert done.code == 2
    assert done.err == sidecall("predict", jobs, stdin=ROW + b'{"age": "x"}\n').err


def test_predict_over_shm_needs_no_engine(sidecall, served):
    done = sidecall("predict", served, stdin=ROW, env={"SIDECALL_ONNXRUNTIME": "/nonexistent"})
    assert (done.code, done.err) == (0, "")


def test_info_verify_types_and_diff_work_over_shm(sidecall, jobs, served):
    of_file, of_server = (
        json.loads(sidecall("info", model, "--json").out) for model in (jobs, served)
    )
    other = {"file": "", "engine": "", "engine_reason": ""}
    assert of_server | other == of_file | other
    assert sidecall("info", served).out.startswith(f"server    {served}\n")
    assert sidecall("types", served).out == sidecall("types", jobs).out
    assert sidecall("verify", served).code == 0
    assert sidecall("diff", jobs, served).code == 0


@pytest.mark.usefixtures("network_library")
def test_info_calls_a_model_on_another_host_a_server(sidecall, jobs):
    socket = f"{sidecall.cwd}/jobs.http"
    with serving(sidecall, jobs, f"shm:{sidecall.cwd}/jobs.sock", "--http", socket):
        at = f"http+unix:{socket}/jobs"
        assert sidecall("info", at).out.startswith(f"server    {at}\n")


@pytest.mark.parametrize("command", ["predict", "info", "verify", "types"])
def test_a_missing_server_fails_with_code_4(sidecall, command):
    done = sidecall(command, f"shm:{sidecall.cwd}/absent.sock", stdin=ROW)
    assert done.code == 4
    assert (
        done.err
        == f"sidecall: 'shm:{sidecall.cwd}/absent.sock': no server is listening (its socket does not exist)\n"
    )


def test_predict_with_wait_succeeds_if_the_server_starts_later(sidecall, jobs):
    at = f"shm:{sidecall.cwd}/late.sock"
    codes = []
    client = threading.Thread(
        target=lambda: codes.append(sidecall("predict", at, "--wait", "30", stdin=ROW).code)
    )
    client.start()
    time.sleep(0.1)
    with serving(sidecall, jobs, at):
        client.join(30)
    assert codes == [0]


def test_a_server_that_dies_between_lines_fails_with_code_4(sidecall, jobs):
    at = f"shm:{sidecall.cwd}/dies.sock"
    with serving(sidecall, jobs, at) as server:
        client = sidecall.start("predict", at)
        client.stdin.write(ROW)
        client.stdin.flush()
        assert b"label" in client.stdout.readline()
        server.process.kill()
        server.process.wait()
        _, err = client.communicate(ROW, timeout=30)
    assert client.returncode == 4
    assert b"no server is listening" in err


def test_a_server_command_is_started_only_with_allow_exec(sidecall, jobs):
    uri = f"exec:{sidecall.path} serve {jobs}"
    done = sidecall("predict", uri, stdin=ROW)
    assert done.code == 1
    assert "--allow-exec" in done.err
    done = sidecall("predict", uri, "--allow-exec", stdin=ROW)
    assert (done.code, done.out) == (0, sidecall("predict", jobs, stdin=ROW).out)


@pytest.mark.parametrize("command", ["predict", "info", "verify", "bench", "types"])
def test_no_command_starts_a_program_without_allow_exec(sidecall, tmp_path, command):
    done = sidecall(command, f"exec:touch {tmp_path}/started", stdin=ROW)
    assert (done.code, done.out) == (1, "")
    assert (
        done.err
        == f"sidecall: exec:touch {tmp_path}/started: expected the option --allow-exec, got none: opening an exec: model starts a program\n"
    )
    assert not (tmp_path / "started").exists()


def test_a_new_route_needs_nothing_from_the_command(sidecall):
    """test: is a folder of engines/ that only test builds have, and that no front end knows."""
    about = json.loads(sidecall("info", "test:double", "--json").out)
    assert about["engine"] == "server 'test:double'"
    assert [one["name"] for one in about["inputs"] + about["outputs"]] == ["x", "y"]
    assert sidecall("info", "test:double").out.startswith("server    test:double\n")
    assert "expected test:double" in sidecall("info", "test:triple").err
