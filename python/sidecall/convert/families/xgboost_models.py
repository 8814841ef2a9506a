"""Converters of XGBoost; they read the thresholds and leaves from the model's own dump.

XGBoost reads rows as float32 and sums in float32, whatever the precision of the graph.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.one_hot import OneHot
from ..graph.tree_ensemble import Ensemble
from ..graph.tree_rows import TreeRows
from ..registry import Conversion, converts, refuses
from .tree import rounded_float32

XGBOOST = "XGBClassifier XGBRegressor XGBRFClassifier XGBRFRegressor XGBRanker"

refuses(
    "xgboost",
    "Booster",
    "a bare Booster does not know its classes; load it into XGBClassifier, XGBRegressor or XGBRanker with load_model",
)


@converts("xgboost", XGBOOST, "trees")
def xgboost_trees(g: Conversion, model: Any, x: Frame) -> tuple[Ensemble, TreeRows, str]:
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    booster = learner["gradient_booster"]
    if booster["name"] not in ("gbtree", "dart"):
        raise g.refuse(f"the booster '{booster['name']}' is not supported")
    shares = booster.get("weight_drop")  # of a dart booster: the weight of each tree
    booster = booster.get("gbtree", booster)
    if shares is None and model.get_params().get("booster") == "dart":
        raise g.refuse("this version of xgboost writes dart in a form that is not known")
    trees, targets = booster["model"]["trees"], np.asarray(booster["model"]["tree_info"])
    best = learner["attributes"].get("best_iteration")
    if best is not None:
        trees = trees[: booster["model"]["iteration_indptr"][int(best) + 1]]
    base = np.atleast_1d(
        np.array(json.loads(learner["learner_model_param"]["base_score"]), "float64")
    )
    outputs = max(
        int(learner["learner_model_param"]["num_class"]),
        int(learner["learner_model_param"]["num_target"]),
        1,
    )
    ensemble = Ensemble(outputs)
    objective = learner["objective"]["name"]
    margin = _margin(g, objective, base)
    starts = np.broadcast_to(margin, (outputs,)).astype("float32")
    for number, (tree, target) in enumerate(zip(trees, targets, strict=False)):
        leaves = np.array(tree["split_conditions"], "float32")
        if shares is not None:
            # XGBoost predicts each tree of dart from the start value, and subtracts that again.
            start = starts[int(target)]
            leaves = ((start + leaves) - start) * np.float32(shares[number])
        _add_xgboost(g, ensemble, tree, int(target), leaves)
    missing = np.float32(np.nan if model.missing is None else model.missing)
    rows = TreeRows.of(g, _stored(g, x, missing), lambda frame: rounded_float32(g, frame))
    rows = replace(rows, zero_is_missing=x.sparse or missing == 0)
    ensemble.start_with(margin)
    return ensemble, rows, objective


def _stored(g: Conversion, x: Frame, missing: np.float32) -> Frame:
    """The row with NaN for each value that XGBoost treats as missing.

    These are `missing`, and the zeros that a sparse matrix does not store.
    """
    absent = {float(value) for value in ([0.0] if x.sparse else []) + [missing] if value == value}
    if not absent:
        return x
    parts = []
    for part in x.parts:
        # The zeros of a OneHot are in TreeRows.zero_is_missing.
        if not isinstance(part, OneHot) or 1.0 in absent:
            part = rounded_float32(g, Frame(g, [part]))
            for value in sorted(absent):
                part = g.where(part.equals(value), float("nan"), part)
        parts.append(part)
    return Frame(g, parts, x.sparse)


def _add_xgboost(
    g: Conversion, ensemble: Ensemble, tree: dict[str, Any], target: int, scores: np.ndarray
) -> None:
    """Adds a tree; `scores` holds the weight of each node that is a leaf."""
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise g.refuse("multi_strategy='multi_output_tree' is not supported")
    if any(tree["split_type"]) or tree["categories"]:
        raise g.refuse(
            "splits by category are not supported; encode the categories in an earlier step"
        )
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    leaf = left == -1
    values = np.array(tree["split_conditions"], "float32")
    # XGBoost reads float32 rows, and for those `x < t` is the same as `x <= (the float32 below t)`.
    below = np.nextafter(values, np.float32(-np.inf)).astype("float64")
    leaves = np.flatnonzero(leaf)
    weights = (leaves, np.full(len(leaves), target), scores[leaves].astype("float64"))
    ensemble.add(
        np.array(tree["split_indices"]),
        below,
        left,
        right,
        np.array(tree["default_left"], bool),
        leaf,
        weights,
    )


def _margin(g: Conversion, objective: str, base: np.ndarray) -> np.ndarray:
    """The start value of the sums: base_score without the link function that the model applied."""
    if objective in ("binary:logistic", "reg:logistic", "binary:logitraw"):
        return np.asarray(-np.log(1.0 / base - 1.0))
    if objective in ("count:poisson", "reg:gamma", "reg:tweedie"):
        return np.asarray(np.log(base))
    identity = (
        "reg:squarederror",
        "reg:squaredlogerror",
        "reg:absoluteerror",
        "reg:pseudohubererror",
        "reg:quantileerror",
    )
    if objective in identity or objective.startswith(("multi:", "rank:")):
        return base
    raise g.refuse(f"the objective '{objective}' is not supported")


@converts("xgboost", "XGBRegressor XGBRFRegressor XGBRanker", "predict")
def xgboost_regressor(g: Conversion, model: Any, x: Frame) -> Tensor:
    ensemble, rows, objective = g.call(model, "trees", x)
    raw = ensemble.scores(g, rows)
    if objective in ("count:poisson", "reg:gamma", "reg:tweedie"):
        return g.exp(raw)
    return g.sigmoid(raw) if objective in ("reg:logistic", "binary:logistic") else raw


@converts("xgboost", "XGBClassifier XGBRFClassifier", "classified")
def xgboost_classified(g: Conversion, model: Any, x: Frame) -> Any:
    ensemble, rows, objective = g.call(model, "trees", x)
    if objective == "binary:logistic" and ensemble.targets == 1:
        return ensemble.classify(g, rows, 2, "LOGISTIC")
    if objective == "multi:softprob" and ensemble.targets == int(model.n_classes_):
        return ensemble.classify(g, rows, ensemble.targets, "SOFTMAX")
    raise g.refuse(f"the objective '{objective}' is not supported for a classifier")


@converts("xgboost", "XGBClassifier XGBRFClassifier", "predict_proba")
def xgboost_probabilities(g: Conversion, model: Any, x: Frame) -> Any:
    return g.call(model, "classified", x)[1]


@converts("xgboost", "XGBClassifier XGBRFClassifier", "index")
def xgboost_index(g: Conversion, model: Any, x: Frame) -> Any:
    return g.call(model, "classified", x)[0]
