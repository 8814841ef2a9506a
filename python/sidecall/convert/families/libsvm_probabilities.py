"""The probabilities of support vector machines, in the steps of libsvm.

libsvm turns the score of each pair of classes into a probability, and couples these probabilities
with an iteration that stops within a tolerance (Wu, Lin and Weng, 2004, algorithm 2). For scores
near the boundary the result thus depends on the number of iterations. So the graph takes the same
steps as libsvm, separately for each row.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from sidecall.converters import register_converter

from ..graph.builder import Graph, Tensor
from ..graph.frame import Frame
from ..registry import Conversion

_SMALLEST = 1e-7  # libsvm's bound of the probability of a pair
_MOST_UPDATES = 100
# With two classes there are at most 2 updates, whatever the probability of the pair is. They become
# nodes of the graph instead of a loop, because only ONNX Runtime has loops.
_UPDATES_OF_PAIR = 3
# The body of the loop grows with the number of classes.
_MOST_CLASSES = 40


@register_converter("sklearn:SVC NuSVC", "predict_proba")
def svc_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    classes = len(step.classes_)
    if classes > _MOST_CLASSES:
        raise g.refuse(
            f"libsvm couples the probabilities of all pairs of {classes} classes; at most "
            f"{_MOST_CLASSES} are supported, and CalibratedClassifierCV supports more"
        )
    first = _pairs(g, step, columns)
    one = [[first] * classes for _ in range(classes)]
    place = 0
    for i in range(classes):
        for j in range(i + 1, classes):
            one[i][j] = g.columns(first, [place])
            one[j][i] = 1.0 - one[i][j]
            place += 1
    rows = _matrix(g, one)
    start = g.columns(first, [0]) * 0.0 + np.full((1, classes), 1.0 / classes)
    if classes == 2:
        p = start
        for _ in range(_UPDATES_OF_PAIR):
            p = _updated(g, rows, p)[0]
    else:
        p = _loop(g, rows, start)
    p.width = classes
    return g.cast(p, g.real)


def _pairs(g: Conversion, model: Any, x: Frame) -> Tensor:
    """For each pair of classes the probability of the first one, [N, pairs]."""
    slope, offset = (np.asarray(v, "float64").reshape(1, -1) for v in (model._probA, model._probB))
    score = g.call(model, "_pairs", x) * slope + offset
    power = g.exp(-g.abs(score))
    p = g.where(score >= 0.0, power, 1.0) / (power + 1.0)
    return g.minimum(g.maximum(p, _SMALLEST), 1.0 - _SMALLEST)


def _matrix(g: Conversion, one: list[list[Tensor]]) -> list[Tensor]:
    """The rows of libsvm's matrix Q, each [N, classes]."""
    classes = len(one)
    rows = []
    for t in range(classes):
        others = [j for j in range(classes) if j != t]
        own = one[others[0]][t] * one[others[0]][t]
        for j in others[1:]:
            own = own + one[j][t] * one[j][t]
        rows.append(g.concat([own if j == t else -one[j][t] * one[t][j] for j in range(classes)]))
    return rows


def _updated(g: Graph, rows: list[Tensor], p: Tensor) -> tuple[Tensor, Tensor]:
    """The next probabilities, and for each row whether they were updated, [N, 1]."""
    classes = len(rows)

    def at(x: Tensor, t: int) -> Tensor:
        return g.columns(x, [t])

    products = rows[0] * at(p, 0)
    for j in range(1, classes):
        products = products + rows[j] * at(p, j)
    total = at(p, 0) * at(products, 0)
    for t in range(1, classes):
        total = total + at(p, t) * at(products, t)
    active = g.max(g.abs(products - total)) >= 0.005 / classes
    new = p
    for t in range(classes):
        own = at(rows[t], t)
        step = (total - at(products, t)) / own
        scale = step + 1.0
        moved = [at(new, j) + step if j == t else at(new, j) for j in range(classes)]
        total = (total + step * (step * own + at(products, t) * 2.0)) / scale / scale
        products = (products + step * rows[t]) / scale
        new = g.concat(moved) / scale
    return g.where(active, new, p), active


def _loop(g: Conversion, rows: list[Tensor], start: Tensor) -> Tensor:
    """Updates all rows until none needs an update."""
    inner = cast(Conversion, g.branch())
    number, going, given = (
        Tensor(inner, inner.fresh("b"), dtype, width)
        for dtype, width in (("int64", 1), ("bool", 1), ("float64", len(rows)))
    )
    # Operators add nodes to the graph of their left tensor.
    outer = [Tensor(inner, row.name, row.dtype, row.width) for row in rows]
    p, active = _updated(inner, outer, given)
    any_active = inner.op(
        "Greater",
        inner.op("ReduceSum", inner.cast(active, "int64"), keepdims=0),
        inner.const(np.int64(0)),
        dtype="bool",
    )
    body = inner.body(
        "couple",
        [(number, []), (going, []), (given, [None, len(rows)])],
        [(any_active, []), (p, [None, len(rows)])],
    )
    most, always = g.const(np.int64(_MOST_UPDATES)), g.const(np.bool_(True))
    return g.op("Loop", most, always, start, dtype="float64", width=len(rows), body=body)
