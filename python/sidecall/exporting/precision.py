"""With how many decimals a column is written; used for made-up values between those of the data."""

from __future__ import annotations

import numpy as np

from .columns import Column

_SHORT_DIGITS = (
    15  # what every double keeps of a decimal; more digits are the result of a computation
)


def is_short(values: np.ndarray) -> np.ndarray:
    """True where a decimal of at most 15 significant digits was written."""
    return _has_digits(values, _SHORT_DIGITS)


def _has_digits(values: np.ndarray, digits: int) -> np.ndarray:
    """True where the value is the double of a decimal of so many significant digits."""
    result: np.ndarray = values == 0
    rest = np.isfinite(values) & ~result
    magnitude = np.abs(values[rest])
    # Powers of ten up to 10^22 are exact doubles, so that one division rounds as reading the decimal would.
    exponent = digits - 1 - np.floor(np.log10(magnitude))
    power = np.minimum(np.abs(exponent), 22)
    scale = 10.0**power
    up = exponent >= 0
    whole = np.rint(np.where(up, magnitude * scale, magnitude / scale))
    result[rest] = (np.where(up, whole / scale, whole * scale) == magnitude) & (
        np.abs(exponent) <= 22
    )
    return result


def decimals(column: Column) -> int | None:
    """How many decimals a column of short decimals is written with; None where there is nothing that float32 blurs."""
    if column.kind != "float" or column.narrow:
        return None
    values = np.unique(column.present())
    values = values[np.isfinite(values)]
    short = is_short(values) if len(values) else np.zeros(0, dtype=bool)
    if len(values) == 0 or short.mean() < 0.5:
        return None
    written = values[short]
    for places in range(_SHORT_DIGITS):
        scale = 10.0**places
        if (np.rint(written * scale) / scale == written).all():
            return places or None
    return None
