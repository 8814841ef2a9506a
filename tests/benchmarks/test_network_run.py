"""Tests of benchmarks/network: a run writes the document and fails on a wrong answer.

Timings are never asserted.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
NETWORK = ROOT / "benchmarks/network"
ASKED = ["in-process", "shm-native", "sidecall-grpc", "rest-json", "grpc-cpp-unix"]
PEERS = f"""
import sys
sys.path[:0] = [{str(NETWORK)!r}, {str(NETWORK.parent)!r}]
import numpy as np
import approaches.in_process as in_process
import run

class WrongFirstAnswer(in_process.InProcess):
    def start(self, host):
        answers = host.workloads / "null/expected.f64"
        right = np.fromfile(answers)
        (right + 1).tofile(answers)
        return super().start(host)

class MissingModel(in_process.InProcess):
    def start(self, host):
        (host.workloads / "null/model.onnx").unlink()
        return super().start(host)

class LostAnswer(in_process.InProcess):
    def start(self, host):
        ask = run.ClientProcess.ask

        def lose(client, **request):
            answer = ask(client, **request)
            return answer | {{"lost": 1, "error": "gone"}} if request["do"] == "closed" else answer

        run.ClientProcess.ask = lose
        return super().start(host)

def measure(bad):
    run.named = lambda *_: [in_process.OnnxRuntime(), bad]  # in this order
    sys.exit(run.main())

"""


def run(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, *words]
    return subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("bench") / "results/network.json"
    done = run(
        NETWORK / "run.py",
        "--build",
        BUILD,
        "--glance",
        "--only",
        *ASKED,
        "--workload",
        "gbm",
        "penguins",
        "--output",
        output,
    )
    assert done.returncode == 0, done.stderr
    assert "wrong_answers" in done.stdout.rstrip().splitlines()[-1], "the bars come last"
    return output


def test_a_run_can_keep_the_results_of_other_approaches(results: Path, tmp_path: Path) -> None:
    output = tmp_path / "network.json"
    old = json.loads(results.read_text(encoding="utf-8"))
    # What another benchmark has added stays too, once.
    old["bars"].append({"name": "file_only_extra_kib", "value": 4, "limit": 64, "holds": True})
    old["file_only"] = {"rows": [], "bars": ["file_only_extra_kib"]}
    output.write_text(json.dumps(old), encoding="utf-8")
    words = ["--glance", "--only", "rest-json", "--workload", "gbm", "--client", "native"]
    done = run(NETWORK / "run.py", *words, "--keep-others", "--output", output)
    assert done.returncode == 0, done.stderr
    new = json.loads(output.read_text(encoding="utf-8"))
    others = [
        [row for row in each["rows"] if row["approach"] != "rest-json"] for each in (old, new)
    ]
    assert others[0] == others[1]
    ours = [row for row in new["rows"] if row["approach"] == "rest-json"]
    assert {(row["client"], row["workload"]) for row in ours} == {("native", "gbm")}
    assert sorted(one["name"] for one in new["approaches"]) == sorted(ASKED)
    assert [bar["name"] for bar in new["bars"]] == [bar["name"] for bar in old["bars"]]
    assert new["notes"][:-1] == old["notes"]
    assert new["notes"][-1].startswith("rest-json: measured in a separate run")


def test_every_approach_and_client_was_measured(results: Path) -> None:
    document = json.loads(results.read_text(encoding="utf-8"))
    measured = {
        (row["approach"], row["client"]) for row in document["rows"] if row["load"] == "closed 1"
    }
    assert measured == {
        (approach, client) for approach in ASKED for client in ("native", "node", "python")
    }
    assert {row["load"] for row in document["rows"]} >= {
        "closed 1",
        "closed 2",
        "open 100/s",
        "cold",
    }
    assert document["unavailable"] == {}


def test_rows_have_consistent_figures(results: Path) -> None:
    for row in json.loads(results.read_text(encoding="utf-8"))["rows"]:
        assert 0 < row["p50_us"] <= row["p99_us"] <= row["max_us"] * 1.001
        if row["load"] == "cold":
            continue
        assert row["p50_us"] <= row["p90_us"] <= row["p99_us"] <= row["p999_us"]
        assert row["p50_us_spread"][0] <= row["p50_us"] <= row["p50_us_spread"][1]
        assert (row["wrong"], row["lost"]) == (0, 0) and row["calls"] > 0
        assert (row["bytes_copied"] > 0) == (row["approach"] in ("rest-json", "grpc-cpp-unix"))
        assert (row["server_mib"] > 0) == (row["approach"] != "in-process")


def test_the_document_has_every_bar(results: Path) -> None:
    document = json.loads(results.read_text(encoding="utf-8"))
    names = [bar["name"] for bar in document["bars"]]
    assert names == [
        "rest_vs_inprocess",
        "cpp_grpc_vs_inprocess",
        "cpp_grpc_vs_shm",
        "wrong_answers",
    ]
    assert document["bars"][-1] == {"name": "wrong_answers", "value": 0, "limit": 0, "holds": True}


def test_the_parts_of_the_decomposition_add_up(results: Path) -> None:
    (rest,) = json.loads(results.read_text(encoding="utf-8"))["decomposition"]
    assert rest["approach"] == "rest-json"
    assert (
        sum(rest["parts_us"].values()) == pytest.approx(rest["total_us"], rel=1e-6)
        or rest["parts_us"]["framework"] == 0
    )


def measure_beside(bad: str, output: Path, *more: str) -> tuple[subprocess.CompletedProcess, dict]:
    words = [
        "--build",
        BUILD,
        "--glance",
        "--workload",
        "null",
        "--client",
        "python",
        "--output",
        output,
        *more,
    ]
    done = run("-c", f"{PEERS}measure({bad}())", *words)
    return done, json.loads(output.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("WrongFirstAnswer", "first answer"),
        ("MissingModel", "model.onnx"),
        ("LostAnswer", "1 answers lost: gone"),
    ],
)
def test_a_wrong_or_lost_answer_fails_only_its_approach(
    bad: str, said: str, tmp_path: Path
) -> None:
    done, document = measure_beside(bad, tmp_path / "network.json")
    assert done.returncode == 1 and "wrong or lost" in done.stderr
    assert set(document["failed"]) == {"in-process"} and said in document["failed"]["in-process"]
    assert {row["approach"] for row in document["rows"]} == {"onnxruntime"}
    assert document["bars"] == [{"name": "wrong_answers", "value": 1, "limit": 0, "holds": False}]
