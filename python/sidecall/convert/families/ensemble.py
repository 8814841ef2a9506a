"""Converters of ensembles of arbitrary estimators: voting, stacking, bagging, boosting, multiclass
reductions, chains.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_regressor

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.frame import Frame, join
from ..graph.tree_rows import TreeRows
from ..registry import Conversion
from .linear_model import pair, sign_index
from .tree import add_tree, rounding, tree_rows


def _mean(g: Conversion, parts: list[Tensor], weights: Any = None) -> Tensor:
    shares = np.full(len(parts), 1.0) if weights is None else np.asarray(weights, "float64")
    total: Tensor | None = None
    for part, share in zip(parts, shares, strict=True):
        term = g.cast(part, g.real)
        term = term if weights is None else term * float(share)
        total = term if total is None else total + term
    assert total is not None
    return total / float(shares.sum())


def _names(model: Any) -> list[str]:
    return [
        name for name, step in model.estimators if not (isinstance(step, str) and step == "drop")
    ]


# Voting.


@register_converter("sklearn:VotingRegressor", "predict")
def voting_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    parts = [g.predict(m, columns, n) for m, n in zip(step.estimators_, _names(step), strict=True)]
    return _mean(g, parts, step._weights_not_none)


@register_converter("sklearn:VotingClassifier", "predict_proba")
def voting_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    parts = [
        g.call(m, "predict_proba", columns, n)
        for m, n in zip(step.estimators_, _names(step), strict=True)
    ]
    return _mean(g, parts, step._weights_not_none)


@register_converter("sklearn:VotingClassifier", "class_index")
def voting_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if isinstance(step.classes_, list):
        raise g.refuse("several outputs are not supported")
    if step.voting == "soft":
        return g.argmax(g.call(step, "predict_proba", columns))
    votes = [
        one_hot_votes(g, g.call(m, "class_index", columns, n), len(step.classes_))
        for m, n in zip(step.estimators_, _names(step), strict=True)
    ]
    return g.argmax(_mean(g, votes, step._weights_not_none))


def one_hot_votes(g: Conversion, index: Tensor, classes: int) -> Tensor:
    return g.cast(g.column(index).equals(g.const(np.arange(classes).reshape(1, -1))), g.real)


# Stacking.


@register_converter("sklearn:StackingClassifier StackingRegressor", "transform")
def stacked(step: Any, columns: Frame, g: Conversion) -> Frame:
    parts: list[Frame] = []
    names = _names(step)
    if isinstance(getattr(step, "classes_", None), list):
        raise g.refuse("several outputs are not supported")
    for member, name, method in zip(step.estimators_, names, step.stack_method_, strict=True):
        values = (
            g.predict(member, columns, name)
            if method == "predict"
            else g.call(member, method, columns, name)
        )
        if method == "predict_proba" and len(step.classes_) == 2:
            values = g.columns(values, [1])
        parts.append(g.frame(values))
    if step.passthrough:
        parts.append(columns)
    return join(g, parts)


@register_converter("sklearn:StackingRegressor", "predict")
def stacking_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.predict(step.final_estimator_, g.transform(step, columns), "final_estimator_")


def _register_stacking(method: str) -> None:
    @register_converter("sklearn:StackingClassifier", method)
    def stacking_classifier(step: Any, columns: Frame, g: Conversion) -> Tensor:
        result: Tensor = g.call(
            step.final_estimator_, method, g.transform(step, columns), "final_estimator_"
        )
        return result


for _method in ("predict_proba", "decision_function", "class_index"):
    _register_stacking(_method)


# Bagging and boosting of any estimator.


def _plain_trees(members: list[Any], kind: str) -> bool:
    return all(
        type(m).__module__.startswith("sklearn.tree") and kind in type(m).__name__ for m in members
    )


@register_converter("sklearn:BaggingRegressor", "predict")
def bagging_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if _plain_trees(step.estimators_, "Regressor"):
        ensemble = rounding(step.estimators_[0].n_outputs_)
        for tree, features in zip(step.estimators_, step.estimators_features_, strict=True):
            add_tree(
                ensemble, tree.tree_, tree.tree_.value[:, :, 0] / len(step.estimators_), features
            )
        return ensemble.scores(g, tree_rows(g, columns))
    parts = [g.predict(m, columns.select(f), f"estimators_[{i}]") for i, (m, f) in _bag(step)]
    return _mean(g, parts)


def _bag(model: Any) -> list[tuple[int, tuple[Any, Any]]]:
    return list(enumerate(zip(model.estimators_, model.estimators_features_, strict=True)))


@register_converter("imblearn:BalancedBaggingClassifier EasyEnsembleClassifier", "predict_proba")
@register_converter("sklearn:BaggingClassifier", "predict_proba")
def bagging_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    parts = []
    for i, (member, features) in _bag(step):
        name, chosen = f"estimators_[{i}]", columns.select(features)
        known = np.asarray(member.classes_).astype(int)
        if hasattr(member, "predict_proba"):
            part = g.call(member, "predict_proba", chosen, name)
        else:
            part = one_hot_votes(g, g.call(member, "class_index", chosen, name), len(known))
        if len(known) != step.n_classes_:
            spread = np.zeros((len(known), step.n_classes_))
            spread[np.arange(len(known)), known] = 1.0
            part = g.cast(part, g.real) @ spread
        parts.append(part)
    return _mean(g, parts)


@register_converter("imblearn:RUSBoostClassifier", "decision_function")
@register_converter("sklearn:AdaBoostClassifier", "decision_function")
def ada_decision(step: Any, columns: Frame, g: Conversion) -> Tensor:
    classes = len(step.classes_)
    if classes < 2:
        raise g.refuse("it was fitted on only one class")
    weights = (
        np.asarray(step.estimator_weights_[: len(step.estimators_)], "float64")
        / step.estimator_weights_.sum()
    )
    if _plain_trees(step.estimators_, "Classifier"):
        scores = _ada_trees(g, step, weights, tree_rows(g, columns))
    else:
        parts = []
        for i, (member, w) in enumerate(zip(step.estimators_, weights, strict=True)):
            votes = one_hot_votes(
                g, g.call(member, "class_index", columns, f"estimators_[{i}]"), classes
            )
            parts.append(votes @ _ada_table(step, member, w))
        scores = _mean(g, parts) * float(len(parts))
    if classes == 2:
        return g.columns(scores, [1]) - g.columns(scores, [0])
    return scores


def _ada_table(model: Any, member: Any, weight: float) -> np.ndarray:
    """The scores that a member adds to the classes, as a table [classes, classes].

    Row i has the scores that the member adds if it predicts the i-th of its own classes.
    """
    classes = len(model.classes_)
    table = np.full((classes, classes), -weight / (classes - 1))
    for row, label in enumerate(member.classes_):
        table[row, int(np.flatnonzero(model.classes_ == label)[0])] = weight
    return table


def _ada_trees(g: Conversion, model: Any, weights: np.ndarray, x: TreeRows) -> Tensor:
    ensemble = rounding(len(model.classes_))
    for tree, weight in zip(model.estimators_, weights, strict=True):
        predicted = np.argmax(tree.tree_.value[:, 0, :], axis=1)
        add_tree(ensemble, tree.tree_, _ada_table(model, tree, weight)[predicted])
    return ensemble.scores(g, x)


@register_converter("imblearn:RUSBoostClassifier", "class_index")
@register_converter("sklearn:AdaBoostClassifier", "class_index")
def ada_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return sign_index(g, g.call(step, "decision_function", columns))


@register_converter("imblearn:RUSBoostClassifier", "predict_proba")
@register_converter("sklearn:AdaBoostClassifier", "predict_proba")
def ada_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    scores = g.call(step, "decision_function", columns)
    if len(step.classes_) == 2:
        return g.softmax(g.concat([-scores, scores]) / 2.0)
    return g.softmax(scores / float(len(step.classes_) - 1))


@register_converter("sklearn:AdaBoostRegressor", "predict")
def ada_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """The weighted median of the members' answers.

    The weighted median is the smallest answer at which the cumulated weight reaches one half.
    """
    answers = g.concat(
        [g.predict(m, columns, f"estimators_[{i}]") for i, m in enumerate(step.estimators_)]
    )
    count = len(step.estimators_)
    ordered, place = g.topk(answers, count)
    weights = np.asarray(step.estimator_weights_[:count], "float64").reshape(-1)
    picked = g.gather(g.const(weights, "float64"), place)
    cumulated = g.op("CumSum", picked, g.const(1), width=count)
    reached = cumulated >= g.columns(cumulated, [count - 1]) * 0.5
    first = g.argmax(g.cast(reached, "float32"), keep=True)
    return g.op("GatherElements", ordered, first, width=1, axis=1)


# One against the rest, one against one, error-correcting codes.


def binary_score(g: Conversion, member: Any, x: Frame, step: str) -> Any:
    """The confidence of a two-class member in its second class, as in sklearn.multiclass."""
    if is_regressor(member):
        return g.predict(member, x, step)
    if hasattr(member, "decision_function"):
        return g.call(member, "decision_function", x, step)
    return g.columns(g.call(member, "predict_proba", x, step), [1])


@register_converter("sklearn:_ConstantPredictor", "decision_function")
def constant_decision(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.columns(columns.matrix(), [0]) * 0.0 + float(np.asarray(step.y_).ravel()[0])


@register_converter("sklearn:_ConstantPredictor", "predict_proba")
def constant_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return pair(g, g.columns(columns.matrix(), [0]) * 0.0 + float(np.asarray(step.y_).ravel()[0]))


def _each(g: Conversion, model: Any, x: Frame, features: Any = None) -> list[Tensor]:
    return [binary_score(g, m, x, f"estimators_[{i}]") for i, m in enumerate(model.estimators_)]


@register_converter("sklearn:OneVsRestClassifier", "decision_function")
def rest_decision(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.concat(
        [
            g.call(m, "decision_function", columns, f"estimators_[{i}]")
            for i, m in enumerate(step.estimators_)
        ]
    )


@register_converter("sklearn:OneVsRestClassifier", "predict_proba")
def rest_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    parts = [
        g.columns(g.call(m, "predict_proba", columns, f"estimators_[{i}]"), [1])
        for i, m in enumerate(step.estimators_)
    ]
    if len(parts) == 1:
        return pair(g, parts[0])
    y = g.concat(parts)
    if step.multilabel_:
        return y
    total = g.sum(y)
    return y / g.where(total.equals(0.0), 1.0, total)


@register_converter("sklearn:OneVsRestClassifier", "class_index")
def rest_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    first = step.estimators_[0]
    threshold = 0.0 if hasattr(first, "decision_function") and not is_regressor(first) else 0.5
    scores = g.concat(_each(g, step, columns))
    if step.multilabel_:
        return g.cast(scores > threshold, "int64")
    if len(step.estimators_) == 1:
        return g.cast(g.flatten(scores > threshold), "int64")
    return g.argmax(scores)


@register_converter("sklearn:OneVsOneClassifier", "decision_function")
def pairs_decision(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if step.pairwise_indices_ is not None:
        raise g.refuse("its estimators use a precomputed kernel, which is not supported")
    votes = [g.labels(m, columns, f"estimators_[{i}]") for i, m in enumerate(step.estimators_)]
    scores = ovr_decision(g, g.concat(votes), g.concat(_each(g, step, columns)), len(step.classes_))
    return g.columns(scores, [1]) if len(step.classes_) == 2 else scores


def ovr_decision(g: Conversion, votes: Tensor, confidences: Tensor, classes: int) -> Tensor:
    """The score of each class: how many pairs it wins, plus a fraction for its confidence.

    A vote is 0 if the first class of the pair wins, and 1 if the second class wins. The sum of the
    confidences is scaled to less than one third. scikit-learn computes the same scores.
    """
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    lose, win = (np.zeros((len(pairs), classes)) for _ in range(2))
    for k, (i, j) in enumerate(pairs):
        lose[k, i], win[k, j] = 1.0, 1.0
    # Not a product with a matrix of -1, 0 and 1: a confidence that is not finite belongs to its two
    # classes only.
    own = [[k for k, pair in enumerate(pairs) if i in pair] for i in range(classes)]
    signs = [[-1.0 if pairs[k][0] == i else 1.0 for k in own[i]] for i in range(classes)]
    chosen = g.columns(confidences, np.concatenate(own)) * np.reshape(signs, (1, -1))
    total = g.sum(g.reshape(chosen, (-1, classes, classes - 1)), axis=2, keep=False)
    total.width = classes
    return (1.0 - votes) @ lose + votes @ win + total / (g.abs(total) * 3.0 + 3.0)


@register_converter("sklearn:OneVsOneClassifier", "class_index")
def pairs_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    scores = g.call(step, "decision_function", columns)
    if len(step.classes_) > 2:
        return g.argmax(scores)
    first = step.estimators_[0]
    threshold = 0.0 if hasattr(first, "decision_function") and not is_regressor(first) else 0.5
    return g.cast(g.flatten(scores > threshold), "int64")


@register_converter("sklearn:OutputCodeClassifier", "class_index")
def codes_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    y = g.concat(_each(g, step, columns))
    book = np.asarray(step.code_book_, "float64")
    # The squared distance |y - b|^2 without the term |y|^2, which is the same for every class.
    distances = (y @ (-2.0 * book.T)) + (book * book).sum(axis=1).reshape(1, -1)
    return g.argmin(distances)


# Several outputs.


@register_converter("sklearn:MultiOutputRegressor", "predict")
def multi_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.concat(
        [
            g.cast(g.predict(m, columns, f"estimators_[{i}]"), g.real)
            for i, m in enumerate(step.estimators_)
        ]
    )


@register_converter("sklearn:MultiOutputClassifier", "class_index")
def multi_classifier(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.concat(
        [
            g.column(g.call(m, "class_index", columns, f"estimators_[{i}]"))
            for i, m in enumerate(step.estimators_)
        ]
    )


def _chain(g: Conversion, model: Any, x: Frame) -> list[tuple[Any, Frame, str]]:
    """Each member of the chain with its input: the row and the answers of the members before it."""
    method = getattr(model, "chain_method_", "predict")
    links, frame = [], x
    for i, member in enumerate(model.estimators_):
        step = f"estimators_[{i}]"
        links.append((member, frame, step))
        if i + 1 < len(model.estimators_):
            if method == "predict":
                answer = g.predict(member, frame, step)
            elif method == "predict_proba":
                answer = g.columns(g.call(member, method, frame, step), [1])
            elif method == "decision_function":
                answer = g.call(member, method, frame, step)
            else:
                raise g.refuse(f"chain_method '{method}' is not supported")
            frame = join(g, [frame, g.frame(answer)])
    return links


def _unordered(g: Conversion, model: Any, columns: list[Tensor]) -> Tensor:
    order = [int(i) for i in model.order_]
    return g.concat([columns[order.index(k)] for k in range(len(order))])


@register_converter("sklearn:RegressorChain", "predict")
def regressor_chain(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return _unordered(
        g, step, [g.cast(g.predict(m, f, s), g.real) for m, f, s in _chain(g, step, columns)]
    )


@register_converter("sklearn:ClassifierChain", "class_index")
def classifier_chain(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return _unordered(
        g, step, [g.column(g.call(m, "class_index", f, s)) for m, f, s in _chain(g, step, columns)]
    )


@register_converter("sklearn:ClassifierChain", "predict_proba")
def chain_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return _unordered(
        g,
        step,
        [g.columns(g.call(m, "predict_proba", f, s), [1]) for m, f, s in _chain(g, step, columns)],
    )


@register_converter("sklearn:ClassifierChain", "decision_function")
def chain_decision(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return _unordered(
        g, step, [g.call(m, "decision_function", f, s) for m, f, s in _chain(g, step, columns)]
    )
