"""sidecall status: its output for people, probes, programs and Prometheus."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from serving import row_of, serving

SAMPLE = re.compile(
    r'(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?P<labels>[a-zA-Z_]+="(\\.|[^"\\])*"(,[a-zA-Z_]+="(\\.|[^"\\])*")*)\})? (?P<value>\S+)'
)


@pytest.fixture
def at(tmp_path: Path) -> str:
    return f"shm:{tmp_path}/jobs.sock"


def test_the_page_shows_state_calls_and_latency(sidecall, jobs, at):
    with serving(sidecall, jobs, at) as served:
        row = row_of(sidecall, jobs)
        assert sidecall("predict", at, "--batch=1", stdin=row * 4).code == 0
        served.status(calls=4)
        done = sidecall("status", at)
        assert (done.code, done.err) == (0, "")
        words = {line.split()[0]: line for line in done.lines() if line}
        assert "ready, golden rows passed, up " in words["state"]
        assert words["calls"].split() == ["calls", "4"]
        assert words["latency"].count("p") >= 4


def test_json_holds_all_counters(sidecall, jobs, at):
    with serving(sidecall, jobs, at) as served:
        row = row_of(sidecall, jobs)
        sidecall("predict", at, "--batch=1", stdin=row * 3)
        status = served.status(calls=3)
        assert status["calls"] == 3
        assert status["errors"] == 0
        assert status["ready"] is True
        assert status["draining"] is False
        assert status["process"] == served.process.pid
        assert len(status["latency_ns"]["counts"]) == len(status["latency_ns"]["bounds"]) + 1
        assert sum(status["latency_ns"]["counts"]) == 3
        assert status["model_id"] == json.loads(sidecall("info", jobs, "--json").out)["id"]


def test_the_metrics_follow_the_format_of_prometheus(sidecall, jobs, at):
    with serving(sidecall, jobs, at) as served:
        sidecall("predict", at, "--batch=1", stdin=row_of(sidecall, jobs) * 2)
        served.status(calls=2)
        done = sidecall("status", at, "--prometheus")
    assert (done.code, done.err) == (0, "")
    kinds: dict[str, str] = {}
    helped: set[str] = set()
    samples: list[tuple[str, str | None, float]] = []
    for line in done.lines():
        if line.startswith("# HELP "):
            assert line.split()[2] not in helped
            helped.add(line.split()[2])
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds
            kinds[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match, line
            name = match["name"]
            base = (
                re.sub(r"_(bucket|sum|count)$", "", name)
                if re.sub(r"_(bucket|sum|count)$", "", name) in kinds
                else name
            )
            assert base in kinds, line
            assert base in helped
            samples.append((name, match["labels"], float(match["value"])))
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in kinds.items())
    buckets = [
        (labels, value) for name, labels, value in samples if name == "sidecall_call_seconds_bucket"
    ]
    bounds = [float(labels.split('"')[1]) for labels, _ in buckets if labels]
    assert bounds == sorted(bounds)
    assert bounds[-1] == float("inf")
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)
    count = next(value for name, _, value in samples if name == "sidecall_call_seconds_count")
    assert buckets[-1][1] == count == 2
    calls = {labels: value for name, labels, value in samples if name == "sidecall_calls_total"}
    assert calls == {'status="OK"': 2}
    # There are as many series as docs/serving.md says. Their bounds are close together up to 1 ms,
    # and near round numbers.
    assert len(bounds) == 31
    us = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1e3, 2e3, 5e3]
    us += [1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7]
    assert bounds[:-1] == pytest.approx([1e-6 * each for each in us], rel=0.1)


def test_a_probe_succeeds_only_while_the_server_is_ready(sidecall, jobs, at):
    before = sidecall("status", at, "--ready")
    assert (before.code, before.out) == (4, "")
    with serving(sidecall, jobs, at) as served:
        probe = sidecall("status", at, "--ready")
        assert (probe.code, probe.out, probe.err) == (0, "ready\n", "")
        served.end()
    after = sidecall("status", at, "--ready")
    assert (after.code, after.out) == (4, "")
    assert after.err.startswith("sidecall: ")


def test_the_command_waits_for_a_server_that_is_starting(sidecall, jobs, at):
    with serving(sidecall, jobs, at, ready=False):
        done = sidecall("status", at, "--ready", "--wait", "20")
        assert (done.code, done.out) == (0, "ready\n")


def test_a_file_that_is_not_a_socket_fails_with_code_4(sidecall, at, tmp_path):
    (tmp_path / "jobs.sock").write_text("no socket")
    done = sidecall("status", at)
    assert (done.code, done.out) == (4, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "status: expected ADDRESS, got nothing (see sidecall status --help)"),
        (["jobs"], "at: expected shm:NAME or shm:///path, got 'jobs'"),
        (["exec:cat"], "at: expected shm:NAME or shm:///path, got 'exec:cat'"),
        (
            ["shm:x", "--wait", "-1"],
            "status: --wait: expected a positive number of seconds or 0, got '-1' (see sidecall status --help)",
        ),
    ],
)
def test_wrong_arguments_are_refused(sidecall, words, message):
    done = sidecall("status", *words)
    assert (done.code, done.out) == (1, "")
    assert message in done.err


def test_status_does_not_load_the_engine(sidecall, jobs, at):
    with serving(sidecall, jobs, at):
        assert (
            sidecall("status", at, env={"SIDECALL_ONNXRUNTIME": "/no/libonnxruntime.so"}).code == 0
        )
