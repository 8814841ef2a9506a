"""The Python types that sidecall types writes, executed: they keep every name and value, and take
and refuse what `predict` takes and refuses.
"""

from __future__ import annotations

import json
import math
import sys
from datetime import datetime
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import sidecall as package
from generated_types import ODD_NAMES, load, open_model, opened_vectors, save, types_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufdd0"))
NAMES = (
    TEXTS | st.from_regex("[_a-z]{1,4}[0-9]?", fullmatch=True) | st.sampled_from(ODD_NAMES)
).filter(bool)


def refuses(model: type[BaseModel], record: dict[str, Any]) -> bool:
    try:
        model.model_validate(record)
    except ValidationError:
        return True
    return False


def golden_record(model: package.Model) -> dict[str, Any] | None:
    """The first golden row, without its missing values. Dates are those of Python."""
    contract = model.contract
    assert contract is not None
    verification = contract.get("verification")
    if not verification or verification["source"] == "none" or verification["rows"] == 0:
        return None
    record = {}
    for feature, column in zip(contract["features"], verification["features"], strict=True):
        value = column[0]
        if value is not None:
            if feature["type"] == "datetime":
                value = datetime.fromisoformat(value)
            is_float = feature["type"].startswith("float")
            record[feature["name"]] = float(value) if is_float else value
    return record


def test_golden_records_and_answers_of_all_vectors_fit_the_models(sidecall):
    compared = 0
    for path, model in opened_vectors():
        dicts = load(types_of(sidecall, path, "python"))
        generated = load(types_of(sidecall, path, "pydantic"))
        features, answers = generated.MFeatures, generated.MAnswer
        names = {feature.name for feature in model.features}
        assert set(get_type_hints(dicts.MFeatures)) == names, path
        required = {feature.name for feature in model.features if not feature.nullable}
        assert dicts.MFeatures.__required_keys__ == required, path
        record = golden_record(model)
        if record is None:
            continue
        checked = features.model_validate(record).model_dump(by_alias=True)
        assert set(checked) == names, path
        try:
            answer = model.predict(checked)
        except package.errors.Refused:
            continue
        assert set(answer) == set(get_type_hints(dicts.MAnswer)), path
        dumped = answers.model_validate(answer).model_dump(by_alias=True)
        assert repr(dumped) == repr(answer), path  # in which NaN is equal to NaN
        compared += 1
        refuse_bad_values(features, model, record)
    assert compared >= 20


def refuse_bad_values(
    features: type[BaseModel], model: package.Model, record: dict[str, Any]
) -> None:
    """Values that `predict` refuses in each of the features are refused by the model."""
    assert refuses(features, record | {"no such feature": 1.0})
    wrong = {"float": ["1", True, [1.0]], "int": ["1", True, 1.5, 2**63], "str": [1, b"a"]}
    wrong["bool"] = [1, "true"]
    wrong["datetime"] = [True, b"a", "no date"]
    for feature in model.features:
        kind = next(kind for kind in wrong if feature.dtype.startswith(kind))
        for value in wrong[kind]:
            assert refuses(features, record | {feature.name: value}), (feature.name, value)
        rest = {name: value for name, value in record.items() if name != feature.name}
        assert refuses(features, rest) == (not feature.nullable), feature.name
        assert refuses(features, rest | {feature.name: None}) == (not feature.nullable)


def test_odd_names_and_values_keep_their_meaning(sidecall, tmp_path):
    path = save(
        tmp_path / "odd.onnx",
        [{"name": name, "type": "float32"} for name in ODD_NAMES]
        + [{"name": "a list", "type": "string", "allowed": [*ODD_NAMES, ""]}],
        classes=[*ODD_NAMES, ""],
        name='"""\\\n\u202e',
        version="'''",
    )
    dicts = load(types_of(sidecall, path, "python"))
    generated = load(types_of(sidecall, path, "pydantic"))
    for module in (dicts, generated):
        assert module.__doc__.startswith("Model '\"\"\"\\\\n\\u202e', version '''.\n\nId: ")
    assert dicts.MFeatures.__required_keys__ == {*ODD_NAMES, "a list"}
    assert dicts.MY.__required_keys__ == {*ODD_NAMES, ""}
    hints = get_type_hints(dicts.MFeatures)
    assert get_args(hints.pop("a list")) == (*ODD_NAMES, "")
    assert set(hints.values()) == {float}

    record = {name: float(i) for i, name in enumerate(ODD_NAMES)} | {"a list": ODD_NAMES[3]}
    checked = generated.MFeatures.model_validate(record)
    assert checked.model_dump(by_alias=True) == record
    assert checked.field_class == record["__class__"]
    assert checked.field_class_2 == record["class"]
    assert checked.field_model_dump == record["model_dump"]
    answer = open_model(path).predict(checked.model_dump(by_alias=True))
    assert list(answer["y"]) == [*ODD_NAMES, ""]
    assert generated.MAnswer.model_validate(answer).model_dump(by_alias=True) == answer
    assert generated.MAnswer.model_validate_json(json.dumps(answer)).y.x == answer["y"]["x"]


