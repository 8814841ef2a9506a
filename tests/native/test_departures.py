"""Answers that differ from those of ONNX Runtime on purpose, because the definition of an operator,
and numpy, have another answer.
"""

from __future__ import annotations

import numpy as np
import pytest
from operator_cases import Case, Known
from two_engines import MICROSOFT, Array, Native

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
