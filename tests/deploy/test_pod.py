"""The pods of deploy/kubernetes, rehearsed: containers of this machine that share one volume."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from containers import BUILD, CONFINED, ONCE, Engine, Images
from pods import Pod
from tls import Authority

SOCKET = "shm:/run/app/model.sock"
BIRD = '{"island": "Biscoe", "bill_length_mm": 48.2}\n'
LABEL = '{"label":"Gentoo"}\n'
Start = Callable[..., Pod]


@pytest.fixture
def start(engine: Engine, images: Images) -> Iterator[Start]:
    """Makes a pod of an overlay, with the image of a model."""
    pods: list[Pod] = []

    def make_pod(folder: str, model: str = "penguins.onnx", base: str = "sidecall-native") -> Pod:
        pods.append(Pod(engine, folder, images.name_of(model, base)))
        return pods[-1]

    yield make_pod
    for pod in pods:
        pod.close()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Caller:
    """A program in the container `backend`, with pipes to it."""

    def __init__(self, pod: Pod, *words: str, options: tuple[str, ...] = ()) -> None:
        own = (*ONCE, *CONFINED, *pod.options("backend"), *options)
        self.process = subprocess.Popen(
            pod.engine.command("podman", *own, pod.image, *words),
            env=pod.engine.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, line: str) -> str:
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def end(self) -> tuple[int, str]:
        """The exit code, once the program has read all of its input, and what it printed last."""
        rest = self.process.communicate(timeout=60)[0]
        return self.process.returncode, rest


def status(pod: Pod) -> dict[str, Any]:
    """The status of the sidecar, asked by root of this machine through the folder of the socket."""
    at = f"shm:/proc/{pod.engine.state('model')['Pid']}/root/run/app/model.sock"
    done = pod.engine.inside(BUILD / "bin/sidecall", "status", at, "--json")
    return json.loads(done.stdout) if done.returncode == 0 else {}


def start_sidecar(pod: Pod) -> None:
    pod.start("model")
    pod.wait_for("model", "startupProbe")


def test_the_backend_of_the_overlay_calls_the_model_in_its_pod(start):
    pod = start("overlays/backend")
    start_sidecar(pod)
    pod.start("backend")
    wait_until(lambda: status(pod).get("calls", 0) > 100)
    assert pod.probe("model", "readinessProbe")
    assert pod.probe("model", "livenessProbe")
    assert status(pod)["verified"] is True


def test_the_containers_share_nothing_but_the_folder_of_the_socket(start):
    pod = start("overlays/backend")
    start_sidecar(pod)
    pod.start("backend")

    def own(name: str, what: str) -> str:
        process = pod.engine.state(name)["Pid"]
        return pod.engine.inside("readlink", f"/proc/{process}/ns/{what}").stdout

    for namespace in ("mnt", "pid", "ipc", "net", "uts"):
        assert own("model", namespace) != own("backend", namespace)
    process = pod.engine.state("backend")["Pid"]
    listing = pod.engine.inside("ls", "-A", f"/proc/{process}/root/run/app").stdout.split()
    assert listing == ["model.sock", "model.sock.lock"]


def test_a_caller_goes_on_after_the_sidecar_was_killed_and_started_again(start):
    pod = start("overlays/backend")
    start_sidecar(pod)
    caller = Caller(pod, "predict", SOCKET, "--stream", "--wait=30", "--only=label")
    assert caller.ask(BIRD) == LABEL
    first = status(pod)["instance"]
    pod.kill("model")
    assert caller.ask(BIRD) == LABEL
    assert status(pod)["instance"] != first
    assert pod.engine.events("model").count("serve.ready") == 2
    assert caller.end() == (0, "")


def test_a_caller_without_a_wait_is_told_that_no_server_is_there(start):
    pod = start("overlays/backend")
    start_sidecar(pod)
    caller = Caller(pod, "predict", SOCKET, "--stream", "--only=label")
    assert caller.ask(BIRD) == LABEL
    assert pod.stop("model") == 0
    assert json.loads(caller.ask(BIRD))["error"]["status"] == "UNREACHABLE"
    assert caller.end() == (0, "")


def test_a_call_that_runs_is_answered_before_the_sidecar_ends(start, tmp_path):
    pod = start("overlays/backend", "slow.onnx", "sidecall")
    start_sidecar(pod)
    tmp_path.chmod(0o755)
    np.save(tmp_path / "x.npy", np.full(10_000, 0.5, np.float32))
    np.save(tmp_path / "n.npy", np.array(200_000, np.int64))
    words = ["--tensor=x=@/in/x.npy", "--tensor=n=@/in/n.npy", "--out=y=@/dev/null"]
    caller = Caller(pod, "run", SOCKET, *words, options=(f"--volume={tmp_path}:/in:ro",))
    wait_until(lambda: status(pod).get("in_flight") == 1)
    assert pod.stop("model") == 0  # 137 if it had been killed after the grace period
    assert caller.end() == (0, "")


def test_a_sidecar_whose_golden_rows_disagree_is_never_ready(start):
    pod = start("overlays/backend", "verification/first_row.onnx")
    pod.start("model")
    wait_until(lambda: pod.engine.state("model")["ExitCode"] == 3)
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert not pod.probe("model", probe)
    log = pod.engine.try_podman("logs", "model").stderr
    assert "golden row 0, column 'prediction': expected 371.6, got 371.5" in log


def test_a_backend_of_another_user_is_refused(start):
    pod = start("overlays/backend")
    start_sidecar(pod)
    caller = Caller(pod, "predict", SOCKET, options=("--user=1000:1000",))
    caller.process.stdin.write(BIRD)
    code, answers = caller.end()
    assert (code, answers) == (4, "")


def test_a_backend_of_another_user_whom_the_sidecar_admits_is_answered(start):
    pod = start("overlays/backend")
    pod.container("model")["args"].append("--allow-uid=1000")
    start_sidecar(pod)
    caller = Caller(pod, "predict", SOCKET, "--only=label", options=("--user=1000:1000",))
    assert caller.ask(BIRD) == LABEL
    assert caller.end() == (0, "")


def test_containers_in_user_namespaces_of_their_own_reach_each_other(start):
    pod = start("overlays/backend")
    # Each kernel id below 65532 is another one inside; both namespaces know the user of the image.
    maps = ("0:100000:65532", "65532:65532:1")
    pod.extra = tuple(f"--{kind}idmap={one}" for kind in "ug" for one in maps)
    start_sidecar(pod)
    caller = Caller(pod, "predict", SOCKET, "--stream", "--only=label")
    assert caller.ask(BIRD) == LABEL
    assert caller.end() == (0, "")


def test_the_server_is_ready_once_its_golden_rows_have_passed(start):
    pod = start("base", base="sidecall")
    pod.start("model")
    pod.wait_for("model", "startupProbe")
    assert pod.probe("model", "readinessProbe")
    assert pod.probe("model", "livenessProbe")
    assert "serve.ready" in pod.engine.events("model")
    for at in ("http://127.0.0.1:8000/penguins", "grpc://127.0.0.1:8001/penguins"):
        words = ["exec", "--interactive", "model", "sidecall", "predict", at, "--only=label"]
        assert pod.engine.podman(*words, input=BIRD) + "\n" == LABEL
    assert pod.stop("model") == 0


def test_a_server_whose_connections_are_all_taken_is_alive_but_not_ready(start):
    pod = start("base", base="sidecall")
    pod.container("model")["args"].append("--max-connections=1")
    pod.start("model")
    pod.wait_for("model", "startupProbe")
    words = ["predict", "http://127.0.0.1:8000/penguins", "--stream", "--wait=20", "--only=label"]
    with subprocess.Popen(
        pod.engine.command("podman", "exec", "--interactive", "model", "sidecall", *words),
        env=pod.engine.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as caller:
        caller.stdin.write(BIRD)
        caller.stdin.flush()
        assert caller.stdout.readline() == LABEL
        assert not pod.probe("model", "readinessProbe")
        assert pod.probe("model", "livenessProbe")


def test_a_server_whose_golden_rows_disagree_opens_no_port(start):
    pod = start("base", "verification/first_row.onnx", "sidecall")
    pod.start("model")
    wait_until(lambda: pod.engine.state("model")["ExitCode"] == 3)
    assert pod.engine.events("model") == []


def test_with_tls_a_caller_needs_a_token_and_the_probes_need_none(start, tmp_path):
    pod = start("overlays/tls", base="sidecall")
    authority = Authority(tmp_path / "authority")
    cert, key = authority.issue("localhost")
    for name, files in {"tls": {"tls.crt": cert, "tls.key": key}, "tokens": {}}.items():
        folder = tmp_path / name
        folder.mkdir()
        for file, source in files.items():
            (folder / file).write_bytes(source.read_bytes())
        pod.folders[name] = folder
    (tmp_path / "tokens/tokens").write_text("secret-of-a-caller\n")
    pod.start("model")
    pod.wait_for("model", "startupProbe")
    assert pod.probe("model", "livenessProbe")

    def ask(token: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "token").write_text(token)
        at = f"https://localhost:8000/penguins?ca={authority.cert}&token={tmp_path / 'token'}"
        return pod.in_network("model", BUILD / "bin/sidecall", "predict", at, input=BIRD)

    assert ask("secret-of-a-caller").stdout.startswith('{"label":"Gentoo"')
    refused = ask("another")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "401" in refused.stderr
