"""Finds values at which a model's answers jump; adversary.py puts rows one ulp beside them.

Thresholds, bin edges and categories are read from those steps whose columns are still those of the
row. After a scaler, bisection finds the two adjacent numbers between which the answer changes
most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from sidecall.exporting.data.columns import Column

_ROUNDS = 64
# stands for the answer to a row that the original refuses; far away from all answers
_REFUSED = 1e6

Found = dict[str, list[float]]


def held_edges(model: Any, names: list[str]) -> dict[str, np.ndarray]:
    """The finite edges of each feature, sorted."""
    found: Found = defaultdict(list)
    _collect(model, names, found)
    edges = {name: np.unique(np.array(values, dtype=np.float64)) for name, values in found.items()}
    return {name: values[np.isfinite(values)] for name, values in edges.items()}


def _collect(step: Any, names: list[str] | None, found: Found) -> list[str] | None:
    """Adds the edges of a step whose columns are `names`.

    Returns the names of its output columns, or None if these are no longer columns of the row.
    """
    if names is None or step == "drop":
        return None
    if step is None or step == "passthrough":
        return names
    kind = type(step).__name__
    if kind == "Pipeline":
        for _, part in step.steps:
            names = _collect(part, names, found)
        return names
    if kind == "ColumnTransformer":
        behind: list[str] | None = []
        for _, part, columns in step.transformers_:
            after = _collect(part, _chosen(names, columns), found)
            behind = None if behind is None or after is None else behind + after
        return behind
    if kind == "FeatureUnion":
        for _, part in step.transformer_list:
            _collect(part, names, found)
        return None
    _leaf(step, names, found)
    if kind == "FunctionTransformer":
        return names if step.func is None else None
    if kind == "SimpleImputer":
        return (
            names
            if not step.add_indicator and not np.isnan(_numbers(step.statistics_)).any()
            else None
        )
    if kind in ("VarianceThreshold", "SelectKBest"):
        return [name for name, kept in zip(names, step.get_support(), strict=True) if kept]
    return None


def _numbers(values: Any) -> np.ndarray:
    array = np.asarray(values)
    return array.astype(np.float64) if array.dtype.kind in "fiub" else np.zeros(0)


def _chosen(names: list[str], columns: Any) -> list[str]:
    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice):
        return names[columns]
    chosen = np.asarray(columns)
    if chosen.dtype.kind == "b":
        return [name for name, kept in zip(names, chosen, strict=True) if kept]
    return [names[item] if isinstance(item, int) else str(item) for item in chosen.tolist()]


def _leaf(step: Any, names: list[str], found: Found) -> None:
    for attribute in ("bin_edges_", "categories_"):
        for name, values in zip(names, getattr(step, attribute, ()), strict=False):
            found[name] += _numbers(values).tolist()
    for name, column in zip(
        names, np.transpose(getattr(step, "quantiles_", np.zeros((0, 0)))), strict=False
    ):
        found[name] += column.tolist()
    for name, spline in zip(names, getattr(step, "bsplines_", ()), strict=False):
        found[name] += spline.t.tolist()
    for name, values in getattr(step, "binner_dict_", {}).items():
        if name in names:
            found[name] += _numbers(values).tolist()
    if type(step).__name__ == "Binarizer":
        for name in names:
            found[name].append(step.threshold)
    for part in _parts(step):
        for index, threshold in _thresholds(part):
            found[names[index]].append(threshold)


def _parts(model: Any) -> Iterator[Any]:
    """A model and the models inside it that see the same columns."""
    yield model
    for attribute in ("estimators_", "calibrated_classifiers_"):
        parts = getattr(model, attribute, ())
        for part in parts.ravel() if isinstance(parts, np.ndarray) else parts:
            yield from _parts(
                getattr(part, "estimator", part) if attribute == "calibrated_classifiers_" else part
            )
    for attribute in ("estimator_", "regressor_", "best_estimator_"):
        if hasattr(model, attribute):
            yield from _parts(getattr(model, attribute))


def _thresholds(model: Any) -> Iterator[tuple[int, float]]:
    if hasattr(model, "tree_"):
        inner = model.tree_.feature >= 0
        yield from zip(
            model.tree_.feature[inner].tolist(), model.tree_.threshold[inner].tolist(), strict=True
        )
    for group in getattr(model, "_predictors", ()):
        for predictor in group:
            nodes = predictor.nodes[
                (predictor.nodes["is_leaf"] == 0) & (predictor.nodes["is_categorical"] == 0)
            ]
            yield from zip(
                nodes["feature_idx"].tolist(), nodes["num_threshold"].tolist(), strict=True
            )
    library = type(model).__module__.partition(".")[0]
    if library == "lightgbm":
        booster = getattr(model, "booster_", model)
        frame = booster.trees_to_dataframe().dropna(subset=["split_feature"])
        order = {name: k for k, name in enumerate(booster.feature_name())}
        numeric = frame[frame["decision_type"] == "<="]
        yield from zip(
            [order[name] for name in numeric["split_feature"]],
            numeric["threshold"].astype(float),
            strict=True,
        )
    if library == "catboost":
        for place, borders in model.get_borders().items():
            yield from ((place, border) for border in borders)
    if library == "xgboost":
        booster = model.get_booster() if hasattr(model, "get_booster") else model
        frame = booster.trees_to_dataframe().dropna(subset=["Split"])
        names = booster.feature_names or [f"f{k}" for k in range(booster.num_features())]
        order = {name: k for k, name in enumerate(names)}
        yield from zip(
            [order[name] for name in frame["Feature"]], frame["Split"].astype(float), strict=True
        )


@dataclass
class Jump:
    """Two adjacent values of feature `column` between which the answer to row `row` jumps."""

    row: int
    column: int
    low: float
    high: float


def find_jumps(
    ask: Callable[[list[Column]], np.ndarray],
    rows: list[Column],
    dtypes: dict[int, np.dtype[Any]],
    count: int,
    rng: np.random.Generator,
) -> list[Jump]:
    """Bisects `count` times between two rows' values in the same column.

    The columns take turns. `ask` returns numbers [rows, width], NaN for a row that is refused.
    `dtypes` lists the columns that may change. All bisections advance together, with one request
    per round.
    """
    total = len(rows[0])
    columns = np.array(sorted(dtypes))
    if not len(columns) or total < 2:
        return []
    row = rng.integers(total, size=count)
    column = columns[np.arange(count) % len(columns)]
    other = rng.integers(total, size=count)
    low = np.array([rows[c].as_float()[r] for r, c in zip(row, column, strict=True)])
    high = np.array([rows[c].as_float()[r] for r, c in zip(other, column, strict=True)])
    kept = np.isfinite(low) & np.isfinite(high) & (low != high)
    row, column, low, high = row[kept], column[kept], low[kept], high[kept]
    if not len(row):
        return []

    def answers(places: np.ndarray, values: np.ndarray) -> np.ndarray:
        asked = [item.take(row[places]) for item in rows]
        for c in columns:
            here = column[places] == c
            asked[c].values[here], asked[c].missing[here] = values[here], False
        found: np.ndarray = np.nan_to_num(
            ask(asked), nan=_REFUSED, posinf=_REFUSED, neginf=-_REFUSED
        )
        return found

    everywhere = np.arange(len(row))
    at_low, at_high = answers(everywhere, low), answers(everywhere, high)
    narrow = np.array([dtypes[c] == np.float32 for c in column])
    active = everywhere[(at_low != at_high).any(axis=1)]
    changing = active
    for _ in range(_ROUNDS):
        middle = low[active] + (high[active] - low[active]) / 2
        middle = np.where(narrow[active], middle.astype(np.float32).astype(np.float64), middle)
        moved = (middle != low[active]) & (middle != high[active])
        active, middle = active[moved], middle[moved]
        if not len(active):
            break
        at_middle = answers(active, middle)
        left = np.abs(at_middle - at_low[active]).sum(axis=1) >= np.abs(
            at_high[active] - at_middle
        ).sum(axis=1)
        high[active[left]], at_high[active[left]] = middle[left], at_middle[left]
        low[active[~left]], at_low[active[~left]] = middle[~left], at_middle[~left]
    return [Jump(int(row[k]), int(column[k]), float(low[k]), float(high[k])) for k in changing]
