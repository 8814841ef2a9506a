"""The columns that the nodes of a tree compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..registry import Conversion
from .builder import Tensor
from .frame import Frame
from .one_hot import OneHot


@dataclass(frozen=True)
class TreeRows:
    """The matrix that an ensemble reads, and where it holds the features of the model.

    Feature i is column `columns[i]` of the matrix. If `categories[i]` is not -1, the feature is 1
    where this column equals that number, and 0 elsewhere: the matrix then holds the number of the
    category instead of one column for each category. `zero_is_missing`: the model treats that 0 as
    a missing value.
    """

    matrix: Tensor
    columns: np.ndarray
    categories: np.ndarray
    zero_is_missing: bool = False

    @property
    def dtype(self) -> str:
        return self.matrix.dtype

    @classmethod
    def of(cls, g: Conversion, x: Frame, matrix: Callable[[Frame], Tensor]) -> TreeRows:
        """`matrix` makes the tensor of a frame in the type in which the model compares."""
        parts, columns, categories, width = [], [], [], 0
        for part in x.parts:
            number = part.width or 0
            if isinstance(part, OneHot):
                parts.append(g.column(g.cast(part.code, "float32")))
                columns.append(np.full(number, width))
                categories.append(np.arange(number))
                width += 1
            else:
                parts.append(part)
                columns.append(np.arange(width, width + number))
                categories.append(np.full(number, -1))
                width += number
        return cls(matrix(Frame(g, parts)), np.concatenate(columns), np.concatenate(categories))

    def beside(self, matrix: Tensor, added: int) -> TreeRows:
        """The same features and `added` more, which are the last columns of `matrix`."""
        width = self.matrix.width or 0
        return TreeRows(
            matrix,
            np.append(self.columns, np.arange(width, width + added)),
            np.append(self.categories, np.full(added, -1)),
            self.zero_is_missing,
        )

    def place(self, tree: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The tree with columns instead of features, and `by_category` for each node.

        A node by category sends a row left if its column differs from the threshold.
        """
        category = np.where(tree["leaf"], -1, self.categories[tree["feature"]])
        placed: dict[str, Any] = tree | {
            "feature": np.where(tree["leaf"], 0, self.columns[tree["feature"]]),
            "by_category": category >= 0,
        }
        if not placed["by_category"].any():
            return placed
        threshold, left, right = tree["threshold"], tree["left"], tree["right"]
        zero_left = tree["missing"] if self.zero_is_missing else threshold >= 0.0
        one_left = threshold >= 1.0
        # No row has the category -1, so every row goes left there.
        number = np.where(zero_left == one_left, -1, category)
        swapped = placed["by_category"] & ~zero_left
        placed["threshold"] = np.where(placed["by_category"], number, threshold)
        placed["missing"] = np.where(placed["by_category"], False, tree["missing"])
        placed["left"] = np.where(swapped, right, left)
        placed["right"] = np.where(swapped, left, right)
        return placed
