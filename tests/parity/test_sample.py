"""A sample of `make parity`: exported pipelines answer and refuse as their originals do, on both
engines.

SIDECALL_LONG=1 takes a larger sample. A failure prints a command that checks only the pipeline
that failed.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from parity.document import again, native_defects, on_native, refusals
from parity.drawing.pipelines import draw
from parity.judging.judge import judge

SEED = 11
DOMAIN = ("refused_by_original", "refused_by_file")
# The pipelines of these numbers contain linear models, trees, forests, boosting of three libraries,
# a network, clusters, outlier detectors and transformers. Their data are frames of every type,
# arrays and text.
FEW = (3, 5, 6, 9, 13, 16, 20, 22, 25, 28, 34, 36, 38, 41, 51, 52, 58)
IS_LONG = os.environ.get("SIDECALL_LONG") == "1"
NUMBERS, ROWS, ODD = (range(100), 3000, 200) if IS_LONG else (FEW, 300, 60)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("files")
    return [judge(draw(SEED, number), folder, ROWS, ODD) for number in NUMBERS]


def named(results: list[dict[str, Any]], *keys: str) -> list[str]:
    """The commands that check the pipelines for which any of these counts is not 0."""
    found = [result for result in results if any(result.get(key) for key in keys)]
    return [f"{again(result)}  {result['steps']}" for result in found]


def test_every_export_succeeds_or_is_refused(results: list[dict[str, Any]]) -> None:
    assert [result for result in results if result["outcome"] == "defect"] == []


def test_most_of_the_sample_is_compared(results: list[dict[str, Any]]) -> None:
    compared = [result for result in results if result["outcome"] == "compared"]
    assert len(compared) >= 0.7 * len(results)
    assert min(result["compared"] for result in compared) >= 0.7 * ROWS


def test_no_answer_is_wrong(results: list[dict[str, Any]]) -> None:
    assert named(results, "wrong") == []


def test_trees_answer_with_the_same_bits(results: list[dict[str, Any]]) -> None:
    assert sum(result.get("tree_rows", 0) for result in results) > 0
    assert named(results, "tree_bits") == []


def test_the_native_engine_gives_no_wrong_answer(results: list[dict[str, Any]]) -> None:
    compared = [result for result in results if result["outcome"] == "compared"]
    native = list(on_native(compared))
    assert len(native) >= 0.7 * len(compared), refusals(compared)
    assert named(native, "wrong", "tree_bits", "routes", *DOMAIN) == []
    assert sum(result["tree_rows"] for result in native) > 0


def test_the_native_engine_runs_a_file_or_names_the_operator(results: list[dict[str, Any]]) -> None:
    compared = [result for result in results if result["outcome"] == "compared"]
    assert native_defects(compared) == []
    for reason in refusals(compared):
        assert " " not in reason.partition(": ")[0]


def test_records_get_the_answers_of_a_frame(results: list[dict[str, Any]]) -> None:
    assert named(results, "routes") == []
