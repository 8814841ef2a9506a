"""The function of a model that finds the nearest rows.

ONNX Runtime runs the nodes of its body, which repeat the heap of scikit-learn. The native engine
knows the function by the SHA-256 of its body (engines/native/operators/neighbors.cpp). The rules of
text_functions.py apply: the body does not depend on the model, and if it changes, its hash in the
native engine must change with it.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import onnx
from onnx import AttributeProto

from .builder import Attribute, Graph, Tensor

DOMAIN = "sidecall.neighbors"


@cache
def nearest_function() -> onnx.FunctionProto:
    """Distances [N, rows] and ranks [N, rows] or [1, rows] -> the k nearest, [N, k], nearest first.

    The outputs are distances and indices of rows. Ranks are float32; rows are visited in ascending
    order of their ranks. The attribute `k` must be less than the number of rows.

    A row at an infinite distance never enters scikit-learn's heap. Its place in the result then has
    the index 0, with which the heap is filled initially.
    """
    g = Graph("float64")
    distances, ranks = Tensor(g, "distances", "float64", None), Tensor(g, "ranks", "float32", None)
    (scalar,) = g.ops(
        "Constant", (), [("int64", None)], value_int=Attribute("k", AttributeProto.INT)
    )
    k = g.op("Unsqueeze", scalar, g.const([0]))
    one = g.const([1])
    near, place = _sorted(g, distances, k + one)
    place = g.where(g.unary("IsInf", near, "bool"), g.const(np.int64(0)), place)
    last, beyond = _slice(g, near, k - one, k), _slice(g, near, k, k + one)
    near, place = _slice(g, near, g.const([0]), k), _slice(g, place, g.const([0]), k)
    tied = last.equals(beyond)
    quick, slow = g.branch(), g.branch()
    found = quick.op("Identity", place)
    kept = _with_kept(slow, distances, ranks, k, place, tied)
    then_branch, else_branch = (
        inner.body(name, [], [(result, [None, None])])
        for inner, name, result in ((slow, "tied", kept), (quick, "clear", found))
    )
    # The batch may be empty, for which ReduceMax has no answer.
    num_tied = g.op("ReduceSum", g.cast(tied, "int64"), keepdims=0)
    place = g.op(
        "If",
        num_tied > g.const(np.int64(0)),
        dtype="int64",
        then_branch=then_branch,
        else_branch=else_branch,
    )
    return g.function(DOMAIN, "Nearest", [distances, ranks], [near, place])


def _sorted(g: Graph, x: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """The k smallest numbers of each row with their indices, both [N, k]."""
    outputs = [(x.dtype, None), ("int64", None)]
    values, indices = g.ops("TopK", (x, k), outputs, axis=1, largest=0, sorted=1)
    return values, indices


def _slice(g: Graph, x: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    return g.op("Slice", x, begin, end, g.const([1]))


def _any(g: Graph, flags: Tensor) -> Tensor:
    """Whether any of one or more flags is true, a scalar."""
    return g.op("ReduceMax", flags, keepdims=0)


def _with_kept(
    g: Graph, distances: Tensor, ranks: Tensor, k: Tensor, place: Tensor, tied: Tensor
) -> Tensor:
    """The indices `place`, replaced by those that the heap keeps in the rows that are tied."""
    queries = g.op("Squeeze", g.op("NonZero", g.flatten(tied), dtype="int64"), g.const([0]))
    values = g.op("Gather", distances, queries, axis=0)
    # With one row of ranks for all queries, this row is taken each time.
    last = g.rows_of(ranks) - g.const([1])
    own_ranks = g.op("Gather", ranks, g.minimum(queries, last), axis=0)
    order = _sorted(g, own_ranks, g.op("Shape", ranks, dtype="int64", start=1, end=2))[1]
    kept = _kept(g, g.op("GatherElements", values, order, axis=1), order, k)
    return g.op("ScatterND", place, g.column(queries), kept)


def _kept(g: Graph, values: Tensor, order: Tensor, k: Tensor) -> Tensor:
    """The indices that are in the heap at the end, nearest first, [N, k].

    The distances `values` and the indices `order` of the rows are in the order of the visit. The
    heap is a binary tree with the largest distance at its root. Each of its k places has two
    children: those beyond the k places are minus infinity.
    """
    one = g.const([1])
    infinities = (
        g.op("Expand", g.const(np.array([sign * np.inf])), size)
        for sign, size in ((1, k), (-1, k + one))
    )
    row = g.concat([*infinities], axis=0)
    shape = g.op("Concat", g.rows_of(values), k + k + one, axis=0)
    heap = g.op("Expand", row, shape)
    places = g.op("Expand", g.const([[0]]), shape, dtype="int64")
    step = g.branch()
    number, going, old, old_places = (
        Tensor(step, step.fresh("b"), dtype, None)
        for dtype in ("int64", "bool", "float64", "int64")
    )
    visited = step.op("Unsqueeze", number, step.const([0]))
    value, place = (step.op("Gather", x, visited, axis=1) for x in (values, order))
    root = step.columns(old, [0])
    enters = value < root
    push, skip = step.branch(), step.branch()
    # A query whose heap the row does not enter pushes its root again, which changes nothing.
    pushed = _pushed(
        push,
        old,
        old_places,
        push.where(enters, value, root),
        push.where(enters, place, push.columns(old_places, [0])),
    )
    same = (skip.op("Identity", old), skip.op("Identity", old_places))
    matrix = [None, None]
    branches = [
        inner.body(name, [], [(tensor, matrix) for tensor in tensors])
        for inner, name, tensors in ((push, "push", pushed), (skip, "skip", same))
    ]
    outputs = [("float64", None), ("int64", None)]
    new, new_places = step.ops(
        "If", (_any(step, enters),), outputs, then_branch=branches[0], else_branch=branches[1]
    )
    more = step.op("Identity", going)
    body = step.body(
        "visit",
        [(number, []), (going, []), (old, matrix), (old_places, matrix)],
        [(more, []), (new, matrix), (new_places, matrix)],
    )
    rows = g.op("Squeeze", g.op("Shape", order, dtype="int64", start=1, end=2))
    heap, places = g.ops("Loop", (rows, g.const(np.bool_(True)), heap, places), outputs, body=body)
    sorted_by = _sorted(g, _slice(g, heap, g.const([0]), k), k)[1]
    return g.op("GatherElements", places, sorted_by, axis=1)


def _pushed(
    g: Graph, heap: Tensor, places: Tensor, value: Tensor, place: Tensor
) -> tuple[Tensor, Tensor]:
    """scikit-learn's heap_push: the value replaces the root and moves below larger children."""
    root = g.op("Expand", g.const([[0]]), g.op("Shape", place, dtype="int64"), dtype="int64")
    step = g.branch()
    number, going, at, values, rows = (
        Tensor(step, step.fresh("b"), dtype, None)
        for dtype in ("int64", "bool", "int64", "float64", "int64")
    )
    left = at + at + step.const([[1]])
    at_left, at_right = (
        step.op("GatherElements", values, child, axis=1)
        for child in (left, left + step.const([[1]]))
    )
    child = left + step.cast(at_left < at_right, "int64")
    largest = step.maximum(at_left, at_right)
    sinks = step.op("Less", value, largest, dtype="bool")
    below = step.op("GatherElements", rows, child, axis=1)
    values_after, rows_after = (
        step.op("ScatterElements", x, at, step.where(sinks, moved, pushed), axis=1)
        for x, moved, pushed in ((values, largest, value), (rows, below, place))
    )
    matrix, column = [None, None], [None, 1]
    body = step.body(
        "sink",
        [(number, []), (going, []), (at, column), (values, matrix), (rows, matrix)],
        [
            (_any(step, sinks), []),
            (step.where(sinks, child, at), column),
            (values_after, matrix),
            (rows_after, matrix),
        ],
    )
    outputs: list[tuple[str, int | None]] = [("int64", 1), ("float64", None), ("int64", None)]
    _, *result = g.ops(
        "Loop", (None, g.const(np.bool_(True)), root, heap, places), outputs, body=body
    )
    return result[0], result[1]
