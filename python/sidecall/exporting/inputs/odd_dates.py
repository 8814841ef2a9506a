"""Dates at which programs that compute with calendars are often wrong."""

from __future__ import annotations

import numpy as np

from sidecall.convert.dates import DAY, DateType, offsets

_CHANGES = 3  # of the zone, the nearest ones to the data
_DAYS = (
    "2024-02-29", "2024-03-01", "1900-03-01", "2000-01-01", "1970-01-01", "1678-01-01", "2262-01-01",
)  # fmt: skip


def odd_dates(near: list[int], kind: DateType) -> list[int]:
    """Returns the counts of odd dates.

    They are dates beside changes of the zone, and one unit before and at the midnight of `near`, of
    leap days, of 1970, and of days near the ends of what nanoseconds can count.
    """
    days = [int(np.datetime64(day, "s").astype("int64")) for day in _DAYS]
    seconds = [second - _offset(kind, second) for second in days]
    for count in near:
        local = count // kind.per_second + _offset(kind, count // kind.per_second)
        midnight = local - local % DAY
        seconds.append(midnight - _offset(kind, midnight))
    middle = near[len(near) // 2] // kind.per_second if near else 0
    changes = _changes(kind, middle)
    one_unit_before = [second * kind.per_second - 1 for second in (*seconds, *changes)]
    exact = [second * kind.per_second for second in (*seconds, *changes)]
    # One of these lies in the hour that is skipped or repeated.
    half_hours = [
        (second + sign * 1800) * kind.per_second for second in changes for sign in (1, -1)
    ]
    low, high = kind.counts
    found = {*one_unit_before, *exact, *half_hours}
    return sorted(count for count in found if low <= count <= high)


def _offset(kind: DateType, second: int) -> int:
    return 0 if kind.zone is None else offsets(kind.zone).at(second)


def _changes(kind: DateType, second: int) -> list[int]:
    if kind.zone is None:
        return []
    starts = offsets(kind.zone).starts
    return sorted(starts[np.argsort(np.abs(starts - second), kind="stable")[:_CHANGES]].tolist())
