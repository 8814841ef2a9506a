"""Tests of benchmarks/shm: right answers and a complete document. Timings are never asserted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from common import check_document

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
BARS = {
    "echo_sleep_vs_socket",
    "payload_4m_vs_64b",
    "gbm_shm_extra_us",
    "python_server_extra_us",
    "throughput_64_vs_best",
    "idle_1000_cpu_percent",
    "idle_client_kib",
    "idle_client_descriptors",
}
MAY_LACK = {  # absent on a machine with one CPU or without iceoryx
    "echo_spin_vs_cacheline",
    "echo_vs_iceoryx",
    "echo_vs_iceoryx_spin_two_cores",
    "echo_vs_iceoryx_sleep_two_cores",
    "echo_vs_iceoryx_sleep_one_core",
}


RUN = [sys.executable, ROOT / "benchmarks/shm/run.py", "--build", BUILD, "--quick", "--output"]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    output = tmp_path_factory.mktemp("results") / "shm.json"
    done = subprocess.run([*RUN, output], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(output.read_text(encoding="utf-8"))


def test_the_document_is_complete(document: dict) -> None:
    check_document(document)


def test_the_document_has_every_bar(document: dict) -> None:
    assert BARS <= {bar["name"] for bar in document["bars"]} <= BARS | MAY_LACK


def test_every_route_was_measured(document: dict) -> None:
    approaches = {row["approach"] for row in document["rows"] if row["scenario"] == "gbm"}
    assert approaches == {
        "native_spin",
        "native_adaptive",
        "python_spin",
        "python_adaptive",
        "in_process",
        "predict_proba",
    }


def test_idle_clients_hold_two_descriptors(document: dict) -> None:
    held = next(
        bar["value"] for bar in document["bars"] if bar["name"] == "idle_client_descriptors"
    )
    assert held <= 2.5  # the short run has 20 clients


def living_of(group: int) -> dict[int, str]:
    """Commands of the group's processes by process id, without zombies."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, _, of_group = (process / "stat").read_text().rsplit(")", 1)[1].split()[:3]
            if int(of_group) == group and state not in "ZX":
                found[int(process.name)] = (
                    (process / "cmdline").read_bytes().decode(errors="replace")
                )
        except OSError:
            continue  # The process ended.
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    last = (
        "bench-shm-iceoryx-client"
        if (BUILD / "bin/bench-shm-iceoryx-client").is_file()
        else "bench-shm-client"
    )
    with subprocess.Popen(
        [*RUN, tmp_path / "shm.json"],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as run:
        try:
            while not any(last in command for command in living_of(run.pid).values()):
                assert run.poll() is None, "it ended too early"
                time.sleep(0.01)
            run.send_signal(number)
            assert run.wait(timeout=60) == (143 if number == signal.SIGTERM else -9)
            deadline = time.monotonic() + 60
            while living_of(run.pid) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert list(living_of(run.pid).values()) == []
        finally:
            for left in living_of(run.pid):
                os.kill(left, signal.SIGKILL)
