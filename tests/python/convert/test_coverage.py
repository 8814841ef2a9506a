"""Every estimator of scikit-learn converts with equal numbers or is refused, on both engines.

docs/coverage.md lists the results, docs/engine.md those of the native engine.
"""

import engine_page
import pytest
import walk_other_packages as other
from walk_estimators import PAGE, page, walk, without_magnitudes


@pytest.fixture(scope="module")
def rows():
    return walk()


@pytest.fixture(scope="module")
def others():
    return other.walk()


@pytest.fixture(scope="module")
def parameters():
    return other.walk_parameters()


def test_all_estimators_that_convert_agree_with_the_original(rows):
    assert [r for r in rows if r.converts and not r.agrees] == []


def test_at_least_180_estimators_convert(rows):
    assert sum(r.converts for r in rows) >= 180


def test_refusals_name_the_step_and_the_reason(rows):
    for row in rows:
        if row.fits and not row.converts:
            step, _, reason = row.reason.partition(": ")
            assert step == row.name and len(reason) > 10, row


def test_the_estimators_of_other_packages_agree_with_the_original_if_they_convert(others):
    assert [r for r in others if r.converts and not r.agrees] == []
    assert {r.package for r in others if r.converts} == {r.package for r in others}


ADVICE = ("; use ", "; compute ", "; convert ", "; join ", "; leave ", "register_converter")


def test_refusals_in_other_packages_say_what_to_do(others):
    for row in others:
        if not row.converts:
            step, _, reason = row.reason.partition(": ")
            assert step and any(words in reason for words in ADVICE), row


def test_every_parameter_of_the_list_is_refused_by_an_estimator_that_converts(
    rows, others, parameters
):
    assert [r for r in parameters if r.converts] == []
    good = {r.name for r in [*rows, *others] if r.converts}
    # These are refused with their default, which stands in the list.
    assert {r.name for r in parameters} - good <= {"DictionaryLearning"}


def test_an_answer_that_differs_is_found():
    recipe = {name: recipe for _, name, recipe in other.recipes()}["XGBRegressor"]
    model, rows = recipe.fitted(), recipe.rows(other.FRESH)
    graph = other.graph_of(model, recipe.rows(other.ROWS))
    off, limit = other.difference(model, graph, rows)
    assert off <= limit == other.FLOAT32_LIMIT
    off, limit = other.difference(
        model.set_params(n_estimators=1).fit(rows, rows["area"]), graph, rows
    )
    assert off > limit


def test_the_page_is_up_to_date(rows, others, parameters):
    written = without_magnitudes(PAGE.read_text(encoding="utf-8"))
    now = page(rows, other.lines(others, parameters))
    assert written == without_magnitudes(now), (
        "the page is out of date: run python tests/python/convert/walk_estimators.py --update"
    )


def test_the_native_engine_runs_150_estimators_or_more(rows):
    assert sum(r.converts and not r.native_reason for r in rows) >= 150


def test_the_native_engine_agrees_with_the_original_or_names_an_operator(rows):
    for row in rows:
        if row.native_reason:
            operator, _, reason = row.native_reason.partition(": ")
            assert " " not in operator and len(reason) > 10, row


def test_the_list_of_estimators_on_the_native_engine_is_up_to_date(rows):
    written = engine_page.part(engine_page.PAGE.read_text(encoding="utf-8"), "estimators")
    assert written == engine_page.estimators(rows), (
        "the page is out of date: run python tests/native/engine_page.py --update"
    )
