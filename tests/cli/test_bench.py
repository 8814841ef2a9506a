"""sidecall bench: what it measures and how it reports it. Times are never asserted."""

from __future__ import annotations

import itertools
import json
import signal
import time

import models
import pytest

from serving import serving


def check(report, rows=1):
    latency = report["latency_ns"]
    assert report["calls"] > 0 and report["calls_per_second"] > 0 and report["open_ns"] > 0
    assert (report["golden_rows"], report["rows_per_call"]) == (3, rows)
    times = [latency[key] for key in ("min", "p50", "p90", "p99", "p999", "max")]
    assert times == sorted(times) and times[0] > 0
    assert latency["min"] <= latency["mean"] <= latency["max"]
    bars = report["histogram"]
    assert sum(bar["calls"] for bar in bars) == report["calls"]
    assert all(before["to_ns"] == after["from_ns"] for before, after in itertools.pairwise(bars))
    assert bars[-1]["calls"] > 0 and bars[0]["calls"] > 0


@pytest.mark.parametrize("rows", [1, 7])
def test_json_reports_quantiles_and_a_histogram(sidecall, jobs, rows):
    done = sidecall("bench", jobs, "--json", "--seconds=0.05", f"--rows={rows}")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert report["model"] == jobs
    assert report["id"] == json.loads(sidecall("info", jobs, "--json").out)["id"]
    check(report, rows)


def test_the_page_shows_the_latency(sidecall, jobs):
    done = sidecall("bench", jobs, "--seconds=0.05")
    assert (done.code, done.err) == (0, "")
    head, _, bars = done.out.partition("\n\n")
    assert [line.split("  ")[0] for line in head.splitlines()] == [
        "model",
        "rows",
        "opened in",
        "first call",
        "calls",
        "latency",
    ]
    assert "3 golden rows in turn, 1 a call" in head
    assert bars.splitlines()[0].split() == ["from", "to", "calls"]
    assert max(line.count("#") for line in bars.splitlines()) == 40


def test_calls_to_a_server_are_measured(sidecall, jobs):
    address = f"shm:{sidecall.cwd}/bench.sock"
    with serving(sidecall, jobs, address) as served:
        report = json.loads(
            sidecall(
                "bench",
                address,
                "--json",
                "--seconds=0.05",
                env={"SIDECALL_ONNXRUNTIME": "/no/lib.so"},
            ).out
        )
        check(report)
        # The server's count includes the first call and the warm-up.
        assert served.status(report["calls"])["calls"] > report["calls"]


def test_calls_to_a_child_process_are_measured(sidecall, jobs):
    command = f"exec:{sidecall.path} serve {jobs}"
    check(json.loads(sidecall("bench", command, "--allow-exec", "--json", "--seconds=0.05").out))
    assert sidecall("bench", command).code == 1


def test_a_model_without_golden_rows_is_refused(sidecall, tmp_path):
    def drop_rows(contract):
        contract["verification"] = {
            "source": "none",
            "rows": 0,
            "features": [],
            "outputs": {},
            "tolerance": {},
        }

    models.classifier(tmp_path / "none.onnx", change=drop_rows)
    models.bare(tmp_path / "bare.onnx")
    for file in ("none.onnx", "bare.onnx"):
        done = sidecall("bench", file)
        assert (done.code, done.out) == (3, "")
        assert done.err == f"sidecall: {file}: expected a model with golden rows, got one without\n"


def test_a_model_whose_golden_rows_disagree_is_refused(sidecall, tmp_path):
    def spoil(contract):
        contract["verification"]["outputs"]["probabilities"][1] = [0.25, 0.75]

    models.classifier(tmp_path / "wrong.onnx", change=spoil)
    done = sidecall("bench", "wrong.onnx")
    assert (done.code, done.out) == (3, "")
    assert "probabilities" in done.err


def test_a_missing_server_fails_with_code_4(sidecall):
    done = sidecall("bench", "shm:absent")
    assert (done.code, done.out) == (4, "")


def test_an_interrupt_shows_what_was_measured(sidecall, jobs):
    for seconds in (0.5, 1, 2, 4, 8, 16):
        process = sidecall.start("bench", jobs, "--seconds=60", "--json")
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (-signal.SIGINT, b"")
        if out:  # otherwise the command had not started to measure
            break
    check(json.loads(out))
