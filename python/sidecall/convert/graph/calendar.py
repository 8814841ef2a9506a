"""Columns of dates in a graph, and the parts of their calendar, in exact integer arithmetic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..dates import DAY, FIRST_SECOND, MISSING_DATE, DateType, offsets
from ..registry import Conversion
from .builder import Tensor
from .dates import Dates

# How many changes of a zone one row of its table holds.
_BLOCK = 24


def is_missing(g: Conversion, x: Dates) -> Tensor:
    return x.counts.equals(MISSING_DATE)


def part(g: Conversion, x: Dates, name: str) -> Tensor:
    """A part of the local date, such as "year", int64 [N, 1]. Missing dates are 1970-01-01."""
    return INTEGERS[name](g, *_local(g, x))


def flag(g: Conversion, x: Dates, name: str) -> Tensor:
    """A property of the local date, such as "is_month_end", bool [N, 1]; false if missing."""
    days, _, _, _ = _local(g, x)
    return FLAGS[name](g, days) & ~is_missing(g, x)


def midnight(g: Conversion, x: Dates) -> Dates:
    """The start of the day of a column without a zone, which int64 must hold."""
    days, _, _, kind = _local(g, x)
    if (first := -(-(MISSING_DATE + 1) // (DAY * kind.per_second))) * DAY > FIRST_SECOND:
        g.refuse_rows([days < first], f"dates from {np.datetime64(first, 'D')}")
    count = g.where(is_missing(g, x), MISSING_DATE, days * (DAY * kind.per_second))
    return Dates.of(count, kind, x.range)


def wall_clock(g: Conversion, x: Dates) -> Dates:
    """The same dates on the wall clock of their zone, as a column without a zone."""
    if x.kind.zone is None:
        return x
    days, second, fraction, kind = _local(g, x)
    count = (days * DAY + second) * kind.per_second + fraction
    count = g.where(is_missing(g, x), MISSING_DATE, count)
    return Dates.of(count, DateType(kind.unit), x.range)


def require_known(g: Conversion, x: Dates) -> None:
    """Refuses the rows whose date is outside of what the calendar knows."""
    low, high = x.kind.counts
    tests = [x.counts < low] if low > MISSING_DATE + 1 else []
    tests += [x.counts > high] if high < 2**63 - 1 else []
    for test in tests:
        broken = test & ~is_missing(g, x)
        g.refuse_rows([broken], "dates of the years {} to {}".format(*x.kind.years))


def floor_divide(g: Conversion, x: Tensor, divisor: int) -> tuple[Tensor, Tensor]:
    """Quotient, rounded down, and remainder, which is not negative.

    The division of ONNX rounds to zero.
    """
    rest = g.op("Mod", x, g.const(divisor), width=x.width)
    quotient = _divide(g, x, divisor)
    below = (x < 0) & (rest > 0)
    return quotient - g.cast(below, "int64"), rest


def _divide(g: Conversion, x: Tensor, divisor: int) -> Tensor:
    """The quotient of numbers that are not negative."""
    return g.op("Div", x, g.const(divisor), width=x.width)


def _remainder(g: Conversion, x: Tensor, divisor: int) -> Tensor:
    return g.op("Mod", x, g.const(divisor), width=x.width)


def _local(g: Conversion, x: Dates) -> tuple[Tensor, Tensor, Tensor, DateType]:
    """Days since 1970, second of the day, units of the second; on the clock of the zone."""
    require_known(g, x)
    counts = g.where(is_missing(g, x), 0, x.counts)
    second, fraction = floor_divide(g, counts, x.kind.per_second)
    if x.kind.zone is not None:
        second = second + _offset(g, second, x.kind)
    days, second = floor_divide(g, second, DAY)
    return days, second, fraction, x.kind


def _offset(g: Conversion, second: Tensor, kind: DateType) -> Tensor:
    """The seconds that the zone adds to UTC, by a search of the second in the zone's changes.

    The changes are rows of a table. The first comparison finds the row, the second one the place
    in the row.
    """
    assert kind.zone is not None
    known = offsets(kind.zone)
    if len(known.starts) == 0:
        return g.const(known.seconds.reshape(1, 1), "int64")
    rows = -(-len(known.starts) // _BLOCK)
    added = rows * _BLOCK - len(known.starts)
    table = np.append(known.starts, [2**63 - 1] * added).reshape(rows, _BLOCK)
    # The largest second, which is refused, also reaches what was added.
    table_of_seconds = np.append(known.seconds, [0] * added)
    row = _reached(g, second, table[1:, 0])
    place = _reached(g, second, g.gather(g.const(table), g.flatten(row)))
    result = g.gather(g.const(table_of_seconds, "int64"), row * _BLOCK + place)
    result.width = 1
    return result


def _reached(g: Conversion, x: Tensor, starts: np.ndarray | Tensor) -> Tensor:
    """How many of the numbers of each row are at most x, [N, 1]."""
    if isinstance(starts, np.ndarray):
        if not len(starts):
            return x * 0
        starts = g.const(starts.reshape(1, -1), "int64")
    return g.sum(g.cast(x >= starts, "int64"))


def _civil(g: Conversion, days: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Year, month, day, and the days since the last 1 March.

    Counts years from 1 March, so that 29 February is the last day of its year
    (https://howardhinnant.github.io/date_algorithms.html, civil_from_days).
    """
    era, day = floor_divide(g, days + 719_468, 146_097)
    leaps = _divide(g, day, 1460) - _divide(g, day, 36_524) + _divide(g, day, 146_096)
    year = _divide(g, day - leaps, 365)
    since_march = day - (year * 365 + _divide(g, year, 4) - _divide(g, year, 100))
    month = _divide(g, since_march * 5 + 2, 153)
    day = since_march - _divide(g, month * 153 + 2, 5) + 1
    month = month + g.where(month < 10, 3, g.const(np.int64(-9)))
    year = year + era * 400 + g.cast(month <= 2, "int64")
    return year, month, day, since_march


