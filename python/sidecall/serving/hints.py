"""Derives the records that a function takes and returns from its type hints."""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable
from typing import (
    Any,
    Literal,
    NamedTuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from sidecall import errors

Features = list[dict[str, Any]]
Answers = list[dict[str, Any]]

WORDS = {float: "float64", int: "int64", bool: "bool", str: "string"}
MISSING = {
    "float64": "nan",
    "int64": {"value": -(2**63)},
    "bool": {"value": -1},
    "string": {"value": "\ufdd0"},
}


class Scalar(NamedTuple):
    """A value of a record. `allowed` lists the only accepted values, or is None."""

    type: str
    nullable: bool
    allowed: list[Any] | None


def scalar_of(hint: Any) -> Scalar | None:
    """Returns the scalar for a hint, or None.

    A scalar is float, int, bool, str, a Literal of these, or one of them with None.
    """
    if hint in WORDS:
        return Scalar(WORDS[hint], False, None)
    origin = get_origin(hint)
    if origin is Literal:
        values = list(get_args(hint))
        kinds = {type(value) for value in values}
        return (
            Scalar(WORDS[kinds.pop()], False, values)
            if len(kinds) == 1 and kinds <= set(WORDS)
            else None
        )
    if origin in (Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not type(None)]
        inner = scalar_of(rest[0]) if len(rest) == 1 and len(get_args(hint)) == 2 else None
        return None if inner is None else inner._replace(nullable=True)
    return None


def is_over_many(function: Callable[..., Any]) -> bool:
    """Whether the only parameter is a list of records."""
    return get_origin(first_hint(function)) in (list, tuple) or _origin_name(
        first_hint(function)
    ) in ("Sequence", "Iterable")


def is_over_arrays(function: Callable[..., Any]) -> bool:
    return _origin_name(first_hint(function)) == "ndarray"


def features_of_hints(function: Callable[..., Any]) -> Features | None:
    """Returns the features, or None if the function has no usable hints.

    Raises ContractInvalid for a hint that is not a scalar.
    """
    record = _record_of(function)
    fields = _fields(record)
    if fields is None:
        fields = {name: hint for name, hint in _hints(function).items() if name != "return"}
        if (
            not fields
            or set(_parameters(function)) != set(fields)
            or all(scalar_of(hint) is None for hint in fields.values())
        ):
            return None
    return [
        _feature(name, hint, name in _optional(record, function)) for name, hint in fields.items()
    ]


def answers_of_hints(function: Callable[..., Any]) -> Answers | None:
    """Returns the outputs, or None if the function has no usable hint."""
    hint = _hints(function).get("return")
    if is_over_many(function) and get_args(hint):
        hint = get_args(hint)[0]
    if hint is None:
        return None
    scalar = scalar_of(hint)
    if scalar is not None:
        return [_answer("label" if scalar.allowed else "prediction", hint)]
    fields = _fields(hint)
    return None if fields is None else [_answer(name, field) for name, field in fields.items()]


def _feature(name: str, hint: Any, optional: bool) -> dict[str, Any]:
    scalar = scalar_of(hint)
    if scalar is None:
        raise errors.ContractInvalid(
            f"feature '{name}': expected a type hint float, int, bool, str or Literal, optionally with None, got {hint}"
        )
    feature: dict[str, Any] = {
        "name": name,
        "type": scalar.type,
        "nullable": scalar.nullable or optional,
        "input": name,
        "column": 0,
    }
    if feature["nullable"]:
        feature["missing"] = MISSING[scalar.type]
    if scalar.allowed is not None:
        feature["allowed"] = scalar.allowed
    return feature


def _answer(name: str, hint: Any) -> dict[str, Any]:
    if get_origin(hint) is dict and get_origin(get_args(hint)[0]) is Literal:
        keys, value = get_args(hint)
        inner = scalar_of(value)
        if inner is not None:
            role = "probabilities" if name == "probabilities" else "scores"
            return {"name": name, "role": role, "type": inner.type, "classes": list(get_args(keys))}
    scalar = scalar_of(hint)
    if scalar is None or scalar.nullable:
        raise errors.ContractInvalid(
            f"answer '{name}': expected a type hint float, int, bool, str, Literal or dict[Literal, ...], got {hint}"
        )
    answer: dict[str, Any] = {
        "name": name,
        "role": "label" if scalar.allowed or name == "label" else "prediction",
        "type": scalar.type,
    }
    if scalar.allowed is not None:
        answer["classes"] = scalar.allowed
    return answer


def _fields(kind: Any) -> dict[str, Any] | None:
    """Returns the fields of a TypedDict, dataclass or NamedTuple; None for anything else."""
    if (
        is_typeddict(kind)
        or dataclasses.is_dataclass(kind)
        or (isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"))
    ):
        return get_type_hints(kind)
    return None


def defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Returns the defaults that replace missing values.

    These are the defaults of parameters, or of the fields of a dataclass or NamedTuple. A default
    of None is left out.
    """
    return {
        name: default
        for name, default in _defaults(_record_of(function), function).items()
        if default is not None
    }


def _optional(record: Any, function: Callable[..., Any]) -> set[str]:
    return (
        set(record.__optional_keys__) if is_typeddict(record) else set(_defaults(record, function))
    )


def _defaults(record: Any, function: Callable[..., Any]) -> dict[str, Any]:
    if _fields(record) is None:
        return {
            name: each.default
            for name, each in _parameters(function).items()
            if each.default is not each.empty
        }
    if dataclasses.is_dataclass(record):
        return {
            field.name: field.default
            for field in dataclasses.fields(record)
            if field.default is not dataclasses.MISSING
        }
    return dict(getattr(record, "_field_defaults", {}))


def _record_of(function: Callable[..., Any]) -> Any:
    """Returns the hint of a single record, whether the function takes one or many."""
    first = first_hint(function)
    return get_args(first)[0] if is_over_many(function) and get_args(first) else first


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        return get_type_hints(target)
    except (NameError, TypeError):
        return {}


def first_hint(function: Callable[..., Any]) -> Any:
    """Returns the type hint of the first parameter, or None. Hints in quotes are resolved."""
    parameters = list(_parameters(function))
    return _hints(function).get(parameters[0]) if parameters else None


def _origin_name(hint: Any) -> str:
    return getattr(get_origin(hint) or hint, "__name__", "")
