"""A sample of the campaign of random_graphs.py: random graphs answer as on ONNX Runtime.

SIDECALL_LONG=1 takes a larger sample. A failure prints a command that runs only the graph that
failed.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from graph_builder import Builder
from random_graphs import Comparison, batches, draw, run_graph
from two_engines import Array, Native

SEED = 3
IS_LONG = os.environ.get("SIDECALL_LONG") == "1"
NUMBERS, ROWS = (range(1000), 1000) if IS_LONG else (range(200), 120)


def test_random_graphs_answer_as_on_onnxruntime(tmp_path: Path) -> None:
    results = [run_graph(SEED, number, ROWS, tmp_path) for number in NUMBERS]
    command = f"python tests/native/random_graphs.py --seed {SEED} --rows {ROWS} --only"
    assert [f"{command} {each.number}: {each.wrong}" for each in results if each.wrong] == []
    assert sum(each.rows for each in results) == ROWS * len(results)
    assert sum(each.refused_batches for each in results) < 0.05 * len(results)


def test_the_sample_has_most_operators_and_all_ways_to_compare() -> None:
    drawn = [draw(np.random.default_rng([SEED, number])) for number in range(150)]
    ops = {node.op_type for each in drawn for node in each.model.graph.node}
    assert len(ops) >= 70
    assert sum(bool(each.inexact) for each in drawn) >= 25
    assert sum(False in each.loose_zeros.values() for each in drawn) >= 100
    assert any(end.raw is not None for each in drawn for end in each.inexact)


def test_rows_are_odd_and_come_near_to_thresholds() -> None:
    builder = Builder(np.random.default_rng(0), 21, 5)
    builder.add_input("float64", 3)
    builder.add_input("object", 1)
    threshold = 0.625
    builder.constant([threshold], "float64")
    builder.constant(["known"], "object")
    drawn = [builder.rows(np.random.default_rng(seed), 200) for seed in range(10)]
    x = np.concatenate([rows["v1"].ravel() for rows in drawn])
    assert np.isnan(x).any() and np.isinf(x).any()
    assert (np.signbit(x) & (x == 0)).any()
    assert ((x != 0) & (np.abs(x) < np.finfo(x.dtype).tiny)).any()
    beside = [np.nextafter(threshold, way) for way in (-np.inf, np.inf)]
    assert {threshold, *beside} <= set(x.tolist())
    texts = {text for rows in drawn for text in rows["v2"].ravel()}
    assert {"known", "unknown", "", "\u65e5\u672c"} <= texts
    assert max(map(len, texts)) >= 1000


@pytest.mark.parametrize("number", range(5))
def test_a_change_of_one_element_is_found_and_saved(
    number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original = Native.run

    def changed(self: Native, inputs: dict[str, Array]) -> list[Array]:
        answers = [answer.copy() for answer in original(self, inputs)]
        for answer in answers:
            last = answer[-1:].reshape(-1)
            if answer.dtype.kind in "fi":
                last[-1] = last[-1] + 1 if np.isfinite(last[-1]) and last[-1] < 1e6 else 0
            else:
                last[-1] = not last[-1] if answer.dtype == np.bool_ else f"{last[-1]} "
        return answers

    monkeypatch.setattr(Native, "run", changed)
    result = run_graph(SEED, number, 120, tmp_path)
    assert result.wrong != []
    saved = tmp_path / f"{SEED}-{number}"
    assert sorted(path.name for path in saved.iterdir()) == ["graph.json", "graph.onnx", "rows.npz"]


def test_both_engines_may_refuse_the_same_rows() -> None:
    drawn = draw(np.random.default_rng([SEED, 0]))
    comparison = Comparison(drawn)
    for inputs in batches(drawn, np.random.default_rng(1), 120):
        assert comparison.compare(inputs) in ([], None)
