"""Finds which integers are accepted by a model that uses them as indices (CategoricalNB)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_MOST = 100_000  # the most codes that a contract lists

Accepts = Callable[[Sequence[int]], list[bool]]


def accepted_codes(accepts: Accepts, smallest: int, largest: int) -> list[int] | None:
    """Returns the accepted integers, or None if they span a range of more than _MOST integers.

    The search goes down from `smallest` and up from `largest`. Both must be accepted.
    """
    low, high = _last(accepts, smallest, -1), _last(accepts, largest, 1)
    if low is None or high is None or high - low >= _MOST:
        return None
    codes = range(low, high + 1)
    return [code for code, good in zip(codes, accepts(codes), strict=True) if good]


def _last(accepts: Accepts, start: int, step: int) -> int | None:
    """Returns the last accepted integer from `start` on, in the direction of `step`.

    The stride doubles until an integer is refused; then bisection finds the end.
    """
    good, stride = 0, 1
    while accepts([start + step * (good + stride)])[0]:
        good, stride = good + stride, 2 * stride
        if good > _MOST:
            return None
    bad = good + stride
    while bad - good > 1:
        middle = (good + bad) // 2
        if accepts([start + step * middle])[0]:
            good = middle
        else:
            bad = middle
    return start + step * good
