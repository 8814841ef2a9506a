"""Adversarial values, which adversary.py puts in rows: extremes, texts, and numbers that were
rounded, printed or converted between units.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray

# Conversions to another unit and back: the result differs from the value by one or two roundings.
CONVERSIONS: list[Callable[[Array], Array]] = [
    lambda v: v / 25.4 * 25.4,
    lambda v: v * 25.4 / 25.4,
    lambda v: v * 0.1 / 0.1,
    lambda v: v / 0.3048 * 0.3048,
    lambda v: v / 3.0 * 3.0,
    lambda v: (v * 1.8 + 32.0 - 32.0) / 1.8,
    lambda v: v + 0.1 + 0.2 - 0.3,
    lambda v: v * 1.609344 / 1.609344,
]
DIGITS = (6, 7, 15)

FLOATS = [
    *(0.0, -0.0, 1.0, -1.0, -9999.0, 1e6, -1e6, 16777217.0, 9007199254740993.0, 1e15, 1e30, -1e30),
    *(5e-324, -1e-310, 1e-45, 1e-40, 1e-30),
    # The largest float32, the first number that rounds to infinity in float32, and larger numbers.
    *(3.4028234663852886e38, 3.4028235677973366e38, 1e39, -1e39, 1e300, -1e300),
    *(1.7976931348623157e308, np.inf, -np.inf, np.nan),
]
INTEGERS = [
    0,
    -1,
    1000,
    16777217,
    20000001,
    -20000001,
    2**31,
    2**53 + 1,
    -(2**53) - 1,
    2**63 - 1,
    -(2**63),
    None,
]
# Seconds since 1970: the epoch and its neighbours, leap days and the years without one, beside the
# change of Europe's clocks, and dates far away.
MOMENTS = [
    *(0, -1, 1, 951_782_400, 951_868_799, 4_107_542_399, -2_203_891_201),
    *(1_711_846_799, 1_711_846_800, 1_729_990_799, 1_729_990_800, 2**31, -(2**31), 2**33),
]
TEXTS: list[Any] = [
    "",
    " ",
    "unknown category",
    "nan",
    "None",
    "0",
    "Ærøskøbing",
    "日本語",
    "e\u0301",
    "\U0001f427",
    "x" * 3000,
    None,
]


def converted(values: Array, rng: np.random.Generator) -> Array:
    result = values.copy()
    kind = rng.integers(len(CONVERSIONS), size=len(values))
    for k, conversion in enumerate(CONVERSIONS):
        result[kind == k] = conversion(values[kind == k])
    return result


def printed(values: Array, rng: np.random.Generator) -> Array:
    """Each value written with 6, 7 or 15 digits and read again."""
    digits = rng.choice(DIGITS, size=len(values)).tolist()
    return np.array(
        [float(f"{value:.{count}g}") for value, count in zip(values.tolist(), digits, strict=True)]
    )


def single(values: Array) -> Array:
    """Each value rounded to float32."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)


def nudged(values: Array, dtype: np.dtype[Any], rng: np.random.Generator) -> Array:
    """Each value unchanged or moved by one ulp of `dtype`, float32 or float64."""
    kind = rng.integers(7, size=len(values))
    result = values.copy()
    steps: list[Any] = [dtype, np.float32, np.float64]
    for k, (step, toward) in enumerate((step, end) for step in steps for end in (np.inf, -np.inf)):
        here = kind == k
        result[here] = np.nextafter(values[here].astype(step), np.full(1, toward, dtype=step))
    return result


def around(low: float, high: float) -> list[float]:
    """Two adjacent values between which an answer jumps, their neighbours, and the nearest numbers
    in float32.
    """
    left, right = np.float32(low), np.float32(high)
    beyond = [np.nextafter(low, -np.inf), np.nextafter(high, np.inf)]
    beyond += [np.nextafter(left, np.float32(-np.inf)), np.nextafter(right, np.float32(np.inf))]
    return [low, high, float(left), float(right), *map(float, beyond)]


def respelt(text: str, rng: np.random.Generator) -> str:
    """A text that a person or a program may send instead of another text."""
    half = len(text) // 2
    options = [
        text.upper(),
        text.lower(),
        text + " ",
        " " + text.replace(" ", "  "),
        text[:half],
        f"{text} {text}",
        text.replace("a", "á").replace("e", "É"),
        unicodedata.normalize("NFD", text.replace("o", "ö")),
        text.replace(" ", "\t"),
        f"{text}, {text[::-1]}!",
        "".join(rng.permutation(list(text)).tolist()),
    ]
    return str(options[int(rng.integers(len(options)))])
