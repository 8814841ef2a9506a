"""Cases of operators of ai.onnx.ml that look up keys, prepare features, or are linear models."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import TensorProto
from operator_cases import (
    ALL,
    NUMBERS,
    Case,
    Known,
    Random,
    cases_of,
    data,
    moderate,
    odd_values,
    pick,
)
from two_engines import ML, Array, element_type

FLOAT, STRING, INT64 = TensorProto.FLOAT, TensorProto.STRING, TensorProto.INT64
SUFFIX = {"object": "strings", "int64": "int64s", "float32": "floats"}
SHAPES: list[tuple[int, ...]] = [(1,), (40,), (40, 1), (5, 3), (0, 2), (2, 3, 2)]


def plain(values: Array) -> list[Any]:
    return [str(each) for each in values] if values.dtype == object else values.tolist()


def keys_of(rng: Random, dtype: str, count: int) -> Array:
    """Keys close together or far apart, with odd values among them, and some twice."""
    if dtype == "object":
        return np.array(
            [
                f"k{i}" if i % 5 else str(pick(rng, odd_values("object")))
                for i in rng.integers(0, 2 * count + 1, count)
            ],
            object,
        )
    spread = float(pick(rng, [2, 50, 1e6]))
    keys = data(rng, dtype, (count,), odd=0.3, size=spread)
    with np.errstate(over="ignore"):
        return keys if keys.dtype.kind == "i" else np.asarray(np.round(keys, 1))


def asked(rng: Random, keys: Array, shape: tuple[int, ...]) -> Array:
    """Values of which most are keys."""
    x = data(rng, keys.dtype, shape, odd=0.3)
    flat = x.ravel()
    for i in np.flatnonzero(rng.random(flat.size) < 0.7):
        flat[i] = pick(rng, keys)
    return flat.reshape(shape)


# ---- Look-ups ----


@cases_of("LabelEncoder")
def label_encoder(op: str, version: int, rng: Random) -> Iterator[Case]:
    if version == 1:
        yield from two_way(op, rng, "classes_strings")
        return
    kinds = ["object", "int64", "float32", *(["float64"] if version >= 4 else [])]
    for of_keys, of_values in itertools.product(kinds, kinds):
        for count in (1, 3, 16, 17, 200):
            keys, values = keys_of(rng, of_keys, count), keys_of(rng, of_values, count)
            attributes: dict[str, Any] = {}
            for what, column in (("keys", keys), ("values", values)):
                if column.dtype == np.float64 or (version >= 4 and rng.random() < 0.5):
                    attributes[f"{what}_tensor"] = column
                else:
                    attributes[f"{what}_{SUFFIX[str(column.dtype)]}"] = plain(column)
            default = keys_of(rng, of_values, 1)
            if version >= 4 and rng.random() < 0.5:
                attributes["default_tensor"] = default
            elif of_values in SUFFIX and rng.random() < 0.7:
                attributes[f"default_{SUFFIX[of_values][:-1]}"] = plain(default)[0]
            x = asked(rng, keys, pick(rng, SHAPES))
            yield Case(op, [x], attributes, types=[element_type(of_values)], domain=ML)
            x = asked(rng, keys, (9, 1))
            yield Case(
                op, [x], attributes, types=[element_type(of_values)], domain=ML, is_free=True
            )


def two_way(op: str, rng: Random, texts_name: str) -> Iterator[Case]:
    for count in (1, 3, 17, 100):
        for default in ({}, {"default_string": "é", "default_int64": 77}):
            texts = keys_of(rng, "object", count)
            numbers = np.arange(count)
            attributes: dict[str, Any] = {texts_name: plain(texts), **default}
            if op == "CategoryMapper":
                numbers = keys_of(rng, "int64", count)
                attributes["cats_int64s"] = plain(numbers)
            for shape in SHAPES:
                x = asked(rng, texts, shape)
                yield Case(op, [x], attributes, types=[INT64], domain=ML)
                x = asked(rng, numbers, shape)
                yield Case(op, [x], attributes, types=[STRING], domain=ML)


@cases_of("CategoryMapper")
def category_mapper(op: str, version: int, rng: Random) -> Iterator[Case]:
    yield from two_way(op, rng, "cats_strings")


@cases_of("OneHotEncoder")
def one_hot_encoder(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ("object", "int64", "float32", "float64"):
        for count in (1, 3, 17, 60):
            of_categories = "object" if dtype == "object" else "int64"
            categories = keys_of(rng, of_categories, count)
            attributes = {f"cats_{SUFFIX[of_categories]}": plain(categories)}
            for shape in SHAPES:
                x = asked(rng, categories, shape)
                if dtype.startswith("float"):
                    x = x.astype(dtype) + data(rng, dtype, shape, odd=0.3, size=0.2)
                yield Case(op, [x], attributes, types=[FLOAT], domain=ML)
            x = np.array([pick(rng, categories) for _ in range(9)], of_categories)
            yield Case(op, [x], {**attributes, "zeros": 0}, types=[FLOAT], domain=ML, is_free=True)


@cases_of("ArrayFeatureExtractor")
def extractor(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in ALL[:4] + ALL[5:]:
        for shape in ((4,), (40, 6), (1, 6), (2, 3, 4), (40, 1)):
            x = data(rng, dtype, shape)
            for count in (1, 2, 9):
                at = rng.integers(0, shape[-1], (1, count))
                yield Case(op, [x, Known(at)], domain=ML)
                yield Case(op, [x, at[0]], domain=ML)
        x = data(rng, dtype, (17, 6))
        yield Case(op, [x, Known([5, 0, 2])], domain=ML, is_free=True)


# ---- Features ----


def reals(rng: Random, count: int, *, size: float = 1, odd: float = 0.1) -> list[float]:
    values: list[float] = data(rng, "float32", (count,), odd=odd, size=size).tolist()
    return values


@cases_of("Scaler")
def scaler(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in NUMBERS:
        for shape in ((40, 6), (1, 6), (7,), (40, 1), (2, 3, 4), (0, 3)):
            columns = shape[0] if len(shape) == 1 else shape[1]
            for count in (1, columns):
                x = data(rng, dtype, shape)
                attributes = {"offset": reals(rng, count, size=9), "scale": reals(rng, count)}
                yield Case(op, [x], attributes, types=[FLOAT], domain=ML)
        attributes = {"offset": reals(rng, 2), "scale": reals(rng, 2)}
        x = data(rng, dtype, (17, 2))
        yield Case(op, [x], attributes, types=[FLOAT], domain=ML, is_free=True)


@cases_of("Imputer")
def imputer(op: str, version: int, rng: Random) -> Iterator[Case]:
    for shape in ((40, 6), (1, 6), (7,), (40, 1), (2, 3, 4), (0, 3)):
        columns = shape[0] if len(shape) == 1 else shape[1]
        for count in (1, columns, columns + 2):
            for missing in (None, float("nan"), 0.0, -0.0, float("inf"), 1.0):
                x = data(rng, "float32", shape, odd=0.6)
                attributes = {"imputed_value_floats": reals(rng, count)}
                attributes["replaced_value_float"] = missing  # type: ignore[assignment]
                yield Case(op, [x], attributes, domain=ML)
            for number in (None, 0, -1, 2**63 - 1, -(2**63)):
                x = data(rng, "int64", shape, odd=0.6)
                values = plain(data(rng, "int64", (count,)))
                whole = {"imputed_value_int64s": values, "replaced_value_int64": number}
                yield Case(op, [x], whole, domain=ML)
    x = data(rng, "float32", (17, 3))
    missing_nan = {"imputed_value_floats": [1, 2, 3.5], "replaced_value_float": float("nan")}
    yield Case(op, [x], missing_nan, domain=ML, is_free=True)


@cases_of("Binarizer")
def binarizer(op: str, version: int, rng: Random) -> Iterator[Case]:
    for shape in SHAPES:
        for threshold in (None, 0.1, -0.0, float("inf"), float("nan")):
            x = np.nan_to_num(data(rng, "float32", shape, odd=0.5), nan=0.5, posinf=np.inf)
            yield Case(op, [x], {"threshold": threshold}, domain=ML)
    x = moderate(rng, "int32", (17, 3)).astype(np.float32)
    yield Case(op, [x], {"threshold": 1.0}, domain=ML, is_free=True)


@cases_of("Normalizer")
def normalizer(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in NUMBERS:
        for norm in (None, "MAX", "L1", "L2"):
            for shape in ((40, 6), (1, 6), (7,), (40, 1), (9, 20), (0, 3)):
                for odd in (0, 0.2):
                    x = data(rng, dtype, shape, odd=odd)
                    yield Case(op, [x], {"norm": norm}, types=[FLOAT], domain=ML)
            zeros = np.zeros((2, 3), dtype)
            yield Case(op, [zeros], {"norm": norm}, types=[FLOAT], domain=ML, is_free=True)


@cases_of("FeatureVectorizer")
def vectorizer(op: str, version: int, rng: Random) -> Iterator[Case]:
    for dtype in NUMBERS:
        for rows in (1, 2, 40):
            for count in (1, 2, 4):
                widths = [int(rng.integers(1, 6)) for _ in range(count)]
                inputs = [data(rng, dtype, (rows, width)) for width in widths]
                # A part may be smaller or larger than its input.
                parts = [max(0, width + int(pick(rng, [0, 0, 0, -1, 2]))) for width in widths]
                parts_of = {"inputdimensions": parts}
                yield Case(op, list(inputs), parts_of, types=[FLOAT], domain=ML)
                is_free = {"types": [FLOAT], "domain": ML, "is_free": True}
                yield Case(op, list(inputs), {"inputdimensions": widths}, **is_free)  # type: ignore[arg-type]


# ---- Linear models ----

TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")


def rows_for(rng: Random, dtype: str, columns: int, transform: str) -> Array:
    shape = pick(rng, [(1, columns), (40, columns), (9, columns), (columns,)])
    return moderate(rng, dtype, shape, size=1 if transform == "NONE" else 0.1)


@cases_of("LinearRegressor")
def linear_regressor(op: str, version: int, rng: Random) -> Iterator[Case]:
    for transform in TRANSFORMS:
        for targets in (1, 1, 2, 3, 7):
            for columns in (1, 2, 8, 13, 100):
                attributes: dict[str, Any] = {
                    "coefficients": reals(rng, targets * columns, odd=0),
                    "targets": targets,
                    "post_transform": transform,
                }
                if rng.random() < 0.8:
                    attributes["intercepts"] = reals(rng, targets, odd=0)
                x = rows_for(rng, "float32", columns, transform)
                yield Case(op, [x], attributes, types=[FLOAT], domain=ML)


@cases_of("LinearClassifier")
def linear_classifier(op: str, version: int, rng: Random) -> Iterator[Case]:
    for transform, dtype in itertools.product(TRANSFORMS, NUMBERS):
        for classes in (1, 1, 2, 3, 7):
            if classes == 1 and transform == "PROBIT":
                continue
            columns = int(pick(rng, [1, 2, 8, 13, 100]))
            labels = 2 if classes == 1 else classes
            attributes: dict[str, Any] = {
                "coefficients": reals(rng, classes * columns, odd=0),
                "intercepts": reals(rng, classes, odd=0),
                "post_transform": transform,
                "multi_class": int(rng.integers(0, 2)),
            }
            is_text = rng.random() < 0.5
            if is_text:
                attributes["classlabels_strings"] = [f"é{i}" for i in range(labels)]
            else:
                attributes["classlabels_ints"] = rng.integers(-99, 99, labels).tolist()
            x = rows_for(rng, dtype, columns, transform)
            types = [STRING if is_text else INT64, FLOAT]
            yield Case(op, [x], attributes, types=types, domain=ML)
