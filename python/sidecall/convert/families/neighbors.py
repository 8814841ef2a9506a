"""Converters of nearest-neighbour models; they compute in double and use graph/nearest.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.nearest import (
    fixed_ranks,
    from_reduced,
    nearest,
    ranks_in_tree,
    reduced_distances,
)
from ..registry import Conversion
from .kernels import expanded_squares, kernel, squared_distances

_METRICS = "euclidean, manhattan, chebyshev or minkowski"


def _metric(g: Conversion, model: Any) -> tuple[str, float]:
    """Returns the model's metric, under one name for all synonyms, and minkowski's exponent."""
    metric = model.effective_metric_ if hasattr(model, "effective_metric_") else model.metric
    params = getattr(model, "effective_metric_params_", None) or {}
    p = params.get("p", getattr(model, "p", 2))
    if metric == "minkowski":
        metric = {1: "manhattan", 2: "euclidean", np.inf: "chebyshev"}.get(p, "minkowski")
    if not isinstance(metric, str) or {k for k, v in params.items() if v is not None} - {"p"}:
        raise g.refuse(f"its metric has parameters or is a Python function; use {_METRICS}")
    return {
        "l2": "euclidean",
        "cityblock": "manhattan",
        "l1": "manhattan",
        "infinity": "chebyshev",
    }.get(metric, metric), float(p)


def _points(model: Any) -> np.ndarray:
    fitted = model._fit_X
    return np.asarray(fitted.toarray() if hasattr(fitted, "toarray") else fitted, "float64")


def _multiplies(model: Any, metric: str) -> bool:
    """Whether the model computes distances as |x|^2 - 2 x p + |p|^2, as brute force does."""
    return metric == "sqeuclidean" or (
        metric == "euclidean" and getattr(model, "_fit_method", "") == "brute"
    )


def _reduced(g: Conversion, model: Any, x: Tensor) -> tuple[Tensor, str, float]:
    """Reduced distances to the fitted rows, [N, rows].

    They order the rows as the distances do; for Euclidean they are the squared distances. Also
    returns the metric and its exponent, for from_reduced.
    """
    metric, p = _metric(g, model)
    points = _points(model)
    if _multiplies(model, metric):
        squares = expanded_squares(g, x, points)
        # scikit-learn replaces NaN, the difference of two infinities, by 0 as well.
        return g.where(squares > 0.0, squares, 0.0), metric, p
    if metric == "cosine":
        return g.maximum(1.0 - kernel(g, "cosine", x, points, None, 0, 1), 0.0), metric, p
    if metric not in ("euclidean", "manhattan", "chebyshev", "minkowski"):
        raise g.refuse(f"the metric '{metric}' is not supported; use {_METRICS}")
    result = reduced_distances(g, x, points, metric, p)
    result.width = len(points)
    return result, metric, p


def distances(g: Conversion, model: Any, x: Tensor) -> Tensor:
    """Distances to every fitted row in the model's metric, [N, rows]."""
    return from_reduced(g, *_reduced(g, model, x))


def point_distances(g: Conversion, model: Any, x: Tensor, points: Any) -> Tensor:
    """Distances to points other than the fitted rows, summed feature by feature, [N, points]."""
    metric, p = _metric(g, model)
    if metric not in ("euclidean", "manhattan", "chebyshev", "minkowski"):
        raise g.refuse(f"the metric '{metric}' is not supported; use {_METRICS}")
    return from_reduced(g, reduced_distances(g, x, points, metric, p), metric, p)


