"""LightGBM with columns of categories, and with objectives of one's own, in exported files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import sidecall
from sidecall.convert import NotConvertible, to_graph
from sidecall.exporting import ModelError

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(
    {
        "code": RNG.integers(0, 40, 400),
        "city": pd.Categorical(RNG.choice(["a", "é", "b"], 400)),
        "size": pd.Categorical(RNG.integers(0, 9, 400) * 10, ordered=True),
        "always": pd.Categorical([7] * 400),
        "x": RNG.normal(size=400),
    }
)
IS_SET = (ROWS["code"].isin([1, 5, 9, 30]) ^ (ROWS["x"] > 0) ^ (ROWS["city"] == "é")).to_numpy()
SMALL: dict[str, Any] = {
    "n_estimators": 6, "n_jobs": 1, "verbose": -1, "min_child_samples": 3, "min_data_per_group": 2
}  # fmt: skip


def check(model: Any, path: Path, rows: pd.DataFrame, fresh: pd.DataFrame) -> None:
    sidecall.export(model, path, rows, progress=False)
    plain = {name: object for name in ("city",) if name in fresh}
    plain |= {name: "float64" for name in ("size", "always") if name in fresh}
    with sidecall.open(path) as opened:
        answers = opened.predict(fresh.astype(plain))
    asked = model.predict_proba if hasattr(model, "predict_proba") else model.predict
    wanted = asked(fresh)
    got = answers[[name for name in answers.columns if name != "label"]].to_numpy()
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted, atol=1e-12)


def test_categories_of_all_kinds_agree_in_one_frame(tmp_path: Path) -> None:
    # Columns of pandas categories beside a column of integers that is named as categories; an
    # ordered column is split as numbers, and one column is constant.
    model = lightgbm.LGBMClassifier(**SMALL).fit(ROWS, IS_SET, categorical_feature=["code"])
    fresh = ROWS.iloc[:80].copy()
    fresh.loc[:20, "code"] += 35
    fresh.loc[10:30, "code"] *= -1
    fresh.loc[30:40, "code"] = 2**31 + np.arange(11)
    fresh.loc[:9, "city"] = np.nan
    fresh.loc[5:15, "size"] = np.nan
    check(model, tmp_path / "m.onnx", ROWS, fresh)
    check(model.booster_, tmp_path / "m.onnx", ROWS, fresh)


def test_columns_whose_categories_are_not_known_are_refused() -> None:
    columns = ["size", "x"]
    model = lightgbm.LGBMClassifier(**SMALL).fit(ROWS[columns], IS_SET)
    with pytest.raises(NotConvertible, match="pass `data` with the types of the training data"):
        to_graph(model, [("size", "int64", 1), ("x", "float64", 1)])


def squares(target: np.ndarray, scores: np.ndarray, *group: Any) -> Any:
    return scores - target, np.ones_like(scores)


def test_objectives_of_ones_own_give_scores(tmp_path: Path) -> None:
    rows = ROWS[["code", "x"]]
    model = lightgbm.LGBMRegressor(objective=squares, **SMALL).fit(rows, IS_SET)
    check(model, tmp_path / "m.onnx", rows, rows)
    model = lightgbm.LGBMRanker(objective=squares, **SMALL).fit(rows, IS_SET, group=[20] * 20)
    check(model, tmp_path / "m.onnx", rows, rows)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_classifier_that_answers_with_scores_is_refused_with_advice(
    classes: int, tmp_path: Path
) -> None:
    rows, y = ROWS[["code", "x"]], ROWS["code"] % classes

    def objective(target: np.ndarray, scores: np.ndarray) -> Any:
        wanted = target if classes == 2 else np.eye(classes)[target.astype(int)]
        return scores - wanted, np.ones_like(scores)

    model = lightgbm.LGBMClassifier(objective=objective, **SMALL).fit(rows, y)
    with pytest.raises(ModelError, match="scores instead of classes"):
        sidecall.export(model, tmp_path / "m.onnx", rows, progress=False)
    with pytest.raises(NotConvertible, match="export its booster_"):
        to_graph(model, [("X", "float64", 2)])
    check(model.booster_, tmp_path / "m.onnx", rows, rows)
