"""sidecall serve --sandbox takes rights away, the server still works, and failures are reported."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from serving import row_of, serving

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
ALLOWED = {"start a thread", "allocate"}


@pytest.fixture
def at(tmp_path: Path) -> str:
    return f"shm:{tmp_path}/jobs.sock"


def attempts_of(folder: Path, file: Path, *readable: Path) -> list[tuple[str, str, str]]:
    """What the probe attempted: the thread, the attempt and the result."""
    folder.mkdir()
    (folder / "socket").touch()
    file.touch()
    done = subprocess.run(
        [BUILD / "bin/sandbox-probe", folder, file, *readable],
        capture_output=True,
        text=True,
        check=True,
    )
    found = [tuple(line.split("|")) for line in done.stderr.splitlines()]
    assert {thread for thread, _, _ in found} == {"earlier", "main"}
    assert file.exists()
    return found


def test_a_confined_process_can_do_nothing_but_serve(tmp_path: Path) -> None:
    found = attempts_of(tmp_path / "folder", tmp_path / "other")
    assert len(found) >= 40
    for thread, what, result in found:
        if what in ALLOWED:
            assert result == "done", (thread, what)
        else:
            assert result in ("EPERM", "EACCES"), (thread, what, result)


def test_a_process_confined_for_http_can_only_read_its_own_files(tmp_path: Path) -> None:
    readable = tmp_path / "secrets"
    readable.mkdir()
    (readable / "tokens").write_text("token\n")
    (readable / "link").symlink_to("/etc/passwd")
    found = attempts_of(tmp_path / "folder", tmp_path / "other", readable)
    assert len(found) >= 66
    for thread, what, result in found:
        if what in ALLOWED | {"read the tokens"}:
            assert result == "done", (thread, what)
        else:
            assert result in ("EPERM", "EACCES"), (thread, what, result)
    assert (readable / "tokens").read_text() == "token\n"


def test_a_confined_server_gives_the_same_answers(sidecall, jobs, at):
    row = row_of(sidecall, jobs)
    here = sidecall("predict", jobs, stdin=row * 3)
    with serving(sidecall, jobs, at, "--sandbox=require", "--json-log") as served:
        there = sidecall("predict", at, stdin=row * 3)
        assert (there.code, there.out, there.err) == (0, here.out, here.err)
        assert sidecall("status", at).code == 0
        for task in Path(f"/proc/{served.process.pid}/task").iterdir():
            status = dict(
                line.split(":\t", 1)
                for line in (task / "status").read_text().splitlines()
                if ":\t" in line
            )
            assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
        assert served.end() == 0
        parts = [each["part"] for each in served.events() if each["event"] == "sandbox.confined"]
        assert parts == ["files", "system calls"]
    # The server cannot remove its socket. The next server replaces it.
    assert sidecall("predict", at, stdin=row).code == 4
    with serving(sidecall, jobs, at) as served:
        assert sidecall("predict", at, stdin=row).out == sidecall("predict", jobs, stdin=row).out
        assert served.end() == 0


def test_a_model_may_follow_the_flag(sidecall, jobs, at):
    row = row_of(sidecall, jobs)
    with serving(sidecall, jobs, at, "--sandbox") as served:
        assert sidecall("predict", at, stdin=row).code == 0
        assert served.end() == 0


def test_readiness_is_sent_and_a_watchdog_is_refused(sidecall, jobs, at, tmp_path):
    """A confined server has no socket to its service manager, so it cannot serve a watchdog."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        variables = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with serving(sidecall, jobs, at, "--sandbox=require", env=variables) as served:
            assert manager.recv(4096).startswith(b"READY=1\n")
            kinds = {
                str(each.readlink()) for each in Path(f"/proc/{served.process.pid}/fd").iterdir()
            }
            assert served.end() == 0
        assert "/dev/null" in kinds
        done = sidecall(
            "serve", jobs, "--at", at, "--sandbox", env=variables | {"WATCHDOG_USEC": "1000000"}
        )
    assert done.code == 1
    assert "--sandbox: expected a service without WatchdogSec=" in done.err


def test_another_value_is_refused(sidecall, jobs, at):
    done = sidecall("serve", jobs, "--at", at, "--sandbox=maybe")
    assert done.code == 1
    assert "--sandbox: expected on or require, got 'maybe'" in done.err


@pytest.mark.parametrize(
    ("call", "part"), [("landlock_create_ruleset", "files"), ("seccomp", "system calls")]
)
def test_a_part_that_the_system_lacks_is_named(sidecall, jobs, at, call, part, tmp_path) -> None:
    """With --sandbox=require the server ends; with --sandbox it logs the part and serves."""
    traced = ["strace", "-f", "-qq", "-o", tmp_path / "trace", "-e", f"inject={call}:error=ENOSYS"]
    command = [*traced, sidecall.path, "serve", jobs, "--at", at]
    where = {"cwd": sidecall.cwd, "env": sidecall.env}
    refused = subprocess.run(
        [*command, "--sandbox=require"],
        **where,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 4
    assert f"--sandbox=require: cannot confine {part}: " in refused.stderr
    with subprocess.Popen(
        [*command, "--sandbox"],
        **where,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as served:
        assert served.stderr is not None
        lines = []
        for line in served.stderr:  # ends too if the server does
            lines.append(line)
            if "serve.ready" in line:
                break
        os.killpg(served.pid, 15)
        served.communicate()
    assert any("sandbox.failed" in line and part in line for line in lines)


def failed_vectors(environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [BUILD / "bin/sidecall-vectors", "every vector passes over shm: with the C ABI"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    names = re.findall(r"with message:\n  (\S+)", done.stdout)
    assert (done.returncode == 0) == (names == []), done.stdout
    return names


@pytest.mark.long
@pytest.mark.parametrize("onnxruntime", ["newest", "oldest"])
def test_the_sandbox_makes_no_vector_fail(sidecall, onnxruntime) -> None:
    """The oldest ONNX Runtime lacks some operators, so some vectors fail even without it."""
    environment = sidecall.env
    if onnxruntime == "oldest":
        (library,) = BUILD.glob("onnxruntime-oldest/onnxruntime/capi/libonnxruntime.so.*")
        environment["SIDECALL_ONNXRUNTIME"] = str(library)
    without = failed_vectors(environment)
    assert failed_vectors(environment | {"SIDECALL_TEST_SERVE": sidecall.path}) == without
    assert onnxruntime == "oldest" or without == []
