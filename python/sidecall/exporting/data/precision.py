"""Finds how many decimals a column is written with.

A synthetic value in the middle between two values of the data is rounded to these decimals.
"""

from __future__ import annotations

import numpy as np

from .columns import Column

# A double represents every decimal number of this many significant digits without loss. A value
# that needs more digits was therefore computed, not typed in.
_SHORT_DIGITS = 15


def is_short(values: np.ndarray) -> np.ndarray:
    """True for values that were written as a decimal of at most 15 significant digits."""
    return _has_digits(values, _SHORT_DIGITS)


def _has_digits(values: np.ndarray, digits: int) -> np.ndarray:
    """True for values that are the double nearest to a decimal of `digits` significant digits."""
    result: np.ndarray = values == 0
    rest = np.isfinite(values) & ~result
    magnitude = np.abs(values[rest])
    # Powers of ten up to 10^22 are exact doubles, so one division rounds in the same way as parsing
    # the decimal.
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
    """Returns the number of decimals with which a column of short decimals is written.

    Returns None for columns that are not float64, for columns of whole numbers, and if most of the
    values need more than 15 digits.
    """
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
