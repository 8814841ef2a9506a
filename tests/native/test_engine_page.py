"""docs/engine.md lists the operators of the native engine, and what it refuses of them."""

from __future__ import annotations

import pytest
from engine_page import (
    PAGE,
    message_of,
    operators,
    part,
    refusals,
    types_in_words,
    versions_in_words,
    with_part,
)
from operator_cases import ALL, Case, Entry, table_entries
from refusals import REAL

UPDATE = "the page is out of date: run python tests/native/engine_page.py --update"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_table_of_operators_is_up_to_date(page: str) -> None:
    assert part(page, "operators") == operators(), UPDATE


def test_the_table_of_refusals_is_up_to_date(page: str) -> None:
    assert part(page, "refusals") == refusals(), UPDATE


def test_every_operator_of_the_sources_is_on_the_page(page: str) -> None:
    names = {f"{each.domain}.{each.op}" if each.domain else each.op for each in table_entries()}
    rows = [line for line in part(page, "operators").splitlines() if line.startswith("| `")]
    assert sorted(row.split("`")[1] for row in rows) == sorted(names)
    assert len(names) >= 80


def test_an_operator_without_an_answered_case_has_no_types() -> None:
    assert types_in_words([]) == ""
    assert types_in_words([("float32", None), ("float64", None)]) == "float64, float32"
    assert types_in_words([(kind, "int64") for kind in ALL]) == "any; int64"


def test_an_operator_that_ends_has_a_last_version() -> None:
    ends, goes_on = Entry("", "A", 1, 12, True), Entry("", "A", 13, 21, False)
    assert versions_in_words([ends]) == "1 to 12"
    assert versions_in_words([ends, goes_on]) == "1 and later"


def test_a_case_that_is_not_refused_cannot_be_listed_as_refused() -> None:
    with pytest.raises(AssertionError, match="is not refused"):
        message_of(Case("Identity", [REAL]), 21)


def test_a_page_without_the_marks_of_a_part_is_an_error(page: str) -> None:
    with pytest.raises(ValueError, match="substring not found"):
        with_part(page.replace("<!-- operators -->", ""), "operators", "")
