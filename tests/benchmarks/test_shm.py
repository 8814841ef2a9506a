"""Tests of benchmarks/shm: right answers and a complete document. Timings are never asserted."""

import json
import os
import subprocess
import sys
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
    "submit_block_us",
    "hung_neighbour_ratio",
}
MAY_LACK = {  # absent on a machine with one CPU, without iceoryx or without strace
    "queue_syscalls",
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
