"""Answers that differ from those of ONNX Runtime on purpose, because the definition of an operator,
and numpy, have another answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from operator_cases import Case, Known
from scipy.spatial.distance import cdist
from two_engines import MICROSOFT, ML, Array, Native

# Lengths with and without a rest after whole vector registers.
LENGTHS = (1, 2, 3, 4, 5, 8, 17)


def run(case: Case, version: int = 21) -> Array:
    (answer,) = Native(case.model(version).SerializeToString()).run(case.feeds())
    return answer


# ONNX Runtime returns the first or the second zero, depending on the position of the row.
@pytest.mark.parametrize("op", ["Max", "Min"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_of_two_zeros_the_first_is_the_result_in_every_row(op: str, dtype: str) -> None:
    for length in LENGTHS:
        zeros = np.zeros(length, dtype)
        for first, second in ((zeros, -zeros), (-zeros, zeros)):
            for other in (second, second[:1]):
                answer = run(Case(op, [first, other]))
                np.testing.assert_array_equal(np.signbit(answer), np.signbit(first))
            answer = run(Case(op, [first, second, second]))
            np.testing.assert_array_equal(np.signbit(answer), np.signbit(first))


# ONNX Runtime turns a -0 of the second input into 0.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_where_keeps_the_sign_of_a_zero(dtype: str) -> None:
    for length in LENGTHS:
        condition = np.arange(length) % 2 == 0
        yes, no = np.full(length, -0.0, dtype), np.zeros(length, dtype)
        answer = run(Case("Where", [condition, yes, no], types=[1 if dtype == "float32" else 11]))
        np.testing.assert_array_equal(np.signbit(answer), condition)
        answer = run(Case("Where", [condition, no, yes], types=[1 if dtype == "float32" else 11]))
        np.testing.assert_array_equal(np.signbit(answer), ~condition)


# ONNX Runtime ends the process.
@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_the_smallest_integer_divided_by_minus_1_wraps_around(dtype: str) -> None:
    least = np.iinfo(dtype).min
    answer = run(Case("Div", [np.array([least, least, 7], dtype), np.array([-1, 1, -1], dtype)]))
    assert answer.tolist() == [least, least, -7]


# ONNX Runtime copies only the first string of each block.
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2), (3, 1, 5)])
def test_blocks_of_strings_are_gathered_whole(shape: tuple[int, ...]) -> None:
    count = int(np.prod(shape))
    x = np.array([f"é{i}" if i % 3 else "" for i in range(count)], object).reshape(shape)
    for axis in range(len(shape)):
        for at in (np.array(0), np.array([0, -1]), np.array([[-1], [0]])):
            expected = np.take(x, at, axis)
            for indices in (Known(at), at):
                answer = run(Case("Gather", [x, indices], {"axis": axis}))
                np.testing.assert_array_equal(answer, expected)
            known = Case("Gather", [Known(x), at], {"axis": axis}, types=[8])
            np.testing.assert_array_equal(run(known), expected)


def test_blocks_of_strings_are_gathered_for_any_number_of_columns() -> None:
    x = np.array([["a", "b"], ["c", "d"]], object)
    case = Case("Gather", [x.T.copy(), Known([1])], {"axis": 1}, is_free=True)
    native = Native(case.model(21).SerializeToString())
    for width in (1, 2, 5):
        wide = np.repeat(x.T, width, 0)
        np.testing.assert_array_equal(native.run({"x0": wide})[0], wide[:, [1]])


# ONNX Runtime computes distances from products, which cancel each other.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_near_points_have_exact_distances(dtype: str) -> None:
    far = 2.0**20 if dtype == "float32" else 2.0**48
    a = np.array([[far, far], [far + 1, far], [far, far - 3]], dtype)
    for metric, power in (("sqeuclidean", 1), ("euclidean", 0.5)):
        answer = run(Case("CDist", [a, Known(a[:2])], {"metric": metric}, domain=MICROSOFT))
        np.testing.assert_array_equal(
            answer, np.array([[0, 1], [1, 0], [9, 10]]).astype(dtype) ** np.dtype(dtype).type(power)
        )


# The products give NaN for a row with an infinite number. scipy, with which scikit-learn computes
# these distances, subtracts first too.
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinite_numbers_have_infinite_distances(dtype: str) -> None:
    a = np.array([[1, np.inf], [-np.inf, 2], [np.inf, np.inf], [3, 4], [np.nan, 1]], dtype)
    for metric in ("sqeuclidean", "euclidean"):
        answer = run(Case("CDist", [a, Known(a[:4])], {"metric": metric}, domain=MICROSOFT))
        np.testing.assert_allclose(answer, cdist(a, a[:4], metric), rtol=1e-6)
        assert np.isinf(answer).any()


# ONNX Runtime does not round products before it adds them, so the first term that overflows decides
# about the sign of an infinite sum.
LARGE = np.array([[3e38, 3e38, 1], [-3e38, 2, 3e38], [1e30, -1e30, 1e30]], np.float32)
VECTORS = np.array([[3e38, -3e38, 5], [-2e38, 2e38, 1], [1, -1, -3e38]], np.float32)
KERNELS: dict[str, Callable[[Array], Array]] = {
    "LINEAR": lambda products: products,
    "POLY": lambda products: (0.5 * products + 1) ** 3,
    "SIGMOID": lambda products: np.tanh(0.5 * products + 1),
}


def narrowed(exact: Array) -> Array:
    with np.errstate(over="ignore"):
        return exact.astype(np.float32)


@pytest.mark.parametrize("kernel", KERNELS)
def test_support_vector_machines_answer_large_numbers_as_in_double(kernel: str) -> None:
    attributes = {
        "kernel_type": kernel,
        "kernel_params": [0.5, 1.0, 3.0],
        "support_vectors": VECTORS.ravel().tolist(),
        "rho": [0.25, 0.5, -0.5],
    }
    values = KERNELS[kernel](LARGE.astype(float) @ VECTORS.T.astype(float))
    weights = np.array([1, -0.5, 2])
    regressor = {**attributes, "coefficients": weights.tolist(), "n_supports": 3}
    answer = run(Case("SVMRegressor", [LARGE], regressor, types=[1], domain=ML), 1)
    np.testing.assert_allclose(answer[:, 0], narrowed(values @ weights + 0.25), rtol=1e-6)

    coefficients = np.array([[1, -0.5, 2], [3, 1, -1]])
    classifier = {
        **attributes,
        "coefficients": coefficients.ravel().tolist(),
        "vectors_per_class": [1, 1, 1],
        "classlabels_ints": [0, 1, 2],
    }
    expected = np.stack(
        [
            values[:, i] * coefficients[j - 1, i] + values[:, j] * coefficients[i, j] + rho
            for i, j, rho in ((0, 1, 0.25), (0, 2, 0.5), (1, 2, -0.5))
        ],
        axis=1,
    )
    case = Case("SVMClassifier", [LARGE], classifier, types=[7, 1], domain=ML)
    _, scores = Native(case.model(1).SerializeToString()).run(case.feeds())
    np.testing.assert_allclose(scores, narrowed(expected), rtol=1e-6)


def test_linear_support_vector_machines_answer_large_numbers_as_in_double() -> None:
    attributes: dict[str, Any] = {
        "coefficients": VECTORS[0].tolist(),
        "rho": [0.25],
        "n_supports": 0,
    }
    answer = run(Case("SVMRegressor", [LARGE], attributes, types=[1], domain=ML), 1)
    sums = LARGE.astype(float) @ VECTORS.T.astype(float) + 0.25
    np.testing.assert_allclose(answer[:, 0], narrowed(sums[:, 0]), rtol=1e-6)

    attributes["coefficients"] = VECTORS.ravel().tolist()
    attributes |= {"classlabels_ints": [0, 1, 2]}
    del attributes["n_supports"]
    case = Case("SVMClassifier", [LARGE], attributes, types=[7, 1], domain=ML)
    labels, scores = Native(case.model(1).SerializeToString()).run(case.feeds())
    np.testing.assert_allclose(scores, narrowed(sums), rtol=1e-6)
    np.testing.assert_array_equal(labels, narrowed(sums).argmax(axis=1))
