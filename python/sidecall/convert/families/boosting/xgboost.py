"""Converters of XGBoost; they read the thresholds and leaves from the model's own dump.

XGBoost reads rows as float32 and sums in float32, whatever the precision of the graph.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from sidecall._methods import is_xgboost_booster, missing_number
from sidecall.converters import register_converter

from ...graph.builder import Tensor
from ...graph.categories import CategoricalSets
from ...graph.frame import Frame
from ...graph.one_hot import OneHot
from ...graph.tree_ensemble import Ensemble
from ...graph.tree_rows import TreeRows
from ...registry import Conversion
from ..encoders import lookup
from ..tree import rounded_float32

XGBOOST = "XGBClassifier XGBRegressor XGBRFClassifier XGBRFRegressor XGBRanker"


def _booster(model: Any) -> Any:
    return model.get_booster() if hasattr(model, "get_booster") else model


def _saved(model: Any) -> dict[str, Any]:
    learner: dict[str, Any] = json.loads(_booster(model).save_raw("json"))["learner"]
    return learner


def categories_of(model: Any) -> dict[int, list[Any]]:
    """Returns the categories of each column that was categorical in the training DataFrame."""
    is_fitted = getattr(model, "__sklearn_is_fitted__", lambda: True)()
    if not is_fitted or "c" not in (_booster(model).feature_types or ()):
        return {}
    return _categories(_saved(model))


def _categories(learner: Mapping[str, Any]) -> dict[int, list[Any]]:
    booster = learner["gradient_booster"]
    saved = booster.get("gbtree", booster).get("model", {}).get("cats", {}).get("enc") or ()
    found: dict[int, list[Any]] = {}
    for place, entry in enumerate(saved):
        values = entry.get("values") or []
        if "offsets" in entry:
            # The texts are concatenated and stored as signed bytes.
            text = bytes(byte % 256 for byte in values).decode("latin-1")
            values = [text[start:end] for start, end in pairwise(entry["offsets"])]
        if values:
            found[place] = values
    return found


@register_converter(f"xgboost:{XGBOOST} Booster", "_trees")
def xgboost_trees(step: Any, columns: Frame, g: Conversion) -> tuple[Ensemble, TreeRows, str]:
    learner = _saved(step)
    booster = learner["gradient_booster"]
    if booster["name"] not in ("gbtree", "dart"):
        raise g.refuse(f"the booster '{booster['name']}' is not supported; use gbtree or dart")
    shares = booster.get("weight_drop")  # of a dart booster: the weight of each tree
    booster = booster.get("gbtree", booster)
    config = json.loads(_booster(step).save_config())["learner"]
    if shares is None and config["gradient_booster"]["name"] == "dart":
        raise g.refuse("this version of xgboost writes dart in a form that is not known")
    trees, targets = booster["model"]["trees"], np.asarray(booster["model"]["tree_info"])
    best = learner["attributes"].get("best_iteration")
    if best is not None and _booster(step) is not step:  # a Booster answers with all trees
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
    coded = _categories(learner)
    margin = _margin(g, objective, base)
    starts = np.broadcast_to(margin, (outputs,)).astype("float32")
    missing = np.float32(_missing(step))
    x = _coded(g, _stored(g, columns, missing, coded), coded)
    rows = TreeRows.of(
        g, x, lambda frame: rounded_float32(g, frame), dtype="float32", compares="float32"
    )
    sets = CategoricalSets(g, rows, keeps_missing=True)
    for number, (tree, target) in enumerate(zip(trees, targets, strict=False)):
        leaves = np.array(tree["split_conditions"], "float32")
        if shares is not None:
            # XGBoost predicts each tree of dart from the start value, and subtracts that again.
            start = starts[int(target)]
            leaves = ((start + leaves) - start) * np.float32(shares[number])
        _add_xgboost(g, ensemble, sets, tree, int(target), leaves)
    rows = replace(sets.rows(), zero_is_missing=x.sparse or missing == 0)
    ensemble.start_with(margin)
    return ensemble, rows, objective


def _missing(model: Any) -> float:
    if is_xgboost_booster(model):
        return missing_number(model)
    missing = getattr(model, "missing", None)
    return np.nan if missing is None else missing


def _stored(g: Conversion, x: Frame, missing: np.float32, coded: Mapping[int, list[Any]]) -> Frame:
    """The row with NaN for each value that XGBoost treats as missing.

    These are `missing`, and the zeros that a sparse matrix does not store. The columns in `coded`
    stay as they are.
    """
    if any(missing == code for values in coded.values() for code in range(len(values))):
        raise g.refuse(f"missing={missing:g} is also the number of a category")
    absent = {float(value) for value in ([0.0] if x.sparse else []) + [missing] if value == value}
    if not absent:
        return x
    parts = []
    for part, is_coded in _runs(x, coded):
        # The zeros of a OneHot are in TreeRows.zero_is_missing.
        if not is_coded and (not isinstance(part, OneHot) or 1.0 in absent):
            part = rounded_float32(g, Frame(g, [part]))
            for value in sorted(absent):
                part = g.where(part.equals(value), float("nan"), part)
        parts.append(part)
    return Frame(g, parts, x.sparse)


def _runs(x: Frame, coded: Iterable[int]) -> Iterator[tuple[Tensor, bool]]:
    """The columns of the frame, where each column in `coded` is a part of its own."""
    start = 0
    for place in [*sorted(coded), x.width]:
        yield from ((part, False) for part in x.select(range(start, place)).parts)
        if place < x.width:
            yield x.column(place), True
        start = place + 1


def _coded(g: Conversion, x: Frame, categories: Mapping[int, list[Any]]) -> Frame:
    """The row with numbers instead of categories, as XGBoost numbers them."""
    strings = {k for k, dtype in enumerate(x.dtypes) if dtype == "string"}
    if not strings <= set(categories):
        raise g.refuse(
            "it does not hold the categories of its columns of text; fit it with xgboost 3.1 or "
            "later, or encode the categories in an earlier step"
        )
    if not categories:
        return x
    if not all(str(value).isascii() for values in categories.values() for value in values):
        # XGBoost splits the concatenated texts at offsets in characters, but stores bytes of UTF-8.
        raise g.refuse(
            "xgboost mixes up categories that are not ASCII; encode them in an earlier step"
        )
    places = sorted(categories)
    parts = []
    for part, is_coded in _runs(x, categories):
        if is_coded:
            values = categories[places.pop(0)]
            place = lookup(g, part, [*values, None])
            if part.name not in g.reserved:
                # For a column that is an input, the contract already refuses unknown categories.
                unknown = g.column(place.equals(len(values) + 1))
                g.refuse_rows([unknown], "a category of the training data")
            table = np.append(np.arange(len(values), dtype="float64"), [np.nan, len(values)])
            part = g.column(g.gather(g.const(table, "float32"), place))
        parts.append(part)
    return Frame(g, parts, x.sparse)


def _add_xgboost(
    g: Conversion,
    ensemble: Ensemble,
    sets: CategoricalSets,
    tree: dict[str, Any],
    target: int,
    scores: np.ndarray,
) -> None:
    """Adds a tree; `scores` holds the weight of each node that is a leaf."""
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise g.refuse(
            "multi_strategy='multi_output_tree' is not supported; use 'one_output_per_tree'"
        )
    left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
    leaf = left == -1
    values = np.array(tree["split_conditions"], "float32")
    # XGBoost reads float32 rows, and for those `x < t` is the same as `x <= (the float32 below t)`.
    below = np.nextafter(values, np.float32(-np.inf)).astype("float64")
    features = np.array(tree["split_indices"])
    for node, start, size in zip(
        tree["categories_nodes"],
        tree["categories_segments"],
        tree["categories_sizes"],
        strict=True,
    ):
        # A category of the set goes to the right child, and every other category to the left.
        chosen = tree["categories"][start : start + size]
        features[node] = sets.split(int(features[node]), [], chosen, True)
        below[node] = 0.5
    leaves = np.flatnonzero(leaf)
    weights = (leaves, np.full(len(leaves), target), scores[leaves].astype("float64"))
    ensemble.add(
        features,
        below,
        left,
        right,
        np.array(tree["default_left"], bool),
        leaf,
        weights,
    )


def _margin(g: Conversion, objective: str, base: np.ndarray) -> np.ndarray:
    """The start value of the sums: base_score without the link function that the model applied."""
    if objective in ("binary:logistic", "reg:logistic"):
        return np.asarray(-np.log(1.0 / base - 1.0))
    if objective in ("count:poisson", "reg:gamma", "reg:tweedie"):
        return np.asarray(np.log(base))
    identity = (
        "reg:squarederror",
        "reg:squaredlogerror",
        "reg:absoluteerror",
        "reg:pseudohubererror",
        "reg:quantileerror",
        "binary:logitraw",
    )
    if objective in identity or objective.startswith(("multi:", "rank:")):
        return base
    raise g.refuse(f"the objective '{objective}' is not supported")


@register_converter("xgboost:XGBRegressor XGBRFRegressor XGBRanker", "predict")
def xgboost_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    ensemble, rows, objective = g.call(step, "_trees", columns)
    raw = ensemble.scores(g, rows)
    if objective in ("count:poisson", "reg:gamma", "reg:tweedie"):
        return g.exp(raw)
    return g.sigmoid(raw) if objective in ("reg:logistic", "binary:logistic") else raw


@register_converter("xgboost:Booster", "predict")
def xgboost_booster(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """A Booster predicts what its objective is about: probabilities, a class, or a number."""
    if step.attr("missing") is None:
        g.note(
            "it does not hold which number was missing in training, so only NaN is missing; if "
            "another number was, set it with booster.set_attr(missing='-999') and export again"
        )
    ensemble, rows, objective = g.call(step, "_trees", columns)
    if objective not in ("multi:softprob", "multi:softmax"):
        number: Tensor = xgboost_regressor(step, columns, g)
        return number
    raw: Tensor = ensemble.scores(g, rows)
    if objective == "multi:softmax":
        return g.cast(g.argmax(raw, keep=True), "float32")
    return g.softmax(raw)


@register_converter("xgboost:XGBClassifier XGBRFClassifier", "_classified")
def xgboost_classified(step: Any, columns: Frame, g: Conversion) -> Any:
    ensemble, rows, objective = g.call(step, "_trees", columns)
    if objective == "binary:logistic" and ensemble.targets == 1:
        return ensemble.classify(g, rows, 2, "LOGISTIC")
    if objective == "multi:softprob" and ensemble.targets == int(step.n_classes_):
        return ensemble.classify(g, rows, ensemble.targets, "SOFTMAX")
    raise g.refuse(f"the objective '{objective}' is not supported for a classifier")


@register_converter("xgboost:XGBClassifier XGBRFClassifier", "predict_proba")
def xgboost_probabilities(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "_classified", columns)[1]


@register_converter("xgboost:XGBClassifier XGBRFClassifier", "class_index")
def xgboost_index(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "_classified", columns)[0]
