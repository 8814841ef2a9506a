"""Finds the nearest fitted rows exactly as scikit-learn does, also if several are equally near.

scikit-learn's trees visit their nearest leaves first and keep the k best rows in a heap; brute
force takes the rows in their order. The order of the rows and the heap decide which of several
equally near rows are kept. For inputs that have such ties, the graph repeats both exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..registry import Conversion
from .builder import Graph, Tensor

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


def nearest(
    g: Conversion, reduced: Tensor, k: int, order: Tensor | np.ndarray | None
) -> tuple[Tensor, Tensor]:
    """Distances and indices of the k nearest rows, [N, k], nearest first.

    `order` lists the rows in the order in which scikit-learn visits them: [N, rows], or [rows] if
    this order is the same for every query. A row at an infinite distance never enters the heap. Its
    place in the result then has the index 0, with which the heap is filled initially.
    """
    rows = reduced.width or 0
    near, place = g.topk(reduced, min(k + 1, rows))
    infinite = g.unary("IsInf", near, "bool")
    place = g.where(infinite, g.const(np.int64(0)), place)
    if k == rows:
        return near, place
    last = g.columns(near, [k - 1]).equals(g.columns(near, [k]))
    tied = g.op("ReduceSum", g.cast(last, "int64"), keepdims=0) > g.const(np.int64(0))
    near, place = g.columns(near, range(k)), g.columns(place, range(k))
    quick, slow = g.branch(), g.branch()
    found = quick.op("Identity", place)
    kept = _kept(slow, reduced, k, order)
    then_branch, else_branch = (
        inner.body(name, [], [(result, [None, k])])
        for inner, name, result in ((slow, "tied", kept), (quick, "clear", found))
    )
    return near, g.op(
        "If", tied, dtype="int64", width=k, then_branch=then_branch, else_branch=else_branch
    )


def _kept(g: Graph, reduced: Tensor, k: int, order: Tensor | np.ndarray | None) -> Tensor:
    """The indices that are in the heap at the end, nearest first, [N, k]."""
    rows = reduced.width or 0
    values: Tensor = reduced
    if isinstance(order, Tensor):
        values = g.op("GatherElements", reduced, order, width=rows, axis=1)
    elif order is not None:
        values = g.columns(reduced, order)
    shape = g.op("Concat", g.rows_of(reduced), g.const([k]), axis=0)
    heap = g.op("Expand", g.const(np.array([[np.inf]]), reduced.dtype), shape, width=k)
    places = g.op("Expand", g.const([[0]]), shape, dtype="int64", width=k)
    step = g.branch()
    number, going, old, old_places = (
        Tensor(step, step.fresh("b"), dtype, width)
        for dtype, width in (("int64", 1), ("bool", 1), (reduced.dtype, k), ("int64", k))
    )
    value = step.op("Gather", values, number, width=1, axis=1)
    place = number
    if isinstance(order, Tensor):
        place = step.op("Gather", order, number, width=1, axis=1)
    elif order is not None:
        place = step.op("Gather", step.const(np.asarray(order, "int64")), number, axis=0)
    enters = value < step.columns(old, [0])
    some = step.op("ReduceSum", step.cast(enters, "int64"), keepdims=0) > step.const(np.int64(0))
    push, skip = step.branch(), step.branch()
    pushed = _pushed(push, old, old_places, value, place, enters, k)
    same = (skip.op("Identity", old), skip.op("Identity", old_places))
    branches = [
        inner.body(name, [], [(tensor, [None, k]) for tensor in tensors])
        for inner, name, tensors in ((push, "push", pushed), (skip, "skip", same))
    ]
    outputs = [(reduced.dtype, k), ("int64", k)]
    new, new_places = step.ops(
        "If", (some,), outputs, then_branch=branches[0], else_branch=branches[1]
    )
    more = step.op("Identity", going)
    shapes: list[Any] = [[None, k], [None, k]]
    body = step.body(
        "row",
        [(number, [1]), (going, []), (old, shapes[0]), (old_places, shapes[1])],
        [(more, []), (new, shapes[0]), (new_places, shapes[1])],
    )
    heap, places = g.ops(
        "Loop", (g.const(np.int64(rows)), g.const(np.bool_(True)), heap, places), outputs, body=body
    )
    sorted_by = g.topk(heap, k)[1]
    return g.op("GatherElements", places, sorted_by, width=k, axis=1)


def _pushed(
    g: Graph, heap: Tensor, places: Tensor, value: Tensor, place: Tensor, enters: Tensor, k: int
) -> tuple[Tensor, Tensor]:
    """scikit-learn's heap_push: the value replaces the root and moves below larger children."""
    levels = int(np.ceil(np.log2(k + 1)))
    missing = 2**levels - 1 - k
    values, rows = heap, places
    if missing:
        shape = g.op("Concat", g.rows_of(heap), g.const([missing]), axis=0)
        low = g.op("Expand", g.const(np.array([[-np.inf]]), heap.dtype), shape)
        values = g.op("Concat", heap, low, width=k + missing, axis=1)
        rows = g.op(
            "Concat",
            places,
            g.op("Expand", g.const([[0]]), shape, dtype="int64"),
            width=k + missing,
            axis=1,
        )
    value = g.where(enters, value, g.const(np.array([[-np.inf]]), heap.dtype))
    at = g.cast(enters, "int64") * g.const(np.int64(0))
    place = at + place
    for _ in range(levels - 1):
        left = at * g.const(np.int64(2)) + g.const(np.int64(1))
        at_left, at_right = (
            g.op("GatherElements", values, left + g.const(np.int64(side)), width=1, axis=1)
            for side in (0, 1)
        )
        child = left + g.cast(at_left < at_right, "int64")
        largest = g.op("Max", at_left, at_right)
        sinks = value < largest
        below = g.op("GatherElements", rows, child, width=1, axis=1)
        values = g.op(
            "ScatterElements",
            values,
            at,
            g.where(sinks, largest, value),
            width=values.width,
            axis=1,
        )
        rows = g.op(
            "ScatterElements", rows, at, g.where(sinks, below, place), width=rows.width, axis=1
        )
        at = g.where(sinks, child, at)
    values = g.op("ScatterElements", values, at, value, width=values.width, axis=1)
    rows = g.op("ScatterElements", rows, at, place, width=rows.width, axis=1)
    first = range(k)
    return (
        g.where(enters, g.columns(values, first), heap),
        g.where(enters, g.columns(rows, first), places),
    )