def _is_leap(g: Conversion, days: Tensor) -> Tensor:
    year = _civil(g, days)[0]
    fourth, century = (_remainder(g, year, n).equals(0) for n in (4, 100))
    return fourth & (~century | _remainder(g, year, 400).equals(0))


def _year_day(g: Conversion, days: Tensor) -> Tensor:
    _, month, _, since_march = _civil(g, days)
    leap = g.cast(_is_leap(g, days), "int64")
    return since_march + g.where(month > 2, leap + 60, g.const(np.int64(-305)))


def _thursday(g: Conversion, days: Tensor) -> Tensor:
    """The Thursday of the week, to whose year ISO 8601 counts the week."""
    return days - _remainder(g, days + 3, 7) + 3


def _week(g: Conversion, days: Tensor) -> Tensor:
    """The week of ISO 8601, counted from the first Thursday of a year."""
    return _divide(g, _year_day(g, _thursday(g, days)) - 1, 7) + 1


def _month_length(g: Conversion, days: Tensor) -> Tensor:
    month = _civil(g, days)[1]
    lengths = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    length = g.gather(g.const(lengths), month)
    length.width = 1
    return length + g.cast(month.equals(2) & _is_leap(g, days), "int64")


def _quarter(g: Conversion, days: Tensor) -> Tensor:
    return _divide(g, _civil(g, days)[1] + 2, 3)


def _microsecond(g: Conversion, fraction: Tensor, kind: DateType) -> Tensor:
    if kind.per_second < 10**6:
        return fraction * (10**6 // kind.per_second)
    return _divide(g, fraction, kind.per_second // 10**6)


Integer = Callable[[Conversion, Tensor, Tensor, Tensor, DateType], Tensor]
INTEGERS: dict[str, Integer] = {
    "year": lambda g, days, second, fraction, kind: _civil(g, days)[0],
    "month": lambda g, days, second, fraction, kind: _civil(g, days)[1],
    "day": lambda g, days, second, fraction, kind: _civil(g, days)[2],
    "hour": lambda g, days, second, fraction, kind: _divide(g, second, 3600),
    "minute": lambda g, days, second, fraction, kind: _divide(g, _remainder(g, second, 3600), 60),
    "second": lambda g, days, second, fraction, kind: _remainder(g, second, 60),
    "microsecond": lambda g, days, second, fraction, kind: _microsecond(g, fraction, kind),
    "nanosecond": lambda g, days, second, fraction, kind: (
        _remainder(g, fraction, 1000) if kind.unit == "ns" else fraction * 0
    ),
    "weekday": lambda g, days, second, fraction, kind: _remainder(g, days + 3, 7),
    "day_of_year": lambda g, days, second, fraction, kind: _year_day(g, days),
    "week": lambda g, days, second, fraction, kind: _week(g, days),
    "iso_year": lambda g, days, second, fraction, kind: _civil(g, _thursday(g, days))[0],
    "iso_day": lambda g, days, second, fraction, kind: _remainder(g, days + 3, 7) + 1,
    "quarter": lambda g, days, second, fraction, kind: _quarter(g, days),
    "days_in_month": lambda g, days, second, fraction, kind: _month_length(g, days),
}

# The names that pandas has beside these.
ALIASES = {name: name for name in INTEGERS} | {
    "dayofweek": "weekday",
    "day_of_week": "weekday",
    "dayofyear": "day_of_year",
    "daysinmonth": "days_in_month",
}


def _starts(g: Conversion, days: Tensor, months: int) -> Tensor:
    """Whether a period of so many months begins on this day."""
    _, month, day, _ = _civil(g, days)
    return day.equals(1) & _remainder(g, month - 1, months).equals(0)


FLAGS: dict[str, Callable[[Conversion, Tensor], Tensor]] = {
    "is_leap_year": _is_leap,
    "is_month_start": lambda g, days: _starts(g, days, 1),
    "is_month_end": lambda g, days: _starts(g, days + 1, 1),
    "is_quarter_start": lambda g, days: _starts(g, days, 3),
    "is_quarter_end": lambda g, days: _starts(g, days + 1, 3),
    "is_year_start": lambda g, days: _starts(g, days, 12),
    "is_year_end": lambda g, days: _starts(g, days + 1, 12),
}
