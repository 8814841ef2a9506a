"""Finds how a label follows from the scores, so that verification can tell a tie from an error.

The rule is derived from the answers of the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..model.original import Original
from .compare import as_matrix, positions


def find_decision(original: Original, answers: dict[str, np.ndarray]) -> dict[str, Any] | None:
    """Returns the first rule that explains every label in `answers`, or None."""
    outputs = {output.name: output for output in original.outputs}
    label = outputs.get("label")
    scored = outputs.get("probabilities") or outputs.get("scores")
    if label is None or scored is None or label.classes is None or label.width is not None:
        return None
    scores = as_matrix(answers[scored.name]).astype(np.float64)
    chosen = positions(label, answers["label"])
    for rule in _candidates(original, scored.name, scores.shape[1], len(label.classes)):
        if rule["rule"] == "argmax":
            explained = scores[np.arange(len(scores)), chosen] >= scores.max(axis=1)
        else:
            positive = rule.pop("positive")
            explained = (scores[:, rule["column"]] >= rule["threshold"]) == (chosen == positive)
            explained |= scores[:, rule["column"]] == rule["threshold"]
        if explained.all():
            return rule
    return None


def _candidates(
    original: Original, name: str, width: int, num_classes: int
) -> list[dict[str, Any]]:
    rules = []
    tuned = _tuned_threshold(original.model)
    if tuned is not None and num_classes == 2:
        threshold, positive = tuned
        column = positive if width == 2 else 0
        rules.append(
            {
                "rule": "threshold",
                "output": name,
                "column": column,
                "threshold": threshold,
                "positive": positive,
            }
        )
    if width == num_classes:
        rules.append({"rule": "argmax", "output": name})
    if width == 1 and num_classes == 2:
        rules.append(
            {"rule": "threshold", "output": name, "column": 0, "threshold": 0.0, "positive": 1}
        )
    return rules


def _tuned_threshold(model: Any) -> tuple[float, int] | None:
    """Returns (threshold, index of the positive class) if the classifier has its own threshold."""
    for part in ("best_estimator_", "steps"):
        while hasattr(model, part):
            model = model.best_estimator_ if part == "best_estimator_" else model.steps[-1][1]
    threshold = getattr(model, "best_threshold_", None)
    if threshold is None and type(model).__name__ == "FixedThresholdClassifier":
        threshold = 0.5 if model.threshold == "auto" else model.threshold
    if threshold is None:
        return None
    classes = np.asarray(model.classes_).tolist()
    positive = getattr(model, "pos_label", None)
    return float(threshold), classes.index(positive) if positive in classes else 1
