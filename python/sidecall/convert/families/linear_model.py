"""Converters of linear models, and functions for models of the same form: links, margins, one
against the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.one_hot import OneHot
from ..graph.terms import Terms
from ..registry import Conversion

REGRESSORS = (
    "LinearRegression Ridge RidgeCV Lasso LassoCV LassoLars LassoLarsCV LassoLarsIC Lars LarsCV "
    "ElasticNet ElasticNetCV "
    "MultiTaskElasticNet MultiTaskElasticNetCV MultiTaskLasso MultiTaskLassoCV BayesianRidge "
    "ARDRegression "
    "HuberRegressor QuantileRegressor TheilSenRegressor OrthogonalMatchingPursuit "
    "OrthogonalMatchingPursuitCV "
    "SGDRegressor PassiveAggressiveRegressor LinearSVR"
)
CLASSIFIERS = (
    "LogisticRegression LogisticRegressionCV SGDClassifier Perceptron PassiveAggressiveClassifier "
    "LinearSVC "
    "RidgeClassifier RidgeClassifierCV"
)


def product(g: Conversion, x: Frame | Tensor, weights: Any, bias: Any = None) -> Tensor:
    """x @ weights + bias, [N, K]; `weights` is [width, K], and `bias` [K] or a number.

    A column of categories becomes a look-up of its weights, and only the terms that a text has are
    multiplied.
    """
    weights = np.asarray(weights, dtype="float64")
    if bias is not None:
        bias = np.asarray(bias, dtype="float64").reshape(-1)
        bias = np.broadcast_to(bias, (weights.shape[1],))
    if isinstance(x, Terms):
        return x.weighted(weights, 0.0 if bias is None else bias)
    if isinstance(x, Frame) and any(isinstance(part, (OneHot, Terms)) for part in x.parts):
        return _looked_up(g, x, weights, np.zeros(weights.shape[1]) if bias is None else bias)
    matrix = x.matrix() if isinstance(x, Frame) else x
    if bias is None:
        result: Tensor = matrix @ weights
        return result
    return g.op("Gemm", matrix, g.const(weights), g.const(bias), width=weights.shape[1])


def _looked_up(g: Conversion, x: Frame, weights: np.ndarray, bias: np.ndarray) -> Tensor:
    ends = np.cumsum([part.width for part in x.parts])
    rows = np.split(weights, ends[:-1])
    pairs = list(zip(x.parts, rows, strict=True))
    plain = [(part, w) for part, w in pairs if not isinstance(part, (OneHot, Terms))]
    terms = []
    if plain:
        matrix = Frame(g, [part for part, _ in plain])
        terms.append(product(g, matrix, np.vstack([w for _, w in plain]), bias))
    for part, w in pairs:
        if isinstance(part, (OneHot, Terms)):
            terms.append(part.weighted(w, 0.0 if terms else bias))
    return sum(terms[1:], terms[0])


def affine(g: Conversion, x: Frame | Tensor, coef: Any, intercept: Any) -> Tensor:
    """x @ coef.T + intercept, [N, K]."""
    return product(g, x, np.atleast_2d(np.asarray(coef, dtype="float64")).T, intercept)


def sides(g: Conversion, x: Frame | Tensor, coef: Any, intercept: Any) -> Tensor:
    """Computes [-z, z] for two classes in one node.

    The sigmoid of each value is the probability of its class; the larger value gives the class. The
    class is computed from these values and not from the probabilities, because for small z both
    probabilities round to 0.5. A tie gives the first class.
    """
    weights = np.asarray(coef, dtype="float64").reshape(1, -1)
    bias = np.asarray(intercept, dtype="float64").reshape(-1)
    return affine(g, x, np.vstack([-weights, weights]), np.concatenate([-bias, bias]))


def pair(g: Conversion, positive: Tensor) -> Tensor:
    """The probabilities [1 - p, p] of two classes."""
    return g.concat([1.0 - positive, positive])


def normalized(g: Conversion, x: Tensor, classes: int) -> Tensor:
    """Rows divided by their sum; a row of zeros becomes uniform."""
    total = g.sum(x)
    zero = total.equals(0.0)
    return g.where(zero, 1.0 / classes, x / g.where(zero, 1.0, total))


def sign_index(g: Conversion, scores: Tensor, strict: bool = True) -> Tensor:
    """The class index of decision values.

    A single value gives class 1 if it is above zero; several values give the position of the
    largest.
    """
    if scores.width == 1:
        positive = scores > 0.0 if strict else scores >= 0.0
        return g.cast(g.flatten(positive), "int64")
    return g.argmax(scores)


@register_converter(f"sklearn:{REGRESSORS}", "predict")
def regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return affine(g, columns, step.coef_, step.intercept_)


@register_converter(f"sklearn:{CLASSIFIERS}", "decision_function")
def decision(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return affine(g, columns, step.coef_, step.intercept_)


def _two_sided(model: Any) -> bool:
    """Whether the model has two classes and probabilities.

    The outputs of such a model are the label and the probabilities. Both follow from `sides`, which
    is one node; decision values would need an additional node.
    """
    return hasattr(model, "predict_proba") and np.shape(model.coef_)[0] == 1


@register_converter(f"sklearn:{CLASSIFIERS}", "class_index")
def linear_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if _two_sided(step):
        return g.argmax(sides(g, columns, step.coef_, step.intercept_))
    binarizer = getattr(step, "_label_binarizer", None)
    scores = g.call(step, "decision_function", columns)
    if binarizer is not None and binarizer.y_type_.startswith("multilabel"):
        return g.cast(scores > 0.0, "int64")
    return sign_index(g, scores)


@register_converter("sklearn:LogisticRegression LogisticRegressionCV", "predict_proba")
def logistic(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if _two_sided(step):
        return g.sigmoid(sides(g, columns, step.coef_, step.intercept_))
    return g.softmax(g.call(step, "decision_function", columns))


@register_converter("sklearn:SGDClassifier", "predict_proba")
def sgd_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    two = _two_sided(step)
    scores = (
        sides(g, columns, step.coef_, step.intercept_)
        if two
        else g.call(step, "decision_function", columns)
    )
    p = (
        g.sigmoid(scores)
        if step.loss == "log_loss"
        else (g.minimum(g.maximum(scores, -1.0), 1.0) + 1.0) / 2.0
    )
    return p if two else normalized(g, p, len(step.classes_))


@register_converter("sklearn:PoissonRegressor GammaRegressor TweedieRegressor", "predict")
def generalized(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return inverse_link(g, step._base_loss.link, affine(g, columns, step.coef_, step.intercept_))


def inverse_link(g: Conversion, link: Any, raw: Tensor) -> Tensor:
    name = type(link).__name__
    if name == "IdentityLink":
        return raw
    if name == "LogLink":
        return g.exp(raw)
    if name == "LogitLink":
        return g.sigmoid(raw)
    raise g.refuse(f"the link {name} is not supported")


@register_converter("sklearn:RANSACRegressor", "predict")
def ransac(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.predict(step.estimator_, columns, "estimator_")


@register_converter("sklearn:SGDOneClassSVM", "decision_function")
def one_class(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return affine(g, columns, step.coef_, -np.asarray(step.offset_))


@register_converter("sklearn:DummyClassifier", "predict_proba")
def dummy_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if step.strategy not in ("prior", "most_frequent", "constant"):
        raise g.refuse(
            f"strategy '{step.strategy}' draws at random; use 'prior', 'most_frequent' or "
            "'constant'"
        )
    if step.n_outputs_ > 1:
        raise g.refuse("several outputs are not supported by this converter")
    row = step.predict_proba(np.zeros((1, 1)))
    return _rows(g, columns, row)


@register_converter("sklearn:DummyClassifier", "class_index")
def dummy_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    g.call(step, "predict_proba", columns)
    label = step.predict(np.zeros((1, 1)))[0]
    index = int(np.flatnonzero(step.classes_ == label)[0])
    return g.op("Expand", g.const([index]), g.rows_of(columns.parts[0]), dtype="int64")


@register_converter("sklearn:DummyRegressor", "predict")
def dummy_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return _rows(g, columns, np.atleast_2d(step.constant_))


def _rows(g: Conversion, x: Frame, row: np.ndarray) -> Tensor:
    """Repeats `row` for each row of x."""
    shape = g.concat([g.rows_of(x.parts[0]), g.const([row.shape[1]])], axis=0)
    return g.op(
        "Expand", g.const(np.asarray(row, "float64")), shape, dtype=g.real, width=row.shape[1]
    )
