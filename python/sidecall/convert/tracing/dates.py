"""Columns of dates and of durations in traced functions, with the accessor .dt of pandas.

pandas decides the types: an empty column of the same type does the same operation.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..checks import Range
from ..dates import DAY, MISSING_DATE, UNITS, DateType, type_of_moments, zone_name
from ..graph.builder import Tensor
from ..graph.calendar import ALIASES, FLAGS, flag, floor_divide, midnight, part, wall_clock
from ..graph.dates import Dates
from ..registry import Conversion
from .columns import Small, as_nullable, nullable_type, whole
from .membership import any_of
from .placeholders import COLUMNS, Array, Column, OwnColumn, Table, column
from .refusals import Recorded, Untraceable

_COMPARED: dict[Any, Callable[[Tensor, Any], Tensor]] = {
    np.less: lambda x, y: x < y,
    np.less_equal: lambda x, y: x <= y,
    np.greater: lambda x, y: x > y,
    np.greater_equal: lambda x, y: x >= y,
    np.equal: lambda x, y: x.equals(y),
    np.not_equal: lambda x, y: ~x.equals(y),
}
_MIRRORED: dict[Any, Any] = {
    np.less: np.greater,
    np.less_equal: np.greater_equal,
    np.greater: np.less,
    np.greater_equal: np.less_equal,
}
# What compares with a constant that is above a count and below the next one.
_FROM_NEXT: dict[Any, Any] = {np.less: np.less_equal, np.greater_equal: np.greater}


class Durations(Dates):
    """Counts of a unit between two dates; the smallest int64 means a missing duration."""

    __slots__ = ()

    @property
    def key(self) -> str:
        return f"{self.name} as durations in {self.kind.unit}"


class _Moments(OwnColumn):
    """What columns of dates and of durations have in common."""

    tensor: Dates

    @property
    def values(self) -> Array:
        raise Untraceable("it uses dates as an array of numpy; compute parts of them with .dt")

    def to_numpy(self) -> Array:
        return self.values

    def _with_tensor(self, body: Callable[[Conversion, Tensor], Tensor]) -> Column:
        return column(self.g, body(self.g, self.tensor))

    def astype(self, dtype: Any, **_: Any) -> Any:
        if str(self.dtype) == str(dtype):
            return self
        raise Untraceable(f"it converts {self.dtype} to {dtype}")

    def fillna(self, value: Any) -> Any:
        filled = self._example(self._example().fillna(value))
        if str(filled) != str(self.dtype):
            raise Untraceable(f"it fills a column of {self.dtype} with another type")
        count = _count_of(value, self.tensor.kind.unit)
        chosen = self.g.where(self.isna().tensor, count, self.tensor.counts)
        return type(self)(self.g, type(self.tensor)(chosen, self.tensor.kind), self.ndim)

    def map(self, mapping: Any, na_action: Any = None) -> Column:
        raise Untraceable("it uses .map with dates; compute parts of them with .dt")

    def isin(self, values: Any) -> Any:
        """pandas decides which values match: none does if it is text, for example."""
        if isinstance(values, Array | Table):
            raise Untraceable("it uses isin() with something else than a list of values")
        given = values if hasattr(values, "dtype") or isinstance(values, set) else list(values)
        tests = []
        for value in given:
            column = self._alone(value)
            if column is not None and column.isin(given).all():
                tests.append(np.equal(self, column.iloc[0]).tensor)
        if self._example().isin(given).all():
            tests.append(self.isna().tensor)
        return Column(self.g, any_of(self.g, self.tensor, tests), 1)

    def _alone(self, value: Any) -> Any:
        """A column of pandas of the same type with one value; None if it cannot hold the value."""
        try:
            column = pd.Series([value], dtype=self.dtype)
        except (TypeError, ValueError, OverflowError):
            return None
        return None if column.isna().any() else column

    def compute(self, ufunc: np.ufunc, inputs: Sequence[Any]) -> Any:
        if ufunc is np.isnan or ufunc is getattr(np, "isnat", None):
            return self.isna()
        if ufunc in (*_COMPARED, np.subtract, np.add, np.true_divide) and len(inputs) == 2:
            left, right = (_example_of(x) for x in inputs)
            with np.errstate(all="ignore"):
                dtype = ufunc(left, right).dtype
            if ufunc in _COMPARED:
                return Column(self.g, self._compared(ufunc, inputs), 1)
            if dtype == np.float64:
                return Column(self.g, self._ratio(inputs), 1)
            if dtype.kind in "mM":
                return _column(self.g, self._sum(ufunc, inputs, dtype), dtype)
        raise Untraceable(f"it uses np.{ufunc.__name__} with {self.dtype}")

    def _example(self, column: Any = None) -> Any:
        """A column of pandas of the same type, with one missing value; or the type of a column."""
        return pd.Series([pd.NaT], dtype=self.dtype) if column is None else column.dtype

    def _compared(self, ufunc: Any, inputs: Sequence[Any]) -> Tensor:
        """A comparison, which is false for missing values; only `!=` is true for them."""
        left, right = inputs
        if not isinstance(left, _Moments):
            left, right, ufunc = right, left, _MIRRORED.get(ufunc, ufunc)
        x, unit = left.tensor.counts, left.tensor.kind.unit
        absent: Tensor = left.isna().tensor
        if isinstance(right, _Moments):
            if (left.tensor.kind.zone is None) != (right.tensor.kind.zone is None):
                raise Untraceable("it compares dates with and without a zone")
            if right.tensor.kind.unit != unit:
                raise Untraceable("it compares columns of different units")
            absent = absent | right.isna().tensor
            result = _COMPARED[ufunc](x, right.tensor.counts)
        elif right is pd.NaT:  # no date is less than, greater than or equal to it
            equality = np.not_equal if ufunc is np.not_equal else np.equal
            result = _COMPARED[equality](x, MISSING_DATE)
        else:
            count, rest = _parts_of(right, left)
            if rest and ufunc in (np.equal, np.not_equal):
                count = MISSING_DATE
            if rest:
                ufunc = _FROM_NEXT.get(ufunc, ufunc)
            result = _COMPARED[ufunc](x, count)
        return result | absent if ufunc is np.not_equal else result & ~absent

    def _sum(self, ufunc: np.ufunc, inputs: Sequence[Any], dtype: Any) -> Tensor:
        """The counts of a sum or difference; rows in which int64 cannot hold it are refused."""
        g, unit = self.g, type_of_moments(dtype).unit
        sides = [_scaled(g, x, unit) for x in inputs]
        absent = [x.isna().tensor for x in inputs if isinstance(x, _Moments)]
        result = sides[0] - sides[1] if ufunc is np.subtract else sides[0] + sides[1]
        doubles: list[Any] = [
            g.cast(x, "float64") if isinstance(x, Tensor) else float(x) for x in sides
        ]
        rough: Tensor = doubles[0] - doubles[1] if ufunc is np.subtract else doubles[0] + doubles[1]
        missing = absent[0] if len(absent) == 1 else absent[0] | absent[1]
        g.refuse_rows([(g.abs(rough) >= 2.0**63) & ~missing], f"dates in the range of {dtype}")
        return g.where(missing, MISSING_DATE, result)

    def _ratio(self, inputs: Sequence[Any]) -> Tensor:
        """Durations divided by a duration, or by each other."""
        g = self.g
        if not isinstance(inputs[0], _Moments) or isinstance(inputs[1], _Moments):
            raise Untraceable("it divides by a column of durations")
        divisor = pd.Timedelta(inputs[1]).to_timedelta64()
        finest = max(self.tensor.kind.unit, _unit_of(divisor), key=UNITS.__getitem__)
        counts = g.cast(_scaled(g, self, finest), "float64")
        return self._with_nan(counts / float(divisor.astype(f"m8[{finest}]").astype("int64")))

    def _with_nan(self, x: Tensor) -> Tensor:
        doubles = self.g.cast(x, "float64")
        return self.g.where(self.isna().tensor, float("nan"), doubles)


class DateColumn(_Moments):
    """A column of dates."""

    @property
    def dtype(self) -> Any:
        kind = self.tensor.kind
        if kind.zone is None:
            return np.dtype(f"datetime64[{kind.unit}]")
        return pd.DatetimeTZDtype(kind.unit, kind.zone)

    @property
    def dt(self) -> DateAccessor:
        return DateAccessor(self)


class DurationColumn(_Moments):
    """A column of durations, such as the difference of two dates."""

    @property
    def dtype(self) -> Any:
        return np.dtype(f"timedelta64[{self.tensor.kind.unit}]")

    @property
    def dt(self) -> DurationAccessor:
        return DurationAccessor(self)


class Unsigned(Small):
    """A column of UInt32 of the original that may be missing: float64, with NaN."""

    __slots__ = ()

    @classmethod
    def of(cls, x: Tensor, known: Range) -> Unsigned:
        result = cls(x, "uint32")
        result.range = known
        result.nullable = nullable_type(pd.UInt32Dtype(), bool(known.missing.any()))
        return result


class UnsignedColumn(OwnColumn):
    """A column of UInt32, whose differences wrap around, so it is converted before arithmetic."""

    tensor: Unsigned

    def astype(self, dtype: Any, **options: Any) -> Any:
        plain = as_nullable(Small(self.tensor, "uint32"), None)
        return Column(self.g, plain, 1).astype(dtype, **options)

    def compute(self, ufunc: np.ufunc, inputs: Sequence[Any]) -> Any:
        raise Untraceable(
            "it computes with the UInt32 of .dt.isocalendar(); convert it with .astype(float) first"
        )


COLUMNS |= {Dates: DateColumn, Durations: DurationColumn, Unsigned: UnsignedColumn}


class _Accessor(Recorded):
    prefix = ".dt."

    def __init__(self, column: Any) -> None:
        self._column = column

    def _whole(self, x: Tensor, integer: str = "int64", known: Range | None = None) -> Column:
        g = self._column.g
        return Column(g, whole(g, self._column._with_nan(x), integer, known), 1)


class DateAccessor(_Accessor):
    """What .dt of a column of dates offers."""

    stands_for = type(pd.Series([], dtype="datetime64[ns]").dt)

    def __getattr__(self, name: str) -> Any:
        column = self._column
        if name in ALIASES:
            found = part(column.g, column.tensor, ALIASES[name])
            known = column.tensor.range
            absent = True if known is None else known.missing
            return self._whole(found, "int32", Range.of(-1, 999_999, absent, 1))
        if name in FLAGS:
            return Column(column.g, flag(column.g, column.tensor, name), 1)
        return super().__getattr__(name)

    @property
    def tz(self) -> Any:
        return self._column.tensor.kind.zone

    @property
    def unit(self) -> str:
        return str(self._column.tensor.kind.unit)

    def normalize(self) -> Any:
        kind = self._column.tensor.kind
        if kind.zone is not None and zone_name(kind.zone) != "UTC":
            raise Untraceable(
                "it uses .dt.normalize() with a zone; use .dt.tz_localize(None).dt.normalize()"
            )
        naive = Dates.of(self._column.tensor.counts, DateType(kind.unit), self._column.tensor.range)
        found = midnight(self._column.g, naive)
        return DateColumn(self._column.g, Dates.of(found.counts, kind, found.range), 1)

    def floor(self, freq: Any) -> Any:
        """Rounded down to a multiple of a duration, such as "D" or "15min"."""
        column, kind = self._column, self._column.tensor.kind
        if kind.zone is not None and zone_name(kind.zone) != "UTC":
            raise Untraceable(
                "it uses .dt.floor() with a zone; use .dt.tz_localize(None).dt.floor()"
            )
        step, rest = divmod(_nanoseconds(freq) * kind.per_second, 10**9)
        if rest:
            raise Untraceable(
                f"it uses .dt.floor() with a duration finer than the unit {kind.unit}"
            )
        g = column.g
        absent = column.isna().tensor
        number = floor_divide(g, g.where(absent, 0, column.tensor.counts), step)[0]
        first = -(-(MISSING_DATE + 1) // step)
        g.refuse_rows([number < first], "dates that the type of their column can round down")
        count = g.where(absent, MISSING_DATE, number * step)
        return DateColumn(g, Dates.of(count, kind), 1)

    def isocalendar(self) -> Table:
        """A table of the year, the week and the day of ISO 8601."""
        column = self._column
        known = column.tensor.range
        absent = True if known is None else known.missing
        parts: dict[str, Tensor] = {}
        for name in ("iso_year", "week", "iso_day"):
            found = column._with_nan(part(column.g, column.tensor, name))
            parts[name.removeprefix("iso_")] = Unsigned.of(found, Range.of(-1, 999_999, absent, 1))
        return Table(column.g, parts)

    def tz_convert(self, tz: Any) -> Any:
        if self.tz is None:
            raise TypeError("Cannot convert tz-naive timestamps, use tz_localize to localize")
        return self._in_zone(self._column.dtype, lambda column: column.dt.tz_convert(tz))

    def tz_localize(self, tz: Any, **options: Any) -> Any:
        column = self._column
        if tz is None and not options:
            return DateColumn(column.g, wall_clock(column.g, column.tensor), 1)
        if self.tz is not None:
            raise TypeError("Already tz-aware, use tz_convert to convert.")
        result = self._in_zone(column.dtype, lambda x: x.dt.tz_localize(tz))
        if options or zone_name(result.tensor.kind.zone) != "UTC":
            raise Untraceable("it uses .dt.tz_localize() with a zone other than UTC")
        return result

    def _in_zone(self, dtype: Any, change: Callable[[Any], Any]) -> Any:
        """The same counts in the zone that pandas gives to a column."""
        kind = type_of_moments(change(pd.Series([pd.NaT], dtype=dtype)).dtype)
        x = self._column.tensor
        return DateColumn(self._column.g, Dates.of(x.counts, kind, x.range), 1)


class DurationAccessor(_Accessor):
    """What .dt of a column of durations offers."""

    stands_for = type(pd.Series([], dtype="timedelta64[ns]").dt)

    @property
    def unit(self) -> str:
        return str(self._column.tensor.kind.unit)

    @property
    def days(self) -> Column:
        return self._whole(self._split(DAY)[0])

    @property
    def seconds(self) -> Column:
        rest = self._split(DAY)[1]
        return self._whole(floor_divide(self._column.g, rest, UNITS[self.unit])[0], "int32")

    def total_seconds(self) -> Column:
        x = self._column._with_nan(self._column.tensor.counts)
        return Column(self._column.g, x / float(UNITS[self.unit]), 1)

    def _split(self, seconds: int) -> tuple[Tensor, Tensor]:
        column = self._column
        counts = column.g.where(column.isna().tensor, 0, column.tensor.counts)
        return floor_divide(column.g, counts, seconds * UNITS[self.unit])


def _column(g: Conversion, counts: Tensor, dtype: Any) -> Any:
    kind = type_of_moments(dtype)
    if dtype.kind == "m":
        return DurationColumn(g, Durations(counts, kind), 1)
    return DateColumn(g, Dates(counts, kind), 1)


def _example_of(x: Any) -> Any:
    """A column of pandas for a column, or the constant itself."""
    if isinstance(x, _Moments):
        return x._example()
    if isinstance(x, Array) or np.ndim(x):
        raise Untraceable("it computes with dates and an array of another type")
    return x


def _unit_of(value: Any) -> str:
    """The unit of a date or duration of numpy, at least seconds."""
    unit = str(np.datetime_data(value.dtype)[0])
    return unit if unit in UNITS else "s"


def _nanoseconds(freq: Any) -> int:
    """The length of a fixed frequency of pandas; pandas refuses others for .dt.floor()."""
    offset = pd.tseries.frequencies.to_offset(freq)
    if isinstance(offset, pd.offsets.Day):
        return int(offset.n) * DAY * 10**9
    return int(offset.nanos)


def _numpy_of(value: Any) -> Any:
    """A constant date in UTC, or a duration, of numpy."""
    if isinstance(value, datetime.timedelta | np.timedelta64):
        return pd.Timedelta(value).to_timedelta64()
    if not isinstance(value, datetime.datetime | np.datetime64):
        raise Untraceable(f"it computes with dates and {type(value).__name__}")
    moment = pd.Timestamp(value)
    return (moment if moment.tz is None else moment.tz_convert(None)).to_datetime64()


def _count_of(value: Any, unit: str) -> int:
    """How many units a constant counts. Raises Untraceable if it needs a finer unit."""
    count, rest = _divided(_numpy_of(value), unit)
    if rest:
        raise Untraceable("it uses a constant that is finer than the unit of its column")
    return count


def _divided(value: Any, unit: str) -> tuple[int, int]:
    own = int(value.astype("int64"))
    scale = np.datetime_data(value.dtype)[0]
    return divmod(own * UNITS[unit], UNITS[scale])


def _parts_of(value: Any, column: Any) -> tuple[int, int]:
    """The counts of a constant, rounded down, and what is left of it."""
    zone = column.tensor.kind.zone
    if isinstance(value, str) and isinstance(column, DateColumn):
        moment = pd.Timestamp(value)
        value = moment.tz_localize(zone) if zone is not None and moment.tz is None else moment
    elif isinstance(value, str):
        value = pd.Timedelta(value)
    elif isinstance(column, DateColumn) and (pd.Timestamp(value).tz is None) != (zone is None):
        raise Untraceable("it compares dates with and without a zone")
    count, rest = _divided(_numpy_of(value), column.tensor.kind.unit)
    if not MISSING_DATE < count < 2**63:
        raise Untraceable("it compares with a date that the type of the column cannot hold")
    return count, rest


def _scaled(g: Conversion, x: Any, unit: str) -> Any:
    """The counts of a column or a constant in a unit that is at least as fine as its own."""
    if not isinstance(x, _Moments):
        return _count_of(x, unit)
    kind = x.tensor.kind
    factor = UNITS[unit] // kind.per_second
    if factor == 1:
        return x.tensor.counts
    most = (2**63 - 1) // factor
    far = (x.tensor.counts > most) | (x.tensor.counts < -most)
    g.refuse_rows([far & ~x.isna().tensor], f"dates that {unit} can count")
    return x.tensor.counts * factor
