"""The results files of the repository have the form that every reader of them expects."""

import json
from pathlib import Path

import pytest
from common import check_document

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks/results"


@pytest.mark.parametrize(
    "name", sorted(each.name for each in RESULTS.glob("*.json") if "pytest" not in each.name)
)
def test_the_results_are_complete(name: str) -> None:
    check_document(json.loads((RESULTS / name).read_text(encoding="utf-8")))
