"""Derives the inputs and outputs of a function over records from sample records.

Also makes golden rows from the function's own answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sidecall import errors

from .hints import MISSING, WORDS, Answers, Features

_SAMPLE = 100
_GOLDEN = 16
_FLOORS = {"float32": (1e-6, 1e-5), "float64": (1e-12, 1e-9)}


def features_of_records(records: list[dict[str, Any]] | None) -> Features:
    """Returns the features of the records.

    Raises ContractInvalid without records, and for values that no feature can hold.
    """
    if records is None:
        raise errors.ContractInvalid(
            "a function over records: expected type hints, data or a contract that describe its features, got none"
        )
    names = list(dict.fromkeys(name for record in records for name in record))
    return [_feature(name, [record.get(name) for record in records]) for name in names]


def answers_of_sample(
    function: Callable[..., Any], form: str, records: list[dict[str, Any]] | None
) -> Answers:
    """Calls the function for some of the records, and returns its outputs.

    Raises ContractInvalid.
    """
    if records is None:
        raise errors.ContractInvalid(
            "a function over records: expected a return type hint, data or a contract that describe its answers, got none"
        )
    sample = records[:_SAMPLE]
    if form == "many":
        answers = list(function(sample))
    else:
        answers = [
            function(**record) if form == "keywords" else function(record) for record in sample
        ]
    if not isinstance(answers[0], Mapping):
        return [_answer("prediction", answers)]
    return [_answer(name, [answer.get(name) for answer in answers]) for name in answers[0]]


def golden_rows(
    served: Any, features: Features, outputs: Answers, records: list[dict[str, Any]]
) -> dict[str, Any]:
    """Returns golden rows in which each column is drawn separately from the records.

    So the golden rows are not rows of the data. Rows that the function refuses are left out.
    """
    rng = np.random.default_rng(0)
    kept: list[dict[str, Any]] = []
    for _ in range(_GOLDEN):
        record = {
            feature["name"]: records[int(rng.integers(len(records)))].get(feature["name"])
            for feature in features
        }
        record = {name: None if is_missing(value) else value for name, value in record.items()}
        try:
            served.answer([record])
        except Exception:  # the function does not accept this combination
            continue
        kept.append(record)
    if not kept:
        return {"source": "none", "rows": 0, "features": [], "outputs": {}, "tolerance": {}}
    first, second = served.answer(kept), served.answer(kept)
    expected, tolerance = {}, {}
    for output, one, two in zip(outputs, first, second, strict=True):
        if not np.array_equal(one, two, equal_nan=one.dtype.kind == "f"):
            output["deterministic"] = False
            continue
        expected[output["name"]] = _plain(one.tolist())
        if output["type"] in _FLOORS:
            absolute, relative = _FLOORS[output["type"]]
            tolerance[output["name"]] = {"absolute": absolute, "relative": relative}
    columns = [[_plain(record[feature["name"]]) for record in kept] for feature in features]
    return {
        "source": "synthetic",
        "rows": len(kept),
        "features": columns,
        "outputs": expected,
        "tolerance": tolerance,
    }


def is_missing(value: Any) -> bool:
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )


def _plain(value: Any) -> Any:
    """Returns the value for JSON, which has no NaN and no infinities."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value.item() if isinstance(value, np.generic) else value


def _type_of(values: list[Any], what: str) -> str:
    kinds = {
        type(value.item() if isinstance(value, np.generic) else value)
        for value in values
        if not is_missing(value)
    }
    if kinds == {int, float}:
        kinds = {float}
    if len(kinds) != 1 or not kinds <= set(WORDS):
        words = ", ".join(sorted(kind.__name__ for kind in kinds)) or "only missing values"
        raise errors.ContractInvalid(f"{what}: expected float, int, bool or str, got {words}")
    return WORDS[kinds.pop()]


def _feature(name: str, values: list[Any]) -> dict[str, Any]:
    kind = _type_of(values, f"feature '{name}'")
    feature: dict[str, Any] = {
        "name": name,
        "type": kind,
        "nullable": any(is_missing(value) for value in values),
        "input": name,
        "column": 0,
    }
    if feature["nullable"]:
        feature["missing"] = MISSING[kind]
    return feature


def _answer(name: str, values: list[Any]) -> dict[str, Any]:
    first = values[0]
    if isinstance(first, Mapping):
        keys = list(first)
        kind = _type_of([value[key] for value in values for key in keys], f"answer '{name}'")
        return {
            "name": name,
            "role": "probabilities" if name == "probabilities" else "scores",
            "type": kind,
            "classes": keys,
        }
    if isinstance(first, (list, tuple, np.ndarray)):
        kind = _type_of([item for value in values for item in value], f"answer '{name}'")
        return {
            "name": name,
            "role": "transformed" if name == "transformed" else "prediction",
            "type": kind,
            "width": len(first),
        }
    return {
        "name": name,
        "role": "label" if name == "label" else "prediction",
        "type": _type_of(values, f"answer '{name}'"),
    }
