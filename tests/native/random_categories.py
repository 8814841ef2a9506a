"""Steps of random graphs that look up texts and integers, and that prepare features."""

from __future__ import annotations

from typing import Any

import numpy as np
from graph_builder import Builder, Value
from operator_cases import TEXTS, Random, pick
from random_steps import NUMBERS, choose, is_table, numbers, step
from two_engines import ML

# ---- Texts and categories ----


def words(rng: Random, count: int) -> list[str]:
    pool = [f"k{i}" for i in range(2 * count)] + TEXTS
    return [pool[int(i)] for i in rng.permutation(len(pool))[:count]]


@step
def one_hot_texts(b: Builder) -> None:
    value = choose(b, ["object"], lambda x: x.width == 1)
    if value is None or b.opset < 19:
        return
    count = int(pick(b.rng, [1, 3, 12]))
    constant = b.constant(np.array([words(b.rng, count)], object), "object")
    b.step("Equal", [value.name, constant], value, dtype="bool", width=count)


@step
def one_hot_integers(b: Builder) -> None:
    value = choose(b, ["int64", "int32"], lambda x: x.width == 1)
    if value is None:
        return
    count = int(pick(b.rng, [1, 3, 12]))
    constant = b.constant([np.arange(count) - 2], value.dtype)
    b.step("Equal", [value.name, constant], value, dtype="bool", width=count)


@step
def missing_text(b: Builder) -> None:
    value = choose(b, ["object"])
    if value is None or b.opset < 19:
        return
    first, second = words(b.rng, 2)
    absent = b.apply(
        "Equal", [value.name, b.constant([first], "object")], Value("", "bool", value.width)
    )
    b.step("Where", [absent, b.constant([second], "object"), value.name], value)


@step
def encoded(b: Builder) -> None:
    """LabelEncoder from texts or integers to any type."""
    value = choose(b, ["object", "int64", "float32"])
    if value is None:
        return
    count = int(pick(b.rng, [1, 4, 20, 200]))
    keys: Any = np.arange(count) - 3
    if value.dtype == "object":
        keys = words(b.rng, min(count, 8)) + [f"w{i}" for i in range(count - 8)]
        b.texts += keys[:20]
    elif value.dtype == "float32":
        keys = np.round(numbers(b.rng, "float32", (count,)), 1)
        b.numbers += [float(key) for key in keys[:20]]
    to = pick(b.rng, ["object", "int64", "float32"])
    if to == "float32" and value.dtype == "int64":
        to = "int64"
    made: Any = numbers(b.rng, to, (len(keys),)) if to != "object" else words(b.rng, len(keys) + 1)
    suffix = {"object": "strings", "int64": "int64s", "float32": "floats"}
    attributes = {
        f"keys_{suffix[value.dtype]}": [
            key if isinstance(key, str) else key.item() for key in keys
        ],
        f"values_{suffix[to]}": [v if isinstance(v, str) else v.item() for v in made][: len(keys)],
    }
    if b.rng.random() < 0.5:
        default = {"object": "other", "int64": 0, "float32": 2.5}[to]
        attributes[f"default_{suffix[to][:-1]}"] = default
    name = b.apply("LabelEncoder", [value.name], value, domain=ML, **attributes)
    b.offer(name, value, dtype=to, loose_zeros=False)


@step
def mapped(b: Builder) -> None:
    value = choose(b, ["object", "int64"])
    if value is None:
        return
    texts = words(b.rng, 6)
    b.texts += texts
    attributes = {"cats_strings": texts, "cats_int64s": [int(i) for i in b.rng.permutation(6)]}
    name = b.apply("CategoryMapper", [value.name], value, domain=ML, **attributes)
    b.offer(name, value, dtype="int64" if value.dtype == "object" else "object")


@step
def one_hot_encoded(b: Builder) -> None:
    """OneHotEncoder of a column, which makes [rows, 1, categories]."""
    value = choose(b, ["object", "int64", "float32", "float64"], lambda x: x.width == 1)
    if value is None:
        return
    count = int(pick(b.rng, [1, 4, 12]))
    if value.dtype == "object":
        texts = words(b.rng, count)
        b.texts += texts
        attributes: dict[str, Any] = {"cats_strings": texts}
    else:
        attributes = {"cats_int64s": [int(i) - 2 for i in b.rng.permutation(count)]}
    cube = b.apply("OneHotEncoder", [value.name], value, domain=ML, **attributes)
    one_hot = Value("", "float32", count)
    shape = b.constant([-1, count], "int64")
    if b.rng.random() < 0.5:
        name = b.apply("Reshape", [cube, shape], one_hot)
    else:
        name = b.apply("Flatten", [cube], one_hot, axis=1)
    b.offer(name, one_hot, grid=1.0, has_nan=False)


def small_index(b: Builder, size: int) -> Value | None:
    """A value of integers from -size to size - 1."""
    value = choose(b, ["int64", "int32"])
    if value is None:
        return None
    low, high = (b.constant(limit, value.dtype) for limit in (-size, size - 1))
    at_least = b.apply("Max", [value.name, low], value)
    return b.offer(b.apply("Min", [at_least, high], value), value)


@step
def looked_up(b: Builder) -> None:
    """Gather from a table of texts or numbers by computed indices."""
    size = int(pick(b.rng, [1, 3, 10]))
    index = small_index(b, size)
    if index is None:
        return
    dtype = pick(b.rng, ["object", *NUMBERS])
    values = words(b.rng, size) if dtype == "object" else numbers(b.rng, dtype, (size,))
    b.step("Gather", [b.constant(values, dtype), index.name], index, dtype=dtype, loose_zeros=False)


@step
def one_hot_of_indices(b: Builder) -> None:
    value = choose(b, ["int64"], lambda x: x.width <= 1)
    if value is None:
        return
    depth = int(pick(b.rng, [1, 3, 9]))
    inputs = [value.name, b.constant(depth, "int64"), b.constant([0, 1], "float32")]
    one_hot = Value("", "float32", depth, has_nan=False)
    name = b.apply("OneHot", inputs, one_hot)
    if value.width:
        name = b.apply("Reshape", [name, b.constant([-1, depth], "int64")], one_hot)
    b.offer(name, one_hot, grid=1.0, has_nan=False)


# ---- Features ----


@step
def feature_operator(b: Builder) -> None:
    value = choose(b, NUMBERS, is_table)
    if value is None:
        return
    floats = Value("", "float32", value.width, loose_zeros=value.loose_zeros)
    count = int(pick(b.rng, [1, value.width]))
    offsets, scales = (
        [float(each) for each in numbers(b.rng, "float32", (count,))] for _ in range(2)
    )
    op = pick(b.rng, ["Scaler", "Imputer", "Normalizer", "Binarizer", "FeatureVectorizer"])
    attributes: dict[str, Any] = {}
    if op == "Scaler":
        attributes = {"offset": offsets, "scale": scales}
    elif op == "Imputer":
        if value.dtype != "float32":
            return
        missing = pick(b.rng, [float("nan"), float("nan"), 0.0, scales[0]])
        attributes = {"imputed_value_floats": scales, "replaced_value_float": missing}
    elif op == "Normalizer":
        attributes = {"norm": pick(b.rng, ["MAX", "L1", "L2"])}
    elif op == "Binarizer":
        if value.dtype != "float32" or value.has_nan:
            return
        attributes = {"threshold": offsets[0]}
    else:
        attributes = {"inputdimensions": [value.width]}
    b.offer(b.apply(op, [value.name], floats, domain=ML, **attributes), floats)