@pytest.mark.long
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(names=st.lists(NAMES, min_size=1, max_size=12, unique=True), values=st.lists(TEXTS))
def test_drawn_names_and_values_keep_their_meaning(sidecall, tmp_path, names, values):
    path = save(
        tmp_path / "drawn.onnx",
        [
            {"name": name, "type": "string", "allowed": values, "nullable": i % 2 == 1}
            | {"missing": {"value": "\ufdd0"}}
            for i, name in enumerate(names)
        ],
        classes=names,
        name="".join(values),
    )
    dicts = load(types_of(sidecall, path, "python"))
    generated = load(types_of(sidecall, path, "pydantic"))
    assert list(get_type_hints(dicts.MFeatures)) == names
    assert dicts.MFeatures.__required_keys__ == set(names[::2])
    assert list(get_type_hints(dicts.MAnswer.__annotations__["y"])) == names
    if not values:
        return
    record: dict[str, Any] = {
        name: None if i % 2 == 1 else values[i % len(values)] for i, name in enumerate(names)
    }
    assert generated.MFeatures.model_validate(record).model_dump(by_alias=True) == record
    answer = {"y": {name: float(i) for i, name in enumerate(names)}}
    assert generated.MAnswer.model_validate(answer).model_dump(by_alias=True) == answer


# What each feature takes, and what it refuses, in a record. `predict` agrees.
LIMITS: list[tuple[dict[str, Any], list[Any], list[Any]]] = [
    (
        {"type": "float64", "domain": [[0, 0.5]]},
        [0, 0.5, -0.0],
        [-5e-324, 0.5000000000000001, math.inf, math.nan],
    ),
    (
        {"type": "float64", "domain": [[-sys.float_info.max, sys.float_info.max]]},
        [1, sys.float_info.max],
        [math.inf, -math.inf, math.nan],
    ),
    ({"type": "float64", "domain": [[0, "inf"]]}, [0, math.inf], [-1, -math.inf, math.nan]),
    ({"type": "float64", "domain": [["-inf", 5]]}, [-math.inf, 5], [6, math.inf, math.nan]),
    ({"type": "float64"}, [math.inf, 1], ["1", True]),
    (
        {"type": "float32", "domain": [[0.1, 0.3]]},
        [0.1, float(np.float32(0.1)), 0.3, float(np.float32(0.3))],
        [0.0999, 0.3001],
    ),
    (
        {"type": "float32", "domain": [[-3.4028234663852886e38, 3.4028234663852886e38]]},
        [3.4028234663852886e38, 3.4028235e38],
        [1e39, math.inf, -math.inf],
    ),
    ({"type": "int64"}, [2**63 - 1, -(2**63)], [2**63, True, "1"]),
    ({"type": "int64", "domain": [[-3, 7]]}, [-3, 7], [-4, 8, False]),
    ({"type": "int64", "tensor": "float32", "domain": [[0.5, 7.5]]}, [1, 7], [0, 8]),
    ({"type": "int64", "tensor": "float64", "domain": [["-inf", 0]]}, [-(2**63), 0], [1]),
    ({"type": "int64", "allowed": [1, 0, -4]}, [1, 0, -4], [2, True, "1"]),
    ({"type": "bool"}, [True, False], [0, 1, "true"]),
    ({"type": "bool", "allowed": [True]}, [True], [False, 1]),
    ({"type": "bool", "allowed": [True, False]}, [True, False], [1]),
    ({"type": "string", "empty": False}, ["a"], ["", 1]),
    ({"type": "string", "allowed": ["a", ""]}, ["a", ""], ["b", None]),
]


def test_limits_of_values_are_those_of_predict(sidecall, tmp_path):
    listed = [{"name": f"f{i}"} | feature for i, (feature, _, _) in enumerate(LIMITS)]
    path = save(tmp_path / "limits.onnx", listed)
    model = open_model(path)
    features = load(sidecall("types", path, "--lang", "pydantic").out).MFeatures
    json.dumps(features.model_json_schema(), allow_nan=False)  # as web frameworks publish it
    record = {f"f{i}": good[0] for i, (_, good, _) in enumerate(LIMITS)}
    for i, (_, good, bad) in enumerate(LIMITS):
        for value in good:
            changed = features.model_validate(record | {f"f{i}": value}).model_dump(by_alias=True)
            assert changed[f"f{i}"] == value
            model.predict(changed)
        for value in bad:
            assert refuses(features, record | {f"f{i}": value}), (i, value)
            with pytest.raises(package.Error):
                model.predict(record | {f"f{i}": value})
