"""The pipelines that public documentation shows convert without a wrong row, or say why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sidecall
from fidelity import real
from real_pipelines import catalogue

EXAMPLES = real.examples()
# Rows for the first pipeline of each page; the others are exported, which compares them with fewer
# rows. `make parity` judges all, with more rows. Bisection, which takes long, starts at 100 rows.
ROWS, ODD_ROWS = 99, 200
_FIRST = {each.address: each.name for each in reversed(EXAMPLES)}
_JUDGED = [k for k, each in enumerate(EXAMPLES) if _FIRST[each.address] == each.name]
_EXPORTED = sorted(set(range(len(EXAMPLES))) - set(_JUDGED))


def each_of(numbers: list[int]) -> Any:
    names = [EXAMPLES[number].name for number in numbers]
    return pytest.mark.parametrize("number", numbers, ids=names)


def check_refusal(step: str, reason: str, steps: str) -> None:
    # The errors about a model that is no pipeline have no step; they name its class or a column.
    assert step or steps in reason or "column '" in reason, reason
    assert len(reason.split()) > 4


@pytest.mark.long
@each_of(_JUDGED)
def test_a_real_pipeline_has_no_wrong_row_or_its_refusal_names_the_step(
    number: int, tmp_path: Path
) -> None:
    result = real.judge_example(EXAMPLES[number], number, tmp_path, ROWS, ODD_ROWS)
    if result["outcome"] == "refused":
        check_refusal(result["step"], result["reason"], result["steps"])
        return
    assert result["outcome"] == "compared", result
    assert set(real.wrong(result).values()) == {0}, result["worst"]
    assert result["compared"] > 20


@pytest.mark.long
@each_of(_EXPORTED)
def test_another_pipeline_of_a_page_converts_or_its_refusal_names_the_step(
    number: int, tmp_path: Path
) -> None:
    drawn = real.drawn_of(EXAMPLES[number], number)
    try:
        sidecall.export(drawn.model, tmp_path / "m.onnx", drawn.training_data(), progress=False)
    except sidecall.ExportError as error:
        reason = str(error).splitlines()[0]
        check_refusal(getattr(error, "step", ""), reason, drawn.steps)


def test_the_list_has_pipelines_of_every_library_with_their_addresses() -> None:
    assert len(EXAMPLES) >= 125
    libraries = [each.library for each in EXAMPLES]
    least = {"scikit-learn": 75, "LightGBM": 8, "XGBoost": 8, "imbalanced-learn": 6}
    least |= {"category_encoders": 8, "statsmodels": 5}
    assert all(libraries.count(library) >= number for library, number in least.items())
    assert all(each.address.startswith("https://") and each.title for each in EXAMPLES)


def test_two_examples_cannot_have_the_same_name() -> None:
    with pytest.raises(ValueError, match="two examples are named 'iris_tree'"):
        catalogue.page("scikit-learn", "", "")(_named("iris_tree"))


def _named(name: str) -> Any:
    def build() -> Any:
        return None, None

    build.__name__ = name
    return build


def test_rows_of_each_container_are_judged_as_fit_saw_them() -> None:
    by_name = {each.name: each for each in EXAMPLES}
    for name, container in (
        ("guide_infrequent_categories", "frame"),
        ("principal_components", "array"),
        ("guide_bigrams", "text"),
    ):
        drawn = real.drawn_of(by_name[name], 0)
        _, rows = by_name[name].build()
        assert drawn.container == container
        assert np.array_equal(np.asarray(drawn.training_data()), np.asarray(rows))


COMPARED = {"name": "a", "outcome": "compared", "rows": 9, "wrong": 0, "steps": "Ridge"}
COMPARED |= {"library": "L", "title": "T", "address": "https://"}
NATIVE = {"outcome": "compared", "wrong": 2}
REFUSED = {"name": "b", "outcome": "refused", "step": "encode", "reason": "it is random"}


def test_a_wrong_row_of_either_engine_fails_the_bar() -> None:
    results = [COMPARED | {"native": NATIVE}, REFUSED]
    bars = {bar.name: bar for bar in real.bars(results)}
    assert bars["real_pipelines_wrong"].value == 2
    assert not bars["real_pipelines_wrong"].holds
    assert bars["real_pipelines_converted"].value == 1
    assert not bars["real_pipelines_converted"].holds


def test_the_document_names_the_refused_step_and_the_wrong_rows_of_each_engine() -> None:
    results = [COMPARED | {"native": {"outcome": "refused", "reason": "If"}}, REFUSED]
    first, second = real.table(results)
    assert first["wrong"] == {"onnxruntime": 0}
    assert second == REFUSED
    assert real.shown(REFUSED) == "b: refused: encode: it is random"
