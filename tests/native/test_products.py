"""The order and the rounding of the sums in products of matrices, which docs/decisions/036 fixes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from operator_cases import Case, Known
from two_engines import Array, Native

# With one panel of each width, and with several panels.
COLUMNS = (2, 3, 5, 9, 17, 31, 32, 33, 45)
TERMS = (1, 2, 7, 8, 40)


def product_of(left: Array, right: Array, op: str) -> Array:
    model = Case(op, [left, Known(right)]).model(21).SerializeToString()
    (answer,) = Native(model).run(Case(op, [left, Known(right)]).feeds())
    return answer


@pytest.mark.parametrize("op", ["MatMul", "Gemm"])
@pytest.mark.parametrize("terms", TERMS)
def test_terms_of_several_columns_are_added_in_order_by_fused_multiply_add(
    op: str, terms: int
) -> None:
    rng = np.random.default_rng(terms)
    for columns in COLUMNS:
        left = rng.normal(size=(3, terms)) * 10.0 ** rng.integers(-8, 9, terms)
        right = rng.normal(size=(terms, columns))
        expected = np.zeros((3, columns))
        for i, j in np.ndindex(expected.shape):
            total = 0.0
            for k in range(terms):
                exact = Fraction(left[i, k]) * Fraction(right[k, j]) + Fraction(total)
                total = float(exact)  # rounds once
            expected[i, j] = total
        np.testing.assert_array_equal(product_of(left, right, op), expected)


@pytest.mark.parametrize("op", ["MatMul", "Gemm"])
@pytest.mark.parametrize("terms", [3, 9, 30])
def test_a_float32_sum_of_one_column_that_cancels_keeps_its_digits(op: str, terms: int) -> None:
    left = np.full((2, terms), 0.1, np.float32)
    right = np.full((terms, 1), 1.0, np.float32)
    left[:, 0], left[:, -1] = 3e7, -3e7
    expected = np.float32((terms - 2) * np.float64(np.float32(0.1)))
    np.testing.assert_array_equal(product_of(left, right, op), np.full((2, 1), expected))
