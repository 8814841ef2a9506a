"""How the benchmark of batches counts rows that are lost, doubled or wrong, and compares speeds."""

import pandas as pd
import pytest
from scaleout.flights import count_wrong

EXPECTED = pd.DataFrame(
    {"id": [1, 2, 3, 4], "label": ["a", "b", "a", "b"], "score": [0.1, 0.2, 0.3, 0.4]}
)


def test_the_same_rows_in_another_order_are_right():
    found = EXPECTED.iloc[::-1].assign(error=None)
    assert count_wrong(found, EXPECTED) == 0


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (EXPECTED.iloc[1:], 1),
        (EXPECTED.iloc[:0], 4),
        (pd.concat([EXPECTED, EXPECTED.iloc[:2]]), 2),
        (EXPECTED.assign(score=[0.1, 0.2, 0.3, 0.5]), 1),
        (EXPECTED.assign(label=["a", None, "a", "a"]), 2),
        (EXPECTED.assign(id=[1, 2, 3, 9]), 2),
    ],
    ids=["lost", "all lost", "doubled", "another score", "another label", "unknown"],
)
def test_a_row_that_is_not_right_is_counted(found: pd.DataFrame, wrong: int):
    assert count_wrong(found, EXPECTED) == wrong
