"""Datetimes of Python, numpy, pandas, polars and pyarrow, for features of type `datetime`.

Both backends call `moment_of` for single values. The library checks ranges and units; here values
are only converted, without rounding.
"""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

import numpy as np

from sidecall import errors
from sidecall._data.arrays import filled, is_masked

# A second has 10 to this power of each short unit of numpy. The longer units have so many seconds.
_DECIMALS = {"s": 0, "ms": 3, "us": 6, "ns": 9, "ps": 12, "fs": 15, "as": 18}
_SECONDS = {"m": 60, "h": 3600, "D": 86400, "W": 604800}
_EPOCH = datetime.datetime(1970, 1, 1)
_NANOSECONDS = 9  # decimals
# These seconds are outside of int64 in every unit, so the library refuses them as out of range.
_TOO_FAR = -(2**63)
_MISSING = np.iinfo(np.int64).min


class Instant(NamedTuple):
    """A value of a column: its numpy value, in UTC if the column has a zone."""

    value: np.datetime64
    has_zone: bool


Moment = tuple[int, int, bool]  # seconds since 1970, nanoseconds, whether the value has a zone


def moment_of(value: Any) -> Moment | str | None:
    """The moment of a datetime; None if the value is missing.

    A text names what the value is instead, as the words after "got" in a message.
    """
    name = type(value).__name__
    if name in ("NaTType", "NAType"):
        return None
    if isinstance(value, Instant):
        return _of_numpy(value.value, has_zone=value.has_zone)
    if isinstance(value, np.datetime64):
        return _of_numpy(value, has_zone=False)
    if isinstance(value, datetime.datetime):
        # pandas.Timestamp has nanoseconds, and years that a datetime cannot have. With a zone, its
        # numpy value is in UTC.
        exact = getattr(value, "asm8", None)
        if exact is not None:
            return _of_numpy(exact, has_zone=value.tzinfo is not None)
        return _of_python(value)
    if isinstance(value, datetime.date):
        return "a date without a time; convert it to a datetime"
    if isinstance(value, (list, tuple)):
        return "array"
    return "object" if isinstance(value, dict) else name


def _of_python(value: datetime.datetime) -> Moment:
    offset = value.utcoffset()
    since = value.replace(tzinfo=None) - _EPOCH
    if offset is not None:
        since -= offset
    return since.days * 86400 + since.seconds, since.microseconds * 1000, offset is not None


def _of_numpy(value: np.datetime64, *, has_zone: bool) -> Moment | str | None:
    if np.isnat(value):
        return None
    unit, step = np.datetime_data(value.dtype)
    count = int(value.astype(np.int64)) * step
    nanoseconds = 0
    if unit in _DECIMALS:
        decimals = _DECIMALS[unit]
        seconds, part = divmod(count, 10**decimals)
        if decimals <= _NANOSECONDS:
            nanoseconds = part * 10 ** (_NANOSECONDS - decimals)
        else:
            nanoseconds, rest = divmod(part, 10 ** (decimals - _NANOSECONDS))
            if rest:
                return "a datetime64 with a part of a nanosecond"
    elif unit in _SECONDS:
        seconds = count * _SECONDS[unit]
    else:  # months and years
        seconds = _seconds_to_month(count * 12 if unit == "Y" else count)
    if not -(2**63) <= seconds < 2**63:
        seconds, nanoseconds = _TOO_FAR, 0
    return seconds, nanoseconds, has_zone


def _seconds_to_month(months: int) -> int:
    """Seconds from 1970 to the first day of a month, which is counted from January 1970."""
    # The calendar repeats after 400 years, and datetime knows the years 1 to 9999.
    eras, months = divmod(months, 4800)
    date = datetime.date(1970 + months // 12, months % 12 + 1, 1)
    return (eras * 146097 + date.toordinal() - _EPOCH.toordinal()) * 86400


def counts_of(values: np.ndarray[Any, Any], unit: str) -> np.ndarray[Any, Any] | None:
    """The counts of a datetime64 array in another unit; None if a value cannot be held exactly.

    NaT stays the smallest int64.
    """
    found, step = np.datetime_data(values.dtype)
    counts = np.ascontiguousarray(values).view(np.int64)
    if (found, step) == (unit, 1):
        return counts
    if found not in _DECIMALS or unit not in _DECIMALS:
        return None
    shift = _DECIMALS[unit] - _DECIMALS[found]
    factor, divisor = step * 10 ** max(shift, 0), 10 ** max(-shift, 0)
    is_missing = counts == _MISSING
    if not counts.size or is_missing.all():
        return counts
    known = counts[~is_missing]
    whole, rest = np.divmod(known, divisor)
    # Of Python, because the product need not fit int64.
    ends = int(whole.min()) * factor, int(whole.max()) * factor
    if rest.any() or min(ends) <= _MISSING or max(ends) >= 2**63:
        return None
    converted = np.full(counts.shape, _MISSING)
    converted[~is_missing] = whole * factor
    return converted


def tensor_of(values: Any, name: str, unit: str) -> np.ndarray[Any, Any]:
    """A datetime64 array as the int64 tensor of an input that counts `unit`."""
    if is_masked(values):
        values = filled(values, values.dtype, np.datetime64("NaT"))
    shape = values.shape
    native = values.astype(values.dtype.newbyteorder("=")).ravel()
    counts = counts_of(native, unit)
    if counts is None:
        seconds = native.astype("M8[s]")
        is_same = (seconds.astype(native.dtype) == native) | np.isnat(native)
        counts = counts_of(seconds, unit) if _is_coarse(native.dtype) and is_same.all() else None
    if counts is None:
        raise errors.OutOfRange(
            f"input '{name}': expected datetimes that int64 can count in {unit}, got others"
        )
    return counts.reshape(shape)


def _is_coarse(dtype: np.dtype[Any]) -> bool:
    return np.datetime_data(dtype)[0] in ("m", "h", "D", "W", "M", "Y")
