"""Finds rows for which the original gives different answers in batches of different sizes."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from .differences import tolerated
from .rows import Rows
from .sides import Answers, OriginalSide, Output

_OTHER_BATCHES = (1, 7)


def unstable(
    original: OriginalSide, rows: Rows, expected: Answers, wanted: np.ndarray
) -> np.ndarray:
    """Returns the rows of `wanted` whose answers vary by more than the tolerance.

    The answers are those for batches of 1, 7 and 1 000 rows; `expected` has those for 1 000. To
    check a row of `wanted`, the original is asked for the whole batch that contains the row.
    `wanted` are ascending positions.
    """
    # For single rows, starting and stopping threads would take most of the time. The number of
    # threads does not change a sum within a row.
    with threadpool_limits(limits=1, user_api="openmp"):
        return _unstable(original, rows, expected, wanted)


def _unstable(
    original: OriginalSide, rows: Rows, expected: Answers, wanted: np.ndarray
) -> np.ndarray:
    ranges = [_Range(output, expected.at(wanted)[output.name]) for output in original.outputs]
    is_refused = np.zeros(len(wanted), dtype=bool)
    for size in _OTHER_BATCHES:
        for block in np.unique(wanted // size):
            members = np.intersect1d(np.arange(block * size, (block + 1) * size), expected.index)
            answers = original.ask(rows.take(members), size)
            again = members[answers.index]
            places = np.flatnonzero(np.isin(wanted, again))
            is_refused |= np.isin(wanted, np.setdiff1d(members, again))
            if len(places):
                for found in ranges:
                    found.add(places, answers.values[found.output.name][np.isin(again, wanted)])
    return wanted[np.any([is_refused, *(found.is_wide() for found in ranges)], axis=0)]


class _Range:
    """The smallest and the largest answer so far; for labels, whether the label varied."""

    def __init__(self, output: Output, expected: np.ndarray) -> None:
        self.output, self.expected = output, expected
        self.low, self.high = expected.copy(), expected.copy()
        self.varies = np.zeros(len(expected), dtype=bool)

    def add(self, rows: np.ndarray, answers: np.ndarray) -> None:
        if not self.output.is_number:
            self.varies[rows] |= (answers.astype(str) != self.expected[rows].astype(str)).any(
                axis=1
            )
            return
        self.varies[rows] |= (np.isnan(answers) != np.isnan(self.expected[rows])).any(axis=1)
        self.low[rows] = np.fmin(self.low[rows], answers)
        self.high[rows] = np.fmax(self.high[rows], answers)

    def is_wide(self) -> np.ndarray:
        if not self.output.is_number:
            return self.varies
        with np.errstate(invalid="ignore"):
            wide: np.ndarray = (self.high - self.low > tolerated(self.output, self.expected)).any(
                axis=1
            )
        return wide | self.varies
