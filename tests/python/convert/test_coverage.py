"""Every estimator of scikit-learn converts with equal numbers or is refused.

docs/coverage.md lists the results.
"""

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
