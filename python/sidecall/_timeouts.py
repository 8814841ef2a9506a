"""Deadlines: seconds as Python has them, nanoseconds as the library has them."""

from __future__ import annotations

import math

FOREVER = -1
_REFUSED = -2
_LONGEST = 9e18  # nanoseconds; what int64 holds, 285 years


def nanoseconds(timeout: float | None) -> int:
    """-1 for None and infinity. Zero, negative numbers and NaN pass as such, for the library to refuse."""
    if timeout is None or timeout == math.inf:
        return FOREVER
    if not timeout > 0:
        return 0
    return max(1, int(min(timeout * 1e9, _LONGEST)))


def waiting(wait: float | None) -> int:
    """-1 for None and infinity, 0 for not at all. Negative numbers and NaN are left for the library to refuse."""
    if wait is None or wait == math.inf:
        return FOREVER
    return int(min(wait * 1e9, _LONGEST)) if wait >= 0 else _REFUSED
