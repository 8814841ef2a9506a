"""Values that lie on tree thresholds after scaling: integers half-way between training values."""

from __future__ import annotations

import numpy as np
import pytest
from convert_harness import assert_agrees
from lightgbm import LGBMClassifier, LGBMRegressor
from sidecall.convert.graph.tree_ensemble import largest_rounded_below
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

PREPROCESSING = {
    "standard": lambda: [StandardScaler()],
    "imputed": lambda: [SimpleImputer(), StandardScaler()],
    "minmax": lambda: [MinMaxScaler()],
    "two": lambda: [RobustScaler(), MaxAbsScaler()],
}
MODELS = {
    "forest": lambda: RandomForestRegressor(5, random_state=0),
    "hist": lambda: HistGradientBoostingRegressor(max_iter=10, min_samples_leaf=3),
    "hist classes": lambda: HistGradientBoostingClassifier(max_iter=10, min_samples_leaf=3),
    "lightgbm": lambda: LGBMRegressor(n_estimators=10, min_child_samples=3, verbose=-1),
    "lightgbm classes": lambda: LGBMClassifier(n_estimators=10, min_child_samples=3, verbose=-1),
}


@pytest.mark.parametrize("preprocessing", PREPROCESSING)
@pytest.mark.parametrize("model", MODELS)
def test_scaled_integers_on_thresholds_agree(model: str, preprocessing: str) -> None:
    rng = np.random.default_rng(3)
    seen = 2.0 * rng.integers(0, 40, (150, 2))
    y = rng.integers(0, 3, 150) if "classes" in model else rng.normal(size=150)
    fitted = make_pipeline(*PREPROCESSING[preprocessing](), MODELS[model]()).fit(seen, y)
    assert_agrees(fitted, rng.integers(0, 80, (300, 2)).astype("float32"))


def test_an_isolation_forest_of_one_feature_agrees() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 1)).astype("float32")
    assert_agrees(IsolationForest(n_estimators=4, random_state=0).fit(rows.astype("float64")), rows)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_an_adjusted_threshold_replaces_the_rounding_to_float32() -> None:
    rng = np.random.default_rng(0)
    largest = float(np.finfo("float32").max)
    special = [
        0.0,
        -0.0,
        5e-324,
        -5e-324,
        1e-45,
        -1e-45,
        largest,
        -largest,
        2.0**128 - 2.0**103,
        1e300,
        -1e300,
        np.inf,
        0.1,
        1.5,
    ]
    any_bits = rng.integers(0, 2**64, 20_000, dtype="uint64").view("float64")
    thresholds = np.concatenate(
        [special, any_bits, rng.normal(size=20_000) * 10.0 ** rng.integers(-46, 39, 20_000)]
    )
    thresholds = thresholds[~np.isnan(thresholds) & ~np.isneginf(thresholds)]
    single = thresholds.astype("float32")
    following = np.nextafter(single, np.float32(np.inf)).astype("float64")
    half_way = (single.astype("float64") + following) / 2
    thresholds = np.concatenate(
        [thresholds, single.astype("float64"), half_way, np.nextafter(half_way, -np.inf)]
    )
    thresholds = thresholds[~np.isnan(thresholds) & ~np.isneginf(thresholds)]

    moved = largest_rounded_below(thresholds)
    rows = [
        moved,
        thresholds,
        np.full_like(moved, np.inf),
        np.full_like(moved, 1e39),
        np.full_like(moved, -1e39),
        np.zeros_like(moved),
    ]
    for direction in (-np.inf, np.inf):
        near = moved
        for _ in range(3):
            near = np.nextafter(near, direction)
            rows.append(near)
    for x in rows:
        np.testing.assert_array_equal(x <= moved, x.astype("float32") <= thresholds)
