"""Converters of LightGBM and XGBoost; they read the thresholds and leaves from the model's own
dump.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph.builder import Tensor
from ..graph.categories import CategoricalSets
from ..graph.frame import Frame, join
from ..graph.one_hot import OneHot
from ..graph.tree_ensemble import Ensemble
from ..graph.tree_rows import TreeRows
from ..registry import Conversion, converts, refuses
from .encoders import lookup
from .linear_model import pair, sign_index
from .tree import compared, rounded_float32

LIGHTGBM = "LGBMClassifier LGBMRegressor LGBMRanker"
LIGHTGBM_ZERO = float(np.float32(1e-35))
XGBOOST = "XGBClassifier XGBRegressor XGBRFClassifier XGBRFRegressor XGBRanker"

refuses(
    "lightgbm",
    "Booster",
    "a bare Booster does not know its classes; train LGBMClassifier, LGBMRegressor or LGBMRanker",
)
refuses(
    "xgboost",
    "Booster",
    "a bare Booster does not know its classes; load it into XGBClassifier, XGBRegressor or XGBRanker with load_model",
)
refuses(
    "catboost",
    "CatBoost CatBoostClassifier CatBoostRegressor CatBoostRanker",
    "CatBoost has no converter; LightGBM, XGBoost and scikit-learn's boosting are supported",
)


# LightGBM.


def _codes(g: Conversion, model: Any, categories: list[list[Any]] | None, x: Frame) -> Frame:
    """Replaces columns of pandas categories by their codes; NaN where unknown or missing."""
    strings = [k for k, dtype in enumerate(x.dtypes) if dtype == "string"]
    if not categories and not strings:
        return x
    if not categories or len(categories) != len(strings):
        raise g.refuse(
            "its categories do not match its string columns; categories of numbers are not supported"
        )
    frames = []
    for k in range(x.width):
        column = x.select([k])
        if k in strings:
            values = list(categories[strings.index(k)])
            table = np.append(np.arange(len(values), dtype="float64"), np.nan).reshape(-1, 1)
            code = g.gather(g.const(table), lookup(g, column.parts[0], values))
            code.width = 1
            column = g.frame(code)
        frames.append(column)
    return join(g, frames)


@converts("lightgbm", LIGHTGBM, "trees")
def lightgbm_trees(g: Conversion, model: Any, x: Frame) -> tuple[Ensemble, TreeRows, str]:
    dump = model.booster_.dump_model()
    objective = str(dump.get("objective", "custom"))
    frame = _codes(g, model, dump.get("pandas_categorical"), x)
    sets = CategoricalSets(g, compared(g, frame))
    singles = np.array(frame.singles)
    outputs = int(dump["num_tree_per_iteration"])
    ensemble = Ensemble(outputs)
    trees = dump["tree_info"]
    for number, info in enumerate(trees):
        _add_lightgbm(g, ensemble, info["tree_structure"], number % outputs, sets, singles)
    return ensemble, sets.rows(), objective


def _add_lightgbm(
    g: Conversion,
    ensemble: Ensemble,
    root: dict[str, Any],
    target: int,
    sets: CategoricalSets,
    singles: np.ndarray,
) -> None:
    # One list per node: feature, threshold, left, right, whether a missing value goes left, whether
    # the node is a leaf, value.
    rows: list[list[Any]] = []
    stack: list[tuple[dict[str, Any], int, int]] = [(root, -1, 0)]
    while stack:
        node, parent, side = stack.pop()
        if parent >= 0:
            rows[parent][side] = len(rows)
        if "split_index" not in node:
            if node.get("leaf_coeff"):
                raise g.refuse("linear trees are not supported")
            rows.append([0, 0.0, 0, 0, False, True, float(node["leaf_value"])])
            continue
        feature, threshold, missing = _split(g, node, sets, singles)
        stack += [(node["right_child"], len(rows), 3), (node["left_child"], len(rows), 2)]
        rows.append([feature, threshold, 0, 0, missing, False, 0.0])
    features, thresholds, left, right, directions, leaf, values = (
        np.array(c) for c in zip(*rows, strict=True)
    )
    leaves = np.flatnonzero(leaf)
    ensemble.add(
        features,
        thresholds,
        left,
        right,
        directions,
        leaf,
        (leaves, np.full(len(leaves), target), values[leaves]),
    )


def _split(
    g: Conversion, node: dict[str, Any], sets: CategoricalSets, singles: np.ndarray
) -> tuple[int, float, bool]:
    feature, missing_type = int(node["split_feature"]), node["missing_type"]
    if node["decision_type"] == "==":
        # A category in the set goes left; every other value, including a missing or negative one,
        # goes right.
        left = [int(c) for c in str(node["threshold"]).split("||")]
        return sets.split(feature, left, [], False), 0.5, False
    if missing_type == "Zero":
        raise g.refuse("zero_as_missing is not supported")
    threshold = float(g.snap(node["threshold"], singles[feature]))
    # LightGBM reads numbers from -1e-35 to 1e-35 as zero, and its thresholds beside zero are these
    # two numbers. So a value that equals the lower threshold is read as zero, and goes right.
    if threshold == -LIGHTGBM_ZERO:
        threshold = float(np.nextafter(threshold, -np.inf))
    # If training saw no missing value, LightGBM treats a missing value as zero.
    missing = bool(node["default_left"]) if missing_type == "NaN" else threshold >= 0.0
    return feature, threshold, missing


def averages(model: Any) -> bool:
    """Whether the model answers with the mean of its trees, as a random forest does."""
    return bool(model.booster_.dump_model(num_iteration=1)["average_output"])


@converts("lightgbm", "LGBMClassifier LGBMRegressor LGBMRanker", "raw")
def lightgbm_raw(g: Conversion, model: Any, x: Frame) -> tuple[Tensor, str]:
    ensemble, rows, objective = g.call(model, "trees", x)
    total = ensemble.scores(g, rows)
    if averages(model):
        total = total / float(len(ensemble.trees) // ensemble.targets)
    return g.cast(total, g.real), objective


def _option(objective: str, key: str, default: float) -> float:
    for part in objective.split()[1:]:
        name, _, value = part.partition(":")
        if name == key and value:
            return float(value)
    return default


@converts("lightgbm", "LGBMRegressor LGBMRanker", "predict")
def lightgbm_regressor(g: Conversion, model: Any, x: Frame) -> Any:
    raw, objective = g.call(model, "raw", x)
    name, *options = objective.split()
    if name in (
        "regression",
        "regression_l1",
        "huber",
        "fair",
        "quantile",
        "mape",
        "lambdarank",
        "rank_xendcg",
    ):
        return raw * g.abs(raw) if "sqrt" in options else raw
    if name in ("poisson", "gamma", "tweedie"):
        return g.exp(raw)
    if name == "cross_entropy":
        return g.sigmoid(raw)
    raise g.refuse(f"the objective '{name}' is not supported")


@converts("lightgbm", "LGBMClassifier", "decision_function")
def lightgbm_decision(g: Conversion, model: Any, x: Frame) -> Tensor:
    raw: Tensor = g.call(model, "raw", x)[0]
    return raw


@converts("lightgbm", "LGBMClassifier", "classified")
def lightgbm_classified(g: Conversion, model: Any, x: Frame) -> Any:
    ensemble, rows, objective = g.call(model, "trees", x)
    name, classes = objective.split()[0], len(model.classes_)
    sigmoid = _option(objective, "sigmoid", 1.0)
    is_sum = not averages(model)
    if name == "binary" and sigmoid == 1.0 and rows.dtype == "float32" and is_sum:
        return ensemble.classify(g, rows, 2, "LOGISTIC")
    if name == "multiclass" and rows.dtype == "float32" and is_sum:
        return ensemble.classify(g, rows, classes, "SOFTMAX")
    if name == "binary" and is_sum:
        scores = g.cast(ensemble.against_zero().scores(g, rows), g.real)
        return g.argmax(scores), g.softmax(scores if sigmoid == 1.0 else scores * sigmoid)
    raw = g.call(model, "raw", x)[0]
    if name == "binary":
        return sign_index(g, raw), pair(g, g.sigmoid(raw if sigmoid == 1.0 else raw * sigmoid))
    if name == "multiclass":
        return g.argmax(raw), g.softmax(raw)
    if name == "multiclassova":
        p = g.sigmoid(raw if sigmoid == 1.0 else raw * sigmoid)
        return g.argmax(p), p
    raise g.refuse(f"the objective '{name}' is not supported")


@converts("lightgbm", "LGBMClassifier", "predict_proba")
def lightgbm_probabilities(g: Conversion, model: Any, x: Frame) -> Any:
    return g.call(model, "classified", x)[1]


@converts("lightgbm", "LGBMClassifier", "index")
def lightgbm_index(g: Conversion, model: Any, x: Frame) -> Any:
    return g.call(model, "classified", x)[0]


# XGBoost.


# XGBoost reads rows as float32 and sums in float32, whatever the precision of the graph.
@converts("xgboost", XGBOOST, "trees")
def xgboost_trees(g: Conversion, model: Any, x: Frame) -> tuple[Ensemble, TreeRows, str]:
    if model.missing is not None and not np.isnan(model.missing):
        raise g.refuse("missing: expected NaN, got another value")
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    booster = learner["gradient_booster"]
    name = (
        model.get_params().get("booster") or booster["name"]
    )  # xgboost 3.4 stores dart under the name gbtree
    if name != "gbtree" or booster["name"] != "gbtree":
        raise g.refuse(f"the booster '{name}' is not supported")
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
    for tree, target in zip(trees, targets, strict=False):
        _add_xgboost(g, ensemble, tree, int(target))
    rows = TreeRows.of(g, _stored(g, x), lambda frame: rounded_float32(g, frame))
    rows = replace(rows, zero_is_missing=x.sparse)
    objective = learner["objective"]["name"]
    ensemble.start_with(_margin(g, objective, base))
    return ensemble, rows, objective


def _stored(g: Conversion, x: Frame) -> Frame:
    """The row with NaN for each zero that a sparse matrix does not store.

    XGBoost treats every value that is not stored as missing.
    """
    if not x.sparse:
        return x
    parts = []
    for part in x.parts:
        if not isinstance(part, OneHot):
            numbers = rounded_float32(g, Frame(g, [part]))
            part = g.where(numbers.equals(0.0), float("nan"), numbers)
        parts.append(part)
    return Frame(g, parts, x.sparse)


def _add_xgboost(g: Conversion, ensemble: Ensemble, tree: dict[str, Any], target: int) -> None:
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
    weights = (leaves, np.full(len(leaves), target), values[leaves].astype("float64"))
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
