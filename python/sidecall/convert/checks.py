"""Describes which numbers a step accepts and which values a tensor can have.

Both together determine which checks the graph needs. Checks of computed values become the output
`refused`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

REFUSED = "refused"


@dataclass(frozen=True)
class Rule:
    """The numbers that a step accepts in each of its columns.

    A step accepts the numbers from `low` to `high`, and NaN if `missing`. `words` describe them in
    an error message, if not the bounds.
    """

    low: float
    high: float
    missing: bool
    words: str = ""

    @property
    def takes_all(self) -> bool:
        return self.missing and self.low == -np.inf and self.high == np.inf

    @property
    def expected(self) -> str:
        """The accepted numbers in the words of an error message."""
        if self.words:
            return self.words
        single = float(np.finfo(np.float32).max)
        if self.low > 0:
            words = "finite numbers above 0"
        elif self.low == 0:
            words = "finite numbers from 0"
        elif self.high < 2 * single:
            words = "finite numbers that a float32 holds"
        elif np.isfinite(self.low) or np.isfinite(self.high):
            words = "finite numbers"
        else:
            words = "numbers"
        return words + " or missing ones" if self.missing else words

    def refuses(self, values: np.ndarray) -> np.ndarray:
        """For each row of [N, width] whether the step refuses it."""
        absent = np.isnan(values)
        good = (absent & self.missing) | ((values >= self.low) & (values <= self.high))
        return np.asarray(~good.all(axis=1))


@dataclass(frozen=True)
class Range:
    """Bounds of the values in each column, which hold for every row.

    `missing`: the column may hold NaN.
    """

    low: np.ndarray
    high: np.ndarray
    missing: np.ndarray

    @classmethod
    def of(cls, low: Any, high: Any, missing: Any, width: int) -> Range:
        """The range of `width` columns, from one number for all columns or one for each."""
        return cls(*(np.broadcast_to(np.asarray(part), (width,)) for part in (low, high, missing)))

    def select(self, columns: Sequence[int]) -> Range:
        chosen = list(columns)
        return Range(self.low[chosen], self.high[chosen], self.missing[chosen])

    @classmethod
    def beside(cls, parts: Sequence[Range | None]) -> Range | None:
        """The range of all parts side by side; None if the range of one part is unknown."""
        if not parts or any(part is None for part in parts):
            return None
        low, high, missing = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("low", "high", "missing")
        )
        return cls(low, high, missing)

    def within(self, rule: Rule) -> bool:
        """Whether every row obeys the rule."""
        missing = rule.missing or not self.missing.any()
        return bool(missing and (self.low >= rule.low).all() and (self.high <= rule.high).all())

    def rounded(self, dtype: str) -> Range:
        with np.errstate(over="ignore"):
            low, high = (part.astype(dtype).astype(np.float64) for part in (self.low, self.high))
        return Range(low, high, self.missing)

    def through(self, function: Any, dtype: Any) -> Range | None:
        """The range after `function`, or None if it is unknown.

        `function` maps [N, width] to [N, width] and must be monotonic in each column by itself. It
        is applied to the two bounds in `dtype`, the type in which it computes rows.
        """
        if not (np.isfinite(self.low).all() and np.isfinite(self.high).all()):
            return None
        try:
            with np.errstate(all="ignore"):
                ends = np.asarray(
                    function(np.stack([self.low, self.high]).astype(dtype)), dtype=np.float64
                )
        except (TypeError, ValueError):
            return None
        if ends.shape != (2, len(self.low)) or np.isnan(ends).any():
            return None
        return Range(ends.min(axis=0), ends.max(axis=0), self.missing)


@dataclass
class Checks:
    """What a conversion knows about steps and inputs, and the checks that it found necessary.

    The keys of `rules` are the id() of steps, and the keys of `inputs` are the names of inputs.
    `steps` lists the steps that the output `refused` refers to by number. `notes` are remarks for
    the user of the exported file. `unproven` are steps whose converter is not one of ours, and
    functions that were traced: nothing but the comparison with the original shows that they are
    right. `widths` has, by the name of an input and the position of a column, the smallest and the
    largest number of the integer type in which a step computes with this column.
    """

    rules: dict[int, Rule] = field(default_factory=dict)
    inputs: dict[str, Range] = field(default_factory=dict)
    steps: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    widths: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
