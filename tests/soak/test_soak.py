"""Runs the soak for half a minute, or until every event has happened."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from vector_servers import engine_path

pytestmark = pytest.mark.long

HERE = Path(__file__).resolve().parent
BUILD = os.environ.get("SIDECALL_BUILD", str(HERE.parents[1] / "build"))


def test_every_call_has_one_outcome_that_the_events_explain(tmp_path: Path) -> None:
    output = tmp_path / "soak.json"
    options = ["--build", BUILD, "--minutes", "0.5", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, str(HERE / "soak.py"), *options],
        env={"SIDECALL_ONNXRUNTIME": engine_path()} | os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(output.read_text())
    assert [row["event"] for row in document["soak_events"] if row["times"] == 0] == []
    assert min(row["calls"] for row in document["soak"]) > 0
