"""Steps of random graphs: how they are registered, and those of numbers and comparisons.

A step adds nodes to a builder, or does nothing if no value of the graph suits it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from graph_builder import Builder, Value
from operator_cases import Random, pick
from two_engines import element_type

Step = Callable[[Builder], None]
REALS = ("float64", "float32")
NUMBERS = (*REALS, "int64", "int32")
# Steps that may be followed by others, and those whose answer is not exact and ends a path.
STEPS: list[Step] = []
ENDS: list[Step] = []


def step(function: Step) -> Step:
    STEPS.append(function)
    return function


def frequent_step(function: Step) -> Step:
    STEPS.extend([function] * 4)
    return function


def end(function: Step) -> Step:
    ENDS.append(function)
    return function


def choose(
    b: Builder, dtypes: Sequence[str], condition: Callable[[Value], bool] = lambda value: True
) -> Value | None:
    """A value of these types; later ones are chosen more often."""
    found = [value for value in b.values if value.dtype in dtypes and condition(value)]
    if not found:
        return None
    return found[max(b.rng.integers(0, len(found), 2))]


def is_table(value: Value) -> bool:
    return value.width > 0


def numbers(rng: Random, dtype: str, shape: Sequence[int], *, size: float = 3) -> Any:
    if dtype.startswith("int"):
        return rng.integers(-6, 7, shape).astype(dtype)
    x = rng.normal(size=shape) * size
    return (np.round(x) if rng.random() < 0.4 else x).astype(dtype)


def row_shape(b: Builder, value: Value) -> tuple[int, ...]:
    """Of a constant that broadcasts to the value."""
    width = value.width or 1
    return tuple(pick(b.rng, [(), (1,), (width,), (1, width)] if value.width else [(), (1,)]))


# ---- Arithmetic ----


@step
def with_constant(b: Builder) -> None:
    op = pick(b.rng, ["Add", "Sub", "Mul", "Div", "Max", "Min"])
    value = choose(b, REALS if op == "Div" else NUMBERS)
    if value is None:
        return
    array = numbers(b.rng, value.dtype, row_shape(b, value))
    inputs = [value.name, b.constant(array, value.dtype)]
    if b.rng.random() < 0.3 and not (op == "Div" and value.loose_zeros):
        inputs.reverse()
    # ONNX Runtime leaves out additions of 0, which would turn -0 into 0.
    is_nothing = op in ("Add", "Sub") and (array == 0).any()
    loose = value.loose_zeros or op in ("Max", "Min") or bool(is_nothing)
    b.step(op, inputs, value, loose_zeros=loose)


@step
def scaled(b: Builder) -> None:
    """(x - mean) / deviation, as a scaler is exported."""
    value = choose(b, REALS, is_table)
    if value is None:
        return
    means = numbers(b.rng, value.dtype, (value.width,))
    # ONNX Runtime leaves out the subtraction of 0, which would turn -0 into 0.
    mean = b.constant(np.where(means == 0, means + np.array(0.5, value.dtype), means), value.dtype)
    deviation = b.constant(np.abs(numbers(b.rng, value.dtype, (value.width,))) + 0.1, value.dtype)
    centred = b.apply("Sub", [value.name, mean], value)
    op = pick(b.rng, ["Div", "Mul"])
    b.step(op, [centred, deviation], value)


@step
def of_two(b: Builder) -> None:
    value = choose(b, NUMBERS)
    if value is None:
        return
    dtype, width = value.dtype, value.width
    other = choose(b, [dtype], lambda x: x.width == width or (x.width == 1 and width > 0))
    assert other is not None
    ops = ["Add", "Sub", "Mul", "Max", "Min", *(["Div", "Sum"] if value.is_real else [])]
    op = pick(b.rng, ops)
    loose = value.loose_zeros or other.loose_zeros
    if op == "Div" and loose:
        return
    b.step(op, [value.name, other.name], value, loose_zeros=loose or op in ("Max", "Min"))


@step
def of_one(b: Builder) -> None:
    op = pick(
        b.rng,
        ["Neg", "Abs", "Sign", "Floor", "Ceil", "Round", "Sqrt", "Reciprocal", "Relu", "Identity"],
    )
    dtypes = NUMBERS if op in ("Neg", "Abs", "Sign", "Identity") else REALS
    value = choose(b, dtypes)
    if value is None or (op == "Reciprocal" and value.loose_zeros):
        return
    b.step(op, [value.name], value, grid=1.0 if op == "Sign" else None)


@step
def small_integers(b: Builder) -> None:
    """Rounded and clipped numbers, whose sums are exact."""
    value = choose(b, REALS, is_table)
    if value is None:
        return
    limits = [b.constant(limit, value.dtype) for limit in (-8, 8)]
    rounded = b.apply("Round", [value.name], value)
    low = b.apply("Max", [rounded, limits[0]], value)
    b.step("Min", [low, limits[1]], value, loose_zeros=True, grid=8.0)


@step
def clipped(b: Builder) -> None:
    value = choose(b, NUMBERS)
    if value is None:
        return
    low, high = sorted(numbers(b.rng, value.dtype, (2,)))
    at_least = b.apply("Max", [value.name, b.constant(low, value.dtype)], value)
    b.step("Min", [at_least, b.constant(high, value.dtype)], value, loose_zeros=True)


@step
def limited(b: Builder) -> None:
    value = choose(b, NUMBERS)
    if value is None:
        return
    limits = [b.constant(each, value.dtype) for each in np.sort(numbers(b.rng, value.dtype, (2,)))]
    chosen = pick(b.rng, [limits, limits[:1], ["", limits[1]]])
    b.step("Clip", [value.name, *chosen], value)


@step
def divided_integers(b: Builder) -> None:
    value = choose(b, ["int64", "int32"])
    if value is None:
        return
    # Neither engine divides by 0, and only this one divides the smallest integer by -1.
    divisors = b.rng.choice([1, 2, 3, -3, 7, 1000], row_shape(b, value))
    b.step("Div", [value.name, b.constant(divisors, value.dtype)], value)


@step
def activated(b: Builder) -> None:
    value = choose(b, ["float32"])
    if value is None:
        return
    op = pick(b.rng, ["LeakyRelu", "Softsign"])
    alpha = {"alpha": 0.3} if op == "LeakyRelu" else {}
    b.offer(b.apply(op, [value.name], value, **alpha), value)


@step
def cast(b: Builder) -> None:
    value = choose(b, (*NUMBERS, "bool"))
    if value is None:
        return
    to = pick(b.rng, [*REALS, *NUMBERS, "bool"])
    grid = 1.0 if value.dtype == "bool" else value.grid
    name = b.apply("Cast", [value.name], value, to=element_type(to))
    b.offer(name, value, dtype=to, grid=grid if to in REALS else None)


# ---- Comparisons and choices ----


@step
def compared(b: Builder) -> None:
    op = pick(b.rng, ["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"])
    value = choose(b, NUMBERS)
    if value is None:
        return
    constant = b.constant(numbers(b.rng, value.dtype, row_shape(b, value)), value.dtype)
    b.step(op, [value.name, constant], value, dtype="bool", loose_zeros=False)


@step
def asked(b: Builder) -> None:
    value = choose(b, REALS)
    if value is None:
        return
    op = pick(b.rng, ["IsNaN", "IsNaN", "IsInf"])
    b.step(op, [value.name], value, dtype="bool", loose_zeros=False)


@step
def logic(b: Builder) -> None:
    value = choose(b, ["bool"])
    if value is None:
        return
    width = value.width
    other = choose(b, ["bool"], lambda x: x.width == width)
    assert other is not None
    op = pick(b.rng, ["And", "Or", "Xor", "Not"])
    b.step(op, [value.name] if op == "Not" else [value.name, other.name], value)


@step
def imputed(b: Builder) -> None:
    """NaN becomes a number of its column."""
    value = choose(b, REALS)
    if value is None:
        return
    missing = b.apply("IsNaN", [value.name], Value("", "bool", value.width))
    fill = np.abs(numbers(b.rng, value.dtype, row_shape(b, value))) + np.array(1, value.dtype)
    constant = b.constant(fill, value.dtype)
    b.step("Where", [missing, constant, value.name], value, has_nan=False)


@step
def chosen(b: Builder) -> None:
    condition = choose(b, ["bool"])
    if condition is None:
        return
    width = condition.width
    value = choose(b, (*NUMBERS, "object"), lambda x: x.width == width)
    other = value and choose(b, [value.dtype], lambda x: x.width == width)
    if value is None or other is None:
        return
    loose = other.loose_zeros or value.is_real
    b.step("Where", [condition.name, value.name, other.name], value, loose_zeros=loose)
