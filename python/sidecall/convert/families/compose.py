"""Converters of estimators that contain other steps: pipelines, column transformers, searches,
transformed targets.
"""

from __future__ import annotations

from typing import Any

from sidecall.converters import register_converter

from ..graph.frame import Frame, join
from ..registry import Conversion

RESPONSES = (
    "predict",
    "predict_proba",
    "decision_function",
    "score_samples",
    "transform",
    "class_index",
)


def _through(g: Conversion, pipeline: Any, x: Frame) -> Frame:
    for name, step in pipeline.steps[:-1]:
        # Samplers of imbalanced-learn only change what fit gets.
        if step is not None and step != "passthrough" and not hasattr(step, "fit_resample"):
            x = g.transform(step, x, name)
    return x


def _register_pipeline(method: str) -> None:
    @register_converter("feature_engine:Pipeline", method)
    @register_converter("imblearn:Pipeline", method)
    @register_converter("sklearn:Pipeline", method)
    def pipeline(step: Any, columns: Frame, g: Conversion) -> Any:
        if getattr(step, "transform_input", None):
            raise g.refuse("transform_input is not supported")
        x = _through(g, step, columns)
        name, last = step.steps[-1]
        if last is None or last == "passthrough":
            return x
        return g.call(last, method, x, name)

    @register_converter(
        "sklearn:GridSearchCV RandomizedSearchCV HalvingGridSearchCV HalvingRandomSearchCV",
        method,
    )
    def search(step: Any, columns: Frame, g: Conversion) -> Any:
        if not hasattr(step, "best_estimator_"):
            raise g.refuse("it was not refitted (refit=False), so it holds no model")
        return g.call(step.best_estimator_, method, columns, "best_estimator_")

    @register_converter("sklearn:FrozenEstimator", method)
    def frozen(step: Any, columns: Frame, g: Conversion) -> Any:
        return g.call(step.estimator, method, columns, "estimator")

    @register_converter("sklearn:SelfTrainingClassifier", method)
    def self_training(step: Any, columns: Frame, g: Conversion) -> Any:
        return g.call(step.estimator_, method, columns, "estimator_")


for _method in RESPONSES:
    _register_pipeline(_method)


@register_converter("sklearn:ColumnTransformer", "transform")
def column_transformer(step: Any, columns: Frame, g: Conversion) -> Frame:
    frames = []
    for name, inner, _ in step.transformers_:
        indices = step._transformer_to_input_indices[name]
        if (isinstance(inner, str) and inner == "drop") or not len(indices):
            continue
        chosen = columns.select(indices)
        if isinstance(inner, str) and inner == "passthrough":
            frames.append(chosen)
        else:
            frames.append(g.transform(inner, chosen, name))
    return join(g, frames)


@register_converter("sklearn:FeatureUnion", "transform")
def feature_union(step: Any, columns: Frame, g: Conversion) -> Frame:
    frames = []
    weights = step.transformer_weights or {}
    for name, inner in step.transformer_list:
        if inner == "drop":
            continue
        out = columns if inner == "passthrough" else g.transform(inner, columns, name)
        if name in weights:
            out = g.frame(out.matrix() * float(weights[name]))
        frames.append(out)
    return join(g, frames)


@register_converter("sklearn:TransformedTargetRegressor", "predict")
def transformed_target(step: Any, columns: Frame, g: Conversion) -> Any:
    y = g.predict(step.regressor_, columns, "regressor_")
    with g.step("transformer_", type(step.transformer_).__name__):
        return g.frame(g.call(step.transformer_, "inverse_transform", y)).matrix()
