"""Converters of calibration and of decision thresholds; both use the raw response of an inner
classifier.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.numeric import interpolate
from ..registry import Conversion
from .linear_model import normalized, pair


def response(
    g: Conversion, model: Any, x: Frame, methods: list[str], step: str
) -> tuple[Tensor, str]:
    """Calls the first of `methods` that the fitted object has, as scikit-learn does.

    Returns the response, [N, 1] for two classes, and the name of the method.
    """
    for method in methods:
        if hasattr(model, method):
            values = g.call(model, method, x, step)
            if method == "predict_proba" and len(model.classes_) == 2:
                values = g.columns(values, [1])
            return values, method
    raise g.refuse(f"its estimator has none of the methods {', '.join(methods)}")


@register_converter("sklearn:CalibratedClassifierCV", "predict_proba")
def calibrated(step: Any, columns: Frame, g: Conversion) -> Tensor:
    members = [_member(g, m, columns, i) for i, m in enumerate(step.calibrated_classifiers_)]
    total = members[0]
    for member in members[1:]:
        total = total + member
    return g.cast(total / float(len(members)) if len(members) > 1 else total, g.real)


def _member(g: Conversion, member: Any, x: Frame, number: int) -> Tensor:
    # Calibrators are fitted on decision values if the classifier has them, so probabilities in
    # place of decision values would give wrong results.
    scores, method = response(
        g,
        member.estimator,
        x,
        ["decision_function", "predict_proba"],
        f"calibrated_classifiers_[{number}]",
    )
    classes = np.asarray(member.classes)
    scores = g.cast(scores, "float64")
    if member.method == "temperature":
        return _temperature(g, member.calibrators[0], scores, method, len(classes))
    places = np.searchsorted(classes, member.estimator.classes_)
    if len(classes) == 2:
        return _capped(g, pair(g, _calibrate(g, member.calibrators[0], scores)))
    columns: list[Tensor | None] = [None] * len(classes)
    for k, calibrator in enumerate(member.calibrators):
        columns[int(places[k])] = _calibrate(g, calibrator, g.columns(scores, [k]))
    zero = g.columns(scores, [0]) * 0.0
    probabilities = g.concat([c if c is not None else zero for c in columns])
    return _capped(g, normalized(g, probabilities, len(classes)))


def _calibrate(g: Conversion, calibrator: Any, t: Tensor) -> Tensor:
    if type(calibrator).__name__ == "_SigmoidCalibration":
        p = 1.0 / (g.exp(t * float(calibrator.a_) + float(calibrator.b_)) + 1.0)
        p.width = 1
        return p
    result: Tensor = g.call(calibrator, "_interpolated", t, "calibrator")
    return result


def _temperature(
    g: Conversion, calibrator: Any, scores: Tensor, method: str, classes: int
) -> Tensor:
    """scikit-learn's _convert_to_logits, followed by a softmax of the logits times beta."""
    if method == "predict_proba":
        probabilities = pair(g, scores) if classes == 2 else scores
        # scikit-learn adds the same constant to avoid the logarithm of zero.
        logits = g.log(g.maximum(probabilities, 0.0) + 1e-12)
    else:
        logits = g.concat([-scores, scores]) if classes == 2 else scores
    return g.softmax(logits * float(calibrator.beta_))


def _capped(g: Conversion, p: Tensor) -> Tensor:
    """Limits probabilities to 1, because rounding errors can make a sum slightly larger."""
    return g.minimum(p, 1.0)


@register_converter("sklearn:IsotonicRegression", "_interpolated")
def interpolated(step: Any, columns: Frame, g: Conversion) -> Tensor:
    t = g.cast(columns.column(0), "float64")
    xs, ys = np.asarray(step.X_thresholds_, "float64"), np.asarray(step.y_thresholds_, "float64")
    if step.out_of_bounds == "raise":
        raise g.refuse(
            "out_of_bounds='raise' raises an error for values outside the fitted range, which a graph cannot do"
        )
    y = interpolate(g, t, xs, ys)
    if step.out_of_bounds == "nan":
        outside = (t < float(step.X_min_)) | (t > float(step.X_max_))
        y = g.where(outside, float("nan"), y)
    return g.cast(y, "float64")


@register_converter("sklearn:IsotonicRegression", "predict")
@register_converter("sklearn:IsotonicRegression", "transform")
def isotonic(step: Any, columns: Frame, g: Conversion) -> Tensor:
    result: Tensor = g.call(step, "_interpolated", columns)
    return result


# Thresholds.


@register_converter("sklearn:FixedThresholdClassifier TunedThresholdClassifierCV", "predict_proba")
def threshold_probabilities(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(_inner(step), "predict_proba", columns, "estimator")


@register_converter(
    "sklearn:FixedThresholdClassifier TunedThresholdClassifierCV", "decision_function"
)
def threshold_decision(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(_inner(step), "decision_function", columns, "estimator")


@register_converter("sklearn:FixedThresholdClassifier TunedThresholdClassifierCV", "class_index")
def threshold_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    inner = _inner(step)
    methods = (
        ["predict_proba", "decision_function"]
        if step.response_method == "auto"
        else [step.response_method]
    )
    classes = np.asarray(step.classes_)
    positive = _positive(step)
    at = 1 if positive is None else int(np.flatnonzero(classes == positive)[0])
    method = next((m for m in methods if hasattr(inner, m)), methods[0])
    scores = g.call(inner, method, columns, "estimator")
    if method == "predict_proba":
        scores = g.columns(scores, [at])
    elif at == 0:
        scores = -scores
    threshold = getattr(step, "best_threshold_", None)
    if threshold is None:
        threshold = step.threshold
        if threshold == "auto":
            threshold = 0.5 if method == "predict_proba" else 0.0
    # Both sides of the comparison have the type of the graph: a tuned threshold is itself one of
    # the scores, and a score equal to it must compare as equal.
    index = g.cast(g.flatten(scores >= float(threshold)), "int64")
    return index if at == 1 else 1 - index


def _inner(model: Any) -> Any:
    return getattr(model, "estimator_", model.estimator)


def _positive(model: Any) -> Any:
    if hasattr(model, "best_threshold_"):
        return model._curve_scorer._get_pos_label()
    return model.pos_label
