"""Cases of support vector machines and distances."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import judging_svm  # noqa: F401
import numpy as np
from onnx import TensorProto
from operator_cases import NUMBERS, REALS, Case, Known, Random, cases_of, moderate, pick
from two_engines import MICROSOFT, ML, Array

FLOAT, STRING, INT64 = TensorProto.FLOAT, TensorProto.STRING, TensorProto.INT64
KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")
TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")


def grid(rng: Random, *shape: int) -> Array:
    """Multiples of 1/8, whose products have exact sums.

    The probabilities of a classifier come from an iteration that ends at a rough limit. Only if
    both engines begin it with the same bits do they end it in the same round.
    """
    return np.asarray(rng.integers(-16, 17, shape) / 8, np.float32)


def kernel_of(rng: Random, name: str) -> dict[str, Any]:
    degree = float(pick(rng, [1, 2, 3, 4]))
    gamma = float(pick(rng, [0.125, 0.25, 0.03125]))
    return {"kernel_type": name, "kernel_params": [gamma, float(pick(rng, [0, 1, -0.5])), degree]}


def rows_of(rng: Random, dtype: str, columns: int) -> Array:
    shape = pick(rng, [(1, columns), (9, columns), (40, columns), (columns,)])
    return np.asarray(grid(rng, *shape) * (8 if dtype.startswith("int") else 1), dtype)


@cases_of("SVMRegressor")
def regressor(op: str, version: int, rng: Random) -> Iterator[Case]:
    for kernel, columns in itertools.product(KERNELS, (1, 3, 8, 30)):
        for count in (1, 2, 15, 16, 17, 100):
            attributes = {
                **kernel_of(rng, kernel),
                "n_supports": count,
                "support_vectors": rng.normal(size=count * columns).tolist(),
                "coefficients": rng.normal(size=count).tolist(),
                "rho": [float(rng.normal())],
                "one_class": int(rng.random() < 0.2),
            }
            x = moderate(rng, "float32", pick(rng, [(1, columns), (9, columns), (columns,)]))
            yield Case(op, [x], attributes, types=[FLOAT], domain=ML)
        linear = {"coefficients": rng.normal(size=columns).tolist(), "rho": [0.5], "n_supports": 0}
        x = moderate(rng, "float32", (17, columns))
        attributes = {**kernel_of(rng, kernel), **linear}
        yield Case(op, [x], attributes, types=[FLOAT], domain=ML, is_free=True)


@cases_of("SVMClassifier")
def classifier(op: str, version: int, rng: Random) -> Iterator[Case]:
    for kernel, dtype, transform in itertools.product(KERNELS, NUMBERS, TRANSFORMS):
        for classes in (2, 3, 4):
            columns = int(pick(rng, [1, 3, 8, 20]))
            is_linear, has_probabilities = rng.random() < 0.15, rng.random() < 0.5
            # The native engine refuses this combination; see refusals.py.
            if transform == "PROBIT" and classes == 2 and not is_linear and not has_probabilities:
                continue
            per_class = [int(each) for each in rng.integers(0, 9, classes)]
            per_class[0] += 1
            count = sum(per_class)
            pairs = classes * (classes - 1) // 2
            vectors = grid(rng, count * columns)
            if kernel == "RBF":
                vectors = rng.normal(size=count * columns)
            attributes: dict[str, Any] = {
                **kernel_of(rng, kernel),
                "support_vectors": vectors.tolist(),
                "coefficients": rng.normal(size=(classes - 1) * count).tolist(),
                "vectors_per_class": per_class,
                "rho": rng.normal(size=pairs).tolist(),
                "post_transform": transform,
            }
            if is_linear:
                weights = rng.normal(size=classes * columns)
                weights = np.abs(weights) if rng.random() < 0.3 else weights
                attributes["coefficients"] = weights.tolist()
                attributes["vectors_per_class"] = attributes["support_vectors"] = None
            if has_probabilities:
                attributes["prob_a"] = (-np.abs(rng.normal(size=pairs)) - 0.5).tolist()
                attributes["prob_b"] = (rng.normal(size=pairs) * 0.2).tolist()
            is_text = rng.random() < 0.5
            if is_text:
                attributes["classlabels_strings"] = [f"é{i}" for i in range(classes)]
            else:
                attributes["classlabels_ints"] = rng.integers(-99, 99, classes).tolist()
            types = [STRING if is_text else INT64, FLOAT]
            yield Case(op, [rows_of(rng, dtype, columns)], attributes, types=types, domain=ML)


@cases_of("CDist")
def distances(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype, metric in itertools.product(REALS, ("euclidean", "sqeuclidean")):
        for columns in (1, 3, 8, 30):
            for rows, others in ((1, 1), (9, 7), (5, 8), (3, 40), (0, 3)):
                a, b = (
                    moderate(rng, dtype, (rows, columns)),
                    moderate(rng, dtype, (others, columns)),
                )
                for right in (b, Known(b)):
                    yield Case(op, [a, right], {"metric": metric}, domain=MICROSOFT)
        near = np.full((6, 4), 1000, dtype) + moderate(rng, dtype, (6, 4), size=1e-3)
        yield Case(op, [near, Known(near[:3])], {"metric": metric}, domain=MICROSOFT, is_free=True)
        odd = moderate(rng, dtype, (6, 3))
        odd[0, 1], odd[1, 0], odd[2, 2], odd[3, 0] = np.inf, -np.inf, np.nan, np.inf
        for right in (odd, Known(odd)):
            yield Case(op, [odd, right], {"metric": metric}, domain=MICROSOFT)
