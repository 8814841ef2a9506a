"""Decides whether a graph's answers equal the model's: one rule per output.

Used for parity and for golden rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model.original import Output

# The key is the type in which the answers are computed. An answer may differ by this fraction of
# 1 + |expected|. If the root mean square of all answers is below 1, it replaces the 1 in this sum.
TOLERANCE = {"float64": 1e-8, "float32": 1e-5}


@dataclass
class Difference:
    """The differences of one output over some rows.

    `amount` is the largest absolute difference in each row. For labels it is the margin of a row
    whose label differs, else 0.
    """

    output: Output
    amount: np.ndarray
    bad: np.ndarray
    differs: np.ndarray


def compare(
    outputs: list[Output], expected: dict[str, np.ndarray], got: dict[str, np.ndarray]
) -> list[Difference]:
    """Returns one Difference for each deterministic output."""
    result = []
    for output in outputs:
        if not output.deterministic:
            continue
        want, have = as_matrix(expected[output.name]), as_matrix(got[output.name])
        if want.shape != have.shape:
            rows = len(want)
            result.append(
                Difference(output, np.full(rows, np.inf), np.ones(rows, bool), np.ones(rows, bool))
            )
        elif output.is_label:
            result.append(_compare_labels(output, want, have, expected))
        elif output.type in ("string", "int64", "bool"):
            differs: np.ndarray = (
                (want.astype(have.dtype) != have).any(axis=1)
                if output.type != "string"
                else (_texts(want) != _texts(have)).any(axis=1)
            )
            result.append(Difference(output, differs.astype(float), differs, differs))
        else:
            result.append(_compare_numbers(output, want, have))
    return result


def tolerated(output: Output, expected: np.ndarray) -> np.ndarray:
    """Returns how far each value may be off.

    In float32, an |expected| below the root mean square of its column is replaced by that root mean
    square: if large numbers cancel, digits are lost in proportion to those numbers.
    """
    expected = as_matrix(expected).astype(np.float64)
    finite = np.abs(np.where(np.isfinite(expected), expected, 0.0))
    if not finite.size:
        return finite
    scale = min(1.0, float(_root_mean_square(finite).item()))
    if output.computed_in == "float32":
        finite = np.maximum(finite, _root_mean_square(finite, axis=0))
    return TOLERANCE[output.computed_in] * (scale + finite)


def _root_mean_square(values: np.ndarray, axis: int | None = None) -> np.ndarray:
    """For values >= 0. They are scaled first, because a square may overflow a double."""
    largest = values.max(axis=axis, keepdims=True)
    shares = values / np.where(largest > 0, largest, 1.0)
    return np.asarray(largest * np.sqrt(np.mean(shares**2, axis=axis, keepdims=True)))


def margins(
    output: Output, expected: dict[str, np.ndarray], got: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns two margins for each row, or None if it is not known how the label is decided.

    The first is by how much the original's scores favour the expected label over the label in
    `got`. The second is the margin up to which both labels count as right.
    """
    rule = output.decision
    if rule is None or output.classes is None:
        return None
    scores = as_matrix(expected[rule["output"]]).astype(np.float64)
    limits = tolerated(output, scores)
    if rule["rule"] == "threshold":
        column = rule["column"]
        return np.abs(scores[:, column] - rule["threshold"]), limits[:, column]
    rows = np.arange(len(scores))
    want, have = positions(output, expected["label"]), positions(output, got)
    margin = np.where(have >= 0, scores[rows, want] - scores[rows, np.maximum(have, 0)], np.inf)
    return margin, np.maximum(limits[rows, want], limits[rows, np.maximum(have, 0)])


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray], name: str) -> bool:
    """Whether two runs gave identical answers."""
    if a[name].dtype.kind in "fc":
        return np.array_equal(a[name], b[name], equal_nan=True)
    return np.array_equal(a[name], b[name])


def _compare_numbers(output: Output, want: np.ndarray, have: np.ndarray) -> Difference:
    want, have = want.astype(np.float64), have.astype(np.float64)
    with np.errstate(all="ignore"):
        amount = np.abs(have - want)
    amount[np.isnan(amount)] = np.inf
    amount[(np.isnan(want) & np.isnan(have)) | (want == have)] = 0.0
    bad: np.ndarray = (amount > tolerated(output, want)).any(axis=1)
    return Difference(output, amount.max(axis=1, initial=0.0), bad, bad)


def _compare_labels(
    output: Output, want: np.ndarray, have: np.ndarray, expected: dict[str, np.ndarray]
) -> Difference:
    left, right = (
        (_texts(want), _texts(have))
        if output.type == "string"
        else (want.astype(np.int64), have.astype(np.int64))
    )
    differs = (left != right).any(axis=1)
    measured = margins(output, expected, have[:, 0]) if differs.any() else None
    if measured is None:
        return Difference(output, np.where(differs, np.inf, 0.0), differs, differs)
    margin, limit = measured
    return Difference(output, np.where(differs, margin, 0.0), differs & (margin > limit), differs)


def positions(output: Output, labels: np.ndarray) -> np.ndarray:
    """Returns the index of each label in the classes; -1 for a label that is not among them."""
    index: dict[Any, int] = {
        (label if isinstance(label, str) else int(label)): i
        for i, label in enumerate(output.classes or [])
    }
    text = output.type == "string"
    return np.array(
        [index.get(str(label) if text else int(label), -1) for label in labels.tolist()],
        dtype=np.int64,
    )


def as_matrix(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)


def _texts(array: np.ndarray) -> np.ndarray:
    return array.astype(str)
