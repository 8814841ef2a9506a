"""Converters of models without a target: kernel density, nearest neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..registry import Conversion
from .neighbors import nearest_rows, point_distances


@register_converter("sklearn:KernelDensity", "score_samples")
def density(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """The logarithm of the weighted mean of the kernels around the fitted rows.

    More than about six bandwidths away from all fitted rows, the sum is smaller than the rounding
    errors of scikit-learn's tree. The answers of the tree then stay near -36, however far away the
    row is. The graph computes the sum for such rows too.
    """
    if step.kernel not in ("gaussian", "exponential"):
        raise g.refuse(
            "with this kernel, answers beyond the bandwidth are only the rounding error of a sum; the kernels 'gaussian' and 'exponential' are supported"
        )
    if step.atol or step.rtol:
        raise g.refuse(
            "with atol or rtol its trees approximate the sum; only 0, the default, is supported"
        )
    if step.metric_params:
        raise g.refuse("metric_params are not supported")
    if step.kernel == "gaussian":
        g.note(
            "more than six bandwidths away from all fitted rows, the answers of scikit-learn are only the rounding error of a sum; the file gives the sum itself"
        )
    points, weights = np.asarray(step.tree_.data), step.tree_.sample_weight
    shares = (
        np.full(len(points), 1.0 / len(points))
        if weights is None
        else np.asarray(weights) / step.tree_.sum_weight
    )
    d = point_distances(g, step, columns.matrix("float64"), points) / float(step.bandwidth_)
    logs = d * d * -0.5 if step.kernel == "gaussian" else -d
    # Subtract the largest term first: far from all fitted rows, every exponential would otherwise
    # underflow to zero.
    largest = g.max(logs)
    return g.cast(
        g.log(g.exp(logs - largest) @ shares.reshape(-1, 1)) + largest + _log_norm(step), g.real
    )


def _log_norm(model: Any) -> float:
    """The logarithm of the kernel's norm.

    This is the log density of a single fitted row at its own position, where the kernel is 1.
    """
    from sklearn.neighbors import KDTree

    origin = np.zeros((1, int(model.n_features_in_)))
    logs = KDTree(origin).kernel_density(
        origin, float(model.bandwidth_), kernel=model.kernel, return_log=True
    )
    return float(logs[0])


@register_converter("sklearn:NearestNeighbors", "kneighbors")
def nearest(step: Any, columns: Frame, g: Conversion) -> tuple[Tensor, Tensor]:
    """Distances and indices of the nearest fitted rows, [N, n_neighbors]."""
    k = int(step.n_neighbors)
    near, place = nearest_rows(g, step, columns.matrix("float64"), k)
    near = g.cast(near, g.real)
    near.width = k
    return near, place
