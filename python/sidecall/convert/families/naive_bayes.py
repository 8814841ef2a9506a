"""Converters of density models: naive Bayes, discriminant analysis, mixtures, covariances."""

from __future__ import annotations

from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.numeric import row_sum
from ..registry import Conversion
from .kernels import manhattan, squared_distances
from .linear_model import affine, sides

NAIVE = "GaussianNB BernoulliNB MultinomialNB ComplementNB CategoricalNB"


@register_converter(f"sklearn:{NAIVE}", "_joint")
def joint(step: Any, columns: Frame, g: Conversion) -> Any:
    """Log-likelihood of each class, without the terms that all classes share.

    Computes in double, because the terms are large and cancel each other.
    """
    y = columns.matrix("float64")
    name = type(step).__name__
    if name == "GaussianNB":
        return _gaussian(g, step, columns)
    if name == "CategoricalNB":
        return _categorical(g, step, columns)
    logs = np.asarray(step.feature_log_prob_, "float64")
    if name == "BernoulliNB":
        if step.binarize is not None:
            y = g.cast(
                y > g.snap(np.full((1, columns.width), step.binarize), columns.singles), "float64"
            )
        negative = np.log(1.0 - np.exp(logs))
        bias = np.asarray(step.class_log_prior_) + negative.sum(axis=1)
        return (y @ (logs - negative).T) + bias.reshape(1, -1)
    if name == "ComplementNB" and len(step.classes_) > 1:
        return y @ logs.T
    return (y @ logs.T) + np.asarray(step.class_log_prior_).reshape(1, -1)


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


@register_converter(f"sklearn:{NAIVE}", "predict_proba")
def naive_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.cast(shares(g, g.call(step, "_joint", columns)), g.real)


def shares(g: Conversion, logs: Tensor) -> Tensor:
    """exp(logs - logsumexp(logs)), computed as in scikit-learn.

    If the logs are so large that adding the logarithm of a sum does not change them, every class
    with the largest log gets 1.
    """
    return g.exp(logs - g.logsumexp(logs))


@register_converter(f"sklearn:{NAIVE}", "class_index")
def naive_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.argmax(g.call(step, "_joint", columns))


# Discriminant analysis.


