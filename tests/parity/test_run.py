"""`make parity` writes a complete document, in which every pipeline is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from common import check_document

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parents[2]
BARS = {
    "fidelity_wrong_rows",
    "fidelity_rows",
    "fidelity_pipelines",
    "fidelity_tree_bits_differ",
    "fidelity_domain_differs",
    "fidelity_unstable_share",
    "fidelity_routes_differ",
    "fidelity_defects",
    "native_wrong_rows",
    "native_tree_rows_differ",
    "native_domain_differs",
    "native_routes_differ",
    "native_defects",
}


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tests/parity/run.py", "--build", folder, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parity")


@pytest.fixture(scope="module")
def document(folder: Path) -> dict:
    output = folder / "fidelity.json"
    done = run(folder, "--quick", "--pipelines", "20:22", "--output", str(output))
    document = json.loads(output.read_text(encoding="utf-8"))
    wrong = sum(bar["value"] for bar in document["bars"] if bar["name"].endswith("_wrong_rows"))
    assert done.returncode == (1 if wrong else 0), done.stderr
    return document


def test_the_document_has_every_bar(document: dict) -> None:
    check_document(document)
    assert {bar["name"] for bar in document["bars"]} == BARS


def test_each_pipeline_is_counted_once(document: dict) -> None:
    bars = {bar["name"]: bar["value"] for bar in document["bars"]}
    assert bars["fidelity_pipelines"] == len(document["pipelines"])
    kinds = ("pipelines", "refused", "defects")
    numbers = [item["number"] for kind in kinds for item in document[kind]]
    assert sorted(numbers) == [20, 21]
    assert bars["fidelity_rows"] == sum(family["rows"] for family in document["families"].values())


def test_each_pipeline_has_a_result_of_the_native_engine(document: dict) -> None:
    native = document["native"]
    assert native["pipelines"] + sum(native["refused"].values()) == len(document["pipelines"])
    assert native["rows"] > 0
    bars = {bar["name"]: bar["value"] for bar in document["bars"]}
    assert bars["native_wrong_rows"] == sum(each["wrong"] for each in native["differences"])
    assert bars["native_defects"] == len(native["defects"])
