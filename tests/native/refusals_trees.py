"""Tree nodes that the native engine refuses. REFUSALS holds these and those of refusals.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from refusals import (
    DOUBLE,
    ENGINE,
    FILE,
    FLOAT,
    INT64,
    NO_TYPE,
    REAL,
    REFUSALS,
    UNSUPPORTED,
    WHOLE,
    ml,
    of,
)

__all__ = ["REFUSALS", "STUMP", "stump", "votes"]

STUMP: dict[str, Any] = {
    "nodes_treeids": [0, 0, 0],
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [2, 0, 0],
    "nodes_values": [0.5, 0.0, 0.0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
}


def votes(target: str, number: int = 1) -> dict[str, Any]:
    """Each leaf of STUMP has a weight for this target."""
    return {
        f"{target}_treeids": [0, 0],
        f"{target}_nodeids": [1, 2],
        f"{target}_ids": [number, number],
        f"{target}_weights": [1.0, -2.0],
    }


one_target = {**STUMP, **votes("target", 0), "n_targets": 1}
add = ml("TreeEnsembleRegressor", 3, (FLOAT,), **one_target)
nan = [np.nan, 1.0]
add(UNSUPPORTED, "no NaN", REAL, aggregate_function="MIN", target_weights=nan, answers=True)
add(UNSUPPORTED, "no NaN", REAL, aggregate_function="MAX", n_targets=2, answers=True)
add(FILE, "expected only BRANCH_LEQ", REAL, nodes_modes=["BRANCH_MEMBER"] * 3, answers=None)
values = {"nodes_values": None, "nodes_values_as_tensor": np.array([0.5, 0, 0])}
add(UNSUPPORTED, f"{NO_TYPE} float32", REAL, **values, answers=None)
add(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE)
add(ENGINE, "the trees read 3 columns, but the input has 2", of("float32", 4, 2))
add(ENGINE, "an input of rank 3", of("float32", 4, 3, 1))
add(FILE, "post_transform: expected NONE", REAL, post_transform="X")
add(FILE, "aggregate_function: expected", REAL, aggregate_function="X")
add(UNSUPPORTED, "does not have the operator in version 5", REAL, version=5)
base = {"n_targets": 2, "base_values": [1.0, 2.0]}
add(UNSUPPORTED, "a target that may have no weight", REAL, **base, answers=True)
twice = {**base, "target_nodeids": [1, 1, 1], "target_treeids": [0] * 3, "target_ids": [0, 1, 1]}
weights = [1.0, 2.0, 3.0]
add(UNSUPPORTED, "no weight", REAL, **twice, target_weights=weights, answers=True)
pair = {**STUMP, **votes("class", 0), "classlabels_int64s": [5, 7]}
add = ml("TreeEnsembleClassifier", 3, (INT64, FLOAT), **pair)
add(UNSUPPORTED, "weights for both of two classes", REAL, class_ids=[0, 1], answers=True)
add(UNSUPPORTED, "weights for both of two classes", REAL, base_values=[1.0, 2.0], answers=True)
for some in ({"class_ids": [0, 1]}, {"post_transform": "SOFTMAX"}):
    some["classlabels_int64s"] = [1, 2, 3]
    add(UNSUPPORTED, "a class that may have no score", REAL, **some, answers=True)
add(UNSUPPORTED, "PROBIT for two classes", REAL, post_transform="PROBIT", answers=True)
add(
    UNSUPPORTED,
    "one base value",
    REAL,
    classlabels_int64s=[1, 2, 3],
    base_values=[1.0],
    answers=False,
)
add(UNSUPPORTED, "fewer than 2 classes", REAL, classlabels_int64s=[1], answers=True)
add(UNSUPPORTED, f"{NO_TYPE} int64", WHOLE, answers=True)
add(ENGINE, "the trees read 3 columns, but the input has 2", of("float32", 4, 2))
stump = {
    "nodes_featureids": [2],
    "nodes_splits": np.array([0.5], np.float32),
    "nodes_modes": np.array([0], np.uint8),
    "nodes_truenodeids": [0],
    "nodes_trueleafs": [1],
    "nodes_falsenodeids": [1],
    "nodes_falseleafs": [1],
    "leaf_targetids": [0, 0],
    "leaf_weights": np.array([1, -2], np.float32),
    "tree_roots": [0],
    "n_targets": 1,
}
add = ml("TreeEnsemble", 5, (FLOAT,), **stump)
for aggregate in (2, 3):
    add(UNSUPPORTED, "no NaN", REAL, aggregate_function=aggregate, n_targets=2, answers=True)
for transform in (1, 2):
    words = f"engines differ in the meaning of 1 and 2, got {transform}"
    add(UNSUPPORTED, words, REAL, post_transform=transform, answers=True)
member = {"nodes_modes": np.array([6], np.uint8)}
for values in ([], [1, np.nan, 2], [1, np.nan, np.nan]):
    lists = {"membership_values": np.array(values, "f4")}
    add(FILE, "one list for each", REAL, **member, **lists, answers=None)
add(UNSUPPORTED, f"{NO_TYPE} float64", DOUBLE, answers=False)
add(ENGINE, "the trees read 3 columns, but the input has 2", of("float32", 4, 2))
add(FILE, "post_transform: expected 0 to 4", REAL, post_transform=9)
add(FILE, "nodes_modes: expected 0 to 6", REAL, nodes_modes=np.array([9], np.uint8))
add(FILE, "nodes_modes: expected uint8", REAL, nodes_modes=np.array([0], np.int64))
