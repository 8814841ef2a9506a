"""Converts timeouts from seconds, as in Python, to nanoseconds, as in the library."""

from __future__ import annotations

import math

FOREVER = -1
_REFUSED = -2
_LONGEST = 9e18  # nanoseconds, 285 years: about the most that int64 holds


def nanoseconds(timeout: float | None) -> int:
    """Converts the timeout of a call. None and infinity become -1.

    Zero, negative numbers and NaN become 0, which the library refuses.
    """
    if timeout is None or timeout == math.inf:
        return FOREVER
    if not timeout > 0:
        return 0
    return max(1, int(min(timeout * 1e9, _LONGEST)))


def waiting(wait: float | None) -> int:
    """Converts the time to wait for a server. None and infinity become -1, which waits forever.

    Zero stays 0, which does not wait at all. Negative numbers and NaN become -2, which the library
    refuses.
    """
    if wait is None or wait == math.inf:
        return FOREVER
    return int(min(wait * 1e9, _LONGEST)) if wait >= 0 else _REFUSED
