"""The categories of a CatBoost model.

A model holds hashes of its categories instead of the categories. So export records which values
the model got in its columns of categories for all rows of the data, and asks CatBoost for their
hashes. The graph looks the values up. A model that holds a hash of another value is refused.

A target statistic ("ctr") is a number for each combination of categories, and of tests of other
columns, that training saw. The model holds, for the hash of each combination, how often it saw
which target.
"""

from __future__ import annotations

import ast
import json
import math
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...graph.builder import Tensor
from ...graph.frame import Frame
from ...graph.one_hot import OneHot
from ...registry import Conversion
from ..encoders import lookup
from ..tree import rounded_float32

# The factor of CatBoost's hash of a combination, modulo 2**64.
_FACTOR = np.uint64(0x4906BA494954CB65)
_NO_HASH = 2**64 - 1  # marks an unused place of a table
_MOST_COMBINATIONS = 1 << 26
_AT_ONCE = 1 << 20
# A table of at most this size is read by position; a larger one has only the known combinations.
_SMALL_TABLE = 1 << 12
_HEADING = "cat_features_hashes = {"


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers; `place` counts all columns, `index` only those of numbers."""

    index: int
    place: int
    borders: list[float]
    missing_right: bool

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> NumberColumn:
        return cls(
            int(entry["feature_index"]),
            int(entry["flat_feature_index"]),
            list(entry["borders"]),
            bool(entry["has_nans"]) and entry["nan_value_treatment"] == "AsTrue",
        )

    def is_above(self, g: Conversion, x: Frame, border: float) -> Tensor:
        """Whether the number is above the border, [N]."""
        number = rounded_float32(g, x.select([self.place]))
        above = number > float(border)
        return g.flatten(above | g.isnan(number) if self.missing_right else above)


def hashes_of(texts: Iterable[str]) -> dict[str, int]:
    """CatBoost's hash of each text, a signed number of 32 bits.

    CatBoost writes the hashes of the texts of a pool into a model that it exports as Python code.
    """
    from catboost import CatBoostRegressor, Pool

    rows = [[text] for text in dict.fromkeys(texts)]
    if not rows:
        return {}
    model = CatBoostRegressor(
        iterations=1, depth=1, verbose=False, allow_writing_files=False, thread_count=1
    )
    model.fit(Pool([["a"], ["b"]], label=[0, 1], cat_features=[0]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.py"
        model.save_model(str(path), format="python", pool=Pool(rows, cat_features=[0]))
        code = path.read_bytes().decode("utf-8")
    start = code.index(_HEADING) + len(_HEADING)
    lines = code[start : code.index("\n}", start)].strip().split("\n")
    found: dict[str, int] = {}
    for line in lines:
        text, _, number = line.strip().rstrip(",").rpartition(": ")
        # The code has the bytes of a text, escaped as in C.
        found[ast.literal_eval("b" + text).decode("utf-8")] = int(number)
    return found


def _as_text(value: Any) -> str:
    """A category as CatBoost reads it."""
    return value if isinstance(value, str) else str(int(value))


class _Levels:
    """The values of one column, and their hashes as numbers of 64 bits."""

    def __init__(self, name: str, place: int, values: list[Any]) -> None:
        self.name = name
        self.place = place
        self.values = values
        self.hashes = np.zeros(0, "uint64")
        self.used: set[int] = set()  # positions in `values`
        self.code: Tensor | None = None


class _Projection:
    """A combination of columns of categories, and of tests of other columns.

    `found` holds the positions of the values and the results of the tests of each known
    combination, [combinations, elements]; `keys` are their hashes.
    """

    def __init__(self, elements: list[dict[str, Any]]) -> None:
        kinds = ("cat_feature_value", "float_feature", "cat_feature_exact_value")
        # The hash has the categories first.
        self.elements = sorted(elements, key=lambda e: kinds.index(e["combination_element"]))
        self.found = np.zeros((0, len(elements)), "int64")
        self.keys = np.zeros(0, "uint64")

    def columns(self) -> list[int]:
        """The columns of categories whose values are part of the hash."""
        return [
            int(e["cat_feature_index"])
            for e in self.elements
            if e["combination_element"] == "cat_feature_value"
        ]


class Categories:
    def __init__(
        self,
        g: Conversion,
        model: Any,
        x: Frame,
        columns: list[dict[str, Any]],
        ctrs: list[dict[str, Any]],
        tables: Mapping[str, Any],
    ) -> None:
        self.g = g
        self.ctrs = ctrs
        self.tables = tables
        self.tested = [
            (int(c["feature_index"]), int(v)) for c in columns for v in c.get("values") or ()
        ]
        self.projections = {
            json.dumps(ctr["elements"]): _Projection(ctr["elements"]) for ctr in ctrs
        }
        needed = {column for column, _ in self.tested}
        for projection in self.projections.values():
            needed.update(projection.columns())
        places = {int(c["feature_index"]): int(c["flat_feature_index"]) for c in columns}
        self.levels = self._levels(model, {k: places[k] for k in sorted(needed)})
        for column, value in self.tested:
            self._position(column, value)
        for projection in self.projections.values():
            self._decode(projection)
        for levels in self.levels.values():
            levels.code = self._code(levels, x)

    def _levels(self, model: Any, places: dict[int, int]) -> dict[int, _Levels]:
        known = self.g.categories.get(id(model))
        if places and known is None:
            raise self.g.refuse(
                "it holds hashes instead of its categories; pass `data` with all of them"
            )
        names = model.feature_names_
        levels = {
            k: _Levels(names[place], place, list((known or {}).get(place, ())))
            for k, place in places.items()
        }
        hashes = hashes_of(_as_text(v) for each in levels.values() for v in each.values)
        for each in levels.values():
            signed = np.array([hashes[_as_text(v)] for v in each.values], "int64")
            each.hashes = signed.view("uint64")
        return levels

    def _lacking(self, columns: Iterable[int]) -> Exception:
        names = " or ".join(f"'{self.levels[k].name}'" for k in sorted(set(columns)))
        return self.g.refuse(
            f"training had categories of {names} that the data lacks, and the model holds only "
            "their hashes; pass `data` with every category of the training data"
        )

    def _position(self, column: int, value: int) -> int:
        """The position of the category that has this hash."""
        levels = self.levels[column]
        found = np.flatnonzero(levels.hashes == np.int64(value).view("uint64"))
        if not len(found):
            raise self._lacking([column])
        levels.used.add(int(found[0]))
        return int(found[0])

    def place(self, column: int, value: int) -> int:
        """The number of a tested category among all tested categories."""
        return self.tested.index((column, value))

    def _decode(self, projection: _Projection) -> None:
        """Finds the combinations whose hashes the tables hold."""
        tables = [
            self.tables[ctr["identifier"]]
            for ctr in self.ctrs
            if self.projections[json.dumps(ctr["elements"])] is projection
        ]
        wanted = np.unique(np.concatenate([_keys(table) for table in tables]))
        wanted = wanted[wanted != np.uint64(_NO_HASH)]
        parts = [
            self.levels[int(e["cat_feature_index"])].hashes
            if e["combination_element"] == "cat_feature_value"
            else np.arange(2, dtype="uint64")
            for e in projection.elements
        ]
        sizes = [len(part) for part in parts]
        total = math.prod(sizes)
        if total > _MOST_COMBINATIONS:
            names = ", ".join(f"'{self.levels[k].name}'" for k in projection.columns())
            raise self.g.refuse(
                f"{total} combinations of the categories of {names} are too many; fit with "
                "max_ctr_complexity=1"
            )
        step = max(1, _AT_ONCE // max(1, total // max(1, sizes[0])))
        found: list[np.ndarray] = []
        keys: list[np.ndarray] = []
        for start in range(0, sizes[0], step):
            hashes = np.zeros(1, "uint64")
            for part in (parts[0][start : start + step], *parts[1:]):
                hashes = (_FACTOR * (hashes[:, None] + _FACTOR * part[None, :])).ravel()
            hits = np.flatnonzero(np.isin(hashes, wanted))
            shape = (min(step, sizes[0] - start), *sizes[1:])
            digits = np.stack(np.unravel_index(hits, shape), axis=1)
            digits[:, 0] += start
            found.append(digits)
            keys.append(hashes[hits])
        if not keys or len(np.unique(np.concatenate(keys))) != len(wanted):
            raise self._lacking(projection.columns())
        projection.found, projection.keys = np.vstack(found), np.concatenate(keys)
        for k, element in enumerate(projection.elements):
            if element["combination_element"] == "cat_feature_value":
                used = self.levels[int(element["cat_feature_index"])].used
                used.update(projection.found[:, k].tolist())

    def _code(self, levels: _Levels, x: Frame) -> Tensor:
        """The position of the row's category among those that are used, or their number; [N]."""
        used = sorted(levels.used)
        return lookup(self.g, x.column(levels.place), [levels.values[i] for i in used])

    def _among_used(self, column: int, positions: np.ndarray) -> np.ndarray:
        """Positions among the values that are used, for positions among all values."""
        return np.searchsorted(np.array(sorted(self.levels[column].used), "int64"), positions)

    def _used_position(self, column: int, value: int) -> int:
        position = np.array([self._position(column, value)])
        return int(self._among_used(column, position)[0])

    def one_hot(self) -> list[Tensor]:
        """A feature for each category that a tree tests by itself."""
        parts: list[Tensor] = []
        for column in dict.fromkeys(column for column, _ in self.tested):
            levels = self.levels[column]
            assert levels.code is not None
            values = [value for each, value in self.tested if each == column]
            codes = np.full(len(levels.used) + 1, len(values), "int64")
            for k, value in enumerate(values):
                codes[self._used_position(column, value)] = k
            code = self.g.gather(self.g.const(codes), levels.code)
            parts.append(OneHot(self.g, code, len(values), "float32", refuses_unknown=False))
        return parts

    def statistics(self, x: Frame, numbers: Mapping[int, NumberColumn]) -> list[Tensor]:
        """The target statistics in the order of the model, one column each."""
        g = self.g
        index = {key: self._index(p, x, numbers) for key, p in self.projections.items()}
        parts: list[Tensor] = []
        for ctr in self.ctrs:
            key = json.dumps(ctr["elements"])
            place, positions, size = index[key]
            values, empty = _statistic(g, ctr, self.tables[ctr["identifier"]])
            table = np.full(size, empty, "float32")
            table[positions] = [values.get(int(k), empty) for k in self.projections[key].keys]
            picked = g.column(g.gather(g.const(table.astype("float64")), place))
            picked.single = True
            parts.append(picked)
        return parts

    def _index(
        self, projection: _Projection, x: Frame, numbers: Mapping[int, NumberColumn]
    ) -> tuple[Tensor, np.ndarray, int]:
        """The place of the row's combination in a table, the places of the known combinations, and
        the size of the table.
        """
        g = self.g
        digits: list[Tensor] = []
        sizes: list[int] = []
        known = projection.found.copy()
        for k, element in enumerate(projection.elements):
            if element["combination_element"] == "float_feature":
                column = numbers[int(element["float_feature_index"])]
                digits.append(g.cast(column.is_above(g, x, element["border"]), "int64"))
                sizes.append(2)
                continue
            column_index = int(element["cat_feature_index"])
            levels = self.levels[column_index]
            assert levels.code is not None
            if element["combination_element"] == "cat_feature_value":
                digits.append(levels.code)
                sizes.append(len(levels.used) + 1)
                known[:, k] = self._among_used(column_index, known[:, k])
            else:
                position = self._used_position(column_index, int(element["value"]))
                digits.append(g.cast(levels.code.equals(position), "int64"))
                sizes.append(2)
        place = digits[0]
        for digit, size in zip(digits[1:], sizes[1:], strict=True):
            place = place * size + digit
        positions = np.asarray(np.ravel_multi_index(tuple(known.T), sizes))
        if len(sizes) == 1 or math.prod(sizes) <= _SMALL_TABLE:
            return place, positions, math.prod(sizes)
        place = g.op(
            "LabelEncoder",
            place,
            dtype="int64",
            domain="ai.onnx.ml",
            keys_int64s=positions.tolist(),
            values_int64s=list(range(len(positions))),
            default_int64=len(positions),
        )
        return place, np.arange(len(positions)), len(positions) + 1


