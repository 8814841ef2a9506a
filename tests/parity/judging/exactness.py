"""How exact a model's answers can be: which must be equal bit by bit, and which are float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

# Steps that pass numbers on unchanged.
_EXACT = {"FunctionTransformer", "SimpleImputer", "VarianceThreshold", "SelectKBest"}
_TREES = {
    "DecisionTreeRegressor": "prediction",
    "ExtraTreeRegressor": "prediction",
    "RandomForestRegressor": "prediction",
    "ExtraTreesRegressor": "prediction",
    "GradientBoostingRegressor": "prediction",
    "HistGradientBoostingRegressor": "prediction",
    "LGBMRegressor": "prediction",
    "XGBRegressor": "prediction",
    "DecisionTreeClassifier": "probabilities",
    "RandomForestClassifier": "probabilities",
    "ExtraTreesClassifier": "probabilities",
}


def raw_tree_output(model: Any) -> str | None:
    """The output that must be equal bit by bit, if the row's numbers reach trees unchanged.

    None for all other models. Boosting classifiers are among these, because they answer with an
    exponential of the sum of the trees.
    """
    if not isinstance(model, Pipeline) or not all(_is_exact(step) for _, step in model.steps[:-1]):
        return None
    return _TREES.get(type(model.steps[-1][1]).__name__)


def _is_exact(step: Any) -> bool:
    if isinstance(step, str) or step is None:
        return True
    if isinstance(step, Pipeline):
        return all(_is_exact(part) for _, part in step.steps)
    if isinstance(step, ColumnTransformer):
        return all(_is_exact(part) for _, part, _ in step.transformers_)
    name = type(step).__name__
    return name in _EXACT and (name != "FunctionTransformer" or step.func is None)


def gives_float32(model: Any, rows: Any) -> bool:
    """Whether a step of the original returns float32 for these rows.

    The last step is left out, because the comparison itself notices a float32 answer.
    """
    if not isinstance(model, Pipeline):
        return False
    # A last step that transforms may contain steps that return float32 although its own answer is
    # not float32.
    is_transform = not hasattr(model, "predict")
    for _, step in model.steps if is_transform else model.steps[:-1]:
        rows, found = _through(step, rows)
        if found:
            return True
    return False


def _through(step: Any, rows: Any) -> tuple[Any, bool]:
    """The output of the step, and whether it or a step inside it returns float32."""
    if step is None or isinstance(step, str) or not hasattr(step, "transform"):
        return rows, False  # a step without transform is a sampler
    found = False
    if isinstance(step, Pipeline):
        for _, part in step.steps:
            rows, inside = _through(part, rows)
            found = found or inside
        return rows, found
    if isinstance(step, ColumnTransformer):
        for _, part, columns in step.transformers_:
            if part not in ("drop", "passthrough"):
                found = found or _through(part, _taken(rows, columns))[1]
        return step.transform(rows), found
    if isinstance(step, FeatureUnion):
        found = any(_through(part, rows)[1] for _, part in step.transformer_list)
    behind = step.transform(rows)
    dtypes = behind.dtypes.tolist() if hasattr(behind, "iloc") else [behind.dtype]
    return behind, found or any(dtype == np.float32 for dtype in dtypes)


def _taken(rows: Any, columns: Any) -> Any:
    """The columns by name, or by position, as those of a remainder are given."""
    if not hasattr(rows, "iloc"):
        return rows[:, columns]
    chosen = np.asarray(columns)
    return rows.iloc[:, chosen] if chosen.dtype.kind in "iub" else rows[columns]


# Steps whose answers are determined bit by bit: comparisons, lookups, and + - * / and roots.
_FIXED = {
    *_EXACT,
    "StandardScaler",
    "MinMaxScaler",
    "MaxAbsScaler",
    "RobustScaler",
    "KBinsDiscretizer",
    "Binarizer",
    "PolynomialFeatures",
    "OneHotEncoder",
    "OrdinalEncoder",
    "TargetEncoder",
    "QuantileTransformer",
}
_FIXED_FUNCTIONS = (None, np.square, np.abs, np.rint, np.floor, np.sqrt)


def jumps_are_fixed(model: Any) -> bool:
    """Whether the values at which the answers jump are determined bit by bit.

    If they depend on a logarithm or on a sum over columns, two correct computations may jump one
    ulp apart. No row is then placed on such a jump. A search answers with its best model.
    """
    model = getattr(model, "best_estimator_", model)
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    return all(_is_fixed(step) for step in steps[:-1]) and not _compares_sums(steps[-1])


def _is_fixed(step: Any) -> bool:
    if isinstance(step, str) or step is None:
        return True
    if isinstance(step, Pipeline):
        return all(_is_fixed(part) for _, part in step.steps)
    if isinstance(step, ColumnTransformer):
        return all(_is_fixed(part) for _, part, _ in step.transformers_)
    name = type(step).__name__
    if name == "FunctionTransformer":
        return step.func in _FIXED_FUNCTIONS
    return name in _FIXED and not (
        name == "QuantileTransformer" and step.output_distribution == "normal"
    )


def _compares_sums(model: Any) -> bool:
    """Whether it compares distances, or counts the votes of pairs of classes by signs of sums."""
    names = {type(model).__name__}
    for _, part in getattr(model, "estimators", None) or ():
        names.add(type(part).__name__)
    for attribute in ("estimator", "regressor"):
        names.add(type(getattr(model, attribute, None)).__name__)
    return any(
        "Neighbors" in name or "OutlierFactor" in name or name in ("SVC", "NuSVC") for name in names
    )
