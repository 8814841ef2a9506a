"""Values that lie on thresholds of trees after scaling: whole numbers half-way between two that the trees saw."""

from __future__ import annotations

import numpy as np
import pytest
from convert_harness import assert_agrees
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, IsolationForest, RandomForestRegressor
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
def test_scaled_whole_numbers_on_thresholds(model: str, preprocessing: str) -> None:
    rng = np.random.default_rng(3)
    seen = 2.0 * rng.integers(0, 40, (150, 2))
    y = rng.integers(0, 3, 150) if "classes" in model else rng.normal(size=150)
    fitted = make_pipeline(*PREPROCESSING[preprocessing](), MODELS[model]()).fit(seen, y)
    assert_agrees(fitted, rng.integers(0, 80, (300, 2)).astype("float32"))


def test_isolation_forest_of_some_features_converts_where_leaves_name_none() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 1)).astype("float32")
    assert_agrees(IsolationForest(n_estimators=4, random_state=0).fit(rows.astype("float64")), rows)