@register_converter("sklearn:LinearDiscriminantAnalysis", "decision_function")
def linear_discriminant(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return affine(g, columns, step.coef_, step.intercept_)


@register_converter("sklearn:LinearDiscriminantAnalysis", "predict_proba")
def linear_discriminant_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if len(step.classes_) == 2:
        return g.sigmoid(sides(g, columns, step.coef_, step.intercept_))
    return g.softmax(g.call(step, "decision_function", columns))


@register_converter("sklearn:LinearDiscriminantAnalysis", "class_index")
def linear_discriminant_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if len(step.classes_) == 2:
        return g.argmax(sides(g, columns, step.coef_, step.intercept_))
    return g.argmax(g.call(step, "decision_function", columns))


@register_converter("sklearn:LinearDiscriminantAnalysis", "transform")
def linear_discriminant_transform(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if step.solver == "lsqr":
        raise g.refuse("transform is not available with solver='lsqr'")
    y = columns.matrix()
    if step.solver == "svd":
        y = y - np.asarray(step.xbar_).reshape(1, -1)
    return g.columns(y @ np.asarray(step.scalings_, "float64"), range(step._max_components))


@register_converter("sklearn:QuadraticDiscriminantAnalysis", "_all_scores")
def quadratic_scores(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """Computes in double. If the model computes in float32, squares overflow as they do there."""
    y = columns.matrix("float64")
    is_single = _is_single(g, columns, step.means_)
    terms = []
    for rotation, scaling, mean, prior in zip(
        step.rotations_, step.scalings_, step.means_, step.priors_, strict=True
    ):
        z = (y - np.asarray(mean).reshape(1, -1)) @ (rotation * scaling**-0.5)
        squares = g.sum(z * z)
        if is_single:
            squares = g.where(squares > float(np.finfo("float32").max), np.inf, squares)
        terms.append((squares + float(np.sum(np.log(scaling)))) * -0.5 + float(np.log(prior)))
    return g.concat(terms)


@register_converter("sklearn:QuadraticDiscriminantAnalysis NearestCentroid", "decision_function")
def quadratic_decision(step: Any, columns: Frame, g: Conversion) -> Tensor:
    scores = g.call(step, "_all_scores", columns)
    if len(step.classes_) == 2:
        scores = g.columns(scores, [1]) - g.columns(scores, [0])
    return g.cast(scores, g.real)


@register_converter("sklearn:QuadraticDiscriminantAnalysis NearestCentroid", "predict_proba")
def quadratic_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.cast(g.softmax(g.call(step, "_all_scores", columns)), g.real)


@register_converter("sklearn:QuadraticDiscriminantAnalysis", "class_index")
def quadratic_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.argmax(g.call(step, "_all_scores", columns))


@register_converter("sklearn:NearestCentroid", "_all_scores")
def centroid_scores(step: Any, columns: Frame, g: Conversion) -> Any:
    if step.metric not in ("euclidean", "l2"):
        raise g.refuse("decision values exist for the Euclidean metric only")
    deviation = np.asarray(step.within_class_std_dev_, "float64")
    scale = np.where(deviation == 0.0, 1.0, deviation)
    y = columns.matrix("float64") / g.const(scale.reshape(1, -1), "float64")
    # scikit-learn takes the root and then squares it. The graph must repeat this: where all
    # distances are very large, the rounding error of the root decides which class is nearest.
    d = g.sqrt(squared_distances(g, y, np.asarray(step.centroids_) / scale))
    return -(d * d - 2.0 * np.log(np.asarray(step.class_prior_, "float64")).reshape(1, -1))


@register_converter("sklearn:NearestCentroid", "class_index")
def centroid_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if np.isclose(step.class_prior_, 1.0 / len(step.classes_)).all():
        y = columns.matrix("float64")
        is_square = step.metric in ("euclidean", "l2")
        return g.argmin((squared_distances if is_square else manhattan)(g, y, step.centroids_))
    return g.argmax(g.call(step, "_all_scores", columns))


# Mixtures.


@register_converter("sklearn:GaussianMixture BayesianGaussianMixture", "_weighted")
def weighted_log(step: Any, columns: Frame, g: Conversion) -> Any:
    """The log density of each component plus the logarithm of its weight, [N, components]."""
    y = columns.matrix() if g.steps is not None else columns.matrix("float64")
    means = np.asarray(step.means_)
    components, features = means.shape
    log_prob = _mixture_squares(g, step, y, means)
    roots = _cholesky(step, components, features)
    determinants = np.array([np.sum(np.log(np.diag(f))) for f in roots]).reshape(1, -1)
    result = (log_prob + float(features * np.log(2.0 * np.pi))) * -0.5 + determinants
    if type(step).__name__ == "BayesianGaussianMixture":
        zero = means[:1].astype("float64")
        plain = np.asarray(_log_gaussian(roots, means.astype("float64"), zero))
        result = result + (np.asarray(step._estimate_log_prob(zero))[0] - plain).reshape(1, -1)
    return result + np.asarray(step._estimate_log_weights(), "float64").reshape(1, -1)


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


@register_converter("sklearn:GaussianMixture BayesianGaussianMixture", "predict_proba")
def mixture_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.cast(shares(g, g.call(step, "_weighted", columns)), g.real)


@register_converter("sklearn:GaussianMixture BayesianGaussianMixture", "class_index")
def mixture_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.argmax(g.call(step, "_weighted", columns))


# Covariances.


@register_converter("sklearn:EllipticEnvelope", "decision_function")
def envelope(step: Any, columns: Frame, g: Conversion) -> Tensor:
    d = columns.matrix("float64") - np.asarray(step.location_).reshape(1, -1)
    distance = g.sum((d @ np.asarray(step.get_precision(), "float64")) * d)
    # scikit-learn takes the root of the distance and squares it again; the graph leaves out both.
    return g.cast(-distance - float(step.offset_), g.real)
