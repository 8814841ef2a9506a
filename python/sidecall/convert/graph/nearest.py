"""Finds the nearest fitted rows exactly as scikit-learn does, also if several are equally near.

scikit-learn's trees visit their nearest leaves first and keep the k best rows in a heap; brute
force takes the rows in their order. The order of the rows and the heap decide which of several
equally near rows are kept. For inputs that have such ties, the file repeats both exactly
(nearest_function.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..registry import Conversion
from .builder import Tensor
from .nearest_function import nearest_function

# Up to this number of columns, one node per column adds a term of a distance. This is faster than a
# tensor with three dimensions.
_FEW_COLUMNS = 32


def sequential(g: Conversion, terms: list[Tensor], metric: str) -> Tensor:
    """The sum of the terms of a distance, added in order; for chebyshev, their maximum."""
    result = terms[0]
    for term in terms[1:]:
        result = g.maximum(result, term) if metric == "chebyshev" else result + term
    return result


def reduced_distances(g: Conversion, x: Tensor, points: Any, metric: str, p: float) -> Tensor:
    """Distances [N, points] without the root, which `from_reduced` takes afterwards.

    Coordinates are subtracted and then squared, as in scikit-learn's trees.
    """
    points = np.asarray(points, "float64")
    width = points.shape[1]
    if width <= _FEW_COLUMNS:
        columns = (g.columns(x, [j]) - points[:, j].reshape(1, -1) for j in range(width))
        return sequential(g, [_term(g, d, metric, p) for d in columns], metric)
    d = _term(g, g.op("Unsqueeze", x, g.const([2])) - g.const(points.T[None], x.dtype), metric, p)
    if metric == "chebyshev":
        return g.max(d, axis=1, keep=False)
    return g.op(
        "Gather", g.op("CumSum", d, g.const(1)), g.const(width - 1), axis=1, width=len(points)
    )


def _term(g: Conversion, d: Tensor, metric: str, p: float) -> Tensor:
    if metric == "euclidean":
        return d * d
    return g.abs(d) ** p if metric == "minkowski" else g.abs(d)


def from_reduced(g: Conversion, reduced: Tensor, metric: str, p: float) -> Tensor:
    if metric == "euclidean":
        return g.sqrt(reduced)
    return reduced ** (1.0 / p) if metric == "minkowski" else reduced


def nearest(g: Conversion, reduced: Tensor, k: int, ranks: Tensor) -> tuple[Tensor, Tensor]:
    """Distances and indices of the k nearest rows, [N, k], nearest first.

    `ranks` are the positions of the rows in the order in which scikit-learn visits them, [N, rows],
    or [1, rows] if this order is the same for every query.
    """
    if k < (reduced.width or 0):
        near, place = g.call_function(
            nearest_function(), [reduced, ranks], [(reduced.dtype, k), ("int64", k)], k=k
        )
        return near, place
    near, place = g.topk(reduced, k)
    return near, g.where(g.unary("IsInf", near, "bool"), g.const(np.int64(0)), place)


def fixed_ranks(g: Conversion, positions: Any) -> Tensor:
    """The ranks of the rows if every query visits them in the same order."""
    return g.const(np.reshape(positions, (1, -1)), "float32")


def ranks_in_tree(g: Conversion, tree: Any, x: Tensor, metric: str, p: float) -> Tensor:
    """The positions of the rows in the order in which a query of a KDTree or BallTree visits them.

    At each node the child with the nearer bound comes first; the left child if both bounds are
    equal.
    """
    _, index, nodes, bounds = tree.get_arrays()
    # `start` has the ranks for a query that visits every right child first. `moved` has, for each
    # inner node, how they change if its left child is visited first.
    inner = [i for i, node in enumerate(nodes) if not node["is_leaf"]]
    start, moved = np.zeros(len(index)), np.zeros((len(inner), len(index)))
    for leaf in (node for node in nodes if node["is_leaf"] and node["idx_end"] > node["idx_start"]):
        for position, row in enumerate(index[leaf["idx_start"] : leaf["idx_end"]]):
            start[row] = position
    if not inner:
        return fixed_ranks(g, start)
    for number, i in enumerate(inner):
        left, right = (
            slice(nodes[c]["idx_start"], nodes[c]["idx_end"]) for c in (2 * i + 1, 2 * i + 2)
        )
        start[index[left]] += right.stop - right.start
        moved[number, index[left]] = -(right.stop - right.start)
        moved[number, index[right]] = left.stop - left.start
    lowest = (
        _kd_bounds(g, bounds, x, metric, p)
        if len(bounds) == 2
        else _ball_bounds(g, bounds, nodes, x, metric, p)
    )
    left_first = g.cast(
        g.columns(lowest, [2 * i + 1 for i in inner])
        <= g.columns(lowest, [2 * i + 2 for i in inner]),
        "float32",
    )
    ranks = left_first @ g.const(moved, "float32") + fixed_ranks(g, start)
    ranks.width = len(index)
    return ranks


def _kd_bounds(g: Conversion, bounds: Any, x: Tensor, metric: str, p: float) -> Tensor:
    """KDTree's min_rdist of every node, [N, nodes]."""
    terms = []
    for j in range(bounds.shape[2]):
        column = g.columns(x, [j])
        below, above = (
            -(column - bounds[0, :, j].reshape(1, -1)),
            column - bounds[1, :, j].reshape(1, -1),
        )
        outside = ((below + g.abs(below)) + (above + g.abs(above))) * 0.5
        terms.append(_term(g, outside, metric, p))
    return sequential(g, terms, metric)


def _ball_bounds(
    g: Conversion, bounds: Any, nodes: Any, x: Tensor, metric: str, p: float
) -> Tensor:
    """BallTree's min_rdist of every node, [N, nodes]."""
    centres = from_reduced(g, reduced_distances(g, x, bounds[0], metric, p), metric, p)
    outside = g.maximum(centres - np.asarray(nodes["radius"], "float64").reshape(1, -1), 0.0)
    if metric == "euclidean":
        return outside * outside
    return outside**p if metric == "minkowski" else outside
