"""Lists which steps of a fitted model convert and why others do not; used by `sidecall check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .dates import DateType, type_of_dates
from .errors import NotConvertible
from .families.boosting.xgboost import categories_of
from .graph.builder import Tensor
from .graph.dates import Dates
from .graph.frame import Frame
from .output import build
from .registered import is_registered
from .registry import Conversion


class Step(NamedTuple):
    """One row of `explain`: a step's path, its class, whether it converts, and if not, why."""

    step: str
    kind: str
    converts: bool
    reason: str


def explain(
    model: Any,
    examples: Mapping[int, Any] | None = None,
    categories: Mapping[int, Mapping[int, list[Any]]] | None = None,
) -> list[Step]:
    """Tries to convert every step of a fitted pipeline by itself, to report all problems.

    `examples` holds a row that each step got, by the id() of the step. Without it the types of the
    columns are guessed. `categories` is that of `to_graph`.

    Steps inside a ColumnTransformer or FeatureUnion are rows of their own. A model that contains
    other models (stacking, voting, calibration, ...) is one row; its reason names the part that
    fails.
    """
    return [
        _explain_step(path, step, (examples or {}).get(id(step)), categories or {})
        for path, step in _leaves("", model)
    ]


def _leaves(path: str, model: Any) -> Iterator[tuple[str, Any]]:
    library = type(model).__module__.partition(".")[0]
    kind = type(model).__name__ if library in ("sklearn", "imblearn", "feature_engine") else ""
    if kind == "Pipeline":
        steps = model.steps
    elif kind == "ColumnTransformer" and hasattr(model, "transformers_"):
        steps = [(name, step) for name, step, _ in model.transformers_]
    elif kind == "FeatureUnion":
        steps = model.transformer_list
    elif kind in ("GridSearchCV", "RandomizedSearchCV") and hasattr(model, "best_estimator_"):
        steps = [("best_estimator_", model.best_estimator_)]
    else:
        yield path or type(model).__name__, model
        return
    for name, step in steps:
        if step is not None and not isinstance(step, str) and not hasattr(step, "fit_resample"):
            yield from _leaves(f"{path} > {name}" if path else name, step)


def _explain_step(
    path: str, model: Any, example: Any, categories: Mapping[int, Mapping[int, list[Any]]]
) -> Step:
    kind = type(model).__name__
    columns = _columns_of(example)
    if is_registered(model) and columns is None:  # its converter may need the names of the columns
        return Step(path, kind, True, "")
    g = Conversion("float32", [])
    g.examples, g.categories = {} if example is None else {id(model): example}, categories
    tensors = [
        Tensor(g, f"x{k}", dtype, width)
        for k, (dtype, width) in enumerate(columns or _inputs(model))
    ]
    for k, kind_of_dates in enumerate(_dates_of(example)):
        if kind_of_dates is not None:
            tensors[k] = Dates(tensors[k], kind_of_dates)
    try:
        build(g, model, Frame(g, tensors))
    except NotConvertible as error:
        inner = "" if error.step in ("", kind) else f"{error.step}: "
        return Step(path, kind, False, inner + error.reason)
    return Step(path, kind, True, "")


def _columns_of(example: Any) -> list[tuple[str, int]] | None:
    """The types of the columns of a DataFrame or an array; None for other containers."""
    if hasattr(example, "columns"):
        return [(_type_of(example.iloc[:, k]), 1) for k in range(example.shape[1])]
    if isinstance(example, np.ndarray) and example.ndim == 2 and example.dtype != object:
        return [(_type_of(example), example.shape[1])]
    return None


def _dates_of(example: Any) -> list[DateType | None]:
    """The unit and the zone of each column of a DataFrame that holds dates."""
    return [type_of_dates(dtype) for dtype in getattr(example, "dtypes", ())]


def _type_of(values: Any) -> str:
    kind = getattr(values.dtype, "kind", "O")
    if kind in "iu":
        return "int64"
    if type_of_dates(values.dtype) is not None:
        return "int64"
    return {"b": "bool", "f": "float32"}.get(kind, "string")


def _inputs(model: Any) -> list[tuple[str, int]]:
    """Guesses the types of a step's columns: string for columns of text, else float32."""
    if hasattr(model, "vocabulary_") or hasattr(model, "token_pattern"):
        return [("string", 1)]
    if hasattr(model, "categories_"):
        return [(_dtype(c), 1) for c in model.categories_]
    if hasattr(model, "statistics_"):
        return [(_dtype([s]), 1) for s in model.statistics_]
    width = int(getattr(model, "n_features_in_", 1) or 1)  # None if a CatBoost is not fitted
    for name in ("num_feature", "num_features"):  # Boosters of LightGBM and XGBoost
        width = int(getattr(model, name)()) if hasattr(model, name) else width
    strings = _string_columns(model)
    if strings:
        return [("string" if k in strings else "float32", 1) for k in range(width)]
    return [("float32", width)]


def _string_columns(model: Any) -> set[int]:
    """The columns that a step reads as strings, because it handles categories itself."""
    inner = getattr(model, "_preprocessor", None)
    if inner is not None:
        indices = np.flatnonzero(np.asarray(model.is_categorical_))
        categories = inner.named_transformers_["encoder"].categories_
        return {int(k) for k, c in zip(indices, categories, strict=True) if _dtype(c) == "string"}
    if names := _text_columns(model):
        return {k for k, name in enumerate(model.feature_names_in_) if name in names}
    if hasattr(model, "get_cat_feature_indices") and model.is_fitted():
        return set(model.get_cat_feature_indices())
    if type(model).__module__.partition(".")[0] == "xgboost":
        return {k for k, values in categories_of(model).items() if isinstance(values[0], str)}
    booster = getattr(model, "booster_", None)
    if booster is not None and getattr(booster, "pandas_categorical", None):
        infos = booster.dump_model()["feature_infos"]
        names = booster.feature_name()
        return {k for k, name in enumerate(names) if infos.get(name, {}).get("values")}
    return set()


def _text_columns(model: Any) -> set[Any]:
    """The names of the columns of text of a step of feature_engine or skrub."""
    names: set[Any] = set()
    for attribute in ("encoder_dict_", "category_dict_", "imputer_dict_"):
        for name, values in (getattr(model, attribute, None) or {}).items():
            if isinstance(values, str) or (np.iterable(values) and _dtype(values) == "string"):
                names.add(name)
    for step in getattr(model, "_preprocessors", ()):
        if type(getattr(step, "transformer", None)).__name__ == "CleanNullStrings":
            names.update(step.used_inputs_)
    return names


def _dtype(values: Any) -> str:
    return "string" if any(isinstance(v, str) for v in values) else "float32"
