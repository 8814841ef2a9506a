"""Turns splits of f(x) into splits of x, by calling the function of the original itself.

The last digits of functions such as log1p, exp and pow depend on the library that computes them, so
a graph cannot compare f(x) with a threshold t as the original does. But if f does not decrease,
there is a largest number x0 with f(x0) <= t, and the graph compares x with x0 instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]

_BITS = {"float32": "int32", "float64": "int64"}
_NEIGHBOURS = 4  # how many numbers on both sides of a split are tried
_GRID = 2048
_POINTS = 32768  # how many numbers one call of the function usually gets at most


def _keys(values: np.ndarray) -> np.ndarray:
    """Whole numbers in the order of the floats; adjacent floats have adjacent numbers."""
    bits = values.view(_BITS[str(values.dtype)])
    return np.asarray(np.where(bits < 0, np.iinfo(bits.dtype).min - bits, bits))


def _floats(keys: np.ndarray, dtype: str) -> np.ndarray:
    keys = np.asarray(keys, _BITS[dtype])
    return np.where(keys < 0, np.iinfo(keys.dtype).min - keys, keys).view(dtype)


def _distance(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """high - low of keys as unsigned numbers, which cannot overflow."""
    kind = low.dtype.name.replace("int", "uint")
    return np.asarray(high.astype(kind) - low.astype(kind))


def _between(low: np.ndarray, high: np.ndarray, count: int) -> np.ndarray:
    """`count` keys from each low to each high, with both ends: [len(low), count]."""
    distance = _distance(low, high)[:, None]
    step = np.maximum(distance // np.array(count - 1, distance.dtype), 1)
    offsets = step * np.arange(count, dtype=distance.dtype)
    offsets[:, -1:] = distance
    keys = low.astype(distance.dtype)[:, None] + np.minimum(offsets, distance)
    return np.asarray(keys.astype(low.dtype))


@dataclass(frozen=True)
class Monotone:
    """A function that does not decrease over its domain, the numbers for which it has a result.

    `first` and `last` are the keys of the ends of the domain. `sign` is -1 if the original function
    does not increase; this object then stands for the function of the negated number. `of_missing`
    is the result for a missing number. `is_partial`: some numbers are outside the domain, and their
    result is `of_missing` too. `wraps`: minus infinity is outside the ends, but has the same result
    as infinity.
    """

    function: Function
    dtype: str
    sign: int
    first: int
    last: int
    of_missing: float
    is_partial: bool
    wraps: bool

    @classmethod
    def of(cls, function: Function, dtype: str, low: float, high: float) -> Monotone | None:
        """The function over the numbers from low to high; None if it is not monotone there."""
        answers = _quiet(function)
        ends = _keys(np.array([low, high], dtype))
        keys = np.unique(_between(ends[:1], ends[1:], _GRID))
        values = answers(_floats(keys, dtype))
        of_missing = float(answers(np.array([np.nan], dtype))[0])

        def is_absent(results: np.ndarray) -> np.ndarray:
            return np.asarray(np.isnan(results) | (results == of_missing))

        good = np.flatnonzero(~is_absent(values))
        wraps = len(good) > 2 and good[0] == 0 and good[1] > 1 and low == -np.inf
        if wraps and values[0] == values[-1]:
            good = good[1:]
        if len(good) < 2 or np.isnan(values[good[0] : good[-1] + 1]).any():
            return None

        def edge(inside: int, outside: int) -> int:
            """The last key from `inside` to `outside` for which the function has a result."""
            if not is_absent(answers(_floats(np.array([outside]), dtype)))[0]:
                return outside
            while abs(outside - inside) > 1:
                middle = (inside + outside) // 2
                if is_absent(answers(_floats(np.array([middle]), dtype)))[0]:
                    outside = middle
                else:
                    inside = middle
            return inside

        first = edge(int(keys[good[0]]), int(keys[max(good[0] - 1, 0)]))
        last = edge(int(keys[good[-1]]), int(keys[min(good[-1] + 1, len(keys) - 1)]))
        is_partial = first > ends[0] or last < ends[1]
        sign = 1 if values[good[0]] <= values[good[-1]] else -1
        if sign < 0:
            first, last = -last, -first
        found = cls(
            answers, dtype, sign, int(first), int(last), of_missing, bool(is_partial), wraps
        )
        return found if found._rises() else None

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the domain, as numbers."""
        first, last = _floats(np.array([self.first, self.last]), self.dtype)
        return float(first), float(last)

    @property
    def ends_of_results(self) -> tuple[float, float]:
        """The least and the largest result."""
        low, high = self.at(np.array([self.first, self.last], _BITS[self.dtype]))
        return float(low), float(high)

    @property
    def finite(self) -> tuple[float, float] | None:
        """The least and the largest finite result; None if they are not known."""
        low, high = self.ends_of_results
        if low == -np.inf:
            low = self._beyond(-np.inf, 1)
        if high == np.inf:
            high = self._beyond(np.finfo("float64").max, 0)
        return (low, high) if np.isfinite([low, high]).all() else None

    def _beyond(self, threshold: float, count: int) -> float:
        """The result `count` numbers above the split for a threshold."""
        found = self.splits(np.array([threshold]))
        if found is None:
            return np.nan
        key = _keys(found.astype(self.dtype)) + count
        return float(self.at(np.clip(key, self.first, self.last))[0])

    def then(self, step: Function) -> Monotone:
        """step(function(x)), for a step that does not decrease and keeps NaN."""
        inner = self.function
        missing = step(np.array([self.of_missing]))
        return replace(self, function=lambda x: step(inner(x)), of_missing=float(missing[0]))

    def at(self, keys: np.ndarray) -> np.ndarray:
        answers = self.function(_floats(self.sign * keys.ravel(), self.dtype))
        return answers.reshape(keys.shape)

    def _rises(self) -> bool:
        ends = np.array([[self.first], [self.last]], _BITS[self.dtype])
        spread = np.unique(_between(ends[0], ends[1], _GRID))
        near = spread[:, None] + np.arange(2 * _NEIGHBOURS + 1, dtype=spread.dtype)
        near = np.minimum(near, self.last)
        values, steps = self.at(spread), self.at(near)
        return not (values[1:] < values[:-1]).any() and not (steps[:, 1:] < steps[:, :-1]).any()

    def splits(self, thresholds: np.ndarray) -> np.ndarray | None:
        """The number x0 for each t, so that f(x) <= t where x <= x0; None if one is not found.

        `thresholds` are distinct and ascend.
        """
        kind = _BITS[self.dtype]
        low = np.full(len(thresholds), self.first, kind)
        high = np.full(len(thresholds), self.last, kind)
        never, always = self.at(low) > thresholds, self.at(high) <= thresholds
        if never.any() and self.first <= _keys(np.array([-np.inf], self.dtype))[0]:
            return None
        low[always], high[never] = self.last, self.first
        while (wide := np.flatnonzero(_distance(low, high) > 1)).size:
            count = min(max(_POINTS // len(wide), 3), 1024)
            keys = _between(low[wide], high[wide], count)
            fits = self.at(keys) <= thresholds[wide, None]
            place = np.clip(fits.sum(axis=1) - 1, 0, count - 2)
            rows = np.arange(len(wide))
            low[wide], high[wide] = keys[rows, place], keys[rows, place + 1]
        low[never] -= 1
        found = np.where(always, np.inf, _floats(low, self.dtype).astype("float64"))
        return found if self._agree(thresholds, low, found) else None

    def _agree(self, thresholds: np.ndarray, keys: np.ndarray, found: np.ndarray) -> bool:
        """Whether numbers near the splits, and others, take the side that f gives them."""
        near = keys[:, None] + np.arange(-_NEIGHBOURS, _NEIGHBOURS + 1, dtype=keys.dtype)
        near = np.clip(near, self.first, self.last)
        if ((self.at(near) <= thresholds[:, None]) != (near <= keys[:, None])).any():
            return False
        inner = found[np.isfinite(found)]
        if not len(inner):
            return True
        largest = float(np.finfo(self.dtype).max) / 4.0
        with np.errstate(over="ignore"):
            margin = 1.0 + np.abs(inner).max()
            low, high = np.clip([inner[0] - margin, inner[-1] + margin], -largest, largest)
        numbers = np.linspace(low, high, _GRID).astype(self.dtype)
        others = np.clip(_keys(numbers), self.first, self.last)
        sides = np.searchsorted(thresholds, self.at(others))
        return bool((sides == np.searchsorted(found, _floats(others, self.dtype))).all())


def _quiet(function: Function) -> Function:
    def answers(values: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(function(values))

    return answers
