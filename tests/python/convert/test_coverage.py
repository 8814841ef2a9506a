"""Every estimator of scikit-learn converts with equal numbers or is refused, on both engines.

docs/coverage.md lists the results, docs/engine.md those of the native engine.
"""

import engine_page
import pytest
from walk_estimators import PAGE, page, walk, without_magnitudes


@pytest.fixture(scope="module")
def rows():
    return walk()


def test_all_estimators_that_convert_agree_with_the_original(rows):
    assert [r for r in rows if r.converts and not r.agrees] == []


def test_at_least_180_estimators_convert(rows):
    assert sum(r.converts for r in rows) >= 180


def test_refusals_name_the_step_and_the_reason(rows):
    for row in rows:
        if row.fits and not row.converts:
            step, _, reason = row.reason.partition(": ")
            assert step == row.name and len(reason) > 10, row


def test_the_page_is_up_to_date(rows):
    written = without_magnitudes(PAGE.read_text(encoding="utf-8"))
    assert written == without_magnitudes(page(rows)), (
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
