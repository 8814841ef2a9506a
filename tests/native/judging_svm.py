"""Judges of support vector machines and distances; see judging.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from judging import (
    Answer,
    Exact,
    epsilon,
    exact_sigmoid,
    first_of,
    judged,
    near,
    rounding,
    sizes,
    tiny,
)
from two_engines import Array


def kernel(answer: Answer, rows: Array, vectors: Array) -> tuple[Array, Array]:
    """The kernel of each row and vector, and the error that it may have."""
    gamma, coef0, degree = (Exact(each) for each in answer.get("kernel_params", [0, 0, 0]))
    name, eps = answer.get("kernel_type", "LINEAR"), epsilon(np.float32)
    if name == "RBF":
        sums = ((rows[:, None] - vectors[None]) ** 2).sum(-1)
        size = sizes(sums)
    else:
        sums, size = rows @ vectors.T, sizes(rows) @ sizes(vectors).T
    functions: dict[str, Callable[[Array], Array]] = {
        "LINEAR": lambda sums: sums,
        "POLY": lambda sums: (gamma * sums + coef0) ** degree,
        "RBF": lambda sums: np.exp(-gamma * sums),
        "SIGMOID": lambda sums: np.tanh(gamma * sums + coef0),
    }
    function = functions[name]
    # Dividing by 0.03, which is below every gamma of the cases, turns the rounding of coef0 into an
    # error of `sums`.
    error = rounding(size, vectors.shape[1] + 1, np.float32) + 4 * eps * (size + abs(coef0 / 0.03))
    exact = function(sums)
    slack = [np.abs(function(sums + sign * error) - exact) for sign in (-1, 1)]
    return exact, np.nan_to_num(np.maximum(*slack), posinf=0) + 8 * eps * sizes(exact)


def rows_and(answer: Answer, numbers: Any, count: int) -> tuple[Array, Array]:
    x = answer.inputs[0]
    assert x is not None
    rows = np.atleast_2d(x.astype(np.float32).astype(Exact))
    return rows, np.array(numbers, np.float32).astype(Exact).reshape(count, -1)


@judged("SVMRegressor", equality="within the rounding of a sum")
def near_svm(answer: Answer) -> list[str]:
    coefficients = np.array(answer.get("coefficients"), np.float32).astype(Exact)
    count, rho = answer.get("n_supports", 0), Exact(np.float32(answer.get("rho")[0]))
    if count == 0:
        rows, vectors = rows_and(answer, coefficients, 1)
        exact, size = rows @ vectors.T + rho, sizes(rows) @ sizes(vectors).T + abs(rho)
        bound = rounding(size, rows.shape[1] + 1, np.float32)
    else:
        rows, vectors = rows_and(answer, answer.get("support_vectors"), count)
        values, error = kernel(answer, rows, vectors)
        exact = (values @ coefficients + rho)[:, None]
        size = (sizes(values) @ np.abs(coefficients) + abs(rho))[:, None]
        bound = rounding(size, count + 1, np.float32) + (error @ np.abs(coefficients))[:, None]
    got, want = answer.native[0], answer.other[0]
    if not answer.get("one_class", 0):
        return near(got, exact, bound)
    return first_of((got != want) & ~(np.abs(exact) <= bound), got, want, "a side differs")


def pair_scores(answer: Answer) -> tuple[Array, Array]:
    """The score of each pair of classes, and the error that it may have."""
    per_class = answer.get("vectors_per_class")
    count, ends = sum(per_class), np.cumsum(per_class)
    rows, vectors = rows_and(answer, answer.get("support_vectors"), count)
    values, error = kernel(answer, rows, vectors)
    weights = np.array(answer.get("coefficients"), np.float32).astype(Exact).reshape(-1, count)
    scores, bounds = [], []
    for i in range(len(per_class)):
        for j in range(i + 1, len(per_class)):
            of_i, of_j = (slice(ends[k] - per_class[k], ends[k]) for k in (i, j))
            parts = ((of_i, weights[j - 1, of_i]), (of_j, weights[i, of_j]))
            rho = Exact(np.float32(answer.get("rho")[len(scores)]))
            scores.append(sum(values[:, part] @ weight for part, weight in parts) + rho)
            size = sum(sizes(values[:, part]) @ sizes(weight) for part, weight in parts) + abs(rho)
            loose = sum(error[:, part] @ sizes(weight) for part, weight in parts)
            bounds.append(rounding(size, 2, np.float32) + loose)
    return np.stack(scores, 1), np.stack(bounds, 1)


@judged("SVMClassifier", equality="within the rounding of a sum; labels are equal, except for ties")
def near_svm_classifier(answer: Answer) -> list[str]:
    labels = answer.get("classlabels_ints", []) or answer.get("classlabels_strings", [])
    transform, eps = answer.get("post_transform", "NONE"), epsilon(np.float32)
    got, want = answer.native[-1], answer.other[-1]
    is_linear = not answer.get("vectors_per_class", [])
    has_probabilities = not is_linear and bool(answer.get("prob_a", []))
    if is_linear:
        rows, vectors = rows_and(answer, answer.get("coefficients"), len(labels))
        rho = Exact(np.float32(answer.get("rho")[0]))
        scores, size = rows @ vectors.T + rho, sizes(rows) @ sizes(vectors).T + abs(rho)
        bound = rounding(size, rows.shape[1] + 1, np.float32)
        ordered = np.sort(scores, 1)
        limits = np.abs(ordered[:, -1:] - np.array([0, 0.5], Exact)).min(1)
        is_tie = np.minimum(ordered[:, -1] - ordered[:, -2], limits) <= 2 * bound.max(1)
    else:
        scores, bound = pair_scores(answer)
        is_tie = (np.abs(scores) <= bound).any(1)
    wrong = first_of(
        (answer.native[0] != answer.other[0]) & ~is_tie, answer.native[0], answer.other[0], "label"
    )
    if has_probabilities:
        # The round in which the iteration ends depends on the last bits, which differ for SIGMOID:
        # ONNX Runtime approximates tanh.
        is_same = answer.get("kernel_type") != "SIGMOID"
        loose = 4 * eps * (1 + np.abs(want)) if is_same else Exact(0.02)
        return wrong + near(got, want.astype(Exact), loose)
    if len(labels) == 2 and not is_linear:
        both = {
            "NONE": (-scores, scores),
            "LOGISTIC": (exact_sigmoid(-scores), exact_sigmoid(scores)),
        }.get(transform, (1 - scores, scores))
        return wrong + near(got, np.hstack(both), np.hstack([bound, bound]) + 4 * eps)
    if transform == "NONE":
        return wrong + near(got, scores, bound)
    if transform == "LOGISTIC":
        return wrong + near(got, exact_sigmoid(scores), bound + 4 * eps)
    if transform == "PROBIT":
        return wrong + near(got, want.astype(Exact), 1e-3 * (1 + np.abs(want)))
    loose = 4 * bound.max(1, keepdims=True) + (got.shape[1] + 8) * eps
    return wrong + near(got, want.astype(Exact), loose)


# The distances of ONNX Runtime have errors by cancellation, so those by definition are expected.
@judged("CDist", equality="within the rounding of a sum")
def near_distances(answer: Answer) -> list[str]:
    a, b = (each for each in answer.inputs if each is not None)
    differences = a.astype(Exact)[:, None] - b.astype(Exact)[None]
    squares = (differences * differences).sum(-1)
    bound = rounding(squares, a.shape[1] + 2, a.dtype)
    if answer.get("metric") == "euclidean":
        exact = np.sqrt(squares)
        return near(answer.native[0], exact, 2 * epsilon(a.dtype) * (a.shape[1] + 2) * exact)
    return near(answer.native[0], squares, bound)


@judged("LpNormalization", equality="within the rounding of a sum")
def near_normalized(answer: Answer) -> list[str]:
    x = answer.inputs[0]
    assert x is not None
    got, axis = answer.native[0], answer.get("axis", -1)
    if x.size == 0:
        return []
    powers = np.abs(x) if answer.get("p", 2) == 1 else x * x
    norm = powers.astype(Exact).sum(axis, keepdims=True)
    norm = np.where(norm > np.finfo(x.dtype).max, np.inf, norm)
    norm = norm if answer.get("p", 2) == 1 else np.sqrt(norm)
    exact = np.where(norm == 0, 0, x.astype(Exact) / norm)
    bound = 2 * (x.shape[axis] + 2) * epsilon(x.dtype) * np.abs(exact) + tiny(x.dtype)
    # Squares that are denormal have few digits.
    is_small = (norm > 0) & (norm < np.sqrt(Exact(np.finfo(x.dtype).tiny)) * 1e8)
    return near(got, exact, np.where(is_small, np.inf, bound))
