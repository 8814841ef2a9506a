"""Finds the step of a pipeline whose numbers are the first to differ, so that a refusal names what to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .columns import Column
from .compare import compare
from .data import Data
from .engine import Session
from .original import Original
from .schema import Schema

_NEIGHBOURS = ("KNNImputer", "KNeighborsClassifier", "KNeighborsRegressor")
_TIES = "; among neighbours that are equally near, up to rounding, it follows no order that a graph could keep"


def blame(model: Any, data: Data, schema: Schema, batches: list[list[Column]], types: Mapping[int, str]) -> tuple[str, str]:
    """The path of the step with its class, and what is known of such steps or "".

    Beginnings of the pipeline are converted by themselves and asked with what the inputs hold; the last step is to blame
    where all before it agree.
    """
    steps = flat_steps(model)
    if len(steps) < 2:
        return type(model).__name__, _TIES if type(model).__name__ in _NEIGHBOURS else ""
    found = steps[-1]
    for k, (_, step) in enumerate(steps[:-1]):
        if step is not None and step != "passthrough" and _differs(steps[: k + 1], data, schema, batches, types):
            found = steps[k]
            break
    kind = type(found[1]).__name__
    return f"{found[0]} ({kind})", _TIES if kind in _NEIGHBOURS else ""


def flat_steps(model: Any, path: str = "") -> list[tuple[str, Any]]:
    """The steps of a pipeline, of the pipelines that are steps of it, and of the one that a search found best."""
    if type(model).__name__.endswith("SearchCV") and hasattr(model, "best_estimator_"):
        return flat_steps(model.best_estimator_, f"{path} > best_estimator_" if path else "best_estimator_")
    if type(model).__name__ != "Pipeline":
        return [(path, model)]
    return [leaf for name, step in model.steps for leaf in flat_steps(step, f"{path} > {name}" if path else name)]


def _differs(steps: list[tuple[str, Any]], data: Data, schema: Schema, batches: list[list[Column]], types: Mapping[int, str]) -> bool:
    """False also where these steps alone have no answer that can be compared."""
    from sklearn.pipeline import Pipeline

    from sidecall.convert import to_graph

    beginning = Pipeline([(f"step{k}", step) for k, (_, step) in enumerate(steps)])
    try:
        session = Session(to_graph(beginning, list(schema.inputs), steps=types, unused=data.left_out), type(beginning).__name__)
        return any(_batch_differs(beginning, session, data, schema, batch) for batch in batches if len(batch[0]))
    except Exception:
        # Whatever goes wrong here must not hide the refusal that is being explained.
        return False


def _batch_differs(beginning: Any, session: Session, data: Data, schema: Schema, batch: list[Column]) -> bool:
    rounded = schema.rounds(batch)
    rows = data.build(rounded)
    original = Original(beginning)
    original.describe(rows)
    for output in original.outputs:
        if not output.is_label:
            output.type = session.types[output.name]
    differences = compare(original.outputs, original.ask(rows), session.run(schema.tensors(rounded)))
    return bool(np.any([difference.bad.any() for difference in differences]))
