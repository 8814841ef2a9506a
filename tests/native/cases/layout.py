"""Cases of operators that move elements, give them another shape, or follow from shapes alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import TensorProto
from operator_cases import ALL, NUMBERS, REALS, Case, Known, Random, cases_of, data, pick, shape_of
from two_engines import Array, element_type

INT64 = TensorProto.INT64
SHAPES: list[tuple[int, ...]] = [
    (),
    (1,),
    (6,),
    (40, 6),
    (1, 6),
    (6, 1),
    (2, 3, 4),
    (0, 3),
    (2, 1, 3),
]


def known(*values: int, dtype: str = "int64") -> Known:
    return Known(np.array(values, dtype))


def any_data(rng: Random, shape: tuple[int, ...], dtypes: tuple[str, ...] = ALL) -> Array:
    return data(rng, pick(rng, dtypes), shape)


# ---- Other shapes for the same elements ----


@cases_of("Identity")
def identity(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ALL:
        for shape in SHAPES:
            yield Case(op, [data(rng, dtype, shape)])
        yield Case(op, [data(rng, dtype, (5, 2))], is_free=True)


@cases_of("Reshape")
def reshape(op: str, version: int, rng: Random) -> Iterator[Case]:
    forms: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((40, 6), (6, 40)),
        ((40, 6), (-1,)),
        ((40, 6), (-1, 3)),
        ((40, 6), (0, -1)),
        ((40, 6), (0, 2, 3)),
        ((40, 6), (5, -1, 2)),
        ((2, 3, 4), (0, 0, -1)),
        ((2, 3, 4), (-1, 1, 0, 2)),
        ((6,), (1, 6, 1)),
        ((1,), ()),
        ((), (1, 1)),
        ((), (-1,)),
        ((0, 3), (0, -1)),
        ((0, 3), (3, 0)),
    ]
    for dtype in ALL:
        for shape, to in forms:
            yield Case(op, [data(rng, dtype, shape), known(*to)])
    yield Case(op, [any_data(rng, (17, 6)), known(-1, 2, 3)], is_free=True)
    if version >= 14:
        yield Case(op, [any_data(rng, (0, 3)), known(3, 0)], {"allowzero": 1})
        yield Case(op, [any_data(rng, (0, 3)), known(0, 7)], {"allowzero": 1})


@cases_of("Squeeze")
def squeeze(op: str, version: int, rng: Random) -> Iterator[Case]:
    forms: list[tuple[tuple[int, ...], list[int] | None]] = [
        ((40, 1), [1]),
        ((1, 6, 1), [0]),
        ((1, 6, 1), [0, 2]),
        ((1, 6, 1), [2, 0]),
        ((1, 6, 1), None),
        ((2, 3), None),
        ((1,), None),
        ((1, 1), None),
        ((0, 1), [1]),
    ]
    if version >= 11:
        forms += [((40, 1), [-1]), ((1, 6, 1), [-1, 0]), ((2, 1, 3), [-2])]
    for dtype in ALL:
        for shape, axes in forms:
            x = data(rng, dtype, shape)
            if version < 13:
                yield Case(op, [x], {"axes": axes})
            else:
                yield Case(op, [x] if axes is None else [x, known(*axes)])
    yield from axes_in_node(op, version, any_data(rng, (17, 1)), [1])


def axes_in_node(op: str, version: int, x: Array, axes: list[int]) -> Iterator[Case]:
    if version < 13:
        yield Case(op, [x], {"axes": axes}, is_free=True)
    else:
        yield Case(op, [x, known(*axes)], is_free=True)


@cases_of("Unsqueeze")
def unsqueeze(op: str, version: int, rng: Random) -> Iterator[Case]:
    forms: list[tuple[tuple[int, ...], list[int]]] = [
        ((40,), [1]),
        ((40,), [0]),
        ((6, 2), [0, 3]),
        ((6, 2), [3, 0]),
        ((6, 2), [1, 2]),
        ((), [0]),
        ((), [0, 1]),
        ((0,), [1]),
    ]
    if version >= 11:
        forms += [((40,), [-1]), ((6, 2), [-1, 0]), ((6, 2), [-2])]
    for dtype in ALL:
        for shape, axes in forms:
            x = data(rng, dtype, shape)
            if version < 13:
                yield Case(op, [x], {"axes": axes})
            else:
                yield Case(op, [x, known(*axes)])
    yield from axes_in_node(op, version, any_data(rng, (17,)), [1])


@cases_of("Flatten")
def flatten(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ALL:
        for shape in SHAPES:
            rank = len(shape)
            low = -rank if version >= 11 else 0
            for axis in range(low, rank + 1):
                yield Case(op, [data(rng, dtype, shape)], {"axis": axis})
        yield Case(op, [data(rng, dtype, (5, 2, 3))], is_free=True)


@cases_of("Shape")
def shape(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dims in SHAPES:
        yield Case(op, [any_data(rng, dims)], types=[INT64])
        if version < 15:
            continue
        for start, end in ((1, None), (-1, None), (0, 1), (None, -1), (1, 1), (2, 1), (-9, 9)):
            yield Case(op, [any_data(rng, dims)], {"start": start, "end": end}, types=[INT64])
    yield Case(op, [any_data(rng, (17, 2))], types=[INT64], is_free=True)


@cases_of("Size")
def size(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dims in SHAPES:
        yield Case(op, [any_data(rng, dims)], types=[INT64])
    yield Case(op, [any_data(rng, (17, 2))], types=[INT64], is_free=True)


# ---- Tensors that follow from shapes and attributes ----


@cases_of("Constant")
def constant(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ALL:
        for dims in SHAPES:
            x = data(rng, dtype, dims, odd=0.9)
            yield Case(op, [], {"value": x}, types=[element_type(dtype)])
    if version < 12:
        return
    yield Case(op, [], {"value_int": -(2**63)}, types=[INT64])
    yield Case(op, [], {"value_ints": [2**63 - 1, 0, -5]}, types=[INT64])
    yield Case(op, [], {"value_float": -0.0}, types=[TensorProto.FLOAT])
    yield Case(op, [], {"value_floats": [1.5, float("nan"), -0.0]}, types=[TensorProto.FLOAT])
    yield Case(op, [], {"value_string": "日本"}, types=[TensorProto.STRING])
    yield Case(op, [], {"value_strings": ["a", "", "é"]}, types=[TensorProto.STRING])


@cases_of("ConstantOfShape")
def constant_of_shape(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dims in SHAPES:
        yield Case(op, [known(*dims)], types=[TensorProto.FLOAT])
        for dtype in ALL[:-1]:
            value = data(rng, dtype, (1,), odd=0.8)
            yield Case(op, [known(*dims)], {"value": value}, types=[element_type(dtype)])


@cases_of("Range")
def arange(op: str, version: int, rng: Random) -> Iterator[Case]:
    forms = [(0, 5, 1), (5, 0, -1), (0, 5, 2), (3, 3, 1), (5, 0, 1), (-7, 8, 3), (10, -10, -7)]
    for dtype in NUMBERS:
        for form in forms:
            yield Case(op, [Known(np.array(each, dtype)) for each in form])
    for dtype in REALS:
        for form in ((0, 1, 0.1), (0.3, -2.4, -0.3), (1e6, 1e6 + 3, 0.7)):
            yield Case(op, [Known(np.array(each, dtype)) for each in form])


# ---- Copies to other places ----


@cases_of("Expand")
def expand(op: str, version: int, rng: Random) -> Iterator[Case]:
    forms: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((1, 6), (40, 6)),
        ((40, 1), (40, 6)),
        ((40, 1), (1, 6)),
        ((6,), (40, 6)),
        ((40, 6), (1, 1)),
        ((40, 6), (6,)),
        ((), (2, 3)),
        ((2, 1, 3), (2, 4, 1)),
        ((1,), (0,)),
        ((1, 3), (0, 3)),
        ((3, 1), (2, 3, 2)),
    ]
    for dtype in ALL:
        for dims, to in forms:
            yield Case(op, [data(rng, dtype, dims), known(*to)])
        yield Case(op, [data(rng, dtype, (17, 1)), known(1, 5)], is_free=True)


@cases_of("Tile")
def tile(op: str, version: int, rng: Random) -> Iterator[Case]:
    forms: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((6,), (3,)),
        ((40, 6), (1, 2)),
        ((5, 3), (3, 1)),
        ((5, 3), (2, 3)),
        ((2, 3, 2), (2, 1, 3)),
        ((5, 3), (1, 1)),
        ((5, 3), (0, 2)),
        ((0, 3), (2, 2)),
    ]
    for dtype in ALL:
        for dims, repeats in forms:
            yield Case(op, [data(rng, dtype, dims), known(*repeats)])
        yield Case(op, [data(rng, dtype, (17, 2)), known(1, 3)], is_free=True)


@cases_of("Transpose")
def transpose(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ALL:
        for dims in SHAPES:
            x = data(rng, dtype, dims)
            yield Case(op, [x])
            for _ in range(2):
                order = [int(axis) for axis in rng.permutation(len(dims))]
                yield Case(op, [x], {"perm": order or None})
        x = data(rng, dtype, (3, 2, 1, 4, 2))
        yield Case(op, [x], {"perm": [int(axis) for axis in rng.permutation(5)]})
        yield Case(op, [data(rng, dtype, (100, 70))])
        yield Case(op, [data(rng, dtype, (17, 2))], is_free=True)


@cases_of("Slice")
def slices(op: str, version: int, rng: Random) -> Iterator[Case]:
    limits = [2**31 - 1, 2**63 - 1, -(2**31), -(2**63), -(2**63) + 1]

    def bound() -> int:
        return int(pick(rng, limits)) if rng.random() < 0.2 else int(rng.integers(-8, 9))

    for _ in range(120):
        dims = shape_of(rng, 1, 4)
        x = any_data(rng, dims)
        count = int(rng.integers(1, len(dims) + 1))
        chosen = [int(axis) for axis in rng.permutation(len(dims))[:count]]
        starts, ends = [bound() for _ in chosen], [bound() for _ in chosen]
        if version < 10:
            yield Case(op, [x], {"starts": starts, "ends": ends, "axes": chosen})
            continue
        axes = [axis - len(dims) if rng.random() < 0.3 else axis for axis in chosen]
        steps = [int(pick(rng, [1, 1, 2, 3, -1, -2, 2**62, -(2**62)])) for _ in axes]
        inputs = [x, known(*starts), known(*ends), known(*axes), known(*steps)]
        yield Case(op, inputs[: int(pick(rng, [4, 5]))])
        yield Case(op, [x, known(1, dtype="int32"), known(3, dtype="int32")])
        yield Case(op, [x, known(-1), known(-(2**63)), None, known(-1)])
    if version >= 10:
        x = any_data(rng, (17, 6))
        yield Case(op, [x, known(1), known(4), known(1)], is_free=True)
        yield Case(op, [x, known(-1), known(-(2**63)), known(0), known(-1)], is_free=True)


@cases_of("Concat")
def concat(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ALL:
        for _ in range(20):
            dims = list(shape_of(rng, 1, 3))
            axis = int(rng.integers(0, len(dims)))
            parts: list[Array | Known | None] = []
            for _ in range(int(rng.integers(1, 6))):
                dims[axis] = int(pick(rng, [0, 1, 1, 2, 7]))
                x = data(rng, dtype, dims)
                parts.append(Known(x) if parts and rng.random() < 0.2 else x)
            at = axis - len(dims) if version >= 11 and rng.random() < 0.4 else axis
            yield Case(op, parts, {"axis": at})
        rows = [data(rng, dtype, (300, width)) for width in (1, 2, 1, 9)]
        yield Case(op, list(rows), {"axis": 1}, is_free=True)


@cases_of("Split")
def split(op: str, version: int, rng: Random) -> Iterator[Case]:
    for _ in range(60):
        dims = list(shape_of(rng, 1, 3))
        axis = int(rng.integers(0, len(dims)))
        count = int(rng.integers(1, 5))
        sizes = [int(pick(rng, [0, 1, 1, 2, 5])) for _ in range(count)]
        dims[axis] = sum(sizes)
        at = axis - len(dims) if version >= 11 and rng.random() < 0.4 else axis
        x = any_data(rng, tuple(dims))
        types = [None] * count
        if version < 13:
            yield Case(op, [x], {"axis": at, "split": sizes}, types=types)
        else:
            yield Case(op, [x, known(*sizes)], {"axis": at}, types=types)
        each = int(rng.integers(0, 4))
        dims[axis] = count * each
        equal = {"axis": at, "num_outputs": count if version >= 18 else None}
        yield Case(op, [any_data(rng, tuple(dims))], equal, types=types)
        if version >= 18 and each > 0:
            # The last part is smaller.
            dims[axis] = count * each - int(rng.integers(0, each))
            yield Case(op, [any_data(rng, tuple(dims))], equal, types=types)


@cases_of("Pad")
def pad(op: str, version: int, rng: Random) -> Iterator[Case]:
    for _ in range(60):
        dims = shape_of(rng, 1, 3)
        pads = [int(pick(rng, [0, 0, 1, 2, 3, -1])) for _ in range(2 * len(dims))]
        if version < 11:
            x = any_data(rng, dims, REALS)
            yield Case(op, [x], {"pads": pads, "value": float(pick(rng, [0, 0.1, -3.5, np.inf]))})
            continue
        x = any_data(rng, dims, ALL[:-1])
        value = data(rng, x.dtype, (), odd=0.8)
        yield Case(op, [x, known(*pads)])
        yield Case(op, [x, known(*pads), Known(value)], {"mode": "constant"})
        yield Case(op, [x, known(*pads), value])
        if version >= 18:
            axis = int(rng.integers(-len(dims), len(dims)))
            yield Case(op, [x, known(1, 2), Known(value), known(axis)])
            yield Case(op, [x, known(0, 1), None, known(axis, dtype="int32")])


# ---- Selections by indices ----


def indices(rng: Random, size: int, dims: tuple[int, ...], dtype: str | None = None) -> Array:
    """Indices of an axis, of which some are negative."""
    values = rng.integers(-size, size, int(np.prod(dims))) if size else np.zeros(int(np.prod(dims)))
    return values.astype(dtype or pick(rng, ("int64", "int32"))).reshape(dims)


@cases_of("Gather")
def gather(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ALL:
        for _ in range(16):
            # ONNX Runtime gathers strings along the last axis only; see test_departures.py.
            dims = shape_of(rng, 1, 1 if dtype == "object" else 3)
            axis = int(rng.integers(0, len(dims)))
            at = axis - len(dims) if version >= 11 and rng.random() < 0.4 else axis
            chosen = indices(rng, dims[axis], shape_of(rng, 0, 2))
            x = data(rng, dtype, dims)
            kind = element_type(dtype)
            yield Case(op, [x, Known(chosen)], {"axis": at})
            yield Case(op, [x, chosen], {"axis": at})
            yield Case(op, [Known(x), chosen], {"axis": at}, types=[kind])
    for columns in ([1, 2, 3], [0, 2, 4], [5, 4, 3, 2, 1, 0], [2, 2, 2], [-1], [0, 1, 2, 3, 4, 5]):
        x = data(rng, "float32", (17, 6))
        yield Case(op, [x, known(*columns)], {"axis": 1}, is_free=True)
    labels = Known(np.array(["a", "日本", ""], object))
    yield Case(op, [labels, indices(rng, 3, (30,))], types=[TensorProto.STRING], is_free=True)
    words = np.array([["a", "b", "c"], ["", "é", "z"]], object)
    yield Case(op, [words, known(2, 0)], {"axis": 1})


@cases_of("GatherElements")
def gather_elements(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ALL:
        for _ in range(16):
            dims = shape_of(rng, 1, 3)
            axis = int(rng.integers(0, len(dims)))
            to = [int(rng.integers(1, size + 1)) for size in dims]
            to[axis] = int(pick(rng, [1, 2, 7]))
            chosen = indices(rng, dims[axis], tuple(to))
            at = axis - len(dims) if rng.random() < 0.4 else axis
            x = data(rng, dtype, dims)
            yield Case(op, [x, chosen], {"axis": at})
            yield Case(op, [x, Known(chosen)], {"axis": at})


@cases_of("GatherND")
def gather_nd(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ALL:
        for _ in range(16):
            dims = shape_of(rng, 1, 4)
            batch = int(rng.integers(0, min(2, len(dims) - 1) + 1)) if version >= 12 else 0
            length = int(rng.integers(1, len(dims) - batch + 1))
            lead = (*dims[:batch], *shape_of(rng, 0, 2))
            columns = [
                indices(rng, dims[batch + axis], (*lead, 1), "int64") for axis in range(length)
            ]
            chosen = np.concatenate(columns, -1)
            x = data(rng, dtype, dims)
            attributes = {"batch_dims": batch} if batch else {}
            yield Case(op, [x, chosen], attributes)
            yield Case(op, [x, Known(chosen)], attributes)


@cases_of("Scatter", "ScatterElements")
def scatter(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ALL:
        for _ in range(16):
            dims = shape_of(rng, 1, 3)
            axis = int(rng.integers(0, len(dims)))
            to = [int(rng.integers(1, size + 1)) for size in dims]
            to[axis] = int(pick(rng, [1, 2, 7]))
            chosen = indices(rng, dims[axis], tuple(to))
            at = axis - len(dims) if op != "Scatter" and rng.random() < 0.4 else axis
            inputs = [data(rng, dtype, dims), chosen, data(rng, dtype, to)]
            yield Case(op, inputs, {"axis": at})
            yield Case(op, [inputs[0], Known(chosen), inputs[2]], {"axis": at})
            if version >= 16 and dtype in NUMBERS:
                yield Case(op, inputs, {"axis": at, "reduction": "add"})
            if version >= 16:
                yield Case(op, inputs, {"axis": at, "reduction": "none"})


@cases_of("Compress")
def compress(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ALL:
        for _ in range(8):
            dims = shape_of(rng, 1, 3)
            axis = int(rng.integers(0, len(dims)))
            at = axis - len(dims) if version >= 11 and rng.random() < 0.4 else axis
            x = data(rng, dtype, dims)
            yield Case(op, [x, Known(data(rng, "bool", (dims[axis],)))], {"axis": at})
            yield Case(op, [x, Known(data(rng, "bool", (1,)))], {"axis": at})
            yield Case(op, [x, Known(data(rng, "bool", (x.size,)))])
        x = data(rng, dtype, (17, 4))
        yield Case(op, [x, Known([True, False, True])], {"axis": 1}, is_free=True)


@cases_of("OneHot")
def one_hot(op: str, version: int, rng: Random) -> Iterator[Case]:
    # The combinations of types for indices, values and depth that ONNX Runtime has.
    kinds = [
        ("int64", "int64", "int64"),
        ("float32", "int64", "int64"),
        ("int64", "object", "int64"),
        ("float32", "object", "int64"),
        ("float32", "float32", "float32"),
        ("int64", "int32", "float32"),
        ("int64", "float32", "int64"),
        ("int32", "float32", "int32"),
        ("int64", "float32", "float32"),
    ]
    for of_indices, of_values, of_depth in kinds:
        for dims in ((7,), (4, 2), (2, 1, 3), (1,), (0,)):
            depth = int(rng.integers(1, 6))
            x = rng.integers(-depth - 1, depth + 2, dims).astype(of_indices)
            if of_indices == "float32":
                x = x + pick(rng, [np.float32(0), np.float32(0.5)])
            off_on = data(rng, of_values, (2,), odd=0.3)
            axis = int(rng.integers(-len(dims) - 1, len(dims) + 1))
            inputs = [x, Known(np.array(depth, of_depth)), Known(off_on)]
            yield Case(op, inputs, {"axis": axis}, types=[element_type(of_values)])
            inputs = [x, Known(np.array([depth], of_depth)), off_on]
            yield Case(op, inputs, types=[element_type(of_values)])
