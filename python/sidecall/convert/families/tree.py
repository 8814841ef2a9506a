"""Converters of scikit-learn's trees, forests and gradient boosting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.categories import CategoricalSets
from ..graph.frame import Frame
from ..graph.tree_ensemble import Ensemble
from ..graph.tree_rows import TreeRows
from ..registry import Conversion
from .linear_model import inverse_link

TREE_CLASSIFIERS = "DecisionTreeClassifier ExtraTreeClassifier"
FORESTS = "RandomForestClassifier ExtraTreesClassifier"


def rounded_float32(g: Conversion, x: Frame) -> Tensor:
    """The row as float32, rounded only once."""
    exact = [part if part.wide is None else g.cast(part.wide, "float32") for part in x.parts]
    return Frame(g, exact).matrix("float32")


def tree_rows(g: Conversion, x: Frame) -> TreeRows:
    """The row as a scikit-learn tree compares it: rounded to float32.

    The matrix has the type in which the step sums. A float64 row stays unchanged, because the
    thresholds of the trees include the rounding (see `rounding`). An int64 is rounded once, to
    float32.
    """

    def matrix(x: Frame) -> Tensor:
        if g.real == "float64" and all(
            part.dtype in ("float32", "float64") and part.wide is None for part in x.parts
        ):
            return x.matrix("float64")
        return g.cast(rounded_float32(g, x), g.real)

    return TreeRows.of(g, x, matrix, dtype=g.real, compares="float32")


def rounding(targets: int) -> Ensemble:
    """An ensemble for scikit-learn's trees, which compare rows rounded to float32."""
    return Ensemble(targets, rounds_rows=True)


def compared(g: Conversion, x: Frame, on_numbers: bool = False) -> TreeRows:
    """The row for a model that does not round the numbers that it compares.

    Its type is double if any column was computed in double, otherwise the type of the graph.
    `on_numbers`: see TreeRows.
    """
    dtype = "float64" if any(part.wide is not None for part in x.parts) else g.real
    rows = TreeRows.of(g, x, lambda frame: frame.matrix(dtype), dtype, compares="float64")
    return replace(rows, on_numbers=on_numbers)


def add_tree(ensemble: Ensemble, tree: Any, value: np.ndarray, features: Any = None) -> None:
    """Adds a fitted sklearn.tree._tree.Tree with leaf values [nodes, targets]."""
    leaf = tree.children_left == -1
    feature = (
        tree.feature
        if features is None
        else np.where(leaf, 0, np.asarray(features)[np.where(leaf, 0, tree.feature)])
    )
    ensemble.add_values(
        feature,
        tree.threshold,
        tree.children_left,
        tree.children_right,
        missing_left(tree),
        leaf,
        value,
    )


def missing_left(tree: Any) -> Any:
    return tree.__getstate__()["nodes"]["missing_go_to_left"].astype(bool)


def _class_ensemble(trees: list[Any], classes: int, output: int = 0) -> Ensemble:
    """Sums the class fractions of the leaves over the trees, without a division.

    Sums of whole votes are exact, so that ties stay ties; dividing each vote first would round.
    """
    ensemble = rounding(classes)
    for tree in trees:
        add_tree(ensemble, tree.tree_, tree.tree_.value[:, output, :classes])
    return ensemble


def _members(model: Any) -> list[Any]:
    return list(model.estimators_) if hasattr(model, "estimators_") else [model]


@register_converter("imblearn:BalancedRandomForestClassifier", "_classified")
@register_converter(f"sklearn:{TREE_CLASSIFIERS} {FORESTS}", "_classified")
def _classified(step: Any, columns: Frame, g: Conversion) -> tuple[Tensor, Tensor]:
    classes, members = len(step.classes_), _members(step)
    ensemble = _class_ensemble(members, classes)
    rows = tree_rows(g, columns)
    if rows.dtype == "float64" or classes == 1:
        total = ensemble.scores(g, rows)
        index = g.argmax(total)
    else:
        # With two classes, the operator compares the share of the second class with one half. With
        # three or more, it takes the largest share, and the first of equal shares, as scikit-learn
        # does. So two classes get a third one that no leaf votes for.
        index, total = ensemble.classify(g, rows, max(classes, 3), "NONE")
        total = g.columns(total, range(classes))
    return index, total / float(len(members)) if len(members) > 1 else total


@register_converter("imblearn:BalancedRandomForestClassifier", "predict_proba")
@register_converter(f"sklearn:{TREE_CLASSIFIERS} {FORESTS}", "predict_proba")
def tree_probabilities(step: Any, columns: Frame, g: Conversion) -> Any:
    if isinstance(step.classes_, list):
        raise g.refuse("probabilities of several outputs are not supported")
    return g.call(step, "_classified", columns)[1]