def order_in_tree(
    g: Conversion, tree: Any, x: Tensor, metric: str, p: float
) -> Tensor | np.ndarray:
    """The order in which a query of a KDTree or BallTree visits the rows.

    The result is [N, rows], or [rows] for a tree with a single leaf. At each node the child with
    the nearer bound comes first; the left child if both bounds are equal.
    """
    _, index, nodes, bounds = tree.get_arrays()
    inner = [i for i, node in enumerate(nodes) if not node["is_leaf"]]
    if not inner:
        return np.asarray(index, "int64")
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
    start, moved = np.zeros(len(index), "float32"), np.zeros((len(inner), len(index)), "float32")
    for leaf in (node for node in nodes if node["is_leaf"] and node["idx_end"] > node["idx_start"]):
        for position, row in enumerate(index[leaf["idx_start"] : leaf["idx_end"]]):
            start[row] = position
    for number, i in enumerate(inner):
        left, right = (
            slice(nodes[c]["idx_start"], nodes[c]["idx_end"]) for c in (2 * i + 1, 2 * i + 2)
        )
        # The rows of a child come after those of the other child if the other child is visited
        # first.
        start[index[left]] += right.stop - right.start
        moved[number, index[left]] = -(right.stop - right.start)
        moved[number, index[right]] = left.stop - left.start
    rank = left_first @ g.const(moved, "float32") + g.const(start.reshape(1, -1), "float32")
    rank.width = len(index)
    return g.topk(rank, len(index))[1]


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
