"""Tests of benchmarks/network: each approach against its real server or broker.

Each must start, give right answers and leave no process running.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
NETWORK = ROOT / "benchmarks/network"
WORKLOADS = ("gbm", "penguins")

sys.path.insert(0, str(NETWORK))
from approach import Approach, all_approaches, at_of  # noqa: E402
from client_process import ClientProcess  # noqa: E402
from host import UnavailableError, visit  # noqa: E402

# Services have their own tests.
APPROACHES = [one for one in all_approaches() if one.group != "service"]


@pytest.fixture(scope="module")
def workloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "workloads"
    subprocess.run(
        [sys.executable, NETWORK / "workload.py", "--out", folder, *WORKLOADS],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def onnxruntime() -> Path:
    import onnxruntime

    return next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))


def client_of(approach: Approach) -> str:
    return "python" if "python" in approach.clients else approach.clients[0]


def processes_of(folder: Path) -> list[str]:
    """Commands of the processes whose environment contains the visit's folder.

    Every process that a visit starts has the folder in its environment.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(folder) in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            continue  # The process ended, or belongs to another user.
    return found


@pytest.mark.parametrize("approach", APPROACHES, ids=lambda one: one.name)
def test_the_approach_gives_right_answers_and_ends(
    approach: Approach,
    workloads: Path,
    onnxruntime: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BENCH_VISIT", str(tmp_path))
    with visit(build=BUILD, folder=tmp_path, workloads=workloads, onnxruntime=onnxruntime) as host:
        try:
            at = approach.start(host)
        except UnavailableError as reason:
            pytest.skip(str(reason))
        with ClientProcess(client_of(approach), host, approach.client_environment) as client:
            for name in WORKLOADS:
                if name not in approach.workloads:
                    continue
                body = approach.body_of("record" if name == "penguins" else "tensor")
                client.ask(
                    do="open",
                    workload=str(workloads / name),
                    rows=1,
                    transport=approach.transport,
                    body=body,
                    at=at_of(at, name),
                )
                measured = client.ask(do="closed", clients=2, seconds=0.01, warm_up=1, first=7)
                assert measured["calls"] > 0
                assert (measured["wrong"], measured["lost"]) == (0, 0), measured["error"]
                client.ask(do="close")
        assert host.cost()[1] > 0 or not host.processes
    assert processes_of(tmp_path) == []
