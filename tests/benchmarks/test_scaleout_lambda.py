"""Tests of benchmarks/scaleout/lambda.py: right answers pass, wrong ones are noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import common
import pytest
from lambda_emulator import EMULATOR
from load_module import load_module

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
BARS = ["lambda_native_start_ms", "lambda_init_ms", "lambda_vs_python"]
pytestmark = pytest.mark.skipif(
    not EMULATOR.exists(), reason=f"{EMULATOR} is missing: make test-long"
)


def test_every_function_is_measured_with_right_answers(tmp_path: Path) -> None:
    output = tmp_path / "scaleout.json"
    script = ROOT / "benchmarks/scaleout/lambda.py"
    done = subprocess.run(
        [sys.executable, script, "--build", BUILD, "--quick", "--output", output],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().splitlines()[-1].startswith(BARS[-1]), "the bars come last"
    document = json.loads(output.read_text(encoding="utf-8"))
    common.check_document(document)
    assert [bar["name"] for bar in document["bars"]] == BARS
    measured = {(row["client"], row["approach"]) for row in document["lambda"] if "init_ms" in row}
    assert measured == {
        ("sidecall", "native"),
        ("sidecall", "onnxruntime"),
        ("python", "joblib, scikit-learn"),
        ("python", "onnxruntime"),
    }


@pytest.mark.parametrize(
    "answer",
    [{"probabilities": [0.5, 0.5]}, {"probabilities": {"no": 0.4, "yes": 0.6}}, {"errorType": "X"}],
    ids=str,
)
def test_a_wrong_answer_is_noticed(answer: dict, tmp_path: Path) -> None:
    module = load_module("benchmarks/scaleout/lambda.py")
    reply = json.dumps(answer).encode()
    script = tmp_path / "function.py"
    script.write_text(
        "import os, urllib.request as r\n"
        "root = f\"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation\"\n"
        "event = r.urlopen(root + '/next')\n"
        "name = event.headers['Lambda-Runtime-Aws-Request-Id']\n"
        f"r.urlopen(f'{{root}}/{{name}}/response', {reply!r})\n"
        "r.urlopen(root + '/next')\n"
    )
    contender = module.Contender("python", "wrong", [sys.executable, str(script)], {})
    with pytest.raises(common.WrongAnswerError, match="python, wrong"):
        contender.run(tmp_path, b"{}", {"no": 0.25, "yes": 0.75})
