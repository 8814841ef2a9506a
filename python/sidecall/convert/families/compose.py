"""Converters of estimators that contain other steps: pipelines, column transformers, searches,
transformed targets.
"""

from __future__ import annotations

from typing import Any

from ..graph.frame import Frame, join
from ..registry import Conversion, converts

RESPONSES = ("predict", "predict_proba", "decision_function", "score_samples", "transform", "index")


def _through(g: Conversion, pipeline: Any, x: Frame) -> Frame:
    for name, step in pipeline.steps[:-1]:
        # Samplers of imbalanced-learn only change what fit gets.
        if step is not None and step != "passthrough" and not hasattr(step, "fit_resample"):
            x = g.transform(step, x, name)
    return x


def _register_pipeline(method: str) -> None:
    @converts("feature_engine", "Pipeline", method)
    @converts("imblearn", "Pipeline", method)
    @converts("sklearn", "Pipeline", method)
    def pipeline(g: Conversion, model: Any, x: Frame) -> Any:
        if getattr(model, "transform_input", None):
            raise g.refuse("transform_input is not supported")
        x = _through(g, model, x)
        name, last = model.steps[-1]
        if last is None or last == "passthrough":
            return x
        return g.call(last, method, x, name)

    @converts(
        "sklearn",
        "GridSearchCV RandomizedSearchCV HalvingGridSearchCV HalvingRandomSearchCV",
        method,
    )
    def search(g: Conversion, model: Any, x: Frame) -> Any:
        if not hasattr(model, "best_estimator_"):
            raise g.refuse("it was not refitted (refit=False), so it holds no model")
        return g.call(model.best_estimator_, method, x, "best_estimator_")

    @converts("sklearn", "FrozenEstimator", method)
    def frozen(g: Conversion, model: Any, x: Frame) -> Any:
        return g.call(model.estimator, method, x, "estimator")

    @converts("sklearn", "SelfTrainingClassifier", method)
    def self_training(g: Conversion, model: Any, x: Frame) -> Any:
        return g.call(model.estimator_, method, x, "estimator_")


for _method in RESPONSES:
    _register_pipeline(_method)


@converts("sklearn", "ColumnTransformer", "transform")
def column_transformer(g: Conversion, model: Any, x: Frame) -> Frame:
    frames = []
    for name, step, _ in model.transformers_:
        indices = model._transformer_to_input_indices[name]
        if (isinstance(step, str) and step == "drop") or not len(indices):
            continue
        chosen = x.select(indices)
        if isinstance(step, str) and step == "passthrough":
            frames.append(chosen)
        else:
            frames.append(g.transform(step, chosen, name))
    return join(g, frames)


@converts("sklearn", "FeatureUnion", "transform")
def feature_union(g: Conversion, model: Any, x: Frame) -> Frame:
    frames = []
    weights = model.transformer_weights or {}
    for name, step in model.transformer_list:
        if step == "drop":
            continue
        out = x if step == "passthrough" else g.transform(step, x, name)
        if name in weights:
            out = g.frame(out.matrix() * float(weights[name]))
        frames.append(out)
    return join(g, frames)


@converts("sklearn", "TransformedTargetRegressor", "predict")
def transformed_target(g: Conversion, model: Any, x: Frame) -> Any:
    y = g.predict(model.regressor_, x, "regressor_")
    with g.step("transformer_", type(model.transformer_).__name__):
        return g.frame(g.call(model.transformer_, "inverse_transform", y)).matrix()
