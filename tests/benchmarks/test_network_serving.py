"""Short forms of `make bench-serving`, `rollout`, `bench-balancing` and `bench-file-only`.

Timings are never asserted.
"""

from __future__ import annotations

import json
import os
import shutil
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


def run(script: str, *words: object) -> str:
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "benchmarks/network" / script)),
            *("--build", str(BUILD), "--quick", *map(str, words)),
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
    assert "rollout_killed_failed         0 holds" in said
    assert "rollout_wrong                 0 holds" in said
    assert "rollout_function_wrong        0 holds" in said


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A copy of the published document, to which a part is added."""
    (tmp_path / "results").mkdir()
    return Path(shutil.copy(ROOT / "benchmarks/results/network.json", tmp_path / "results"))


@pytest.mark.long
def test_calls_to_several_servers_are_counted_and_drawn(
    network_library: Path, document: Path
) -> None:
    run("balancing.py", "--output", document)
    rows = json.loads(document.read_text(encoding="utf-8"))["balancing"]["rows"]
    assert {(len(row["run_ms"]), row["way"]) for row in rows} == {(1, "sidecall")} | {
        (count, way) for count in (2, 4) for way in ("sidecall", "in turn", "at random")
    }
    for row in rows:
        assert len(row["shares"]) == len(row["run_ms"]) and row["calls"] > 0
        assert sum(row["shares"]) == pytest.approx(1)
        if row["way"] == "in turn":
            assert max(row["shares"]) - min(row["shares"]) < 0.1
    (slow,) = (
        row
        for row in rows
        if row["way"] == "sidecall" and max(row["run_ms"]) > 5 and row["load"] == 0.9
    )
    assert slow["shares"][-1] == min(slow["shares"])


@pytest.mark.long
def test_the_network_route_adds_no_library_and_hardly_memory_to_a_program_with_a_file(
    document: Path,
) -> None:
    run("file_only.py", "--output", document)
    found = json.loads(document.read_text(encoding="utf-8"))
    bars = {bar["name"]: bar for bar in found["bars"]}
    assert bars["file_only_extra_libraries"]["value"] == 0
    assert bars["file_only_extra_kib"]["holds"]


def test_a_measurement_of_all_approaches_keeps_the_other_parts(document: Path) -> None:
    code = (
        "import json, pathlib, sys\n"
        "sys.path[:0] = sys.argv[2:]\n"
        "from serving import keep_sections\n"
        "new = {'bars': [{'name': 'wrong_answers'}]}\n"
        "print(json.dumps(keep_sections(new, pathlib.Path(sys.argv[1]))))\n"
    )
    folders = [ROOT / "benchmarks/network", ROOT / "benchmarks"]
    said = subprocess.check_output([sys.executable, "-c", code, document, *folders], text=True)
    kept = json.loads(said)
    old = json.loads(document.read_text(encoding="utf-8"))
    assert kept["serving"] == old["serving"]
    names = [bar["name"] for bar in kept["bars"]]
    assert names[0] == "wrong_answers" and "http_vs_echo" in names
