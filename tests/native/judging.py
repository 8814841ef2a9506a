"""Decides whether an answer of the native engine is right.

Most operators must give the bits of ONNX Runtime. What ONNX Runtime approximates, such as Sigmoid
and Softmax, is compared with the function itself in numpy's longdouble, and sums with ONNX Runtime
within the error that their rounding may have.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto
from two_engines import Array, attribute, element_type, run_node

Exact = np.longdouble


@dataclass
class Answer:
    """One run of a node: its inputs by position, and its outputs on both engines."""

    node: NodeProto
    version: int
    inputs: Sequence[Array | None]
    native: Sequence[Array]
    other: Sequence[Array]
    # For trees: the outputs without the post transform, if they are known.
    raw: Sequence[Array] | None = None

    def get(self, name: str, otherwise: Any = None) -> Any:
        value = attribute(self.node, name, otherwise)
        return value.decode() if isinstance(value, bytes) else value


Judge = Callable[[Answer], list[str]]
JUDGES: dict[str, Judge] = {}
# What each judge accepts, in words; docs/engine.md has them.
EQUALITY: dict[str, str] = {}


def judge(answer: Answer) -> list[str]:
    """What is wrong with the answer; nothing if it is right."""
    wrong = [
        f"output {i}: {got.dtype}{list(got.shape)} instead of {want.dtype}{list(want.shape)}"
        for i, (got, want) in enumerate(zip(answer.native, answer.other, strict=True))
        if got.dtype != want.dtype or got.shape != want.shape
    ]
    with np.errstate(all="ignore"):
        return wrong or JUDGES.get(answer.node.op_type, same_bits)(answer)


def judged(*ops: str, equality: str) -> Callable[[Judge], Judge]:
    """Registers the judge of these operators. In `equality`, "{limit}" is their limit in ulp."""

    def register(function: Judge) -> Judge:
        JUDGES.update(dict.fromkeys(ops, function))
        for op in ops:
            EQUALITY[op] = equality.format(limit=LIMITS.get(op, LIMIT))
        return function

    return register


def equality_of(op: str) -> str:
    """What judge() accepts of the operator, in words."""
    return EQUALITY[op] if op in JUDGES else "bit for bit"


# In units of the last place. tanh of glibc 2.41 has errors of up to 2.2 units for double.
LIMIT = 2
LIMITS = {"Tanh": 2.5}


# ---- Comparing arrays ----


def first_of(wrong: Array, got: Array, want: Array, what: str) -> list[str]:
    """Describes the first element that is wrong."""
    if not wrong.any():
        return []
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    return [f"{what}: {wrong.sum()} of {wrong.size}, first at {at}: {got[at]!r}, not {want[at]!r}"]


def is_equal(got: Array, want: Array, *, signed_zeros: bool = True) -> Array:
    """Whether elements have the same bits; all NaN are equal."""
    if got.dtype.kind != "f":
        return np.asarray(got == want)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    return same & ((np.signbit(got) == np.signbit(want)) | (got != 0)) if signed_zeros else same


def same_bits(answer: Answer) -> list[str]:
    pairs = zip(answer.native, answer.other, strict=True)
    return [
        text
        for i, (got, want) in enumerate(pairs)
        for text in first_of(~is_equal(got, want), got, want, f"output {i} differs")
    ]


# The signs of zeros differ; see test_departures.py.
@judged("Max", "Min", "Where", equality="bit for bit, except for the sign of a zero")
def same_numbers(answer: Answer) -> list[str]:
    got, want = answer.native[0], answer.other[0]
    return first_of(~is_equal(got, want, signed_zeros=False), got, want, "differs")


def error_in_ulps(got: Array, exact: Array) -> Array:
    """The distance of each element from the exact number, in units of its last place."""
    rounded = exact.astype(got.dtype)
    finite = np.isfinite(got) & np.isfinite(rounded)
    unit = np.spacing(np.abs(rounded)).astype(Exact)
    error = np.abs(got.astype(Exact) - exact) / unit
    return np.where(is_equal(got, rounded, signed_zeros=False), 0, np.where(finite, error, np.inf))


def near(got: Array, exact: Array, bound: Any, what: str = "is too far") -> list[str]:
    """`bound` is an absolute error; what is not finite must be equal, unless the bound is."""
    rounded = exact.astype(got.dtype)
    fits = np.abs(got.astype(Exact) - exact) <= bound
    fits &= np.isfinite(got) & np.isfinite(exact)
    fits |= np.isposinf(bound)
    return first_of(~(fits | is_equal(got, rounded, signed_zeros=False)), got, rounded, what)


def rounding(size: Array, terms: int, dtype: Any) -> Array:
    """The error of a sum of so many terms, the sum of whose absolute values is `size`.

    If only the order of the terms decides whether the sum overflows, any result is right.
    """
    bound = 2 * terms * epsilon(dtype) * size + tiny(dtype)
    return np.where(size > np.finfo(dtype).max, np.inf, bound)


def sizes(x: Array) -> Array:
    """The absolute values of finite elements, and 0 for others: these make no rounding error."""
    return np.where(np.isfinite(x), np.abs(x.astype(Exact)), 0)


def tiny(dtype: Any) -> Exact:
    return Exact(np.finfo(dtype).smallest_subnormal)


def epsilon(dtype: Any) -> Exact:
    return Exact(np.finfo(dtype).eps)


# ---- Functions of one number, within 2 units in the last place ----


def exact_erf(x: Array) -> Array:
    function = ctypes.CDLL("libm.so.6").erfl
    function.restype, function.argtypes = ctypes.c_longdouble, [ctypes.c_longdouble]
    # ctypes rounds the result to double, which adds at most half a unit of a double.
    values = [function(float(each)) for each in x.ravel()]
    return np.array(values, np.float64).reshape(x.shape).astype(Exact)


def exact_sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


EXACT: Mapping[str, Callable[[Array], Array]] = {
    "Exp": np.exp,
    "Log": np.log,
    "Sin": np.sin,
    "Cos": np.cos,
    "Tanh": np.tanh,
    "Erf": exact_erf,
    "Sigmoid": exact_sigmoid,
}


@judged(*EXACT, equality="within {limit} ulp of the function")
def within_two_ulps(answer: Answer) -> list[str]:
    (x,) = answer.inputs
    assert x is not None
    op = answer.node.op_type
    return in_ulps(answer.native[0], EXACT[op](x.astype(Exact)), LIMITS.get(op, LIMIT))


@judged("Elu", "Selu", "Softplus", equality="within 3 ulp of the function")
def activation_within_three_ulps(answer: Answer) -> list[str]:
    (x,) = answer.inputs
    assert x is not None
    z = x.astype(Exact)
    if answer.node.op_type == "Softplus":
        exact = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    elif answer.node.op_type == "Elu":
        exact = np.where(x >= 0, z, Exact(np.float32(answer.get("alpha", 1))) * np.expm1(z))
    else:
        alpha = Exact(np.float32(answer.get("alpha", 1.67326319)))
        gamma = Exact(np.float32(answer.get("gamma", 1.05070102)))
        exact = gamma * np.where(x > 0, z, alpha * np.expm1(z))
    # A function within 1 unit, and one rounding for each of at most two products.
    return in_ulps(answer.native[0], exact, 3)


@judged("Pow", equality="within {limit} ulp of the function")
def power_within_two_ulps(answer: Answer) -> list[str]:
    base, exponent = answer.inputs
    assert base is not None and exponent is not None
    exact = np.power(base.astype(Exact), exponent.astype(Exact))
    # powl of glibc is wrong for -inf to the power of large even numbers, numpy for a power of 0.5.
    infinite = np.broadcast_to(np.isinf(base), exact.shape)
    for at in np.argwhere(infinite):
        pair = (np.broadcast_to(each, exact.shape)[tuple(at)] for each in (base, exponent))
        exact[tuple(at)] = math.pow(*pair)
    return in_ulps(answer.native[0], exact)


def in_ulps(got: Array, exact: Array, limit: float = LIMIT) -> list[str]:
    error = error_in_ulps(got, exact)
    return first_of(
        ~(error <= limit), got, exact.astype(got.dtype), f"is {error.max(initial=0)} ulp off"
    )


# ---- Softmax and sums of exponentials ----


def softmax(x: Array, *, is_log: bool = False, has_zeros: bool = False) -> tuple[Array, Array]:
    """The exact softmax over the last axis, and the error that rounding may add.

    With `has_zeros`, scores of about 0 do not count in the sum, and stay about 0.
    """
    eps, count = epsilon(x.dtype), x.shape[-1]
    # The difference is rounded to the type of x; a large one makes its exponential inexact.
    distance = (x - x.max(-1, keepdims=True)).astype(Exact)
    powers = np.exp(distance)
    if has_zeros:
        is_zero = ~(np.abs(x) > np.float32(1e-7))
        scaled = x * np.exp(-x.max(-1, keepdims=True).astype(Exact))
        total = np.where(is_zero, 0, powers).sum(-1, keepdims=True)
        powers = np.where(is_zero, scaled, powers)
    else:
        total = powers.sum(-1, keepdims=True)
    share = powers / total
    size = np.where(np.isfinite(distance), np.abs(distance), 0)
    if not is_log:
        return share, (count + 4) * eps * np.abs(share) + 2 * tiny(x.dtype)
    log = np.log(total)
    return distance - log, eps * (size + count + 4 + 2 * np.abs(log))


@judged("Softmax", "LogSoftmax", equality="within the rounding of the function")
def near_softmax(answer: Answer) -> list[str]:
    (x,) = answer.inputs
    assert x is not None
    if x.size == 0:
        return []
    got, other = answer.native[0], answer.other[0]
    axis = answer.get("axis", -1 if answer.version >= 13 else 1)
    if answer.version < 13:
        width = int(np.prod(x.shape[axis % x.ndim :]))
        x, got, other = (each.reshape(-1, width) for each in (x, got, other))
        axis = -1
    x, got, other = (np.moveaxis(each, axis, -1) for each in (x, got, other))
    exact, bound = softmax(x, is_log=answer.node.op_type == "LogSoftmax")
    # LogSoftmax of a row with NaN or infinity is whatever ONNX Runtime makes of it.
    is_odd = np.isnan(exact).any(-1, keepdims=True)
    exact = np.where(is_odd, other.astype(Exact), exact)
    bound = np.where(is_odd, 8 * epsilon(x.dtype) * np.nan_to_num(np.abs(exact)), bound)
    return near(got, exact, bound)


# ---- Sums ----


def reduced(answer: Answer) -> tuple[int, ...] | None:
    """The axes of a reduction; None if the node reduces nothing."""
    x = answer.inputs[0]
    assert x is not None
    axes = answer.get("axes", [])
    if len(answer.inputs) > 1 and answer.inputs[1] is not None:
        axes = answer.inputs[1].tolist()
    if not axes and answer.get("noop_with_empty_axes", 0):
        return None
    return tuple(axis % x.ndim for axis in axes) or tuple(range(x.ndim))


@judged(
    *("ReduceSum", "ReduceMean", "ReduceSumSquare", "ReduceL1", "ReduceL2", "ReduceProd"),
    equality="within the rounding of a sum; integers bit for bit",
)
def near_sum(answer: Answer) -> list[str]:
    x, axes = answer.inputs[0], reduced(answer)
    got, want = answer.native[0], answer.other[0]
    assert x is not None
    if x.dtype.kind != "f" or axes is None or x.size == 0:
        return same_bits(answer)
    count = int(np.prod([x.shape[axis] for axis in axes]))
    size = sizes(x)
    op = answer.node.op_type
    if op == "ReduceProd":
        bound = size.prod(axes)
    elif op in ("ReduceSumSquare", "ReduceL2"):
        bound = (size * size).sum(axes)
        if op == "ReduceL2":
            bound = np.sqrt(bound)
    else:
        bound = size.sum(axes) / (count if op == "ReduceMean" else 1)
    return near(got, want.astype(Exact), rounding(bound.reshape(got.shape), count, x.dtype))


@judged("ReduceLogSumExp", equality="within the rounding of a sum; integers bit for bit")
def near_log_sum(answer: Answer) -> list[str]:
    x, axes = answer.inputs[0], reduced(answer)
    got, want = answer.native[0], answer.other[0]
    assert x is not None
    if x.dtype.kind != "f" or x.size == 0:
        return same_bits(answer)
    count, eps = 1, epsilon(x.dtype)
    if axes is not None:
        count = int(np.prod([x.shape[axis] for axis in axes]))
    # The terms are at most 1, and each may have the error of the difference that it is made from.
    size = sizes(x).max(initial=0)
    bound = 2 * eps * (count + 4 + np.minimum(2 * size, 800)) + 4 * eps * np.abs(want.astype(Exact))
    return near(got, want.astype(Exact), np.nan_to_num(bound, nan=0, posinf=0))


@judged("MatMul", "Gemm", equality="within the rounding of a sum")
def near_product(answer: Answer) -> list[str]:
    a, b = (each for each in answer.inputs[:2] if each is not None)
    got, want = answer.native[0], answer.other[0]
    alpha, beta = Exact(answer.get("alpha", 1)), Exact(answer.get("beta", 1))
    a, b = a.T if answer.get("transA", 0) else a, b.T if answer.get("transB", 0) else b
    exact = np.matmul(a.astype(Exact), b.astype(Exact)) * alpha
    size = np.matmul(sizes(a), sizes(b)) * abs(alpha)
    c = answer.inputs[2] if len(answer.inputs) > 2 and beta != 0 else None
    if c is not None:
        exact, size = exact + beta * c.astype(Exact), size + abs(beta) * sizes(c)
    bound = rounding(size, a.shape[-1] + 1, got.dtype)
    # ONNX Runtime may multiply by a factor of another node first, and overflow thereby.
    if not near(got, exact, bound):
        return []
    return near(got, want.astype(Exact), bound)


# ---- Linear models of ai.onnx.ml ----


def linear_scores(answer: Answer) -> tuple[Array, Array]:
    """The scores before any transform, and the error that they may have."""
    x = answer.inputs[0]
    assert x is not None
    rows = np.atleast_2d(x.astype(np.float32).astype(Exact))
    intercepts = np.array(answer.get("intercepts", []), Exact)
    targets = answer.get("targets", 1)
    if answer.node.op_type == "LinearClassifier":
        targets = len(intercepts)
    columns = rows.shape[1]
    weights = np.array(answer.get("coefficients"), Exact)[: targets * columns]
    weights = weights.reshape(targets, columns)
    if len(intercepts) != targets:
        intercepts = np.zeros(targets, Exact)
    scores = rows @ weights.T + intercepts
    size = sizes(rows) @ sizes(weights).T + sizes(intercepts)
    return scores, rounding(size, columns + 1, np.float32)


@judged(
    *("LinearRegressor", "LinearClassifier"),
    equality="within the rounding of a sum, and of the post transform",
)
def near_linear(answer: Answer) -> list[str]:
    scores, bound = linear_scores(answer)
    got, want = answer.native[-1], answer.other[-1]
    transform = answer.get("post_transform", "NONE")
    if got.shape[1] == scores.shape[1] + 1:
        labels = answer.get("classlabels_ints", []) or answer.get("classlabels_strings", [])
        assert len(labels) == 2
        sign = np.array([[-1, 1]], Exact)
        if transform == "LOGISTIC":
            exact, bound = exact_sigmoid(scores * sign), bound + 4 * epsilon(np.float32)
        else:
            exact, bound = np.hstack([1 - scores, scores]), bound + 2 * epsilon(np.float32)
    elif transform == "PROBIT":
        exact, bound = want.astype(Exact), 1e-3 * (1 + np.abs(want))
    elif transform == "NONE" or got.shape[1] == 1:
        exact = scores
    elif transform == "LOGISTIC":
        exact, bound = exact_sigmoid(scores), bound + 4 * epsilon(np.float32)
    else:
        exact = want.astype(Exact)
        bound = 4 * bound.max(1, keepdims=True) + (got.shape[1] + 8) * epsilon(np.float32)
    wrong = near(got, exact, bound, "a score is too far")
    if len(answer.native) == 2 and not wrong:
        wrong = labels_agree(answer, scores, linear_scores(answer)[1])
    return wrong


def labels_agree(answer: Answer, scores: Array, bound: Array) -> list[str]:
    """The label must be that of ONNX Runtime, unless the best scores are too near to tell."""
    if scores.shape[1] == 1:
        is_tie = np.abs(scores[:, 0]) <= bound[:, 0]
    else:
        ordered = np.sort(scores, 1)
        is_tie = ordered[:, -1] - ordered[:, -2] <= 2 * bound.max(1)
    is_tie |= np.isposinf(bound).any(1)
    got, want = answer.native[0], answer.other[0]
    return first_of((got != want) & ~is_tie, got, want, "a label differs")


# ---- Trees ----


def raw_sums(answer: Answer) -> list[Array]:
    """What ONNX Runtime answers without the post transform."""
    if answer.raw is not None:
        return list(answer.raw)
    node = NodeProto()
    node.CopyFrom(answer.node)
    for each in list(node.attribute):
        if each.name == "post_transform":
            node.attribute.remove(each)
    types = [element_type(output.dtype) for output in answer.native]
    x = answer.inputs[0]
    assert x is not None
    return run_node(node, answer.version, {node.input[0]: x}, types)


TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


@judged(
    *("TreeEnsemble", "TreeEnsembleRegressor", "TreeEnsembleClassifier"),
    equality="bit for bit; after a post transform, within the rounding of its function",
)
def near_trees(answer: Answer) -> list[str]:
    transform = answer.get("post_transform", "NONE")
    if not isinstance(transform, str):
        transform = TRANSFORMS[transform]
    got, want = answer.native[-1], answer.other[-1]
    is_pair = answer.node.op_type == "TreeEnsembleClassifier" and got.shape[1] == 2
    # A single score is changed by PROBIT only, and the scores of a pair by LOGISTIC only.
    is_same = transform != "PROBIT" and got.shape[1] == 1
    if transform == "NONE" or is_same or (is_pair and transform != "LOGISTIC"):
        return same_bits(answer)
    raw = raw_sums(answer)
    wrong = []
    if len(answer.native) == 2:
        labels, expected = answer.native[0], raw[0]
        wrong = first_of(~is_equal(labels, expected), labels, expected, "a label differs")
    sums = raw[-1]
    eps, x = epsilon(got.dtype), answer.inputs[0]
    assert x is not None
    if transform == "PROBIT":
        # An approximation in float, whose error depends on the error of its logarithm.
        return wrong + near(got, want.astype(Exact), 1e-3 * (1 + np.abs(want)))
    # Sums in double, of which ONNX Runtime shows only float, are uncertain by half a unit.
    slack = eps if x.dtype != got.dtype else Exact(0)
    size = sizes(sums)
    if transform.startswith("SOFTMAX"):
        exact, bound = softmax(sums, has_zeros=transform == "SOFTMAX_ZERO")
        bound = bound + 2 * slack * size.max(1, keepdims=True) * np.abs(exact)
        # ONNX Runtime computes the powers in float even if the sums are double. If all are too
        # small for float, it divides 0 by 0.
        is_empty = np.isnan(want) & ~np.isnan(exact)
        if x.dtype == np.float32:
            exact = np.where(is_empty, np.nan, exact)
        inexact = (1e-4 + 4 * epsilon(np.float32) * size.max(1, keepdims=True)) * np.abs(exact)
        loose = np.where(is_empty, np.inf, inexact + 1e-5)
        wrong += near(got, want.astype(Exact), loose)
        return wrong + near(got, exact, bound)
    z = sums.astype(Exact)
    if is_pair:
        z = np.hstack([-z[:, 1:], z[:, 1:]])
    exact = exact_sigmoid(z)
    unit = np.spacing(exact.astype(got.dtype)).astype(Exact)
    bound = 2 * unit + slack * sizes(z) * exact
    return wrong + near(got, exact, bound)
