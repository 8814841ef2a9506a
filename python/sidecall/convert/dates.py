"""The type of a column of dates: what its counts mean, and the offsets of its zone.

A count is a number of units since 1970-01-01T00:00:00: in UTC if the column has a zone, else on
the wall clock. The smallest int64 means a missing date, as in pandas.
"""

from __future__ import annotations

import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
MISSING_DATE = -(2**63)
DAY = 86400
# The dates that text can express, in seconds.
FIRST_SECOND = -62_135_596_800  # 0001-01-01T00:00:00
LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59
# The calendar of a column without a zone, or with one that never changes, is known for more years,
# because functions compute dates from dates.
_FIRST_KNOWN = -377_705_116_800  # -9999-01-01T00:00:00
_LAST_KNOWN = 568_971_820_799  # 19999-12-31T23:59:59
# Zones are listed from the first of these seconds to the last. Before 1800 no zone changed.
_FIRST_LISTED = -5_364_662_400  # 1800-01-01
_LAST_LISTED = 9_246_182_399  # 2262-12-31T23:59:59
_LAST_ASKED = LAST_SECOND - 2 * DAY  # pandas asks Python, whose years end with 9999
# A zone that does not change in so many years before the end of the list does not change later.
_QUIET = 100 * 365 * DAY


class DateType(NamedTuple):
    """Unit ("s", "ms", "us" or "ns") and zone of a column; None if it has no zone."""

    unit: str
    zone: datetime.tzinfo | None = None

    @property
    def per_second(self) -> int:
        return UNITS[self.unit]

    @property
    def counts(self) -> tuple[int, int]:
        """The smallest and the largest count for which the calendar is known.

        int64 must also hold the count on the clock of the zone.
        """
        first = last = 0
        start, end = _FIRST_KNOWN, _LAST_KNOWN
        if self.zone is not None:
            known = offsets(self.zone)
            start, end = known.first, known.last
            first = min(0, int(known.seconds[0]))
            last = max(0, known.at(min(end, (2**63 - 1) // self.per_second)))
        return (
            max(start * self.per_second, MISSING_DATE + 1 - first * self.per_second),
            min((end + 1) * self.per_second - 1, 2**63 - 1 - last * self.per_second),
        )

    @property
    def years(self) -> tuple[str, str]:
        """The years of the smallest and the largest of these counts."""
        low, high = self.counts
        ends = np.array([low // self.per_second, high // self.per_second]).view("datetime64[s]")
        first, last = (ends.astype("datetime64[Y]").astype("int64") + 1970).tolist()
        return str(first), str(last)

    def __str__(self) -> str:
        zone = "" if self.zone is None else f", {zone_name(self.zone)}"
        return f"datetime64[{self.unit}{zone}]"


def type_of_dates(dtype: Any) -> DateType | None:
    """The unit and the zone of a type of numpy or pandas; None for types other than dates."""
    is_date = getattr(dtype, "kind", "") == "M" and not hasattr(dtype, "pyarrow_dtype")
    return type_of_moments(dtype) if is_date else None


def type_of_moments(dtype: Any) -> DateType:
    """The unit and the zone of dates or durations."""
    zone = getattr(dtype, "tz", None)
    return DateType(str(np.datetime_data(dtype)[0]) if zone is None else dtype.unit, zone)


class Offsets(NamedTuple):
    """`seconds[k]` are added to UTC from the second `starts[k - 1]` until before `starts[k]`.

    `first` and `last` are the ends of the seconds for which this is known.
    """

    starts: np.ndarray
    seconds: np.ndarray
    first: int
    last: int

    def at(self, second: int) -> int:
        return int(self.seconds[np.searchsorted(self.starts, second, side="right")])


def zone_name(zone: datetime.tzinfo) -> str:
    """The name of a zone for the contract, such as "Europe/Berlin", "UTC" or "+02:00".

    Raises ValueError for a zone that no name describes.
    """
    library = type(zone).__module__.partition(".")[0]
    name = getattr(zone, "key", None) or getattr(zone, "zone", None)
    if library in ("zoneinfo", "pytz") and isinstance(name, str):
        return name
    if zone is datetime.UTC:
        return "UTC"
    fixed = zone.utcoffset(None) if library in ("datetime", "pytz") else None
    if fixed is None:
        raise ValueError(
            f"expected a zone of zoneinfo, pytz or datetime.timezone, got one of {library}"
        )
    minutes, rest = divmod(fixed, datetime.timedelta(minutes=1))
    if rest:
        raise ValueError("expected a zone whose offset is a whole number of minutes")
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


@lru_cache(maxsize=64)
def offsets(zone: datetime.tzinfo) -> Offsets:
    """Asks the zone, as pandas does, for its offset on each day, and for each change's second."""
    name = zone_name(zone)
    if name == "UTC" or getattr(zone, "utcoffset", lambda _: None)(None) is not None:
        fixed = int(_asked(zone, np.array([0]))[0])
        return Offsets(np.array([], "int64"), np.array([fixed]), _FIRST_KNOWN, _LAST_KNOWN)
    days = np.arange(_FIRST_LISTED, _LAST_LISTED + 1 + DAY, DAY)
    of_days = _asked(zone, days)
    starts: list[np.ndarray] = []
    low, high = days[:-1], days[1:]
    left, right = of_days[:-1], of_days[1:]
    # A day that changes the offset twice is searched again after its first change.
    while (changed := left != right).any():
        low, high, left, right = low[changed], high[changed], left[changed], right[changed]
        first, before, end = low, left, high
        while (end - first > 1).any():
            middle = (first + end) // 2
            same = _asked(zone, middle) == before
            first, end = np.where(same, middle, first), np.where(same, end, middle)
        starts.append(end)
        low, left = end, _asked(zone, end)
    found = np.unique(np.concatenate([*starts, np.array([], "int64")]))
    is_quiet = len(found) == 0 or found[-1] < _LAST_LISTED - _QUIET
    last = _LAST_ASKED if is_quiet else _LAST_LISTED
    return Offsets(found, np.append(of_days[:1], _asked(zone, found)), FIRST_SECOND, last)


def _asked(zone: datetime.tzinfo, seconds: np.ndarray) -> np.ndarray:
    import pandas

    utc = pandas.DatetimeIndex(seconds.astype("datetime64[s]")).tz_localize("UTC")
    local = utc.tz_convert(zone).tz_localize(None)
    return np.asarray(local.asi8 - seconds, dtype="int64")