@register_converter("imblearn:BalancedRandomForestClassifier", "class_index")
@register_converter(f"sklearn:{TREE_CLASSIFIERS} {FORESTS}", "class_index")
def tree_index(step: Any, columns: Frame, g: Conversion) -> Any:
    if not isinstance(step.classes_, list):
        return g.call(step, "_classified", columns)[0]
    parts = []
    for k, classes in enumerate(step.classes_):
        scores = _class_ensemble(_members(step), len(classes), k).scores(g, tree_rows(g, columns))
        parts.append(g.argmax(scores, keep=True))
    return g.concat(parts)


@register_converter(
    "sklearn:DecisionTreeRegressor ExtraTreeRegressor RandomForestRegressor ExtraTreesRegressor",
    "predict",
)
def tree_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    members = _members(step)
    ensemble = rounding(step.n_outputs_)
    for tree in members:
        add_tree(ensemble, tree.tree_, tree.tree_.value[:, :, 0])
    total = ensemble.scores(g, tree_rows(g, columns))
    return total / float(len(members)) if hasattr(step, "estimators_") else total


@register_converter("sklearn:RandomTreesEmbedding", "transform")
def embedding(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """One column per leaf of each tree: every leaf is its own target with weight one."""
    encoder = step.one_hot_encoder_
    total = sum(len(c) for c in encoder.categories_)
    ensemble = rounding(total)
    offset = 0
    for tree, categories in zip(step.estimators_, encoder.categories_, strict=True):
        nodes = np.asarray(categories, "int64")
        t = tree.tree_
        leaf = t.children_left == -1
        weights = (nodes, offset + np.arange(len(nodes)), np.ones(len(nodes)))
        ensemble.add(
            t.feature,
            t.threshold,
            t.children_left,
            t.children_right,
            missing_left(t),
            leaf,
            weights,
        )
        offset += len(nodes)
    if g.real == "float64" and total > 512:
        raise g.refuse(
            f"{total} leaves are too many for precision float64; at most 512 are supported"
        )
    return ensemble.scores(g, tree_rows(g, columns))


@register_converter("sklearn:IsolationForest", "score_samples")
def isolation(step: Any, columns: Frame, g: Conversion) -> Tensor:
    ensemble = rounding(1)
    lists = (
        step.estimators_,
        step.estimators_features_,
        step._decision_path_lengths,
        step._average_path_length_per_tree,
    )
    for tree, features, lengths, averages in zip(*lists, strict=True):
        add_tree(ensemble, tree.tree_, (lengths + averages - 1.0).reshape(-1, 1), features)
    depth = ensemble.scores(g, tree_rows(g, columns))
    size = float(len(step.estimators_) * _average_path_length(step._max_samples))
    return -(g.const(2.0) ** (depth / -size)) if size else -(depth * 0.0 + 0.5)


def _average_path_length(n: int) -> float:
    """Mean depth of an unsuccessful search in a binary tree of n rows.

    Source: Liu et al., Isolation Forest, 2008.
    """
    if n <= 1:
        return 0.0
    if n == 2:
        return 1.0
    return float(2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n)


@register_converter("sklearn:IsolationForest", "decision_function")
def isolation_decision(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "score_samples", columns) - float(step.offset_)


# Gradient boosting: one regression tree per class and stage.


def _boosted(model: Any) -> Ensemble:
    ensemble = rounding(model.estimators_.shape[1])
    for stage in model.estimators_:
        for k, tree in enumerate(stage):
            t = tree.tree_
            leaf = t.children_left == -1
            nodes = np.flatnonzero(leaf)
            weights = (nodes, np.full(len(nodes), k), t.value[nodes, 0, 0] * model.learning_rate)
            ensemble.add(
                t.feature,
                t.threshold,
                t.children_left,
                t.children_right,
                missing_left(t),
                leaf,
                weights,
            )
    return ensemble


def _constant_base(model: Any) -> np.ndarray | None:
    """The start value of the sums, or None if it depends on the row."""
    if isinstance(model.init_, str) or type(model.init_).__name__.startswith("Dummy"):
        zeros = np.zeros((1, model.n_features_in_), dtype="float32")
        return np.asarray(model._raw_predict_init(zeros), "float64").reshape(-1)
    return None


@register_converter("sklearn:GradientBoostingClassifier GradientBoostingRegressor", "_raw")
def boosted_raw(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if hasattr(step, "classes_") or _constant_base(step) is not None:
        return _started(g, step).scores(g, tree_rows(g, columns))
    return _boosted(step).scores(g, tree_rows(g, columns)) + g.predict(step.init_, columns, "init_")


def _started(g: Conversion, model: Any) -> Ensemble:
    """The trees and the constant at which their sums start."""
    base = _constant_base(model)
    if base is None:
        raise g.refuse(
            "a classifier that starts from another estimator (init) is not supported; use init=None or 'zero'"
        )
    ensemble = _boosted(model)
    ensemble.start_with(base)
    return ensemble


@register_converter("sklearn:GradientBoostingRegressor", "predict")
def boosted_regressor(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "_raw", columns)


@register_converter("sklearn:GradientBoostingClassifier", "decision_function")
def boosted_decision(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "_raw", columns)


def _classify(
    g: Conversion, loss: Any, ensemble: Ensemble, rows: TreeRows, zero_is_positive: bool
) -> tuple[Tensor, Tensor]:
    """Class index and probabilities.

    `zero_is_positive`: with two classes, a sum of zero gives the second class.
    """
    name = type(loss).__name__
    if name not in ("HalfBinomialLoss", "ExponentialLoss", "HalfMultinomialLoss"):
        raise g.refuse(f"the loss {name} is not supported")
    is_binary = ensemble.targets == 1
    scores = g.cast((ensemble.against_zero() if is_binary else ensemble).scores(g, rows), g.real)
    return g.argmax(scores, last=is_binary and zero_is_positive), g.softmax(
        scores * 2.0 if name == "ExponentialLoss" else scores
    )


@register_converter("sklearn:GradientBoostingClassifier", "_classified")
def boosted_classified(step: Any, columns: Frame, g: Conversion) -> tuple[Tensor, Tensor]:
    name = type(step._loss).__name__
    ensemble, rows = _started(g, step), tree_rows(g, columns)
    if g.real == "float32" and name != "ExponentialLoss":
        return ensemble.classify(
            g, rows, len(step.classes_), "LOGISTIC" if name == "HalfBinomialLoss" else "SOFTMAX"
        )
    return _classify(g, step._loss, ensemble, rows, zero_is_positive=True)


@register_converter(
    "sklearn:GradientBoostingClassifier HistGradientBoostingClassifier", "predict_proba"
)
def boosted_probabilities(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "_classified", columns)[1]


@register_converter(
    "sklearn:GradientBoostingClassifier HistGradientBoostingClassifier", "class_index"
)
def boosted_index(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "_classified", columns)[0]


# Histogram gradient boosting: raw thresholds, missing values, sets of categories.


def _members_of(bits: np.ndarray) -> np.ndarray:
    """The categories whose bits are set in a bitset of eight 32-bit words."""
    return np.flatnonzero(np.unpackbits(np.asarray(bits, "<u4").view("uint8"), bitorder="little"))


def _hist_ensemble(g: Conversion, model: Any, x: Frame) -> tuple[Ensemble, TreeRows]:
    if model._preprocessor is not None:
        x = g.transform(model._preprocessor, x, "preprocessor")
    singles = np.array(x.singles)
    # The thresholds of this model are often numbers of the training data.
    sets = CategoricalSets(g, compared(g, x, on_numbers=True))
    known, columns = model._bin_mapper.make_known_categories_bitsets()
    ensemble = Ensemble(model.n_trees_per_iteration_)
    ensemble.start_with(model._baseline_prediction)
    for stage in model._predictors:
        for k, predictor in enumerate(stage):
            nodes = predictor.nodes
            leaf = nodes["is_leaf"].astype(bool)
            feature, threshold = (
                nodes["feature_idx"].copy(),
                nodes["num_threshold"].astype("float64"),
            )
            missing = nodes["missing_go_to_left"].astype(bool)
            threshold = g.snap(threshold, singles[np.where(leaf, 0, feature)])
            for i in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf):
                left = _members_of(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][i]])
                every = _members_of(known[columns[feature[i]]])
                feature[i], threshold[i] = (
                    sets.split(int(feature[i]), left, every, bool(missing[i])),
                    0.5,
                )
            leaves = np.flatnonzero(leaf)
            weights = (leaves, np.full(len(leaves), k), nodes["value"][leaves])
            ensemble.add(feature, threshold, nodes["left"], nodes["right"], missing, leaf, weights)
    return ensemble, sets.rows()


@register_converter("sklearn:HistGradientBoostingClassifier HistGradientBoostingRegressor", "_raw")
def hist_raw(step: Any, columns: Frame, g: Conversion) -> Tensor:
    ensemble, rows = _hist_ensemble(g, step, columns)
    return g.cast(ensemble.scores(g, rows), g.real)


@register_converter("sklearn:HistGradientBoostingRegressor", "predict")
def hist_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return inverse_link(g, step._loss.link, g.call(step, "_raw", columns))


@register_converter("sklearn:HistGradientBoostingClassifier", "decision_function")
def hist_decision(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "_raw", columns)


@register_converter("sklearn:HistGradientBoostingClassifier", "_classified")
def hist_classified(step: Any, columns: Frame, g: Conversion) -> tuple[Tensor, Tensor]:
    binary = len(step.classes_) == 2
    ensemble, rows = _hist_ensemble(g, step, columns)
    if rows.dtype == "float32":
        transform = "LOGISTIC" if binary else "SOFTMAX"
        return ensemble.classify(g, rows, len(step.classes_), transform)
    return _classify(g, step._loss, ensemble, rows, zero_is_positive=False)
