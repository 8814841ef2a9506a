"""The list of pipelines of public documentation, which `make parity` judges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from real_pipelines import catalogue

from parity import real

EXAMPLES = real.examples()


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
