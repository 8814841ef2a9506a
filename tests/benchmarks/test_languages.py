"""Tests of benchmarks/languages: every language answers as C does, and the document is complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build")).resolve()
LANGUAGES = {"c", "rust", "go", "java", "node"}


def test_a_quick_run_measures_every_language(tmp_path: Path) -> None:
    output = tmp_path / "languages.json"
    command = [sys.executable, ROOT / "benchmarks/languages/run.py", "--build", BUILD, "--quick"]
    done = subprocess.run(
        [*command, "--output", output], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(output.read_text(encoding="utf-8"))
    for scenario in ("call", "record", "served"):
        clients = {row["client"] for row in document["rows"] if row["scenario"] == scenario}
        assert clients == LANGUAGES, scenario
    bars = {bar["name"] for bar in document["bars"]}
    assert bars >= {f"{name}_extra_ns" for name in LANGUAGES - {"c", "node"}}
    assert bars >= {f"{name}_async_vs_c" for name in ("go", "java", "node")}
    assert {"go_allocs", "java_alloc_bytes"} < bars
