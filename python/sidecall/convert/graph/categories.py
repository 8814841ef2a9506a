"""Tree splits by sets of categories; used by histogram gradient boosting, LightGBM and XGBoost."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..registry import Conversion
from .tree_rows import TreeRows


class CategoricalSets:
    """Adds a feature for each distinct test "the category is in this set".

    A row with 0 in the column of this feature goes left at the split, a row with 1 goes right.

    `keeps_missing`: as in XGBoost, a missing category is missing in this column as well, so that
    the node decides, and numbers from -1 to 0 are no category.
    """

    def __init__(self, g: Conversion, rows: TreeRows, keeps_missing: bool = False) -> None:
        self.g = g
        self.base = rows
        self.keeps_missing = keeps_missing
        self.found: dict[int, dict[tuple[Any, ...], int]] = {}
        self.count = 0

    def split(self, feature: int, left: Any, right: Any, other_left: bool) -> int:
        """The feature that holds the result of this split.

        Categories in neither list, and missing values, go left if `other_left`.
        """
        if feature in self.base.replaced:
            raise self.g.refuse(
                f"it takes results of {self.base.replaced[feature].names} for categories"
            )
        key = (tuple(int(c) for c in left), tuple(int(c) for c in right), other_left)
        columns = self.found.setdefault(feature, {})
        if key not in columns:
            columns[key] = len(self.base.columns) + self.count
            self.count += 1
        return columns[key]

    def rows(self) -> TreeRows:
        g, matrix = self.g, self.base.matrix
        parts, places = [matrix], []
        for feature, columns in self.found.items():
            size = 1 + max((c for left, right, _ in columns for c in (*left, *right)), default=0)
            table = np.zeros((size + 2, len(columns)))
            table[size + 1] = np.nan
            for k, (left, right, other_left) in enumerate(columns):
                table[: size + 1, k] = 0.0 if other_left else 1.0
                table[list(right), k] = 1.0
                table[list(left), k] = 0.0
            x = g.columns(matrix, [self.base.columns[feature]])
            known = (x >= 0.0 if self.keeps_missing else x > -1.0) & (x < float(size))
            number = g.where(known, x, float(size))
            if self.keeps_missing:
                number = g.where(g.isnan(x), float(size + 1), number)
            else:
                table = table[:-1]
            code = g.cast(g.flatten(number), "int64")
            picked = g.gather(g.const(table, matrix.dtype), code)
            picked.width = len(columns)
            parts.append(picked)
            places += list(columns.values())
        if not places:
            return self.base
        width, first = matrix.width or 0, len(self.base.columns)
        order = list(range(width)) + [width + places.index(first + i) for i in range(len(places))]
        return self.base.beside(g.columns(g.concat(parts), order), len(places))
