"""Short forms of `make bench-serving` and `make rollout`. Timings are never asserted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
BARS = {
    *("http_vs_fastapi", "http_vs_echo", "http_cpu_vs_fastapi", "http_binary_vs_echo"),
    *("triton_client_vs_canned", "triton_client_vs_triton", "grpc_vs_cpp_grpc"),
}


def run(script: str) -> str:
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "benchmarks/network" / script)),
            *("--build", str(BUILD), "--quick"),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_every_bar_of_the_server_is_measured(network_library: Path) -> None:
    said = run("serving.py")
    assert {line.split()[0] for line in said.splitlines() if line.strip()} >= BARS


@pytest.mark.long
def test_no_call_fails_while_servers_are_replaced(network_library: Path) -> None:
    said = run("rollout.py")
    assert "rollout_failed                0 holds" in said
    assert "rollout_wrong                 0 holds" in said
