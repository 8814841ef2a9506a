"""The loop and the coprocess of examples/bash, with the command in their PATH."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests/vectors/models/penguins.onnx"
REFUSED = "feature 'bill_length_mm': expected float32, got string"


@pytest.fixture
def run(sidecall):
    (sidecall.cwd / "bin").mkdir()
    (sidecall.cwd / "bin/sidecall").symlink_to(sidecall.path)

    def run(script: str, *words: object) -> subprocess.CompletedProcess[str]:
        env = sidecall.env | {"PATH": f"{sidecall.cwd}/bin:{os.environ['PATH']}"}
        command = [ROOT / "examples" / script, *map(str, words)]
        return subprocess.run(
            command,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=sidecall.cwd,
        )

    return run


def test_the_example_of_a_loop_over_a_file_works(run, tmp_path):
    (tmp_path / "birds.csv").write_text(
        "ring,island,bill_length_mm,body_mass_g\na1,Biscoe,48.2,5100\nb2,Torgersen,36,3300\n"
    )
    done = run("bash/loop.sh", MODEL, "birds.csv")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.startswith("bird a1: Gentoo (Gentoo: 0.9") and second.startswith(
        "bird b2: Adelie (Gentoo: 0.0"
    )


def test_the_example_of_a_loop_stops_at_a_wrong_row(run, tmp_path):
    (tmp_path / "birds.csv").write_text("ring,bill_length_mm\na1,48.2\nb2,long\n")
    done = run("bash/loop.sh", MODEL, "birds.csv")
    assert done.returncode == 2  # because of pipefail
    assert done.stdout.startswith("bird a1: ") and done.stdout.count("\n") == 1
    assert done.stderr == "birds.csv:3:4: feature 'bill_length_mm': expected float32, got text\n"


def test_the_example_of_a_coprocess_works(run):
    done = run("bash/coproc.sh", MODEL)
    assert (done.returncode, done.stderr) == (0, "")
    first, second, third = done.stdout.splitlines()
    assert first == '{"label":"Gentoo"}' and third == '{"label":"Chinstrap"}'
    assert second.startswith('{"error":{"status":"DTYPE_MISMATCH"') and REFUSED in second
