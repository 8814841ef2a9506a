"""Cases of operators that compute each element from the elements at the same place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import TensorProto
from operator_cases import (
    ALL,
    NUMBERS,
    REALS,
    Case,
    Known,
    Random,
    cases_of,
    data,
    odd_values,
    pick,
)
from two_engines import Array, element_type

# Pairs of shapes for each kind of loop: equal, one row, one column, one element, none.
PAIRS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((40, 6), (40, 6)),
    ((40, 6), (1, 6)),
    ((40, 6), (40, 1)),
    ((40, 1), (1, 6)),
    ((1, 6), (40, 6)),
    ((6,), (40, 6)),
    ((40, 6), ()),
    ((), (40, 6)),
    ((1,), (40, 1)),
    ((), ()),
    ((2, 3, 1, 5), (4, 1)),
    ((2, 1, 4, 1), (3, 1, 5)),
    ((0, 6), (1, 6)),
    ((0, 6), (6,)),
]


def pairs(
    op: str, rng: Random, dtypes: tuple[str, ...], kind: int | None = None, **attributes: Any
) -> Iterator[Case]:
    for dtype in dtypes:
        for left, right in PAIRS:
            x, y = data(rng, dtype, left), data(rng, dtype, right)
            yield Case(op, [x, y], attributes, types=[kind])
        # Every odd value against every other one.
        odd = np.array(odd_values(dtype), dtype)
        yield Case(op, [odd.reshape(-1, 1), odd.reshape(1, -1)], attributes, types=[kind])
        x = data(rng, dtype, (17, 6))
        yield Case(op, [x, Known(data(rng, dtype, (6,)))], attributes, types=[kind], is_free=True)
        yield Case(op, [Known(data(rng, dtype, (1, 6))), x], attributes, types=[kind], is_free=True)


@cases_of("Add", "Sub", "Mul")
def arithmetic(op: str, version: int, rng: Random) -> Iterator[Case]:
    yield from pairs(op, rng, NUMBERS)


@cases_of("Div")
def division(op: str, version: int, rng: Random) -> Iterator[Case]:
    yield from pairs(op, rng, REALS)
    for dtype in ("int64", "int32"):
        limits = np.iinfo(dtype)
        divisors = np.array([1, 2, -3, 7, 2**30, limits.max, limits.min], dtype)
        for shape in ((40, 7), (40, 1), (1,), ()):
            yield Case(op, [data(rng, dtype, shape, size=100), divisors])
        # ONNX Runtime crashes if the smallest integer is divided by -1.
        numbers = np.maximum(data(rng, dtype, (17, 3), size=100), limits.min + 1)
        yield Case(op, [numbers, Known(-1, dtype)], is_free=True)
        yield Case(op, [Known(limits.max, dtype), np.array([5, -7], dtype)])


@cases_of("Mod")
def remainder(op: str, version: int, rng: Random) -> Iterator[Case]:
    yield from pairs(op, rng, REALS, fmod=1)
    for dtype in ("int64", "int32"):
        limits = np.iinfo(dtype)
        divisors = np.array([1, 2, -3, 7, 2**30, limits.max, limits.min], dtype)
        for shape in ((40, 7), (40, 1), (1,), ()):
            yield Case(op, [data(rng, dtype, shape, size=100), divisors])
        yield Case(op, [Known(limits.max, dtype), np.array([5, -7], dtype)])


@cases_of("Clip")
def clipping(op: str, version: int, rng: Random) -> Iterator[Case]:
    if version < 11:
        x = data(rng, "float32", (40, 6))
        for limits in ({}, {"min": -1.0}, {"max": 0.0}, {"min": 2.0, "max": -0.0}):
            yield Case(op, [x], limits)
            yield Case(op, [x], limits, is_free=True)
        yield Case(op, [x[0]], {"min": float("nan"), "max": float("inf")})
        return
    for dtype in REALS if version < 12 else NUMBERS:
        for shape in ((40, 6), (7,), (), (0, 3), (1, 1)):
            for given in ((True, True), (True, False), (False, True), (False, False)):
                limits = [data(rng, dtype, ()) if each else None for each in given]
                yield Case(op, [data(rng, dtype, shape), *limits])
        odd = np.array(odd_values(dtype), dtype)
        for low in odd:
            yield Case(op, [odd, Known(low, dtype), Known(pick(rng, odd), dtype)], is_free=True)
        yield Case(op, [data(rng, dtype, (9, 2)), Known([-1], dtype), None], is_free=True)


@cases_of("Max", "Min", "Sum")
def variadic(op: str, version: int, rng: Random) -> Iterator[Case]:
    dtypes = REALS if op == "Sum" or version < 12 else NUMBERS
    yield from pairs(op, rng, dtypes)
    for dtype in dtypes:
        yield Case(op, [data(rng, dtype, (5, 3))])
        for count in (3, 5):
            shapes = [pick(rng, [(5, 3), (1, 3), (3,), (5, 1), ()]) for _ in range(count)]
            yield Case(op, [data(rng, dtype, shape) for shape in shapes])


@cases_of("Pow")
def power(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in REALS:
        for other in NUMBERS:
            exponents = np.array([2, 3, 1, 0, -1, -2, 7, 60, 61, 5], other)
            x = data(rng, dtype, (40, 1))
            yield Case(op, [x, exponents])
            yield Case(op, [np.abs(x), data(rng, other, (40, 6), odd=0.1)])
            for each in (2, 3, 1, 0, -1):
                yield Case(op, [x, Known(each, other)])
            if np.dtype(other).kind == "f":
                yield Case(op, [np.abs(x), Known(0.5, other)])
                odd = np.array(odd_values(dtype), dtype).reshape(-1, 1)
                yield Case(op, [odd, np.array(odd_values(other), other)])


@cases_of("Equal")
def equality(op: str, version: int, rng: Random) -> Iterator[Case]:
    dtypes = ALL if version >= 19 else ALL[:-1]
    yield from pairs(op, rng, dtypes, TensorProto.BOOL)
    if version >= 19:
        known = Known(np.array([["a", "日本", "", "nowhere"]], object))
        x = data(rng, object, (30, 1))
        yield Case(op, [x, known], types=[TensorProto.BOOL], is_free=True)


@cases_of("Less", "LessOrEqual", "Greater", "GreaterOrEqual")
def comparison(op: str, version: int, rng: Random) -> Iterator[Case]:
    yield from pairs(op, rng, NUMBERS, TensorProto.BOOL)


@cases_of("And", "Or", "Xor")
def logic(op: str, version: int, rng: Random) -> Iterator[Case]:
    yield from pairs(op, rng, ("bool",))


@cases_of("Where")
def where(op: str, version: int, rng: Random) -> Iterator[Case]:
    shapes = [
        ((40, 6), (40, 6), (40, 6)),
        ((40, 6), (), (40, 6)),
        ((40, 1), (1, 6), (40, 6)),
        ((40, 6), (6,), ()),
        ((1,), (40, 6), (40, 6)),
        ((6,), (40, 1), (2, 1, 6)),
        ((), (), ()),
        ((0, 3), (1, 3), (3,)),
    ]
    for dtype in ALL:
        kind = element_type(dtype)
        for condition, yes, no in shapes:
            inputs = [data(rng, "bool", condition), data(rng, dtype, yes), data(rng, dtype, no)]
            yield Case(op, inputs, types=[kind])
            yield Case(op, [inputs[0], Known(inputs[1]), inputs[2]], types=[kind])
        rows = [
            data(rng, "bool", (17, 1)),
            data(rng, dtype, (17, 3)),
            Known(data(rng, dtype, (3,))),
        ]
        yield Case(op, rows, types=[kind], is_free=True)


# ---- One operand ----

RANDOM_SHAPES: list[tuple[int, ...]] = [(40, 6), (7,), (), (2, 3, 5), (0, 3), (1, 1)]


def one_operand(
    op: str, rng: Random, dtypes: tuple[str, ...], kind: int | None = None
) -> Iterator[Case]:
    for dtype in dtypes:
        for shape in RANDOM_SHAPES:
            yield Case(op, [data(rng, dtype, shape)], types=[kind])
        yield Case(op, [np.array(odd_values(dtype), dtype)], types=[kind])
        yield Case(op, [data(rng, dtype, (3, 2))], types=[kind], is_free=True)


@cases_of("Not")
def negation(op: str, version: int, rng: Random) -> Iterator[Case]:
    yield from one_operand(op, rng, ("bool",))


@cases_of("Neg", "Abs", "Sign")
def of_numbers(op: str, version: int, rng: Random) -> Iterator[Case]:
    yield from one_operand(op, rng, NUMBERS)


@cases_of("Floor", "Ceil", "Round", "Sqrt", "Reciprocal", "Relu")
def of_reals(op: str, version: int, rng: Random) -> Iterator[Case]:
    yield from one_operand(op, rng, REALS)
    for dtype in REALS:
        halves = np.arange(-7, 8).astype(dtype) / 2
        large = np.array([2.0**51 + 0.5, 2.0**52 + 1, 2.0**23 + 1, 8388607.5], dtype)
        yield Case(op, [np.concatenate([halves, large, -large])])


@cases_of("Exp", "Log", "Sin", "Cos", "Tanh", "Erf", "Sigmoid")
def transcendental(op: str, version: int, rng: Random) -> Iterator[Case]:
    yield from one_operand(op, rng, REALS)
    for dtype in REALS:
        for size in (1e-30, 1e-4, 0.1, 1, 10, 100, 700, 1e6):
            x = data(rng, dtype, (300,), odd=0, size=size)
            yield Case(op, [x])
            yield Case(op, [np.abs(x)])


@cases_of("LeakyRelu", "Elu", "Selu", "Softplus", "Softsign")
def activation(op: str, version: int, rng: Random) -> Iterator[Case]:
    choices: dict[str, list[dict[str, float]]] = {
        "LeakyRelu": [{}, {"alpha": 0.3}, {"alpha": -1.0}],
        "Elu": [{}, {"alpha": 0.5}],
        "Selu": [{}, {"alpha": 1.5, "gamma": 2.0}],
    }
    for attributes in choices.get(op, [{}]):
        for shape in RANDOM_SHAPES:
            yield Case(op, [data(rng, "float32", shape)], attributes)
        for size in (1e-30, 1e-4, 0.1, 1, 10, 100):
            yield Case(op, [data(rng, "float32", (300,), odd=0, size=size)], attributes)
        yield Case(op, [np.array(odd_values("float32"), np.float32)], attributes)
        yield Case(op, [data(rng, "float32", (3, 2))], attributes, is_free=True)


@cases_of("Dropout")
def dropout(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in REALS:
        for shape in RANDOM_SHAPES:
            yield Case(op, [data(rng, dtype, shape)])
        if version >= 12:
            ratio = Known(0.5, "float32")
            yield Case(op, [data(rng, dtype, (3, 2)), ratio, Known(False)], is_free=True)
            yield Case(op, [data(rng, dtype, (3, 2)), ratio], is_free=True)


@cases_of("BatchNormalization")
def batch_normalization(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in REALS:
        for shape in ((40, 6), (1, 6), (17, 1), (2, 3, 4), (2, 3, 2, 2)):
            for epsilon in (None, 0.5):
                lists = [data(rng, dtype, shape[1:2], odd=0.1) for _ in range(3)]
                variance = np.abs(data(rng, dtype, shape[1:2], odd=0.1))
                inputs = [data(rng, dtype, shape, odd=0.1), *lists, variance]
                yield Case(op, inputs, {"epsilon": epsilon})
                known = [inputs[0], *(Known(each) for each in inputs[1:])]
                yield Case(op, known, {"epsilon": epsilon}, is_free=True)


@cases_of("IsNaN")
def is_nan(op: str, version: int, rng: Random) -> Iterator[Case]:
    yield from one_operand(op, rng, REALS, TensorProto.BOOL)


@cases_of("IsInf")
def is_inf(op: str, version: int, rng: Random) -> Iterator[Case]:
    yield from one_operand(op, rng, REALS, TensorProto.BOOL)
    for positive, negative in ((0, 0), (0, 1), (1, 0), (1, 1)):
        x = data(rng, "float32", (20,), odd=0.9)
        signs = {"detect_positive": positive, "detect_negative": negative}
        yield Case(op, [x], signs, types=[TensorProto.BOOL])


def near_limits(dtype: str) -> Array:
    """Real numbers beside the largest and the smallest integers."""
    values = []
    for power in (31, 63):
        for edge in (2.0**power, -(2.0**power)):
            at = np.array(edge, dtype)
            values += [at, np.nextafter(at, 0, dtype=dtype), np.nextafter(at, at * 2, dtype=dtype)]
    return np.array(values, dtype)


@cases_of("Cast")
def cast(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ALL[:-1]:
        for to in ALL[:-1]:
            kind = element_type(to)
            for shape in RANDOM_SHAPES:
                x = data(rng, dtype, shape, size=100)
                yield Case(op, [x], {"to": kind}, types=[kind])
            odd = np.array(odd_values(dtype), dtype)
            yield Case(op, [odd], {"to": kind}, types=[kind])
            if np.dtype(dtype).kind == "f":
                yield Case(op, [near_limits(dtype)], {"to": kind}, types=[kind])
    texts = data(rng, object, (4, 2))
    yield Case(op, [texts], {"to": TensorProto.STRING})
