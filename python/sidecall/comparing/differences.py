"""Decides whether a row has moved; keeps counts, a histogram of differences, and the worst rows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from .sides import Output

HELD, MOVED, UNSTABLE = 0, 1, 2
_LOWEST, _HIGHEST = -17, 6  # the powers of ten at the ends of the histogram


@dataclass
class Difference:
    """The differences of one output over some rows.

    `amount` is the largest absolute difference of each row, `scaled` the largest difference over
    1 + |expected|. `is_bad` is True if the row is beyond the tolerance.
    """

    output: Output
    amount: np.ndarray
    scaled: np.ndarray
    is_bad: np.ndarray


def tolerated(output: Output, expected: np.ndarray) -> np.ndarray:
    limits: np.ndarray = output.absolute + output.relative * np.abs(expected)
    return limits


def differences(
    outputs: list[Output], expected: dict[str, np.ndarray], got: dict[str, np.ndarray]
) -> list[Difference]:
    return [_difference(output, expected[output.name], got[output.name]) for output in outputs]


def _difference(output: Output, want: np.ndarray, have: np.ndarray) -> Difference:
    rows = len(want)
    if want.shape != have.shape:
        return Difference(output, np.full(rows, np.inf), np.full(rows, np.inf), np.ones(rows, bool))
    if not output.is_number:
        same_kind = want.dtype.kind == have.dtype.kind
        differs: np.ndarray = (
            (want != have) if same_kind else (want.astype(str) != have.astype(str))
        ).any(axis=1)
        return Difference(
            output, np.where(differs, np.inf, 0.0), np.where(differs, np.inf, 0.0), differs
        )
    amount = amounts(want, have)
    is_infinite = np.isinf(amount)
    with np.errstate(all="ignore"):
        scaled = np.where(is_infinite, np.inf, amount / (1.0 + np.abs(want)))
        scaled[amount == 0] = 0.0
        # An infinite difference is never tolerated, even if the tolerance itself is infinite.
        bad: np.ndarray = (is_infinite | (amount > tolerated(output, want))).any(axis=1)
    return Difference(output, amount.max(axis=1, initial=0.0), scaled.max(axis=1, initial=0.0), bad)


def amounts(want: np.ndarray, have: np.ndarray) -> np.ndarray:
    """Returns |have - want| for each number.

    The result is 0 if both numbers are NaN or the same infinity. It is inf for any other pair that
    has NaN or an infinity.
    """
    with np.errstate(all="ignore"):
        amount: np.ndarray = np.abs(have - want)
    amount[np.isnan(amount)] = np.inf
    amount[(want == have) | (np.isnan(want) & np.isnan(have))] = 0.0
    return amount


def power_of(scaled: np.ndarray) -> np.ndarray:
    """Returns the power of ten of each difference: -7 for 1e-7 <= x < 1e-6.

    Smaller differences get the lowest power of the histogram, larger ones the highest.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.floor(np.log10(scaled) + 1e-12)
    result: np.ndarray = np.clip(
        np.nan_to_num(powers, neginf=_LOWEST, posinf=_HIGHEST), _LOWEST, _HIGHEST
    ).astype(int)
    return result


class Histogram:
    """Counts rows by the power of ten of their largest difference; key None means no difference.

    Rows that held, rows that moved, and unstable rows are counted separately.
    """

    def __init__(self) -> None:
        self.counts: dict[int | None, list[int]] = defaultdict(lambda: [0, 0, 0])

    def add(self, scaled: np.ndarray, verdict: np.ndarray) -> None:
        powers = power_of(scaled)
        for kind in (HELD, MOVED, UNSTABLE):
            chosen = verdict == kind
            self.counts[None][kind] += int((chosen & (scaled == 0)).sum())
            values, counts = np.unique(powers[chosen & (scaled > 0)], return_counts=True)
            for power, count in zip(values.tolist(), counts.tolist(), strict=True):
                self.counts[power][kind] += count

    def bins(self) -> list[tuple[float, float, list[int]]]:
        """Returns (low, high, counts) in order, with no power left out between the ends."""
        powers = sorted(power for power in self.counts if power is not None)
        between = range(powers[0], powers[-1] + 1) if powers else ()
        return [
            (0.0, 0.0, self.counts[None]),
            *((*_edges(power), self.counts.get(power, [0, 0, 0])) for power in between),
        ]


def _edges(power: int) -> tuple[float, float]:
    low = 0.0 if power == _LOWEST else float(f"1e{power}")
    return low, np.inf if power == _HIGHEST else float(f"1e{power + 1}")


class Worst:
    """The most severe entries, in descending order; of equal entries, the lower row comes first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.entries: list[tuple[float, int, Any]] = []

    def wants(self, severity: np.ndarray) -> np.ndarray:
        """Returns the positions that may become entries: at most `limit`."""
        return np.argsort(-severity, kind="stable")[: self.limit]

    def add(self, severity: float, row: int, entry: Any) -> None:
        if len(self.entries) == self.limit and (not self.limit or severity <= self.entries[-1][0]):
            return
        self.entries.append((severity, row, entry))
        self.entries.sort(key=lambda item: (-item[0], item[1]))
        del self.entries[self.limit :]
