"""Cases of the tree operators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from drawn_trees import draw_forest, new_attributes, old_attributes, rows_near
from judging import TRANSFORMS
from onnx import TensorProto
from operator_cases import REALS, Case, Random, cases_of, pick
from two_engines import ML, Array

FLOAT, STRING, INT64 = TensorProto.FLOAT, TensorProto.STRING, TensorProto.INT64
ROWS = (1, 2, 17, 100)


@cases_of("TreeEnsemble")
def tree_ensemble(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in REALS:
        for number in range(24):
            targets = int(pick(rng, [1, 1, 2, 3]))
            # A leaf has one weight.
            forest = draw_forest(rng, dtype, 5, targets, needs_branch=number % 6 != 0, members=True)
            for_one = [[target] for target in range(targets)]
            for tree in forest.trees:
                limit_leaves(tree, pick(rng, for_one))
            attributes = new_attributes(forest)
            attributes["post_transform"] = pick(rng, [0, 0, 3, 4])
            # With several targets, a tree has weights for one of them.
            attributes["aggregate_function"] = pick(
                rng, [1, 1, 0, 2, 3] if targets == 1 else [1, 0]
            )
            if rng.random() < 0.3:
                del attributes["nodes_missing_value_tracks_true"]
            if rng.random() < 0.3:
                share_leaves(rng, attributes)
            for rows in ROWS:
                x = rows_near(rng, forest, rows, 5)
                yield Case(op, [x], attributes, domain=ML, is_free=rows == 17)


def share_leaves(rng: Random, attributes: dict[str, Any]) -> None:
    """Lets some branches lead to leaves of other branches."""
    for side in ("true", "false"):
        children = attributes[f"nodes_{side}nodeids"]
        for node, is_leaf in enumerate(attributes[f"nodes_{side}leafs"]):
            if is_leaf and rng.random() < 0.3:
                children[node] = int(rng.integers(0, len(attributes["leaf_targetids"])))


def limit_leaves(tree: Any, targets: list[int]) -> None:
    """Leaves one weight, for one of these targets, in each leaf of a tree."""
    if hasattr(tree, "weights"):
        tree.weights = [(targets[0], tree.weights[0][1])]
        return
    limit_leaves(tree.yes, targets)
    limit_leaves(tree.no, targets)


def typed(rng: Random, x: Array) -> Array:
    """Some rows as double, with values beside those of float, for trees of float."""
    if x.dtype != np.float32 or rng.random() < 0.7:
        return x
    wide = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        beside = np.nextafter(wide, pick(rng, [-np.inf, np.inf]))
    return np.where(rng.random(x.shape) < 0.5, beside, wide)


@cases_of("TreeEnsembleRegressor")
def tree_regressor(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in REALS if version >= 3 else ("float32",):
        for _ in range(24):
            targets = int(pick(rng, [1, 1, 2, 3, 7]))
            is_dense = rng.random() < 0.5
            forest = draw_forest(rng, dtype, 5, targets, dense=is_dense)
            if targets > 1 and not is_dense:
                forest.base_values = []  # a target may have no weight then
            attributes = old_attributes(forest, "target", rng if rng.random() < 0.3 else None)
            attributes["post_transform"] = pick(rng, ["NONE", *TRANSFORMS])
            aggregates = ["SUM", "SUM", "AVERAGE"]
            if targets == 1 or is_dense:
                aggregates += ["MIN", "MAX"]
            attributes["aggregate_function"] = pick(rng, aggregates)
            if rng.random() < 0.3:
                del attributes["nodes_missing_value_tracks_true"]
            for rows in ROWS:
                x = typed(rng, rows_near(rng, forest, rows, 5))
                yield Case(op, [x], attributes, types=[FLOAT], domain=ML, is_free=rows == 17)


@cases_of("TreeEnsembleClassifier")
def tree_classifier(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in REALS if version >= 3 else ("float32",):
        for number in range(24):
            classes = int(pick(rng, [2, 2, 3, 4]))
            # Of two classes, only one has weights. Of more, each leaf has a weight for each class,
            # or for the same of them.
            targets = [0] if classes == 2 else pick(rng, [None, None, [1], [0, 2]])
            forest = draw_forest(rng, dtype, 5, classes, targets=targets, dense=True)
            if targets is not None:
                forest.base_values = forest.base_values[:1] if classes == 2 else []
            attributes = old_attributes(forest, "class")
            transforms = TRANSFORMS[: 4 if classes == 2 else 5]
            attributes["post_transform"] = pick(
                rng, transforms if classes == 2 or targets is None else ["NONE"]
            )
            labels: list[Any] = [f"é{i}" for i in range(classes)]
            is_text = number % 2 == 0
            if not is_text:
                labels = [int(each) for each in rng.permutation(100)[:classes] - 50]
            attributes["classlabels_strings" if is_text else "classlabels_int64s"] = labels
            types = [STRING if is_text else INT64, FLOAT]
            for rows in ROWS:
                x = typed(rng, rows_near(rng, forest, rows, 5))
                yield Case(op, [x], attributes, types=types, domain=ML, is_free=rows == 17)
