"""Integers with which a model looks up a table, as CategoricalNB does: which of them it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_MOST = 100_000  # codes that a contract lists

Accepts = Callable[[Sequence[int]], list[bool]]


def accepted_codes(accepts: Accepts, smallest: int, largest: int) -> list[int] | None:
    """The accepted integers around `smallest` and `largest`, which are accepted; None where they
    do not end within the limit."""
    low, high = _last(accepts, smallest, -1), _last(accepts, largest, 1)
    if low is None or high is None or high - low >= _MOST:
        return None
    codes = range(low, high + 1)
    return [code for code, good in zip(codes, accepts(codes), strict=True) if good]


def _last(accepts: Accepts, start: int, step: int) -> int | None:
    """The last accepted integer from `start` on in one direction, by strides that double."""
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
