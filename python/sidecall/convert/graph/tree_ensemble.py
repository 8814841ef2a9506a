"""Builds tree ensembles that split exactly as the original model does; used by all tree converters.

In a float32 graph, a threshold t is rounded down to a float32. This changes no split, because
x <= t and x <= down(t) agree for every float32 x.

In a float64 graph, thresholds, weights and sums are double. This needs the operator TreeEnsemble of
ai.onnx.ml 5, because the older operators return float32. A graph with trees of both types uses
TreeEnsemble for all of them, because a version of ai.onnx.ml has either the older operators or the
new one.

scikit-learn's trees round a row to float32 before they compare it. In a float64 graph the
thresholds include that rounding, so that the row need not be rounded: x <= largest_rounded_below(t)
and float32(x) <= t agree for every double x.

A split at a column of a one-hot encoder compares the number of the category (see TreeRows).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import numpy_helper

from ..registry import Conversion
from .builder import Tensor
from .tree_rows import TreeRows

# Values of nodes_modes.
_LESS_OR_EQUAL, _NOT_EQUAL = 0, 5


def float32_below(values: np.ndarray) -> np.ndarray:
    """The largest float32 that is not greater than the value, for each value."""
    values = np.asarray(values, dtype="float64")
    with np.errstate(over="ignore"):
        rounded = values.astype("float32")
        above = rounded.astype("float64") > values
        return np.where(above, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def largest_rounded_below(values: np.ndarray) -> np.ndarray:
    """The largest double whose nearest float32 is not greater than the value, for each value."""
    values = np.asarray(values, dtype="float64")
    below = float32_below(values).astype("float32")
    with np.errstate(over="ignore"):
        above = np.nextafter(below, np.float32(np.inf))
    # Numbers beyond the largest float32 round as if 2**128 were the next float32.
    low, high = (np.clip(end.astype("float64"), -(2.0**128), 2.0**128) for end in (below, above))
    # This division is exact. The middle rounds to the neighbour whose last bit is 0.
    middle = (low + high) / 2
    is_even = below.view("uint32") % 2 == 0
    return np.where(
        np.isposinf(values), np.inf, np.where(is_even, middle, np.nextafter(middle, -np.inf))
    )


class Ensemble:
    """The trees of one model.

    A target is one output of the ensemble. A leaf holds a weight for each of its targets. The score
    of a target is the sum of its weights over the trees.

    `rounds_rows`: the model rounds each number of a row to float32 before it compares.
    """

    def __init__(self, targets: int, rounds_rows: bool = False) -> None:
        self.targets = targets
        self.rounds_rows = rounds_rows
        self.trees: list[dict[str, np.ndarray]] = []
        self.weights: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(
        self,
        feature: Any,
        threshold: Any,
        left: Any,
        right: Any,
        missing_left: Any,
        leaf: Any,
        weights: tuple[Any, Any, Any],
    ) -> None:
        """Adds a tree, given as arrays with one element per node, the root first.

        A row goes left if x[feature] <= threshold. `weights` are arrays (node, target, weight), for
        leaves only.
        """
        arrays = {
            "feature": np.where(leaf, 0, feature).astype("int64"),
            "threshold": np.where(leaf, 0.0, threshold).astype("float64"),
            "left": np.where(leaf, 0, left).astype("int64"),
            "right": np.where(leaf, 0, right).astype("int64"),
            "missing": np.where(leaf, False, missing_left).astype(bool),
            "leaf": np.asarray(leaf, dtype=bool),
        }
        self.trees.append(arrays)
        node, target, weight = weights
        self.weights.append(
            (np.asarray(node, "int64"), np.asarray(target, "int64"), np.asarray(weight, "float64"))
        )

    def add_values(
        self,
        feature: Any,
        threshold: Any,
        left: Any,
        right: Any,
        missing_left: Any,
        leaf: Any,
        value: Any,
    ) -> None:
        """Adds a tree whose leaves have a value for every target; `value` is [nodes, targets]."""
        nodes = np.flatnonzero(leaf)
        node = np.repeat(nodes, self.targets)
        target = np.tile(np.arange(self.targets), len(nodes))
        self.add(
            feature,
            threshold,
            left,
            right,
            missing_left,
            leaf,
            (node, target, np.asarray(value)[nodes].ravel()),
        )

    def start_with(self, base: Any) -> None:
        """Sets the value at which the sum of each target starts.

        The value becomes a first tree of one leaf: the model adds the value first, and the order of
        a sum affects rounding.
        """
        values = np.broadcast_to(np.asarray(base, "float64").reshape(-1), (self.targets,))
        if not np.any(values):
            return
        targets = np.arange(self.targets)
        lone = {
            "feature": np.zeros(1, "int64"),
            "threshold": np.zeros(1),
            "left": np.zeros(1, "int64"),
            "right": np.zeros(1, "int64"),
        }
        self.trees.insert(0, lone | {"missing": np.zeros(1, bool), "leaf": np.ones(1, bool)})
        self.weights.insert(0, (np.zeros(self.targets, "int64"), targets, values.copy()))

    def _with_negative_leaf(self) -> Ensemble:
        """The same scores with at least one negative leaf.

        If no leaf is negative, ONNX Runtime takes the score of the second class for a probability
        and compares it with one half. The weight of the leaf that is added is too small to change a
        sum of normal numbers.
        """
        if any(np.any(weight < 0) for _, _, weight in self.weights):
            return self
        copy = Ensemble(self.targets, self.rounds_rows)
        copy.trees, copy.weights = list(self.trees), list(self.weights)
        copy.start_with(-np.finfo("float32").smallest_subnormal)
        return copy

    def against_zero(self) -> Ensemble:
        """The same ensemble with an additional first target, whose sum is always zero.

        The larger of the two sums gives the class.
        """
        pair = Ensemble(2, self.rounds_rows)
        pair.trees = self.trees
        pair.weights = [(node, target + 1, weight) for node, target, weight in self.weights]
        return pair

    def scores(self, g: Conversion, x: TreeRows) -> Tensor:
        """Sums of leaf weights in the order of the trees, [N, targets], in the type of x."""
        if not self.trees:
            raise g.refuse("it holds no trees")
        if x.dtype == "float64" or g.new_trees:
            return self._new(g, x)
        attributes = self._nodes(g, x) | self._targets("target")
        return g.op(
            "TreeEnsembleRegressor",
            x.matrix,
            domain="ai.onnx.ml",
            width=self.targets,
            n_targets=self.targets,
            **attributes,
        )

    def classify(
        self, g: Conversion, x: TreeRows, classes: int, transform: str
    ) -> tuple[Tensor, Tensor]:
        """Class index [N] and probabilities [N, classes] from one node; float32 only.

        With one target and two classes, the target is the score of the second class.
        """
        if g.new_trees:
            return self._classify(g, x, classes, transform)
        ensemble = self._with_negative_leaf() if self.targets == 1 and classes == 2 else self
        attributes = ensemble._nodes(g, x) | ensemble._targets("class")
        index, probabilities = g.ops(
            "TreeEnsembleClassifier",
            (x.matrix,),
            [("int64", None), ("float32", classes)],
            "ai.onnx.ml",
            classlabels_int64s=list(range(classes)),
            post_transform=transform,
            **attributes,
        )
        return index, probabilities

    def _classify(
        self, g: Conversion, x: TreeRows, classes: int, transform: str
    ) -> tuple[Tensor, Tensor]:
        """The result of `classify` from several nodes, for graphs that use TreeEnsemble."""
        scores = self._new(g, x)
        if self.targets == 1:
            positive = g.sigmoid(scores)
            return g.cast(g.flatten(scores >= 0.0), "int64"), g.concat([1.0 - positive, positive])
        return g.argmax(scores), g.softmax(scores) if transform == "SOFTMAX" else scores

    def _nodes(self, g: Conversion, x: TreeRows) -> dict[str, Any]:
        trees = x.place(g, self.trees)
        sizes = [len(tree["leaf"]) for tree in trees]
        every = {key: np.concatenate([tree[key] for tree in trees]) for key in trees[0]}
        modes = np.where(every["by_category"], "BRANCH_NEQ", "BRANCH_LEQ")
        return {
            "nodes_treeids": np.repeat(np.arange(len(sizes)), sizes).tolist(),
            "nodes_nodeids": np.concatenate([np.arange(n) for n in sizes]).tolist(),
            "nodes_featureids": every["feature"].tolist(),
            "nodes_modes": np.where(every["leaf"], "LEAF", modes).tolist(),
            "nodes_values": float32_below(every["threshold"]).astype("float64").tolist(),
            "nodes_truenodeids": every["left"].tolist(),
            "nodes_falsenodeids": every["right"].tolist(),
            "nodes_missing_value_tracks_true": every["missing"].astype(int).tolist(),
        }

    def _targets(self, kind: str) -> dict[str, Any]:
        sizes = [len(node) for node, _, _ in self.weights]
        with np.errstate(over="ignore"):
            weights = (
                np.concatenate([w for _, _, w in self.weights]).astype("float32").astype("float64")
            )
        return {
            f"{kind}_treeids": np.repeat(np.arange(len(sizes)), sizes).tolist(),
            f"{kind}_nodeids": np.concatenate([n for n, _, _ in self.weights]).tolist(),
            f"{kind}_ids": np.concatenate([t for _, t, _ in self.weights]).tolist(),
            f"{kind}_weights": weights.tolist(),
        }

    def _new(self, g: Conversion, x: TreeRows) -> Tensor:
        # A leaf of this operator has one target, so a tree is repeated for each of its targets.
        columns: dict[str, list[Any]] = {
            k: []
            for k in (
                *("feature", "by_category", "exact", "threshold", "missing"),
                *("left", "right", "leftleaf", "rightleaf"),
            )
        }
        roots: list[int] = []
        leaf_targets: list[int] = []
        leaf_weights: list[float] = []
        placed = x.place(g, self.trees)
        for tree, (node, target, weight) in zip(placed, self.weights, strict=True):
            for t in np.unique(target):
                chosen = target == t
                values = dict(zip(node[chosen].tolist(), weight[chosen].tolist(), strict=True))
                self._one_tree(tree, values, int(t), columns, roots, leaf_targets, leaf_weights)
        by_category, exact = (np.array(columns[k], bool) for k in ("by_category", "exact"))
        splits = np.array(columns["threshold"], "float64")
        if x.dtype == "float32":
            splits = float32_below(splits)
        elif self.rounds_rows:
            splits = np.where(by_category | exact, splits, largest_rounded_below(splits))
        return g.op(
            "TreeEnsemble",
            x.matrix,
            domain="ai.onnx.ml",
            width=self.targets,
            aggregate_function=1,
            n_targets=self.targets,
            post_transform=0,
            tree_roots=roots,
            nodes_modes=numpy_helper.from_array(
                np.where(by_category, _NOT_EQUAL, _LESS_OR_EQUAL).astype("uint8")
            ),
            nodes_featureids=columns["feature"],
            nodes_splits=numpy_helper.from_array(splits),
            nodes_missing_value_tracks_true=columns["missing"],
            nodes_truenodeids=columns["left"],
            nodes_trueleafs=columns["leftleaf"],
            nodes_falsenodeids=columns["right"],
            nodes_falseleafs=columns["rightleaf"],
            leaf_targetids=leaf_targets,
            leaf_weights=numpy_helper.from_array(np.array(leaf_weights, x.dtype)),
        )

    def _one_tree(
        self,
        tree: dict[str, np.ndarray],
        values: dict[int, float],
        target: int,
        columns: dict[str, list[Any]],
        roots: list[int],
        leaf_targets: list[int],
        leaf_weights: list[float],
    ) -> None:
        leaf = tree["leaf"]
        inner, leaves = np.flatnonzero(~leaf), np.flatnonzero(leaf)
        roots.append(len(columns["feature"]))
        place = np.zeros(len(leaf), "int64")
        place[leaves] = len(leaf_weights) + np.arange(len(leaves))
        leaf_weights += [values.get(int(n), 0.0) for n in leaves]
        leaf_targets += [target] * len(leaves)
        if leaf[0] or leaf[tree["left"][0]]:
            # onnxruntime before 1.24 misreads a tree whose root has a leaf on its true side, unless
            # that tree is the first. Such a tree gets an additional root that sends every value,
            # including a missing one, to the real root.
            leaf_weights.append(0.0)
            leaf_targets.append(target)
            _append(columns, 0, False, False, np.inf, 1, roots[-1] + 1, len(leaf_weights) - 1, 0, 1)
        # A single leaf becomes both branches of a node. A leaf cannot have two parents, so it is
        # stored twice.
        if leaf[0]:
            leaf_weights.append(leaf_weights[place[0]])
            leaf_targets.append(target)
            _append(columns, 0, False, False, 0.0, 0, int(place[0]), len(leaf_weights) - 1, 1, 1)
            return
        place[inner] = len(columns["feature"]) + np.arange(len(inner))
        columns["feature"] += tree["feature"][inner].tolist()
        columns["by_category"] += tree["by_category"][inner].tolist()
        columns["exact"] += tree["exact"][inner].tolist()
        columns["threshold"] += tree["threshold"][inner].tolist()
        columns["missing"] += tree["missing"][inner].astype(int).tolist()
        for side in ("left", "right"):
            child = tree[side][inner]
            columns[side] += place[child].tolist()
            columns[side + "leaf"] += leaf[child].astype(int).tolist()


def _append(columns: dict[str, list[Any]], *values: Any) -> None:
    for key, value in zip(columns, values, strict=True):
        columns[key].append(value)
