"""The results files have the form that every reader expects, and `make report` shows them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from common import check_document

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
RESULTS = BENCHMARKS / "results"


@pytest.mark.parametrize("name", sorted(each.name for each in RESULTS.glob("*.json")))
def test_the_results_are_complete(name: str) -> None:
    check_document(json.loads((RESULTS / name).read_text(encoding="utf-8")))


def test_the_report_has_every_bar_and_every_picture(tmp_path: Path) -> None:
    for words in (
        ["network/page/write.py", "--out", tmp_path],
        ["engine/page_of_engine.py", tmp_path],
    ):
        subprocess.run([sys.executable, BENCHMARKS / words[0], *words[1:]], check=True, timeout=300)
    for suite, pages in (("network", ["index.html", "README.md"]), ("engine", ["engine.md"])):
        bars = json.loads((RESULTS / f"{suite}.json").read_text(encoding="utf-8"))["bars"]
        for page in pages:
            text = (tmp_path / page).read_text(encoding="utf-8")
            assert [bar["name"] for bar in bars if bar["name"] not in text] == [], page
    markdown = (tmp_path / "README.md").read_text() + (tmp_path / "engine.md").read_text()
    pictures = {picture.name for picture in tmp_path.glob("*.svg")}
    assert "latency.svg" in pictures
    assert [name for name in pictures if f"({name})" not in markdown] == []
