"""Which columns a float32 input would falsify; used by schema."""

from __future__ import annotations

import numpy as np

from .columns import Column

_SHORT_DIGITS = 15  # what every double keeps of a decimal; more digits are the result of a computation
_FLOAT32_KEEPS = 6  # every decimal of so many digits survives float32
_FLOAT32_WRITES = 9  # no float32 is written with more
_RELATIVE_STEP = 1e-6


def needs_float64(column: Column) -> bool:
    """Whether the values do not survive float32.

    Integers must be equal. A column of short decimals (prices, epoch seconds with fractions) must be written the same in float32,
    each of them. Values of full precision are computed, and rounding them is harmless unless the step of float32 at the
    largest magnitude is visible in the column's spread.
    """
    if column.narrow or column.kind in ("bool", "string"):
        return False
    values = np.unique(column.present())
    if column.kind == "int":
        return bool((values.astype(np.float32).astype(np.float64) != values.astype(np.float64)).any())
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return False
    if np.abs(values).max() > np.finfo(np.float32).max:
        return True
    short = is_short(values)
    # A computed double looks short in about one of ten cases by chance.
    if short.mean() >= 0.5 and not _survives(values[short]):
        return True
    full = values[~short]
    if len(full) < 2:
        return False
    step = float(np.spacing(np.float32(np.abs(full).max())))
    return step > _RELATIVE_STEP * float(full.max() - full.min())


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
    result[rest] = (np.where(up, whole / scale, whole * scale) == magnitude) & (np.abs(exponent) <= 22)
    return result


def _survives(values: np.ndarray) -> bool:
    if not _has_digits(values, _FLOAT32_WRITES).all():
        return False
    doubtful = values[~_has_digits(values, _FLOAT32_KEEPS)]
    return all(float(str(np.float32(value))) == value for value in doubtful)


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
