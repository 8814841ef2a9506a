"""Converter of feature_engine's DatetimeFeatures."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ...dates import DateType
from ...graph.builder import Tensor
from ...graph.calendar import FLAGS, INTEGERS, flag, part
from ...graph.dates import Dates
from ...graph.frame import Frame, join
from ...registry import Conversion

_RENAMED = {"day_of_week": "weekday", "day_of_month": "day"}


@register_converter("feature_engine:DatetimeFeatures", "transform")
def datetime_features(step: Any, columns: Frame, g: Conversion) -> Frame:
    if step.variables == "index":
        raise g.refuse("it reads the index of the frame, which is no feature")
    names = list(step.feature_names_in_)
    if columns.width != len(names):
        raise g.refuse(f"expected {len(names)} columns, got {columns.width}")
    kept = [n for n in names if not (step.drop_original and n in step.variables_)]
    made = [
        _feature(g, _dates(g, step, columns.column(names.index(variable))), name)
        for variable in step.variables_
        for name in step.features_to_extract_
    ]
    return join(g, [columns.select(names.index(name) for name in kept), Frame(g, made)])


def _dates(g: Conversion, model: Any, x: Tensor) -> Dates:
    if not isinstance(x, Dates):
        raise g.refuse(
            "it reads dates from texts; convert this column with pandas.to_datetime before fit, "
            "and send dates"
        )
    return Dates.of(x.counts, DateType(x.unit, datetime.UTC), x.range) if model.utc else x


def _feature(g: Conversion, x: Dates, name: str) -> Tensor:
    if (body := _CHOICES.get(name)) is not None:
        return g.cast(body(g, x), "float64")
    if f"is_{name}" in FLAGS:
        return g.cast(flag(g, x, f"is_{name}"), "float64")
    if _RENAMED.get(name, name) not in INTEGERS:
        raise g.refuse(f"it extracts '{name}', which has no converter")
    absent = g.missing(x)
    if name in ("week", "days_in_month"):  # pandas cannot convert a missing one to an integer
        g.refuse_rows([absent], "dates that are not missing")
    number = g.cast(part(g, x, _RENAMED.get(name, name)), "float64")
    return g.where(absent, np.nan, number)


def _semester(g: Conversion, x: Dates) -> Tensor:
    """The half of the year; missing dates have the second one, as in feature_engine."""
    return g.where((part(g, x, "month") > 6) | g.missing(x), 2.0, 1.0)


def _weekend(g: Conversion, x: Dates) -> Tensor:
    """Whether it is a weekend; missing dates are one, as in feature_engine."""
    return (part(g, x, "weekday") > 4) | g.missing(x)


_CHOICES: dict[str, Callable[[Conversion, Dates], Tensor]] = {
    "semester": _semester,
    "weekend": _weekend,
}
