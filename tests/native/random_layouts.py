"""Steps of random graphs that move elements, and reductions whose result is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from graph_builder import Builder, Value
from operator_cases import pick
from random_steps import NUMBERS, REALS, choose, is_table, numbers, step
from two_engines import ML

# ---- Layout ----


@step
def joined(b: Builder) -> None:
    value = choose(b, (*NUMBERS, "bool", "object"), is_table)
    if value is None:
        return
    parts = [value]
    for _ in range(int(b.rng.integers(1, 4))):
        other = choose(b, [value.dtype], is_table)
        assert other is not None
        parts.append(other)
    width = sum(part.width for part in parts)
    if width > 60:
        return
    sizes = [part.grid for part in parts]
    b.offer(
        b.apply("Concat", [part.name for part in parts], value, axis=pick(b.rng, [1, -1])),
        value,
        width=width,
        loose_zeros=any(part.loose_zeros for part in parts),
        grid=None if None in sizes else max(size for size in sizes if size is not None),
        has_nan=any(part.has_nan for part in parts),
    )


@step
def columns(b: Builder) -> None:
    """Some columns of a table, in each way that graphs select them."""
    value = choose(b, (*NUMBERS, "object"), is_table)
    if value is None:
        return
    width, rng = value.width, b.rng
    op = pick(rng, ["Gather", "ArrayFeatureExtractor", "Slice", "Split", "Compress"])
    kept: dict[str, Any] = {"grid": value.grid, "has_nan": value.has_nan}
    count = int(rng.integers(1, width + 1))
    if op in ("Gather", "ArrayFeatureExtractor"):
        is_ml = op != "Gather"
        if value.dtype == "object" and not is_ml:
            return
        at = rng.integers(0 if is_ml else -width, width, count)
        more: dict[str, Any] = {"domain": ML} if is_ml else {"axis": 1}
        name = b.apply(op, [value.name, b.constant(at, "int64")], value, **more)
        b.offer(name, value, width=count, **kept)
    elif op == "Slice":
        first = int(rng.integers(0, width - count + 1))
        ends = [b.constant([each], "int64") for each in (first, first + count, 1)]
        b.offer(b.apply(op, [value.name, *ends], value), value, width=count, **kept)
    elif op == "Split":
        if count == width:
            return
        names = [b.name(), b.name()]
        sizes = b.constant([count, width - count], "int64")
        b.node(op, [value.name, sizes], names, axis=1)
        for name, size in zip(names, (count, width - count), strict=True):
            b.offer(name, value, width=size, **kept)
    else:
        mask = rng.random(width) < 0.6
        mask[int(rng.integers(0, width))] = True
        name = b.apply(op, [value.name, b.constant(mask, "bool")], value, axis=1)
        b.offer(name, value, width=int(mask.sum()), **kept)


@step
def moved(b: Builder) -> None:
    """The same elements in the same or another order."""
    value = choose(b, (*NUMBERS, "object", "bool"), is_table)
    if value is None:
        return
    width = value.width
    kept: dict[str, Any] = {"grid": value.grid, "has_nan": value.has_nan}
    way = pick(b.rng, ["reshape", "transpose", "squeeze", "unsqueeze", "reverse", "tile"])
    if way == "reshape":
        cube = b.apply("Reshape", [value.name, b.constant([-1, width, 1], "int64")], value)
        if b.rng.random() < 0.5:
            swapped = b.apply("Transpose", [cube], value, perm=[0, 2, 1])
            cube = b.apply("Squeeze", [swapped, b.constant([1], "int64")], value)
        else:
            cube = b.apply("Reshape", [cube, b.constant([0, -1], "int64")], value)
        b.offer(cube, value, **kept)
    elif way == "transpose":
        turned = b.apply("Transpose", [value.name], value, perm=[1, 0])
        b.offer(b.apply("Transpose", [turned], value), value, **kept)
    elif way == "squeeze" and width == 1:
        name = b.apply("Squeeze", [value.name, b.constant([-1], "int64")], value)
        b.offer(name, value, width=0, **kept)
    elif way == "unsqueeze":
        cube = b.apply("Unsqueeze", [value.name, b.constant([0], "int64")], value)
        b.offer(b.apply("Squeeze", [cube, b.constant([0], "int64")], value), value, **kept)
    elif way == "reverse":
        ends = [b.constant([each], "int64") for each in (-1, -(2**63), 1, -1)]
        b.offer(b.apply("Slice", [value.name, *ends], value), value, **kept)
    elif way == "tile" and width <= 20:
        name = b.apply("Tile", [value.name, b.constant([1, 2], "int64")], value)
        b.offer(name, value, width=2 * width, **kept)


@step
def spread(b: Builder) -> None:
    """A constant row for each row, by the shape of a table; or padding with constant columns."""
    value = choose(b, NUMBERS, is_table)
    if value is None:
        return
    if b.rng.random() < 0.5:
        pads = b.constant([0, 1, 0, 2], "int64")
        number = b.constant(numbers(b.rng, value.dtype, ()), value.dtype)
        name = b.apply("Pad", [value.name, pads, number], value)
        b.offer(name, value, width=value.width + 3)
        return
    if b.opset < 15:
        return
    whole = Value("", "int64", 0)
    rows = b.apply("Shape", [value.name], whole, start=0, end=1)
    shape = b.apply("Concat", [rows, b.constant([3], "int64")], whole, axis=0)
    if b.rng.random() < 0.5:
        row = b.constant(numbers(b.rng, value.dtype, (1, 3)), value.dtype)
        wide = b.apply("Expand", [row, shape], value)
    else:
        number = numbers(b.rng, value.dtype, (1,))
        wide = b.apply("ConstantOfShape", [shape], value, value=number)
    b.offer(b.apply("Concat", [value.name, wide], value, axis=1), value, width=value.width + 3)


@step
def numbered(b: Builder) -> None:
    """The number of each row beside it."""
    value = choose(b, ["int64"], is_table)
    if value is None or b.opset < 15:
        return
    limits = [b.constant(each, "int64") for each in (0, 1)]
    whole = Value("", "int64", 0)
    rows = b.apply("Shape", [value.name], whole, start=0, end=1)
    count = b.apply("Squeeze", [rows], whole)
    line = b.apply("Range", [limits[0], count, limits[1]], whole)
    column = b.apply("Unsqueeze", [line, b.constant([1], "int64")], whole)
    b.offer(b.apply("Concat", [value.name, column], value, axis=1), value, width=value.width + 1)


# ---- Reductions that are exact ----


@step
def extremes(b: Builder) -> None:
    value = choose(b, NUMBERS, is_table)
    if value is None:
        return
    op = pick(b.rng, ["ReduceMax", "ReduceMin"])
    axis = int(pick(b.rng, [1, 1, 0]))
    inputs, attributes = [value.name], {"keepdims": int(pick(b.rng, [0, 1]))}
    if b.opset >= 18:
        inputs.append(b.constant([axis], "int64"))
        name = b.apply(op, inputs, value, **attributes)
    else:
        name = b.apply(op, inputs, value, axes=[axis], **attributes)
    if axis == 1:
        b.offer(name, value, width=attributes["keepdims"])
        return
    # The extreme of each column, minus which the table is offered.
    if value.is_real:
        b.step("Sub", [value.name, name], value)
    else:
        b.step("Equal", [value.name, name], value, dtype="bool")


@step
def best(b: Builder) -> None:
    value = choose(b, NUMBERS, is_table)
    if value is None:
        return
    op = pick(b.rng, ["ArgMax", "ArgMin", "TopK", "CumSum"])
    rng = b.rng
    if op.startswith("Arg"):
        attributes = {
            "axis": 1,
            "keepdims": int(pick(rng, [0, 1])),
            "select_last_index": int(pick(rng, [0, 0, 1])),
        }
        width = attributes["keepdims"]
        name = b.apply(op, [value.name], Value("", "int64", 0), **attributes)
        b.offer(name, value, dtype="int64", width=width, loose_zeros=False)
    elif op == "TopK":
        k = int(rng.integers(1, value.width + 1))
        names = [b.name(), b.name()]
        attributes = {"largest": int(pick(rng, [0, 1])), "axis": 1}
        b.node(op, [value.name, b.constant([k], "int64")], names, **attributes)
        b.offer(names[0], value, width=k)
        b.offer(names[1], value, dtype="int64", width=k, loose_zeros=False)
    else:
        attributes = {"exclusive": int(pick(rng, [0, 1])), "reverse": int(pick(rng, [0, 1]))}
        axis = b.constant(pick(rng, [0, 1, 1]), "int64")
        b.offer(b.apply(op, [value.name, axis], value, **attributes), value)


@step
def picked(b: Builder) -> None:
    """GatherElements by the position of the best of each row; or the score scattered to it."""
    value = choose(b, REALS, is_table)
    if value is None:
        return
    at = b.apply("ArgMax", [value.name], Value("", "int64", 1), axis=1, keepdims=1)
    name = b.apply("GatherElements", [value.name, at], value, axis=1)
    found = b.offer(name, value, width=1)
    if b.rng.random() < 0.5:
        inputs = [value.name, at, found.name]
        b.offer(b.apply("ScatterElements", inputs, value, axis=1), value)


@step
def exact_sums(b: Builder) -> None:
    """A linear model of small numbers, whose sums do not depend on the order of their terms."""
    value = choose(b, REALS, lambda x: x.width > 0 and x.grid is not None)
    if value is None:
        return
    width = int(pick(b.rng, [1, 2, 5]))
    weights = np.round(b.rng.normal(size=(value.width, width)) * 16) / 16
    name = b.constant(weights, value.dtype)
    bias = b.constant(np.round(b.rng.normal(size=width) * 16) / 16, value.dtype)
    if b.rng.random() < 0.5:
        b.step("Gemm", [value.name, name, bias], value, width=width, loose_zeros=True)
    else:
        product = b.apply("MatMul", [value.name, name], value)
        b.step("Add", [product, bias], value, width=width, loose_zeros=True)
