"""Methods of a fitted model by name; shared by export, compare and serve."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sidecall import errors


def method_of(model: Any, name: str) -> Callable[[Any], Any]:
    """Returns the method; `kneighbors.1` returns the second array of the answer of `kneighbors`.

    `predict` of a Booster of xgboost takes rows, which it wraps in a DMatrix.

    Raises AttributeError.
    """
    if name == "predict" and is_xgboost_booster(model):
        return partial(_booster_predict, model)
    method, _, part = name.partition(".")
    bound: Callable[[Any], Any] = getattr(model, method)
    return (lambda rows: bound(rows)[int(part)]) if part else bound


def is_xgboost_booster(model: Any) -> bool:
    kind = type(model)
    return kind.__module__.partition(".")[0] == "xgboost" and kind.__name__ == "Booster"


def _booster_predict(booster: Any, rows: Any) -> Any:
    from xgboost import DMatrix

    known = {} if hasattr(rows, "columns") else _names_and_types(booster)
    matrix = DMatrix(rows, missing=missing_number(booster), enable_categorical=True, **known)
    return booster.predict(matrix)


def missing_number(booster: Any) -> float:
    """The number that stands for a missing value, from the attribute `missing` of the Booster.

    XGBoost keeps such attributes in the file of a Booster, but not the argument of a DMatrix.
    """
    text = booster.attr("missing")
    try:
        return float("nan" if text is None else text)
    except ValueError:
        raise errors.InvalidArgument(
            "the attribute 'missing' of the Booster: expected a number as text, as "
            "booster.set_attr(missing=str(number)) sets it"
        ) from None


def _names_and_types(booster: Any) -> dict[str, Any]:
    return {"feature_names": booster.feature_names, "feature_types": booster.feature_types}
