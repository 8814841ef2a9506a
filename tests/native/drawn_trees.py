"""Draws random trees, and writes them as the attributes of the three tree operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from operator_cases import Random, pick
from two_engines import Array

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
MEMBER = 6  # the mode of a branch that tests for several values; only TreeEnsemble has it


@dataclass
class Leaf:
    """A leaf adds weights to targets."""

    weights: list[tuple[int, float]]


@dataclass
class Branch:
    feature: int
    threshold: float
    mode: int
    missing_is_yes: bool
    yes: Branch | Leaf
    no: Branch | Leaf
    members: list[float] = field(default_factory=list)


Tree = Branch | Leaf


@dataclass
class Forest:
    trees: list[Tree]
    num_targets: int
    dtype: str  # of thresholds and weights
    base_values: list[float] = field(default_factory=list)

    def thresholds(self) -> Array:
        """The thresholds of all branches, for rows beside them."""
        found: list[float] = []
        open_trees: list[Tree] = list(self.trees)
        while open_trees:
            tree = open_trees.pop()
            if isinstance(tree, Branch):
                found += [tree.threshold, *tree.members]
                open_trees += [tree.yes, tree.no]
        return np.array(found or [0.0], self.dtype)


class Drawing:
    """The choices that hold for all trees of a forest."""

    def __init__(
        self,
        rng: Random,
        dtype: str,
        features: int,
        targets: Sequence[int],
        *,
        dense: bool = False,
        members: bool = False,
    ) -> None:
        self.rng, self.dtype, self.features = rng, dtype, features
        self.targets, self.is_dense = list(targets), dense
        modes = [[0], [0], [1], [2], [3], [0, 1, 2, 3], [4], [5], [0, 5], [0, 1, 2, 3, 4, 5]]
        if members:
            modes += [[MEMBER], [0, 4, MEMBER], [0, 1, 2, 3, 4, 5, MEMBER]]
        self.modes = pick(rng, modes)
        self.missing = float(pick(rng, [0, 0, 0.5, 1]))
        # Few thresholds make trees share them, as boosting on histograms does.
        count = int(pick(rng, [2, 20, 1000]))
        size = float(pick(rng, [1, 1, 100]))
        self.choices = (rng.normal(size=count) * size).astype(dtype)
        if rng.random() < 0.3:
            odd = [0.0, -0.0, 1.0, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max, np.inf]
            self.choices = np.concatenate([self.choices, np.array(odd, dtype)])
        self.positive = rng.random() < 0.3

    def leaf(self) -> Leaf:
        rng = self.rng
        targets = self.targets
        if not self.is_dense and len(targets) > 1:
            targets = [int(each) for each in rng.permutation(targets)[: rng.integers(1, 4)]]
        weights = (rng.normal(size=len(targets)) * pick(rng, [1, 1, 1e-3, 1e3])).astype(self.dtype)
        if self.positive:
            weights = np.abs(weights)
        return Leaf([(target, float(w)) for target, w in zip(targets, weights, strict=True)])

    def tree(self, depth: int, full: float) -> Tree:
        if depth == 0 or self.rng.random() > full:
            return self.leaf()
        mode = int(pick(self.rng, self.modes))
        count = int(self.rng.integers(0, 5)) if mode == MEMBER else 0
        return Branch(
            int(self.rng.integers(0, self.features)),
            float(pick(self.rng, self.choices)),
            mode,
            bool(self.rng.random() < self.missing),
            self.tree(depth - 1, full),
            self.tree(depth - 1, full),
            [float(pick(self.rng, self.choices)) for _ in range(count)],
        )

    def like(self, tree: Tree) -> Tree:
        """A tree with the same branches and other leaves."""
        if isinstance(tree, Leaf):
            return self.leaf()
        return Branch(
            tree.feature,
            tree.threshold,
            tree.mode,
            tree.missing_is_yes,
            self.like(tree.yes),
            self.like(tree.no),
            tree.members,
        )


def draw_forest(
    rng: Random,
    dtype: str,
    features: int,
    num_targets: int,
    *,
    targets: Sequence[int] | None = None,
    dense: bool = False,
    needs_branch: bool = False,
    members: bool = False,
) -> Forest:
    """A forest of different numbers and depths of trees."""
    drawing = Drawing(
        rng, dtype, features, targets or range(num_targets), dense=dense, members=members
    )
    count = int(pick(rng, [1, 1, 3, 10, 40, 120]))
    depth = int(pick(rng, [1, 2, 3, 5, 8] if count < 40 else [1, 3, 5]))
    full = float(pick(rng, [1, 0.9, 0.7]))
    trees: list[Tree] = []
    while len(trees) < count:
        tree = drawing.tree(depth, full)
        if needs_branch and isinstance(tree, Leaf):
            full = 1
            continue
        trees.append(tree)
        if num_targets > 1 and rng.random() < 0.3:
            trees.append(drawing.like(tree))
    forest = Forest(trees, num_targets, dtype)
    if rng.random() < 0.5:
        base = rng.normal(size=num_targets).astype(dtype)
        forest.base_values = [float(value) for value in base]
    return forest


# ---- The attributes of the operators ----


def old_attributes(forest: Forest, target: str, rng: Random | None = None) -> dict[str, Any]:
    """Those of TreeEnsembleRegressor ("target") and TreeEnsembleClassifier ("class").

    With `rng`, the ids of the nodes of each tree are in a random order. Then they may have gaps,
    and the ids of the trees may decrease.
    """
    nodes: dict[str, list[Any]] = {
        name: []
        for name in (
            *("treeids", "nodeids", "featureids", "values", "modes", "truenodeids"),
            *("falsenodeids", "missing_value_tracks_true"),
        )
    }
    votes: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    gap = 1 if rng is None or rng.random() < 0.7 else 1000
    numbers = range(len(forest.trees))
    if rng is not None and rng.random() < 0.3:
        numbers = range(len(forest.trees), 0, -1)
    for number, root in zip(numbers, forest.trees, strict=True):
        order: list[Tree] = [root]
        for tree in order:
            if isinstance(tree, Branch):
                order += [tree.yes, tree.no]
        ids = list(range(len(order)))
        if rng is not None:
            ids[1:] = [gap + gap * int(each) for each in rng.permutation(len(order) - 1)]
        id_of = {id(tree): node for tree, node in zip(order, ids, strict=True)}
        for tree in order:
            is_branch = isinstance(tree, Branch)
            nodes["treeids"].append(number)
            nodes["nodeids"].append(id_of[id(tree)])
            nodes["featureids"].append(tree.feature if is_branch else 0)
            nodes["values"].append(tree.threshold if is_branch else 0.0)
            nodes["modes"].append(MODES[tree.mode] if is_branch else "LEAF")
            nodes["truenodeids"].append(id_of[id(tree.yes)] if is_branch else 0)
            nodes["falsenodeids"].append(id_of[id(tree.no)] if is_branch else 0)
            nodes["missing_value_tracks_true"].append(int(is_branch and tree.missing_is_yes))
            for to, weight in [] if is_branch else tree.weights:
                votes["treeids"].append(number)
                votes["nodeids"].append(id_of[id(tree)])
                votes["ids"].append(to)
                votes["weights"].append(weight)
    attributes: dict[str, Any] = {f"nodes_{name}": values for name, values in nodes.items()}
    attributes |= {f"{target}_{name}": values for name, values in votes.items()}
    if forest.base_values:
        attributes["base_values"] = forest.base_values
    if forest.dtype == "float64":
        for name in ("nodes_values", f"{target}_weights", "base_values"):
            if name in attributes:
                attributes[f"{name}_as_tensor"] = np.array(attributes.pop(name), np.float64)
    if target == "target":
        attributes["n_targets"] = forest.num_targets
    return attributes


def new_attributes(forest: Forest) -> dict[str, Any]:
    """Those of TreeEnsemble. A leaf of several weights must not occur; a tree has a branch."""
    nodes: dict[str, list[Any]] = {
        name: []
        for name in (
            *("featureids", "splits", "modes", "truenodeids", "trueleafs", "falsenodeids"),
            *("falseleafs", "missing_value_tracks_true"),
        )
    }
    leaves: list[tuple[int, float]] = []
    members: dict[int, list[float]] = {}  # by node
    roots = []

    def place(tree: Tree) -> tuple[int, int]:
        """The position of a branch or a leaf, and whether it is a leaf."""
        if isinstance(tree, Leaf):
            ((to, weight),) = tree.weights
            leaves.append((to, weight))
            return len(leaves) - 1, 1
        at = len(nodes["modes"])
        for values in nodes.values():
            values.append(None)
        nodes["featureids"][at] = tree.feature
        nodes["splits"][at] = tree.threshold
        nodes["modes"][at] = tree.mode
        if tree.mode == MEMBER:
            members[at] = tree.members
        nodes["missing_value_tracks_true"][at] = int(tree.missing_is_yes)
        nodes["truenodeids"][at], nodes["trueleafs"][at] = place(tree.yes)
        nodes["falsenodeids"][at], nodes["falseleafs"][at] = place(tree.no)
        return at, 0

    for tree in forest.trees:
        if isinstance(tree, Leaf):
            # A node of which both branches lead to the leaf stands for a tree that is a leaf.
            leaf, _ = place(tree)
            roots.append(len(nodes["modes"]))
            row = (0, 0.0, 0, leaf, 1, leaf, 1, 0)
            for values, value in zip(nodes.values(), row, strict=True):
                values.append(value)
        else:
            roots.append(place(tree)[0])
    attributes: dict[str, Any] = {f"nodes_{name}": values for name, values in nodes.items()}
    attributes["nodes_splits"] = np.array(nodes["splits"], forest.dtype)
    attributes["nodes_modes"] = np.array(nodes["modes"], np.uint8)
    attributes["leaf_targetids"] = [to for to, _ in leaves]
    attributes["leaf_weights"] = np.array([weight for _, weight in leaves], forest.dtype)
    if members:
        lists = [[*values, np.nan] for _, values in sorted(members.items())]
        attributes["membership_values"] = np.array(
            [v for each in lists for v in each], forest.dtype
        )
    attributes["tree_roots"] = roots
    attributes["n_targets"] = forest.num_targets
    return attributes


def rows_near(rng: Random, forest: Forest, count: int, features: int) -> Array:
    """Rows whose values are thresholds, one unit beside them, odd, or random."""
    values = forest.thresholds()
    with np.errstate(over="ignore", invalid="ignore"):
        beside = [np.nextafter(values, np.array(way, forest.dtype)) for way in (np.inf, -np.inf)]
    odd = np.array([np.nan, np.nan, np.inf, -np.inf, 0.0, -0.0, np.finfo(forest.dtype).tiny / 2])
    choices = np.concatenate([values, *beside, odd.astype(forest.dtype)])
    x = (rng.normal(size=(count, features)) * pick(rng, [1, 1, 100])).astype(forest.dtype)
    at = rng.random(x.shape) < pick(rng, [0.2, 0.5, 0.9])
    x[at] = choices[rng.integers(0, len(choices), int(at.sum()))]
    return x
