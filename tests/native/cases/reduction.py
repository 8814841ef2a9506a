"""Cases of operators that combine the elements along axes, and of products of matrices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import TensorProto
from operator_cases import (
    NUMBERS,
    REALS,
    Case,
    Known,
    Random,
    cases_of,
    data,
    moderate,
    pick,
    shape_of,
)
from two_engines import Array

INT64 = TensorProto.INT64
# Shapes with axes for each loop of ONNX Runtime: all, rows, columns, the middle, outer and inner.
FORMS: list[tuple[tuple[int, ...], list[int] | None]] = [
    ((40, 6), [1]),
    ((40, 6), [-1]),
    ((40, 6), [0]),
    ((300, 20), [0]),
    ((20, 300), [0]),
    ((20, 300), [1]),
    ((40, 6), None),
    ((40, 6), [0, 1]),
    ((1, 6), [1]),
    ((40, 1), [1]),
    ((7,), [0]),
    ((2, 3, 4), [1]),
    ((5, 9, 7), [1]),
    ((2, 3, 4), [0, 2]),
    ((3, 17, 11), [-3, -1]),
    ((2, 3, 4), [0, 1]),
    ((2, 3, 4, 2), [1, 3]),
    ((2, 3, 4, 2), [0, 2]),
    ((), None),
]
AXES_INPUT = {"ReduceSum": 13}


def reduction(
    op: str, version: int, axes: list[int] | None, x: Array, *, free: bool = False, **more: int
) -> Case:
    if version < AXES_INPUT.get(op, 18):
        return Case(op, [x], {"axes": axes, **more}, is_free=free)
    inputs = [x] if axes is None else [x, Known(np.array(axes, np.int64))]
    return Case(op, inputs, more, is_free=free)


@cases_of(
    *("ReduceSum", "ReduceMean", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceProd"),
    *("ReduceMax", "ReduceMin", "ReduceLogSumExp"),
)
def reductions(op: str, version: int, rng: Random) -> Iterator[Case]:
    is_extreme = op in ("ReduceMax", "ReduceMin")
    size = 1 if op == "ReduceProd" else 3
    for dtype in NUMBERS:
        for dims, axes in FORMS:
            if axes and min(axes) < 0 and version < 11:
                continue
            x = moderate(rng, dtype, dims, size=size)
            if is_extreme:
                x = data(rng, dtype, dims, odd=float(pick(rng, [0, 0.1, 0.9])))
            yield reduction(op, version, axes, x)
            yield reduction(op, version, axes, x, keepdims=0)
        x = moderate(rng, dtype, (17, 6), size=size)
        yield reduction(op, version, [1], x, free=True)
        yield reduction(op, version, [0], x, free=True, keepdims=0)
        if version >= AXES_INPUT.get(op, 18):
            yield reduction(op, version, None, x, noop_with_empty_axes=1)
            yield reduction(op, version, [], x)
        for dims in ((0, 3), (3, 0)):
            yield reduction(op, version, [0], np.zeros(dims, dtype))
            yield reduction(op, version, [1], np.zeros(dims, dtype), keepdims=0)
        if op == "ReduceProd":
            # As double, 3 to the power of 799 is infinite, and infinity times 0 is NaN.
            x = np.full((3, 800), 3, dtype)
            x[:, -1] = [1, 0, -1]
            yield reduction(op, version, [1], x)
            yield reduction(op, version, [0], x.T)
            yield reduction(op, version, None, x[1])
    if is_extreme and version >= 20:
        for dims, axes in FORMS:
            yield reduction(op, version, axes, data(rng, "bool", dims))


@cases_of("ArgMax", "ArgMin")
def positions(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in NUMBERS:
        for _ in range(40):
            dims = shape_of(rng, 1, 3, (1, 2, 3, 7))
            # Small numbers have ties; odd ones have NaN.
            x = data(rng, dtype, dims, odd=float(pick(rng, [0, 0.2, 0.9])), size=0.5)
            if x.dtype.kind == "f" and rng.random() < 0.5:
                x = np.round(x)
            axis = int(rng.integers(-len(dims) if version >= 11 else 0, len(dims)))
            attributes = {"axis": axis, "keepdims": int(rng.integers(0, 2))}
            if version >= 12 and rng.random() < 0.5:
                attributes["select_last_index"] = int(rng.integers(0, 2))
            yield Case(op, [x], attributes, types=[INT64])
        yield Case(op, [data(rng, dtype, (17, 5))], {"axis": 1}, types=[INT64], is_free=True)
        yield Case(op, [data(rng, dtype, (5, 3))], types=[INT64])


@cases_of("TopK")
def top(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in NUMBERS:
        for _ in range(40):
            dims = shape_of(rng, 1, 3, (1, 2, 5, 30))
            axis = int(rng.integers(-len(dims), len(dims)))
            k = int(rng.integers(0, dims[axis] + 1))
            x = data(rng, dtype, dims, odd=float(pick(rng, [0, 0.2, 0.9])), size=0.5)
            if x.dtype.kind == "f" and rng.random() < 0.5:
                x = np.round(x)
            attributes = {"axis": axis}
            if version >= 11:
                attributes["largest"] = int(rng.integers(0, 2))
                attributes["sorted"] = int(rng.random() < 0.7)
            yield Case(op, [x, Known([k], np.int64)], attributes, types=[None, INT64])
        x = data(rng, dtype, (17, 5))
        yield Case(op, [x, Known([2], np.int64)], types=[None, INT64], is_free=True)


@cases_of("CumSum")
def cumulative(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in NUMBERS:
        for dims in ((7,), (40, 6), (2, 3, 4), (1, 5), (0, 3)):
            for axis in range(-len(dims), len(dims)):
                attributes = {
                    "exclusive": int(rng.integers(0, 2)),
                    "reverse": int(rng.integers(0, 2)),
                }
                x = data(rng, dtype, dims, odd=0.1)
                kind = pick(rng, ("int64", "int32"))
                yield Case(op, [x, Known(axis, kind)], attributes)
        yield Case(op, [data(rng, dtype, (17, 3)), Known([1], np.int64)], is_free=True)


@cases_of("Softmax", "LogSoftmax")
def softmax(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in REALS:
        for _ in range(60):
            dims = shape_of(rng, 1, 3, (1, 2, 3, 9, 20))
            size = float(pick(rng, [0.1, 1, 10, 100, 1000]))
            x = moderate(rng, dtype, dims, size=size)
            axis = int(rng.integers(-len(dims) if version >= 11 else 0, len(dims)))
            yield Case(op, [x], {"axis": axis})
        yield Case(op, [moderate(rng, dtype, (17, 4))], is_free=True)
        yield Case(op, [data(rng, dtype, (30, 3), odd=0.5)])
        yield Case(op, [np.full((2, 3), -np.inf, dtype)])
        yield Case(op, [np.zeros((0, 3), dtype)])


@cases_of("LpNormalization")
def normalization(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in REALS:
        for p in (None, 1, 2):
            for _ in range(15):
                dims = shape_of(rng, 1, 3, (1, 2, 3, 9, 20))
                axis = int(rng.integers(-len(dims), len(dims)))
                x = moderate(rng, dtype, dims, size=float(pick(rng, [0.1, 1, 1000])))
                yield Case(op, [x], {"axis": axis, "p": p})
            for x in (np.zeros((2, 3), dtype), np.array([[-0.0, 0], [1, -1]], dtype)):
                yield Case(op, [x], {"p": p}, is_free=True)
            yield Case(op, [data(rng, dtype, (9, 4), odd=0.5)], {"p": p})
            yield Case(op, [np.zeros((0, 3), dtype)], {"p": p})


@cases_of("MatMul")
def product(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in REALS:
        for _ in range(60):
            rows, terms, columns = (int(pick(rng, [1, 1, 2, 3, 7, 17, 40])) for _ in range(3))
            forms = [
                ((rows, terms), (terms, columns)),
                ((terms,), (terms, columns)),
                ((rows, terms), (terms,)),
                ((terms,), (terms,)),
                ((2, rows, terms), (terms, columns)),
                ((2, rows, terms), (2, terms, columns)),
                ((3, 1, rows, terms), (2, terms, columns)),
            ]
            left, right = pick(rng, forms)
            a, b = moderate(rng, dtype, left), moderate(rng, dtype, right)
            yield Case(op, [a, b])
            yield Case(op, [a, Known(b)], is_free=a.ndim > 1)
        yield Case(op, [moderate(rng, dtype, (3, 1000)), moderate(rng, dtype, (1000, 2))])
        yield Case(op, [np.zeros((0, 3), dtype), np.ones((3, 2), dtype)])
        yield Case(op, [np.zeros((2, 0), dtype), np.ones((0, 3), dtype)])


@cases_of("Gemm")
def gemm(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in REALS:
        for _ in range(80):
            rows, terms, columns = (int(pick(rng, [1, 1, 2, 3, 7, 17, 40])) for _ in range(3))
            trans_a, trans_b = int(rng.integers(0, 2)), int(rng.integers(0, 2))
            a = moderate(rng, dtype, (terms, rows) if trans_a else (rows, terms))
            b = moderate(rng, dtype, (columns, terms) if trans_b else (terms, columns))
            c_shapes = [(columns,), (1, columns), (rows, 1), (rows, columns), (1,), ()]
            inputs: list[Array | Known | None] = [a, Known(b) if rng.random() < 0.6 else b]
            if version < 11 or rng.random() < 0.8:
                c = moderate(rng, dtype, pick(rng, c_shapes))
                inputs.append(Known(c) if rng.random() < 0.6 else c)
            attributes: dict[str, float] = {"transA": trans_a, "transB": trans_b}
            if rng.random() < 0.4:
                attributes |= {"alpha": float(rng.normal()), "beta": float(pick(rng, [0, 1, -2.5]))}
            yield Case(op, inputs, attributes)
