"""Converters of density models: naive Bayes, discriminant analysis, mixtures, covariances."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.numeric import row_sum
from ..registry import Conversion, converts
from .kernels import manhattan, squared_distances
from .linear_model import affine, sides

NAIVE = "GaussianNB BernoulliNB MultinomialNB ComplementNB CategoricalNB"


@converts("sklearn", NAIVE, "joint")
def joint(g: Conversion, model: Any, x: Frame) -> Any:
    """Log-likelihood of each class, without the terms that all classes share.

    Computes in double, because the terms are large and cancel each other.
    """
    y = x.matrix("float64")
    name = type(model).__name__
    if name == "GaussianNB":
        return _gaussian(g, model, x)
    if name == "CategoricalNB":
        return _categorical(g, model, x)
    logs = np.asarray(model.feature_log_prob_, "float64")
    if name == "BernoulliNB":
        if model.binarize is not None:
            y = g.cast(y > g.snap(np.full((1, x.width), model.binarize), x.singles), "float64")
        negative = np.log(1.0 - np.exp(logs))
        bias = np.asarray(model.class_log_prior_) + negative.sum(axis=1)
        return (y @ (logs - negative).T) + bias.reshape(1, -1)
    if name == "ComplementNB" and len(model.classes_) > 1:
        return y @ logs.T
    return (y @ logs.T) + np.asarray(model.class_log_prior_).reshape(1, -1)


def _is_single(g: Conversion, x: Frame, fitted: Any) -> bool:
    """Whether the model computes in float32: it was fitted on float32, and receives float32."""
    return (
        g.steps is not None
        and set(x.dtypes) == {"float32"}
        and np.asarray(fitted).dtype == np.float32
    )


def _gaussian(g: Conversion, model: Any, x: Frame) -> Tensor:
    """Naive Bayes with normal densities.

    Computes in float32 if the model was fitted on float32 and receives float32: the model's squares
    of large numbers then overflow to infinity, and those of the graph must overflow too.
    """
    y = x.matrix("float32" if _is_single(g, x, model.theta_) else "float64")
    terms = []
    for prior, mean, variance in zip(model.class_prior_, model.theta_, model.var_, strict=True):
        d = y - mean.reshape(1, -1)
        constant = -0.5 * np.sum(np.log(2.0 * np.pi * variance))
        terms.append(
            (row_sum(g, d * d / variance.reshape(1, -1)) * -0.5 + float(constant))
            + float(np.log(prior))
        )
    return g.concat(terms)


def _categorical(g: Conversion, model: Any, x: Frame) -> Tensor:
    total: Any = np.asarray(model.class_log_prior_, "float64").reshape(1, -1)
    for k, logs in enumerate(model.feature_log_prob_):
        # A fraction counts as its integer part. An unknown code makes the graph fail when it runs,
        # as in scikit-learn. The engine's error names the index that is out of range. Every
        # unknown code becomes the same index here, because an error must not hold a value of the
        # data.
        column = g.cast(x.column(k), "float64")
        known = (column > -1.0) & (column < float(np.shape(logs)[1]))
        code = g.cast(g.flatten(g.where(known, column, 1e9)), "int64")
        picked = g.gather(g.const(np.asarray(logs).T, "float64"), code)
        picked.width = len(model.classes_)
        total = picked + total
    result: Tensor = total
    return result


@converts("sklearn", NAIVE, "predict_proba")
def naive_probabilities(g: Conversion, model: Any, x: Frame) -> Tensor:
    return g.cast(shares(g, g.call(model, "joint", x)), g.real)


def shares(g: Conversion, logs: Tensor) -> Tensor:
    """exp(logs - logsumexp(logs)), computed as in scikit-learn.

    If the logs are so large that adding the logarithm of a sum does not change them, every class
    with the largest log gets 1.
    """
    return g.exp(logs - g.logsumexp(logs))


@converts("sklearn", NAIVE, "index")
def naive_index(g: Conversion, model: Any, x: Frame) -> Tensor:
    return g.argmax(g.call(model, "joint", x))


# Discriminant analysis.


@converts("sklearn", "LinearDiscriminantAnalysis", "decision_function")
def linear_discriminant(g: Conversion, model: Any, x: Frame) -> Tensor:
    return affine(g, x, model.coef_, model.intercept_)


@converts("sklearn", "LinearDiscriminantAnalysis", "predict_proba")
def linear_discriminant_probabilities(g: Conversion, model: Any, x: Frame) -> Tensor:
    if len(model.classes_) == 2:
        return g.sigmoid(sides(g, x, model.coef_, model.intercept_))
    return g.softmax(g.call(model, "decision_function", x))


@converts("sklearn", "LinearDiscriminantAnalysis", "index")
def linear_discriminant_index(g: Conversion, model: Any, x: Frame) -> Tensor:
    if len(model.classes_) == 2:
        return g.argmax(sides(g, x, model.coef_, model.intercept_))
    return g.argmax(g.call(model, "decision_function", x))


@converts("sklearn", "LinearDiscriminantAnalysis", "transform")
def linear_discriminant_transform(g: Conversion, model: Any, x: Frame) -> Tensor:
    if model.solver == "lsqr":
        raise g.refuse("transform is not available with solver='lsqr'")
    y = x.matrix()
    if model.solver == "svd":
        y = y - np.asarray(model.xbar_).reshape(1, -1)
    return g.columns(y @ np.asarray(model.scalings_, "float64"), range(model._max_components))


@converts("sklearn", "QuadraticDiscriminantAnalysis", "all_scores")
def quadratic_scores(g: Conversion, model: Any, x: Frame) -> Tensor:
    """Computes in double. If the model computes in float32, squares overflow as they do there."""
    y = x.matrix("float64")
    is_single = _is_single(g, x, model.means_)
    terms = []
    for rotation, scaling, mean, prior in zip(
        model.rotations_, model.scalings_, model.means_, model.priors_, strict=True
    ):
        z = (y - np.asarray(mean).reshape(1, -1)) @ (rotation * scaling**-0.5)
        squares = g.sum(z * z)
        if is_single:
            squares = g.where(squares > float(np.finfo("float32").max), np.inf, squares)
        terms.append((squares + float(np.sum(np.log(scaling)))) * -0.5 + float(np.log(prior)))
    return g.concat(terms)


@converts("sklearn", "QuadraticDiscriminantAnalysis NearestCentroid", "decision_function")
def quadratic_decision(g: Conversion, model: Any, x: Frame) -> Tensor:
    scores = g.call(model, "all_scores", x)
    if len(model.classes_) == 2:
        scores = g.columns(scores, [1]) - g.columns(scores, [0])
    return g.cast(scores, g.real)


@converts("sklearn", "QuadraticDiscriminantAnalysis NearestCentroid", "predict_proba")
def quadratic_probabilities(g: Conversion, model: Any, x: Frame) -> Tensor:
    return g.cast(g.softmax(g.call(model, "all_scores", x)), g.real)


@converts("sklearn", "QuadraticDiscriminantAnalysis", "index")
def quadratic_index(g: Conversion, model: Any, x: Frame) -> Tensor:
    return g.argmax(g.call(model, "all_scores", x))


@converts("sklearn", "NearestCentroid", "all_scores")
def centroid_scores(g: Conversion, model: Any, x: Frame) -> Any:
    if model.metric not in ("euclidean", "l2"):
        raise g.refuse("decision values exist for the Euclidean metric only")
    deviation = np.asarray(model.within_class_std_dev_, "float64")
    scale = np.where(deviation == 0.0, 1.0, deviation)
    y = x.matrix("float64") / g.const(scale.reshape(1, -1), "float64")
    # scikit-learn takes the root and then squares it. The graph must repeat this: where all
    # distances are very large, the rounding error of the root decides which class is nearest.
    d = g.sqrt(squared_distances(g, y, np.asarray(model.centroids_) / scale))
    return -(d * d - 2.0 * np.log(np.asarray(model.class_prior_, "float64")).reshape(1, -1))


@converts("sklearn", "NearestCentroid", "index")
def centroid_index(g: Conversion, model: Any, x: Frame) -> Tensor:
    if np.isclose(model.class_prior_, 1.0 / len(model.classes_)).all():
        y = x.matrix("float64")
        is_square = model.metric in ("euclidean", "l2")
        return g.argmin((squared_distances if is_square else manhattan)(g, y, model.centroids_))
    return g.argmax(g.call(model, "all_scores", x))


# Mixtures.


@converts("sklearn", "GaussianMixture BayesianGaussianMixture", "weighted")
def weighted_log(g: Conversion, model: Any, x: Frame) -> Any:
    """The log density of each component plus the logarithm of its weight, [N, components]."""
    y = x.matrix() if g.steps is not None else x.matrix("float64")
    means = np.asarray(model.means_)
    components, features = means.shape
    log_prob = _mixture_squares(g, model, y, means)
    roots = _cholesky(model, components, features)
    determinants = np.array([np.sum(np.log(np.diag(f))) for f in roots]).reshape(1, -1)
    result = (log_prob + float(features * np.log(2.0 * np.pi))) * -0.5 + determinants
    if type(model).__name__ == "BayesianGaussianMixture":
        zero = means[:1].astype("float64")
        plain = np.asarray(_log_gaussian(roots, means.astype("float64"), zero))
        result = result + (np.asarray(model._estimate_log_prob(zero))[0] - plain).reshape(1, -1)
    return result + np.asarray(model._estimate_log_weights(), "float64").reshape(1, -1)


def _mixture_squares(g: Conversion, model: Any, y: Tensor, means: np.ndarray) -> Any:
    """|(x - mean) root|^2 of each component, [N, components].

    The product is expanded if the model expands it: for large numbers, the rounding errors of the
    expanded form differ from those of the other form.
    """
    roots = np.asarray(model.precisions_cholesky_)
    if model.covariance_type in ("full", "tied"):
        terms = []
        for k, mean in enumerate(means):
            root = roots if model.covariance_type == "tied" else roots[k]
            z = (y @ root) - (mean @ root).reshape(1, -1)
            terms.append(row_sum(g, z * z))
        return g.concat(terms)
    precisions = roots**2
    if model.covariance_type == "diag":
        sizes = np.sum(means**2 * precisions, axis=1).reshape(1, -1)
        return (y @ (means * precisions).T) * -2.0 + sizes + (y * y) @ precisions.T
    sizes = (np.sum(means**2, axis=1) * precisions).reshape(1, -1)
    return (
        (y @ (means.T * precisions)) * -2.0 + sizes + row_sum(g, y * y) @ precisions.reshape(1, -1)
    )


def _log_gaussian(cholesky: list[np.ndarray], means: np.ndarray, row: np.ndarray) -> list[float]:
    features = means.shape[1]
    return [
        float(
            -0.5 * (features * np.log(2 * np.pi) + np.sum((row @ f - m @ f) ** 2))
            + np.sum(np.log(np.diag(f)))
        )
        for f, m in zip(cholesky, means, strict=True)
    ]


def _cholesky(model: Any, components: int, features: int) -> list[np.ndarray]:
    """Square roots of the precision matrices, one [features, features] per component."""
    roots = np.asarray(model.precisions_cholesky_, "float64")
    if model.covariance_type == "full":
        return list(roots)
    if model.covariance_type == "tied":
        return [roots] * components
    if model.covariance_type == "diag":
        return [np.diag(r) for r in roots]
    return [np.eye(features) * r for r in roots]


@converts("sklearn", "GaussianMixture BayesianGaussianMixture", "predict_proba")
def mixture_probabilities(g: Conversion, model: Any, x: Frame) -> Tensor:
    return g.cast(shares(g, g.call(model, "weighted", x)), g.real)


@converts("sklearn", "GaussianMixture BayesianGaussianMixture", "index")
def mixture_index(g: Conversion, model: Any, x: Frame) -> Tensor:
    return g.argmax(g.call(model, "weighted", x))


# Covariances.


@converts("sklearn", "EllipticEnvelope", "decision_function")
def envelope(g: Conversion, model: Any, x: Frame) -> Tensor:
    d = x.matrix("float64") - np.asarray(model.location_).reshape(1, -1)
    distance = g.sum((d @ np.asarray(model.get_precision(), "float64")) * d)
    # scikit-learn takes the root of the distance and squares it again; the graph leaves out both.
    return g.cast(-distance - float(model.offset_), g.real)
