"""Tests of benchmarks/engine: right answers pass, wrong ones are noticed, the document is complete.

Timings are never asserted.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import pytest
from common import check_document
from load_module import load_module
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
# A bar of an approach that the engine refuses is left out.
OPTIONAL = {"native_text_vs_ort"}
BARS = {
    "native_gbm_vs_ort",
    "native_rf_vs_ort",
    "native_lr_vs_ort",
    "native_hgb_vs_ort",
    "native_penguins_vs_ort",
    "native_gbm_batch_vs_ort",
    "native_rf_batch_vs_ort",
    "native_vs_m2cgen",
    "native_batch_vs_m2cgen",
    "native_vs_best_exact_batch",
    "native_vs_best_batch",
    "native_vs_lightgbm",
    "py_native_vs_ort",
    "node_native_vs_ort",
    "node_record_extra_us",
    "native_open_vs_session",
    "native_cold_ms",
    "native_csv_gbm_vs_lr",
    "native_tree_bits_differ",
}


trees = load_module("benchmarks/engine/trees.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def document(folder: Path) -> dict:
    output = folder / "engine.json"
    command = [sys.executable, ROOT / "benchmarks/engine/run.py", "--build", BUILD]
    environment = {key: value for key, value in os.environ.items() if key != "SIDECALL_ENGINE"}
    done = subprocess.run(
        [*command, "--quick", "--output", output],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().splitlines()[-1].startswith("native_tree_bits_differ")
    return json.loads(output.read_text(encoding="utf-8"))


def test_the_document_has_every_bar(document: dict) -> None:
    check_document(document)
    assert {bar["name"] for bar in document["bars"]} - OPTIONAL == BARS


def test_sidecall_has_no_wrong_row_beside_thresholds(document: dict) -> None:
    judged = [row for row in document["judged"] if row["approach"] == "call"]
    assert len(judged) == 6
    assert [row["wrong"] for row in judged] == [0] * 6


def test_no_bit_of_the_sums_over_trees_differs(document: dict) -> None:
    values = {bar["name"]: bar["value"] for bar in document["bars"]}
    assert values["native_tree_bits_differ"] == 0


class BentClient:
    """Answers like the original, except for one row."""

    def __init__(self, answers: np.ndarray):
        self.answers = answers.copy()
        self.answers[7, 2] += 1e-6

    def ask(self, *_: object) -> tuple[np.ndarray, np.ndarray]:
        return np.empty(0), self.answers


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module calls.py. What it imports replaces modules of other tests until the test ends."""
    for folder in ("benchmarks", "benchmarks/node", "benchmarks/engine"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    names = ("cases", "common", "models", "node_clients", "rounds", "trees")
    kept = {name: sys.modules.pop(name, None) for name in names}
    yield load_module("benchmarks/engine/calls.py")
    for name, module in kept.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module


@pytest.mark.parametrize(("approach", "faults"), [("call", 1), ("raw_kept", 0), ("tl2cgen", 0)])
def test_a_wrong_row_counts_and_that_of_sidecall_fails_the_run(
    calls: ModuleType, tmp_path: Path, approach: str, faults: int
) -> None:
    expected = np.tile([0.25, 0.75], (calls.JUDGED, 1))
    judged = SimpleNamespace(folder=tmp_path, expected=expected)
    case = SimpleNamespace(name="gbm", folder=tmp_path, judged=judged, tolerance=1e-8)
    answers = np.column_stack([np.ones(calls.JUDGED), expected])
    clients = SimpleNamespace(get=lambda _: BentClient(answers))
    contender = SimpleNamespace(client=SimpleNamespace(name="c"), approach=approach)
    measured = {("gbm", 1): {("c", approach): contender}}
    found: list[str] = []
    (row,) = calls.judge([case], clients, measured, found.append)
    assert (row["wrong"], row["bits_differ"], len(found)) == (1, 1, faults)


def stump(path: Path, threshold: float) -> None:
    """A model of one tree with one condition, on two numbers."""
    node = helper.make_node(
        "TreeEnsemble",
        ["X"],
        ["t"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_featureids=[1],
        nodes_splits=numpy_helper.from_array(np.array([threshold]), "splits"),
        nodes_modes=numpy_helper.from_array(np.array([0], np.uint8), "modes"),
        nodes_truenodeids=[0],
        nodes_falsenodeids=[1],
        nodes_trueleafs=[1],
        nodes_falseleafs=[1],
        tree_roots=[0],
        leaf_targetids=[0, 0],
        leaf_weights=numpy_helper.from_array(np.array([1.0, 2.0]), "weights"),
    )
    given = helper.make_tensor_value_info("X", TensorProto.DOUBLE, ["N", 2])
    answer = helper.make_tensor_value_info("t", TensorProto.DOUBLE, ["N", 1])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 5)]
    graph = helper.make_graph([node], "g", [given], [answer])
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


def test_rows_lie_beside_thresholds_on_both_sides(tmp_path: Path) -> None:
    stump(tmp_path / "stump.onnx", 0.1)
    rows = trees.rows_beside_thresholds(tmp_path / "stump.onnx", np.zeros((5, 2)), 1000, seed=0)
    moved = rows[:, 1][rows[:, 1] != 0]
    assert (rows[:, 0] == 0).all(), "the trees do not read this feature"
    assert {0.1, np.nextafter(0.1, 0), np.nextafter(0.1, 1)} <= set(moved)
    assert 0 < (moved <= 0.1).sum() < len(moved)


def test_paths_through_trees_are_counted(tmp_path: Path) -> None:
    stump(tmp_path / "stump.onnx", 0.1)
    lengths = trees.path_lengths(trees.read(tmp_path / "stump.onnx"), np.zeros((3, 2)))
    assert lengths.tolist() == [[1], [1], [1]]
