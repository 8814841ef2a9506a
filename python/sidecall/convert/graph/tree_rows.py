"""The columns that the nodes of a tree compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..registry import Conversion
from .builder import Tensor
from .frame import Frame
from .one_hot import OneHot
from .splits import (
    SplitColumn,
    last_digits_decide,
    needs_splits,
    split_column,
    split_matrix,
)


@dataclass(frozen=True)
class TreeRows:
    """The matrix that an ensemble reads, and where it holds the features of the model.

    Feature i is column `columns[i]` of the matrix. If `categories[i]` is not -1, the feature is 1
    where this column equals that number, and 0 elsewhere: the matrix then holds the number of the
    category instead of one column for each category. `zero_is_missing`: the model treats that 0 as
    a missing value. If `replaced` has feature i, the feature is a function of the numbers in this
    column. `uncertain` has the other features whose last digits may differ from the original's,
    with the names of the functions behind them. `on_numbers`: the thresholds may be numbers of the
    training data, not only numbers between two of them.
    """

    matrix: Tensor
    columns: np.ndarray
    categories: np.ndarray
    zero_is_missing: bool = False
    replaced: Mapping[int, SplitColumn] = field(default_factory=dict)
    uncertain: Mapping[int, str] = field(default_factory=dict)
    on_numbers: bool = False

    @property
    def dtype(self) -> str:
        return self.matrix.dtype

    @classmethod
    def of(
        cls, g: Conversion, x: Frame, matrix: Callable[[Frame], Tensor], dtype: str, compares: str
    ) -> TreeRows:
        """`matrix` makes the tensor of a frame. The graph compares in its type, `dtype`.

        `compares` is the type in which the model compares.
        """
        parts: list[Tensor] = []
        columns: list[int] = []
        categories: list[int] = []
        replaced: dict[int, SplitColumn] = {}
        uncertain: dict[int, str] = {}
        width = 0
        for part in x.parts:
            number = part.width or 0
            first = len(columns)
            if isinstance(part, OneHot):
                parts.append(g.column(g.cast(part.code, "float32")))
                columns += [width] * number
                categories += range(number)
                width += 1
                continue
            names = needs_splits(g, part)
            found = _split_columns(g, part, first, dtype, compares) if names else {}
            replaced |= {first + k: column for k, column in found.items()}
            kept = [k for k in range(number) if k not in found]
            if names:
                uncertain |= dict.fromkeys((first + k for k in kept), names)
            if kept:
                parts.append(g.columns(part, kept))
            places = {k: width + i for i, k in enumerate(kept)}
            columns += [places.get(k, -1) for k in range(number)]
            categories += [-1] * number
            width += len(kept)
        for feature in replaced:
            columns[feature] = width
            width += 1
        sources = split_matrix(g, list(replaced.values()))
        joined = ([matrix(Frame(g, parts))] if parts else []) + [
            g.cast(part, dtype) for part in sources
        ]
        return cls(
            g.concat(joined),
            np.array(columns),
            np.array(categories),
            replaced=replaced,
            uncertain=uncertain,
        )

    def beside(self, matrix: Tensor, added: int) -> TreeRows:
        """The same features and `added` more, which are the last columns of `matrix`."""
        width = self.matrix.width or 0
        return replace(
            self,
            matrix=matrix,
            columns=np.append(self.columns, np.arange(width, width + added)),
            categories=np.append(self.categories, np.full(added, -1)),
        )

    def place(self, g: Conversion, trees: Sequence[dict[str, np.ndarray]]) -> list[dict[str, Any]]:
        """The trees with columns instead of features.

        `by_category` says for each node whether it sends a row left if its column differs from the
        threshold. `exact` says whether the column holds numbers that the model does not round.
        """
        used = {int(k) for tree in trees for k in tree["feature"][~tree["leaf"]]}
        for feature in used & self.uncertain.keys():
            if self.on_numbers:
                raise last_digits_decide(g, self.uncertain[feature])
        splits = {}
        for feature in used & self.replaced.keys():
            of_feature = [tree["threshold"][_compares(tree, feature)] for tree in trees]
            thresholds = np.unique(np.concatenate(of_feature))
            found = self.replaced[feature].monotone.splits(thresholds)
            if found is None:
                if self.on_numbers:
                    raise last_digits_decide(g, self.replaced[feature].names)
                g.unsplit.add((g.step_path, feature))
                continue
            splits[feature] = thresholds, found
        return [self._by_category(self._split(tree, splits)) for tree in trees]

    def _split(
        self,
        tree: dict[str, np.ndarray],
        splits: Mapping[int, tuple[np.ndarray, np.ndarray]],
    ) -> dict[str, np.ndarray]:
        """The tree with the splits of replaced columns."""
        result = tree | {"exact": np.zeros(len(tree["leaf"]), bool)}
        for feature, (thresholds, found) in splits.items():
            nodes = _compares(tree, feature)
            of_missing = self.replaced[feature].monotone.of_missing
            below = of_missing <= tree["threshold"]
            places = np.searchsorted(thresholds, tree["threshold"][nodes])
            result["threshold"] = result["threshold"].copy()
            result["threshold"][nodes] = found[places]
            result["exact"] |= nodes
            if not np.isnan(of_missing):
                result["missing"] = np.where(nodes, below, result["missing"])
        return result

    def _by_category(self, tree: dict[str, np.ndarray]) -> dict[str, Any]:
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


def _split_columns(
    g: Conversion, x: Tensor, first: int, dtype: str, compares: str
) -> dict[int, SplitColumn]:
    """The columns of x that can be split exactly, by their position. `first` is their feature."""
    found = {
        k: split_column(g, x, k, compares)
        for k in range(x.width or 0)
        if (g.step_path, first + k) not in g.unsplit
    }
    return {
        k: column
        for k, column in found.items()
        if column is not None and column.source.dtype in ("float32", dtype)
    }


def _compares(tree: dict[str, np.ndarray], feature: int) -> np.ndarray:
    """Whether each node compares this feature."""
    return np.asarray(~tree["leaf"] & (tree["feature"] == feature))
