"""Tests of benchmarks/node: right answers pass, wrong ones are noticed, the document is complete.

Timings are never asserted.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import common
import numpy as np
import pytest
from load_module import load_module

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
BARS = [
    "node_shm_sync_extra_us",
    "node_shm_async_vs_socket",
    "node_runsync_vs_ort",
    "node_call_vs_ort",
    "node_predict_vs_ort",
    "node_run_vs_ort",
    "node_loop_delay_p99_ms",
]
THEIRS = {("onnxruntime-node", name) for name in ("run", "run_kept", "record")}
OURS = {
    ("sidecall", name)
    for name in ("run_sync", "run_async", "call", "call_run", "predict_sync", "predict")
}


def run_benchmark(output: Path, **environment: str) -> subprocess.CompletedProcess:
    command = [
        sys.executable,
        ROOT / "benchmarks/node/run.py",
        "--build",
        BUILD,
        "--quick",
        "--output",
        output,
    ]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | environment,
    )


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict:
    output = tmp_path_factory.mktemp("results") / "node.json"
    done = run_benchmark(output)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().splitlines()[-1].startswith(BARS[-1]), "the bars come last"
    return json.loads(output.read_text(encoding="utf-8"))


def test_every_approach_was_measured_with_right_answers(document: dict) -> None:
    common.check_document(document)
    for rows in (1, 100):
        measured = {
            (row["client"], row["approach"])
            for row in document["rows"]
            if row["scenario"] == "gbm" and row["rows"] == rows
        }
        assert measured == THEIRS | OURS | {("generated", "m2cgen")}


def test_the_document_has_every_bar(document: dict) -> None:
    assert [bar["name"] for bar in document["bars"]] == BARS
    assert {"node", "onnxruntime-node", "sidecall"} <= set(document["versions"])


def test_a_wrong_answer_ends_the_run_without_a_document(tmp_path: Path) -> None:
    """The package is replaced by one whose answers are wrong by 0.01."""
    wrong = f"""
    const sidecall = require({str(ROOT / "bindings" / "node")!r})
    exports.open = async file => {{
      const model = await sidecall.open(file)
      const bend = out => {{ if (out.probabilities) out.probabilities[0] += 0.01; return out }}
      return {{
        runSync: given => bend(model.runSync(given)),
        run: async given => bend(await model.run(given)),
        predict: record => model.predict(record),
        predictSync: record => model.predictSync(record),
        call: options => model.call(options)
      }}
    }}"""
    (tmp_path / "index.js").write_text(wrong, encoding="utf-8")
    done = run_benchmark(tmp_path / "node.json", BENCH_SIDECALL=str(tmp_path))
    assert done.returncode == 1
    assert "wrong answers" in done.stderr and "run_sync" in done.stderr
    assert not (tmp_path / "node.json").exists()


def test_answers_of_concurrent_calls_are_checked() -> None:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        loop = load_module("benchmarks/node/loop.py")
    finally:
        sys.path.pop(0)

    class Late:
        name = "late"

        def ask(
            self, request: str, approach: str, width: int, first: int, calls: int
        ) -> tuple[np.ndarray, np.ndarray]:
            return np.full(1 + calls, 1000, np.int64), np.arange(first, first + calls, dtype=float)

    seen: list[int] = []
    crowd = loop.Crowd(Late(), "run", 4, calls=8)
    loop.run_crowd_rounds(
        [crowd], 2, 1e3, lambda _, first, answers: seen.extend(answers.astype(int).tolist())
    )
    assert seen == list(range(len(seen))) and len(seen) > 16
    assert crowd.row("gbm", 1)["calls_per_second"] > 0
