"""Columns of dates: from pandas to counts, back to pandas, and as text for the contract."""

from __future__ import annotations

from typing import Any

import numpy as np

from sidecall.convert.dates import (
    FIRST_SECOND,
    LAST_SECOND,
    MISSING_DATE,
    DateType,
    type_of_dates,
    zone_name,
)

from ..errors import DataError
from .columns import Column


def column_of_dates(name: str, series: Any) -> Column:
    """Makes a column from a series of datetime64, with or without a zone.

    Raises DataError for the timestamps of pyarrow, for zones without a name, and for dates that no
    text of the contract can hold.
    """
    dtype = series.dtype
    kind = type_of_dates(dtype)
    if kind is None:
        raise DataError(
            f"column '{name}': expected datetime of numpy or pandas, got datetime of pyarrow "
            f"({dtype}); convert it with .astype('datetime64[us]')",
            name,
        )
    try:
        str(kind)
    except ValueError as error:
        raise DataError(f"column '{name}': {error}", name) from None
    counts = np.array(
        series.array.asi8 if kind.zone is not None else series.to_numpy().view("int64")
    )
    column = Column(name, "datetime", counts, counts == MISSING_DATE, dates=kind)
    seconds = column.present() // kind.per_second
    if len(seconds) and (seconds.min() < FIRST_SECOND or seconds.max() > LAST_SECOND):
        raise DataError(
            f"column '{name}': expected dates of the years 1 to 9999, got one outside of them", name
        )
    return column


def values_of_dates(column: Column) -> Any:
    """Returns an array of datetime64; or a Series, which can have a zone."""
    import pandas

    assert column.dates is not None
    values = np.where(column.missing, MISSING_DATE, column.values)
    array = values.view(f"datetime64[{column.dates.unit}]")
    if column.dates.zone is None:
        return array
    return pandas.Series(array).dt.tz_localize("UTC").dt.tz_convert(column.dates.zone)


def text_of(count: int, kind: DateType) -> str:
    """Returns the text of the contract; its dates with a zone are in UTC."""
    text = str(np.array(count).view(f"datetime64[{kind.unit}]"))
    return text if kind.zone is None else text + "Z"


def contract_type(kind: DateType) -> dict[str, str]:
    zone = {} if kind.zone is None else {"zone": zone_name(kind.zone)}
    return {"unit": kind.unit, **zone}
