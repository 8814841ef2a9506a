"""Finds the intervals of accepted numbers: tests the points of a grid, then bisects between them.

Bisection follows the order of the numbers that the type can hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np

Number = float | int
Change = tuple[int, Number]
Accepts = Callable[[Sequence[Change]], Sequence[bool]]
Intervals = list[tuple[Number, Number]]


class Line:
    """Assigns an integer, the place, to each value of "float32", "float64" or "int64".

    A larger value has a larger place, and the places of adjacent values differ by one.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self._bits = np.dtype(f"i{self.dtype.itemsize}")
        self._sign = 1 << (8 * self.dtype.itemsize - 1)

    def place(self, value: Number) -> int:
        if self.dtype.kind == "i":
            return int(value)
        bits = int(np.array(value, dtype=self.dtype).view(self._bits))
        return bits if bits >= 0 else -(bits + self._sign)

    def number(self, place: int) -> Number:
        if self.dtype.kind == "i":
            return place
        bits = np.array(place if place >= 0 else -place - self._sign, dtype=self._bits)
        return float(bits.view(self.dtype))


def search(
    line: Line, grids: Mapping[int, Sequence[Number]], accepts: Accepts, rows: int
) -> dict[int, Intervals]:
    """Returns, for each key of `grids`, the intervals of accepted numbers within its grid.

    All keys are searched together. `rows` is how many values one call of `accepts` should get. If
    fewer intervals than that are left, each step tries several values in each interval, and so
    divides it into more than two parts.
    """
    places = {key: sorted({line.place(value) for value in grid}) for key, grid in grids.items()}
    asked = sorted(
        ((place, key) for key, row in places.items() for place in row), key=lambda item: item[0]
    )
    known = {key: {} for key in grids}  # type: dict[int, dict[int, bool]]
    for (place, key), good in zip(
        asked, accepts([(key, line.number(place)) for place, key in asked]), strict=True
    ):
        known[key][place] = good
    pending = [[key, low, high] for key, row in places.items() for low, high in pairwise(row)]
    pending = [item for item in pending if known[item[0]][item[1]] != known[item[0]][item[2]]]
    while pending := [item for item in pending if item[2] - item[1] > 1]:
        ways = max(1, min(255, rows // len(pending)))
        middles = [_between(low, high, ways) for _, low, high in pending]
        answers = iter(
            accepts(
                [
                    (item[0], line.number(place))
                    for item, row in zip(pending, middles, strict=True)
                    for place in row
                ]
            )
        )
        for item, row in zip(pending, middles, strict=True):
            key, low, high = item
            found = [
                (low, known[key][low]),
                *((place, next(answers)) for place in row),
                (high, known[key][high]),
            ]
            known[key].update(found)
            item[1], item[2] = next(
                (a, b) for (a, left), (b, right) in pairwise(found) if left != right
            )
    return {key: _joined(line, known[key]) for key in grids}


def _between(low: int, high: int, ways: int) -> list[int]:
    """Returns at most `ways` places between two places that are not adjacent, in equal steps."""
    ways = min(ways, high - low - 1)
    return [low + (high - low) * k // (ways + 1) for k in range(1, ways + 1)]


def _joined(line: Line, known: Mapping[int, bool]) -> Intervals:
    """Joins adjacent accepted places to intervals."""
    result: list[list[int]] = []
    previous = False
    for place in sorted(known):
        if known[place] and previous:
            result[-1][1] = place
        elif known[place]:
            result.append([place, place])
        previous = known[place]
    return [(line.number(low), line.number(high)) for low, high in result]


def joined(intervals: Intervals, step: int = 0) -> Intervals:
    """Intervals in ascending order, without empty ones.

    Intervals that overlap, or whose ends are at most `step` apart, become one.
    """
    result: list[tuple[Number, Number]] = []
    for low, high in sorted((a, b) for a, b in intervals if a <= b):
        if result and low <= result[-1][1] + step:
            result[-1] = result[-1][0], max(result[-1][1], high)
        else:
            result.append((low, high))
    return result


def outside(line: Line, intervals: Intervals, last: tuple[Number, Number]) -> list[Number]:
    """Returns the numbers that are next to an end of an interval but lie in no interval.

    `last` holds the smallest and the largest number to consider.
    """
    first, final = map(line.place, last)
    ends = [(line.place(low), line.place(high)) for low, high in intervals]
    next_to = {
        place for low, high in ends for place in (low - 1, high + 1) if first <= place <= final
    }
    return [
        line.number(place)
        for place in sorted(next_to)
        if not any(low <= place <= high for low, high in ends)
    ]


def holds(intervals: Intervals, values: np.ndarray) -> np.ndarray:
    """Returns which values lie in one of the intervals."""
    result = np.zeros(len(values), dtype=bool)
    for low, high in intervals:
        result |= (values >= low) & (values <= high)
    return result
