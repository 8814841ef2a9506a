"""Finds the numbers that the model accepts for each feature, and whether it accepts "".

Both are found by asking the model. probe.py finds the nullable features in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import ceil, floor
from typing import Any

import numpy as np

from sidecall.convert.checks import Range, Rule

from ..data.columns import Column
from ..data.containers import Data
from ..model.original import Original
from ..model.steps import estimators_in
from .intervals import Intervals, Line, Number, holds, joined, outside, search
from .probe import Acceptance
from .rules import LARGEST, LARGEST_SINGLE, LAST_SINGLE
from .schema import Feature, Schema
from .trials import Trials

# About how many rows to try for all features together. In a wide model there are more, because the
# numbers of _CORE are tried for every feature.
_ROWS = 4000
_ROWS_AT_ONCE = 1000
# In a wide model, numbers that the rules refuse are tried on the model for only this many features.
_SAMPLE = 16
_WIDE = 32
_MOST_INTERVALS = 64
_BEYOND_SINGLE = float(np.nextafter(LAST_SINGLE, np.inf))
_CORE = (np.inf, LARGEST, _BEYOND_SINGLE, LAST_SINGLE, LARGEST_SINGLE, 1.0)
_MORE = (
    1e30,
    1e18,
    2.0**53,
    1e12,
    1e9,
    1e6,
    1e4,
    1000.0,
    100.0,
    10.0,
    0.5,
    0.1,
    1e-3,
    1e-9,
    1e-30,
    1e-300,
)


def find_domains(
    data: Data,
    original: Original,
    schema: Schema,
    accepts: list[Acceptance],
    base: list[Column],
    rules: dict[int, Rule],
    *,
    only: Sequence[int] | None = None,
) -> None:
    """Sets `domain` and `takes_empty` of the features and of `accepts`.

    `only` lists the features for which to search a domain; None means all.

    A feature gets no domain if the domain would exclude a number of `data`. The model accepted this
    number in a row of `data` but refused it in the base row. Acceptance then depends on other
    features too, and a domain for this feature alone would be wrong.
    """
    search_of = _Search(data, original, schema, base, rules)
    for i, intervals in search_of.domains(
        [i for i, a in enumerate(accepts) if a.allowed is None and (only is None or i in only)]
    ).items():
        column = data.columns[i]
        if holds(intervals, column.present()).all() and len(intervals) <= _MOST_INTERVALS:
            accepts[i].domain = schema.features[i].domain = intervals
    for i, (column, acceptance) in enumerate(zip(data.columns, accepts, strict=True)):
        if column.kind == "string" and acceptance.allowed is None and "" not in column.values:
            acceptance.takes_empty = schema.features[i].takes_empty = (
                search_of.trials.accepted_by_model([(i, "")])[0]
            )


def input_ranges(schema: Schema) -> dict[str, Range]:
    """Returns, for each input, the range of the values that the contract admits.

    The range of a text only says whether it may be missing.
    """
    by_input: dict[str, list[tuple[int, Range]]] = {}
    for feature in schema.features:
        by_input.setdefault(feature.input, []).append((feature.column, _range_of(feature)))
    beside = {
        name: Range.beside([part for _, part in sorted(parts, key=lambda item: item[0])])
        for name, parts in by_input.items()
    }
    return {name: known for name, known in beside.items() if known is not None}


def _range_of(feature: Feature) -> Range:
    if feature.kind == "datetime" or feature.tensor == "string":
        return Range.of(-np.inf, np.inf, feature.nullable, 1)
    if feature.tensor == "bool":
        return Range.of(0.0, 1.0, False, 1)
    low, high = (-np.inf, np.inf) if feature.tensor.startswith("float") else (-(2.0**63), 2.0**63)
    if feature.allowed is not None:
        numbers = [float(value) for value in feature.allowed]
        low, high = (min(numbers), max(numbers)) if numbers else (0.0, 0.0)
    elif feature.domain is not None:
        low, high = float(feature.domain[0][0]), float(feature.domain[-1][1])
    return Range.of(low, high, feature.nullable, 1)


class _Search:
    def __init__(
        self,
        data: Data,
        original: Original,
        schema: Schema,
        base: list[Column],
        rules: dict[int, Rule],
    ) -> None:
        self.data, self.original, self.schema = data, original, schema
        # If a tensor holds floats, a caller may pass any number, even if `data` has whole numbers.
        self.base = [
            Column(c.name, "float", c.values.astype(np.float64), c.missing, c.narrow)
            if c.kind == "int" and feature.tensor.startswith("float")
            else c
            for c, feature in zip(base, schema.features, strict=True)
        ]
        own = next((i for i, column in enumerate(self.base) if not column.missing[0]), 0)
        change = own, self.base[own].values[0]
        self.trials = Trials(original, rules, partial(data.changed, self.base), change)
        self.trials_of_integers = Trials(original, rules, partial(data.changed, base), change)

    def domains(self, candidates: Sequence[int]) -> dict[int, Intervals]:
        """Returns the domains of the features that do not accept every number."""
        result: dict[int, Intervals] = {}
        for dtype in ("float32", "float64", "int64"):
            features = [
                i
                for i in candidates
                if self.schema.features[i].tensor == dtype
                and self.data.columns[i].kind in ("int", "float")
            ]
            if features:
                result |= self._of_type(dtype, features)
        return result

    def _of_type(self, dtype: str, features: list[int]) -> dict[int, Intervals]:
        line = Line(dtype)
        constants = _constants(self.original.model)
        grids = {i: self._grid(dtype, i, len(features), constants) for i in features}
        found = search(line, grids, self.trials.expected, _ROWS_AT_ONCE)
        wrong = self._wrong(line, features, grids, found)
        if wrong:
            found |= search(line, {i: grids[i] for i in wrong}, self.trials.accepted_by_model, 1)
        ends = {i: (min(grids[i]), max(grids[i])) for i in features}
        return {
            i: self._with_integers(i, intervals, len(features))
            for i, intervals in found.items()
            if intervals != [ends[i]]
        }

    def _with_integers(self, i: int, found: Intervals, count: int) -> Intervals:
        """The intervals, if the model judges numbers of an integer type as it judges floats.

        If it does not, they hold the numbers that it accepts in this type. For example, a function
        may convert negative integers to an unsigned type, but not negative floats.
        """
        limits = self.data.limits(i)
        if self.base[i].kind != "float" or limits is None:
            return found
        low, high = limits
        whole = joined(
            [(ceil(max(a, low)), floor(min(b, high))) for a, b in found if a <= high and b >= low],
            1,
        )
        if whole == [limits]:
            return found
        accepts = self.trials_of_integers.accepted_by_model
        grid = self._grid("int64", i, count, [])
        own = search(Line("int64"), {i: grid}, accepts, _ROWS_AT_ONCE)[i]
        if own == whole:
            return found
        first = low if own[:1] and own[0][0] == low else np.nextafter(low, -np.inf)
        last = high if own[:1] and own[-1][1] == high else np.nextafter(high, np.inf)
        below = [(a, min(b, float(first))) for a, b in found if a < low]
        above = [(max(a, float(last)), b) for a, b in found if b > high]
        return joined([*below, *((float(a), float(b)) for a, b in own), *above])

    def _wrong(
        self,
        line: Line,
        features: list[int],
        grids: dict[int, list[Number]],
        found: dict[int, Intervals],
    ) -> set[int]:
        """Returns the features for which the model contradicts `found`.

        The model is asked for numbers of the grid, for the ends of the intervals, and for the
        numbers beside the ends.
        """
        taken = [(i, end) for i in features for interval in found[i] for end in interval]
        taken += [
            (i, v)
            for i in features
            for v in np.asarray(grids[i])[holds(found[i], np.asarray(grids[i]))].tolist()
        ]
        wrong = {
            i
            for (i, _), good in zip(taken, self.trials.accepted_by_model(taken), strict=True)
            if not good
        }
        sample = set(features if len(features) <= _WIDE else features[:: len(features) // _SAMPLE])
        refused = [
            (i, v)
            for i in features
            if i in sample
            for v in outside(line, found[i], (min(grids[i]), max(grids[i])))
        ]
        return wrong | {
            i for (i, _), good in zip(refused, self.trials.one_by_one(refused), strict=True) if good
        }

    def _grid(self, dtype: str, i: int, count: int, constants: list[float]) -> list[Number]:
        column = self.data.columns[i]
        present = np.unique(column.present())
        own = [] if self.base[i].missing[0] else [self.base[i].values[0].item()]
        # Quantiles of the data, including the smallest and the largest number.
        own += (
            present[np.linspace(0, len(present) - 1, 7).astype(int)].tolist()
            if len(present)
            else []
        )
        if dtype == "int64":
            limits = [v for power in range(64) for v in (2**power, -(2**power), 2**power - 1)]
            return sorted({int(v) for v in (*own, 0, *limits) if self.data.holds(i, int(v))})
        tiny = float(np.finfo(dtype).smallest_subnormal)
        room = max(0, _ROWS // count - 2 * len(_CORE) - 10)
        more = [0.0, tiny, *_CORE, *[x for v in (*_MORE, *constants) for x in (v, -v)][:room]]
        numbers = {*own, *more, -tiny, *(-v for v in _CORE)}
        with np.errstate(over="ignore"):
            return sorted(
                {float(v) + 0.0 for v in np.array(sorted(numbers)).astype(dtype).tolist()}
            )


def _constants(model: Any) -> list[float]:
    """Returns numbers that fitted steps hold for each column, such as means and knots.

    The set of numbers that a model accepts may have gaps at these numbers.
    """
    found: set[float] = set()
    for step in estimators_in(model):
        for name, value in vars(step).items():
            if (
                name.endswith("_")
                and isinstance(value, np.ndarray)
                and value.dtype.kind in "fiu"
                and value.size <= 512
            ):
                found.update(np.asarray(value, dtype=np.float64).ravel().tolist())
    return sorted((value for value in found if np.isfinite(value)), key=abs)[:128]
