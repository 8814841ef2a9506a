"""The queueing model against formulas, and short forms of `make bench-capacity` and
`bench-cold-start`. Timings are never asserted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from load_module import load_module

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
queueing = load_module("benchmarks/scaleout/queueing.py")


def test_one_server_with_exponential_times_follows_the_formula() -> None:
    """In an M/M/1 queue the times are exponential, with a mean of service / (1 - load)."""
    service = np.random.default_rng(1).exponential(1, 100_000)
    found = queueing.simulate(service, rate=700, servers=1, calls=400_000)
    mean = np.mean(service) / (1 - 0.7 * np.mean(service))
    assert found.p50_ms == pytest.approx(mean * np.log(2), rel=0.05)
    assert found.p99_ms == pytest.approx(mean * np.log(100), rel=0.1)


def test_idle_servers_answer_as_quickly_as_a_run_takes() -> None:
    found = queueing.simulate(np.array([5.0]), rate=0.01, servers=4, calls=1000)
    assert found == queueing.Prediction(pytest.approx(5), pytest.approx(5))


def test_several_servers_share_calls_better_than_one_alone() -> None:
    one = queueing.simulate(np.array([5.0]), rate=160, servers=1, calls=50_000)
    four = queueing.simulate(np.array([5.0]), rate=640, servers=4, calls=50_000)
    assert four.p99_ms < one.p99_ms / 2


def test_the_highest_rate_meets_the_goal_and_a_higher_one_does_not() -> None:
    service = np.array([5.0])
    rate = queueing.highest_rate(service, 1, goal_p99_ms=30)
    assert queueing.simulate(service, rate, 1).p99_ms <= 30
    assert queueing.simulate(service, rate * 1.05, 1).p99_ms > 30


def test_no_rate_meets_a_goal_below_the_time_of_a_run() -> None:
    assert queueing.highest_rate(np.array([5.0]), 2, goal_p99_ms=4) == 0


def test_more_calls_than_servers_can_answer_are_refused() -> None:
    with pytest.raises(ValueError, match="rate: expected less than 400 calls/s, got 500"):
        queueing.simulate(np.array([5.0]), rate=500, servers=2)


@pytest.mark.parametrize("words", ["0", "-1", "nan", "inf", "empty", "text", "missing"])
def test_times_that_are_no_times_are_refused(tmp_path: Path, words: str) -> None:
    for name, content in (("empty", ""), ("text", "1.0\nfast\n")):
        (tmp_path / name).write_text(content)
    done = command("--service-ms", words, "--goal-p99-ms", "5", folder=tmp_path)
    assert done.returncode == 2 and f"--service-ms: expected times above 0 ms, got {words}" in (
        done.stderr
    )


def test_the_command_reads_measured_times(tmp_path: Path) -> None:
    (tmp_path / "times").write_text("1.0\n2.0\n3.0\n")
    done = command("--service-ms", "times", "--goal-p99-ms", "10", folder=tmp_path)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["servers", "calls/s", "load"]
    assert [int(line[0]) for line in lines[1:]] == [1, 2, 4, 8, 16]
    rates = [int(line[1]) for line in lines[1:]]
    assert rates == sorted(rates) and rates[0] > 0


def command(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = ROOT / "benchmarks/scaleout/queueing.py"
    return subprocess.run(
        [sys.executable, program, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_file_of_several_targets_says_how_each_table_was_made(tmp_path: Path) -> None:
    common = load_module("benchmarks/common.py")
    path = tmp_path / "results.json"
    for name, version in (("first", "1"), ("second", "2"), ("first", "3")):
        report = common.Report(
            "scaleout", {"package": version}, tables={name: [{"value": version}]}
        )
        report.bars = [common.Bar(f"{name}_bar", float(version), 5)]
        report.write(path, keep_others=True)
    found = json.loads(path.read_text())
    assert (found["first"], found["second"]) == ([{"value": "3"}], [{"value": "2"}])
    versions = {name: run["versions"]["package"] for name, run in found["runs"].items()}
    assert versions == {"first": "3", "second": "2"}
    assert {bar["name"]: bar["value"] for bar in found["bars"]} == {"first_bar": 3, "second_bar": 2}


def measure(program: str, document: Path) -> dict:
    """Runs the short form of a program, and returns what it wrote."""
    path = ROOT / "benchmarks/scaleout" / program
    words = ["--build", BUILD, "--quick", "--output", document]
    subprocess.run([sys.executable, path, *words], check=True, timeout=300)
    return json.loads(document.read_text(encoding="utf-8"))


def test_predictions_are_compared_with_servers(network_library: Path, tmp_path: Path) -> None:
    rows = measure("capacity.py", tmp_path / "scaleout.json")["capacity"]
    assert {(row["servers"], row["load"]) for row in rows} == {
        (servers, load) for servers in (1, 2, 4) for load in (0.5, 0.8)
    }
    assert all(row["calls"] > 0 and row["measured_p99_ms"] > 0 for row in rows)


def test_each_way_gives_the_first_answer_of_the_pipeline(
    network_library: Path, tmp_path: Path
) -> None:
    rows = measure("cold_start.py", tmp_path / "scaleout.json")["cold_starts"]
    assert len({row["way"] for row in rows}) == 7
    assert all(row["first_answer_ms"] > 0 and row["memory_mib"] > 0 for row in rows)