def _keys(table: Mapping[str, Any]) -> np.ndarray:
    hashes = table["hash_map"][:: int(table["hash_stride"])]
    return np.array([int(h) for h in hashes], "uint64")


def _statistic(
    g: Conversion, ctr: Mapping[str, Any], table: Mapping[str, Any]
) -> tuple[dict[int, np.float32], np.float32]:
    """The number of each combination by its hash, and of combinations that training never saw."""
    stride = int(table["hash_stride"])
    counts = [np.array(table["hash_map"][k::stride], "float64") for k in range(1, stride)]
    kind, target = ctr["ctr_type"], int(ctr["target_border_idx"])
    if kind in ("Counter", "FeatureFreq"):
        total = np.full(len(counts[0]), float(table["counter_denominator"]))
        good, empty_total = counts[0], float(table["counter_denominator"])
    elif kind in ("BinarizedTargetMeanValue", "FloatTargetMeanValue"):
        (good, total), empty_total = counts, 0.0
    elif kind in ("Buckets", "Borders"):
        total, empty_total = np.sum(counts, axis=0), 0.0
        good = counts[target] if kind == "Buckets" else np.sum(counts[target + 1 :], axis=0)
    else:
        raise g.refuse(f"target statistics of the kind {kind} are not supported")

    def share(part: Any, whole: Any) -> Any:
        # CatBoost computes in float32.
        numerator, denominator, shift, scale = (
            np.float32(ctr[name])
            for name in ("prior_numerator", "prior_denomerator", "shift", "scale")
        )
        part, whole = np.asarray(part, "float32"), np.asarray(whole, "float32")
        return ((part + numerator) / (whole + denominator) + shift) * scale

    numbers = share(good, total)
    values = dict(zip(_keys(table).tolist(), numbers, strict=True))
    return values, np.float32(share(0.0, empty_total))
