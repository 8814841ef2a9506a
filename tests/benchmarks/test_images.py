"""benchmarks/scaleout/images.py: its servers start and answer, and the document is complete.

Timings are never asserted.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from load_module import ROOT, load_module

# For the modules beside images.py.
sys.path.insert(0, str(ROOT / "benchmarks/scaleout"))
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it changes the root folder")


def test_each_image_starts_with_each_engine_and_stays_below_its_limit(tmp_path: Path) -> None:
    output = tmp_path / "scaleout.json"
    other = {"name": "of_another_program", "value": 1.0, "limit": 2.0, "holds": True}
    kept = {"benchmark": "scaleout", "rows": [], "bars": [other], "others": [{"a": 1}]}
    output.write_text(json.dumps(kept))
    script = ROOT / "benchmarks/scaleout/images.py"
    words = [sys.executable, script, "--build", BUILD, "--quick", "--output", output]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(output.read_text())
    servers = [(row["image"], row["engine"]) for row in document["images"]]
    assert servers == [("native", "native"), ("full", "native"), ("full", "onnxruntime")]
    for row in document["images"]:
        assert 0 < row["start_min_ms"] <= row["start_ms"]
        assert row["cpu_ms"] > 0
        assert 0 < row["private_mb"] < row["resident_mb"]
        assert row["compressed_mb"] < row["size_mb"]
    assert {bar["name"]: bar["holds"] for bar in document["bars"]} == {
        "of_another_program": True,
        "image_native_mb": True,
        "image_mb": True,
    }
    assert document["others"] == [{"a": 1}]


def test_a_server_that_answers_wrongly_is_found(tmp_path: Path) -> None:
    images = load_module("benchmarks/scaleout/images.py")
    image = images.Image("native", tmp_path, BUILD, [])
    server = images.Server(image, "native")
    with pytest.raises(images.WrongAnswerError, match="expected Gentoo"):
        server.check("Gentoo")  # no server is there
