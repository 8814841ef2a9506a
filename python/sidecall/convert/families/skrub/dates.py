"""Converters of skrub's steps for dates: ToDatetime and DatetimeEncoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sidecall.converters import register_converter

from ...checks import Range
from ...dates import MISSING_DATE, DateType, type_of_dates
from ...graph.builder import Tensor
from ...graph.calendar import INTEGERS, part, require_known
from ...graph.dates import Dates
from ...graph.frame import Frame
from ...registry import Conversion, refuses

refuses(
    "skrub:DurationToFloat",
    "it reads a column of durations, which no feature can be; compute a number from the dates in a "
    "FunctionTransformer",
)
# The parts of which skrub computes periodic features, and the largest value of each.
_PERIODIC = {"month": 12, "day": 31, "hour": 23, "weekday": 7}


@register_converter("skrub:ToDatetime", "transform")
def to_datetime(step: Any, columns: Frame, g: Conversion) -> Frame:
    """A column of dates stays as it is, or changes its zone to that of fit."""
    column = columns.column(0)
    if not isinstance(column, Dates):
        raise g.refuse(
            "it reads dates from texts; convert this column with pandas.to_datetime before fit, "
            "and send dates"
        )
    kind = type_of_dates(step.output_dtype_)
    if kind is None:
        raise g.refuse(f"expected a fit on dates of pandas, got one on {step.output_dtype_}")
    unit, zone = kind
    if unit != column.kind.unit or (zone is None) != (column.kind.zone is None):
        raise g.refuse(f"fit saw a column of {step.output_dtype_}, and the data has {column.kind}")
    return Frame(g, [Dates.of(column.counts, DateType(unit, zone), column.range)])


@register_converter("skrub:DatetimeEncoder", "transform")
def datetime_encoder(step: Any, columns: Frame, g: Conversion) -> Frame:
    """Parts of dates as float32, and then the periodic features, which are float64."""
    column = columns.column(0)
    if not isinstance(column, Dates):
        raise g.refuse("it expects exactly one column of dates")
    absent = column.counts.equals(MISSING_DATE)
    plain: list[Tensor] = []
    periodic: list[Tensor] = []
    for name in step.extracted_features_:
        if name in step._periodic_encoders:
            periodic.append(_periodic(g, step._periodic_encoders[name], column, name, absent))
        else:
            plain.append(_plain(g, column, name, absent))
    return Frame(g, plain + periodic)


def _plain(g: Conversion, x: Dates, name: str, absent: Tensor) -> Tensor:
    if name == "total_seconds":
        numbers = _total_seconds(g, x)
        limit = 1e13
    elif name in INTEGERS:
        numbers = part(g, x, name) + 1 if name == "weekday" else part(g, x, name)
        limit = 1e6
    else:
        raise g.refuse(f"it extracts '{name}', which has no converter")
    result = g.where(absent, g.const(np.nan, "float32"), g.cast(numbers, "float32"))
    result.range = Range.of(-limit, limit, _missing(x), 1)
    return result


def _total_seconds(g: Conversion, x: Dates) -> Tensor:
    """Seconds since 1970. skrub subtracts a date in microseconds, which decides the unit."""
    require_known(g, x)
    counts = g.where(x.counts.equals(MISSING_DATE), 0, x.counts)
    if x.kind.per_second < 10**6:
        counts = counts * (10**6 // x.kind.per_second)
    return g.cast(counts, "float64") / float(max(x.kind.per_second, 10**6))


def _periodic(g: Conversion, encoder: Any, x: Dates, name: str, absent: Tensor) -> Tensor:
    """The fitted encoder is asked once for each value that the part can have."""
    values = pd.Series(np.arange(_PERIODIC[name] + 1, dtype="int32"), name=name)
    table = np.asarray(encoder.transform(values), dtype="float64")
    place = part(g, x, name) + 1 if name == "weekday" else part(g, x, name)
    found = g.gather(g.const(table, "float64"), g.flatten(place))
    found.width = table.shape[1]
    result = g.where(absent, g.const([[np.nan]], "float64"), found)
    result.range = Range.of(table.min(), table.max(), _missing(x), table.shape[1])
    return g.narrow(result)


def _missing(x: Dates) -> Any:
    return True if x.range is None else bool(x.range.missing.any())