def nearest_rows(g: Conversion, model: Any, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Distances and indices of the k nearest fitted rows, [N, k], nearest first."""
    reduced, metric, p = _reduced(g, model, x)
    tree = getattr(model, "_tree", None)
    if tree is None:
        ranks = fixed_ranks(g, np.arange(reduced.width or 0))
    else:
        ranks = ranks_in_tree(g, tree, x, metric, p)
    near, place = nearest(g, reduced, k, ranks)
    return from_reduced(g, near, metric, p), place


def _nearest(g: Conversion, model: Any, x: Frame) -> tuple[Tensor, Tensor]:
    return nearest_rows(g, model, x.matrix("float64"), int(model.n_neighbors))


def _weights(g: Conversion, model: Any, near: Tensor) -> Tensor | None:
    if model.weights in (None, "uniform"):
        return None
    if model.weights != "distance":
        raise g.refuse("its weights are a Python function; use 'uniform' or 'distance'")
    zero = near.equals(0.0)
    exact = g.cast(zero, "float64")
    return g.where(g.sum(exact) > 0.0, exact, 1.0 / g.where(zero, 1.0, near))


def _targets(model: Any) -> np.ndarray:
    y = np.asarray(model._y)
    return y.reshape(len(y), -1)


@register_converter("sklearn:KNeighborsClassifier", "predict_proba")
def neighbours_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if isinstance(step.classes_, list):
        raise g.refuse(
            "several outputs are not supported; use this class inside MultiOutputClassifier"
        )
    near, place = _nearest(g, step, columns)
    weights = _weights(g, step, near)
    labels = g.gather(g.const(np.asarray(step._y).astype("int64")), place)
    classes = g.const(np.arange(len(step.classes_)).reshape(1, 1, -1))
    votes = g.cast(g.op("Unsqueeze", labels, g.const([2])).equals(classes), "float64")
    if weights is None:
        result = g.mean(votes, axis=1, keep=False)
    else:
        total = g.sum(votes * g.op("Unsqueeze", weights, g.const([2])), axis=1, keep=False)
        result = total / g.sum(total)
    result.width = len(step.classes_)
    result = g.cast(result, g.real)
    result.width = len(step.classes_)
    return result


@register_converter("sklearn:KNeighborsRegressor", "predict")
def neighbours_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    near, place = _nearest(g, step, columns)
    weights = _weights(g, step, near)
    targets = _targets(step).astype("float64")
    parts = []
    for k in range(targets.shape[1]):
        picked = g.gather(g.const(targets[:, k], "float64"), place)
        if weights is None:
            parts.append(g.mean(picked))
        else:
            parts.append(g.sum(picked * weights) / g.sum(weights))
    return g.cast(g.concat(parts), g.real)


def _within(g: Conversion, model: Any, x: Frame) -> tuple[Tensor, Tensor]:
    """Weights of all fitted rows, zero outside the radius, and whether any of them is inside."""
    d = distances(g, model, x.matrix("float64"))
    inside = g.cast(d <= float(model.radius), "float64")
    if model.weights in (None, "uniform"):
        weights = inside
    elif model.weights == "distance":
        zero = d.equals(0.0)
        exact = g.cast(zero, "float64")
        weights = g.where(g.sum(exact) > 0.0, exact, inside / g.where(zero, 1.0, d))
    else:
        raise g.refuse("its weights are a Python function; use 'uniform' or 'distance'")
    return weights, g.sum(inside) > 0.0


@register_converter("sklearn:RadiusNeighborsRegressor", "predict")
def radius_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    weights, some = _within(g, step, columns)
    total = g.sum(weights)
    mean = (weights @ _targets(step).astype("float64")) / g.where(some, total, 1.0)
    return g.cast(g.where(some, mean, float("nan")), g.real)


@register_converter("sklearn:RadiusNeighborsClassifier", "predict_proba")
def radius_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if isinstance(step.classes_, list):
        raise g.refuse(
            "several outputs are not supported; use this class inside MultiOutputClassifier"
        )
    if step.outlier_label_ is None:
        raise g.refuse(
            "without an outlier_label it raises an error for rows without neighbours, which a graph cannot do"
        )
    classes = len(step.classes_)
    weights, some = _within(g, step, columns)
    table = np.zeros((len(step._y), classes))
    table[np.arange(len(step._y)), np.asarray(step._y).astype(int)] = 1.0
    votes = weights @ table
    alone = (np.asarray(step.classes_) == step.outlier_label_[0]).astype("float64").reshape(1, -1)
    if not alone.any():
        raise g.refuse("its outlier_label is not one of its classes")
    votes = g.where(some, votes, g.const(alone, "float64"))
    total = g.sum(votes)
    return g.cast(votes / g.where(total.equals(0.0), 1.0, total), g.real)


@register_converter("sklearn:LocalOutlierFactor", "score_samples")
def outlier_factor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if not step.novelty:
        raise g.refuse("without novelty=True it cannot answer for new rows")
    near, place = nearest_rows(g, step, columns.matrix("float64"), int(step.n_neighbors_))
    reach = np.asarray(step._distances_fit_X_)[:, step.n_neighbors_ - 1]
    reached = g.maximum(near, g.gather(g.const(reach, "float64"), place))
    density = 1.0 / (g.mean(reached) + 1e-10)
    ratios = g.gather(g.const(np.asarray(step._lrd), "float64"), place) / density
    ratios.width = int(step.n_neighbors_)
    return g.cast(-g.mean(ratios), g.real)


@register_converter("sklearn:LocalOutlierFactor", "decision_function")
def outlier_decision(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "score_samples", columns) - float(step.offset_)


@register_converter("sklearn:KNeighborsTransformer", "transform")
def neighbours_graph(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """One column per fitted row, zero for all except the nearest fitted rows."""
    fitted = step._fit_X
    # If distances are requested, scikit-learn searches for one more neighbour, because a fitted row
    # is its own nearest neighbour.
    k = int(step.n_neighbors) + int(step.mode == "distance")
    d = distances(g, step, columns.matrix("float64"))
    near, _ = g.topk(d, k)
    inside = d <= g.columns(near, [k - 1])
    result = g.where(inside, d, 0.0) if step.mode == "distance" else g.cast(inside, "float64")
    result.width = fitted.shape[0]
    return g.cast(result, g.real)


@register_converter("sklearn:RadiusNeighborsTransformer", "transform")
def radius_graph(step: Any, columns: Frame, g: Conversion) -> Tensor:
    d = distances(g, step, columns.matrix("float64"))
    inside = d <= float(step.radius)
    result = g.where(inside, d, 0.0) if step.mode == "distance" else g.cast(inside, "float64")
    result.width = step._fit_X.shape[0]
    return g.cast(result, g.real)


@register_converter("sklearn:LabelPropagation LabelSpreading", "predict_proba")
def propagation(step: Any, columns: Frame, g: Conversion) -> Tensor:
    labels = np.asarray(step.label_distributions_, "float64")
    y = columns.matrix("float64")
    if step.kernel == "rbf":
        votes = kernel(g, "rbf", y, step.X_, step.gamma, 0, 1) @ labels
    elif step.kernel == "knn":
        d = g.sqrt(squared_distances(g, y, step.X_))
        near, _ = g.topk(d, int(step.n_neighbors))
        votes = g.cast(d <= g.columns(near, [int(step.n_neighbors) - 1]), "float64") @ labels
    else:
        raise g.refuse("its kernel is a Python function")
    return g.cast(votes / g.sum(votes), g.real)


@register_converter("sklearn:Isomap", "transform")
def isomap(step: Any, columns: Frame, g: Conversion) -> Any:
    if step.n_neighbors is None:
        raise g.refuse("neighbours by radius are not supported")
    near, place = nearest_rows(g, step.nbrs_, columns.matrix("float64"), int(step.n_neighbors))
    paths = g.gather(g.const(np.asarray(step.dist_matrix_), "float64"), place)
    shortest = g.min(paths + g.op("Unsqueeze", near, g.const([2])), axis=1, keep=False)
    shortest.width = len(step.dist_matrix_)
    return g.call(step.kernel_pca_, "transform", shortest * shortest * -0.5, "kernel_pca_")
