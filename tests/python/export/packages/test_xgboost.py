"""XGBoost with columns of categories, and its Boosters, in exported files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sidecall
import xgboost
from sidecall.exporting import ModelError
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(
    {
        "city": pd.Categorical(RNG.choice(["b", "d", "Z", "zz", "mmm", ""], 300)),
        "x": RNG.normal(size=300),
        "code": pd.Categorical(RNG.integers(0, 8, 300) * 10),
        "two": pd.Categorical(RNG.choice(["u", "v"], 300)),
    }
)
ROWS.loc[:10, ["city", "x"]] = np.nan
ROWS.loc[5:15, "code"] = np.nan
IS_SET = (ROWS["city"].isin(["b", "Z"]) ^ ROWS["code"].isin([10, 50]) ^ (ROWS["x"] > 0)).to_numpy()
SMALL: dict[str, Any] = {"n_estimators": 8, "n_jobs": 1, "enable_categorical": True}
PLAIN = {"city": object, "code": "float64", "two": object}


def check(model: Any, path: Path, rows: pd.DataFrame, wanted: np.ndarray) -> Any:
    report = sidecall.export(model, path, rows, progress=False)
    assert set(report.contract["engines"]) == {"onnxruntime", "native"}
    opened = sidecall.open(path)
    answers = opened.predict(ROWS.astype(PLAIN))
    got = answers[[name for name in answers.columns if name != "label"]].to_numpy()
    np.testing.assert_allclose(got.reshape(wanted.shape), wanted, atol=1e-5)
    return opened


def test_categories_answer_as_in_the_model_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    model = xgboost.XGBClassifier(**SMALL, max_cat_to_onehot=4).fit(ROWS, IS_SET)
    # Categories of the training that the data lacks are known all the same.
    few = ROWS[~ROWS["city"].isin(["zz", "Z"]) & (ROWS["code"] != 0)].reset_index(drop=True)
    few = few.assign(city=few["city"].cat.remove_unused_categories())
    opened = check(model, tmp_path / "m.onnx", few, model.predict_proba(ROWS))
    record = {"city": "b", "x": 0.5, "code": 10, "two": "u"}
    # XGBoost itself refuses only some of these, and takes the others for another category.
    for wrong in ({"city": "a"}, {"city": "zzz"}, {"city": "é"}, {"code": 5}, {"code": 71}):
        with pytest.raises(sidecall.errors.UnknownCategory):
            opened.predict(record | wrong)
    for missing in ("city", "code", "two", "x"):
        assert opened.predict(record | {missing: None})["label"] in (False, True)


@pytest.mark.filterwarnings("ignore")
def test_categories_behind_a_column_transformer_agree(tmp_path: Path) -> None:
    scale = make_column_transformer(
        (StandardScaler(), ["x"]), remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    model = make_pipeline(scale, xgboost.XGBRegressor(**SMALL)).fit(ROWS, IS_SET)
    opened = check(model, tmp_path / "m.onnx", ROWS, model.predict(ROWS))
    with pytest.raises(sidecall.errors.UnknownCategory):
        opened.predict({"city": "a", "x": 0.5, "code": 10, "two": "u"})


def test_a_booster_takes_rows_of_a_frame(tmp_path: Path) -> None:
    data = xgboost.DMatrix(ROWS, IS_SET, enable_categorical=True)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 8)
    check(booster, tmp_path / "m.onnx", ROWS, booster.predict(data))
    assert sidecall.compare(booster, tmp_path / "m.onnx", ROWS).moved == 0


def test_a_booster_takes_arrays_and_says_what_it_does_not_hold(tmp_path: Path) -> None:
    array = RNG.normal(size=(200, 3))
    data = xgboost.DMatrix(array, array[:, 0] > 0, feature_names=["a", "b", "c"])
    booster = xgboost.train({"nthread": 1}, data, 5)
    report = sidecall.export(booster, tmp_path / "m.onnx", array, progress=False)
    assert "which number was missing in training" in str(report)
    assert sidecall.check(booster).ok
    with pytest.raises(ModelError, match="ValueError in predict"):
        sidecall.export(booster, tmp_path / "m.onnx", array[:, :2], progress=False)


def test_a_booster_says_in_an_attribute_which_number_is_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = np.where(rng.random((400, 3)) < 0.2, -999.0, rng.normal(size=(400, 3)))
    target = np.where(rows[:, 0] == -999, 5.0, rows[:, 0]) + rows[:, 1].clip(0)
    matrix = xgboost.DMatrix(rows, label=target, missing=-999)
    booster = xgboost.train({"max_depth": 3}, matrix, num_boost_round=8)
    assert "set_attr(missing='-999')" in str(sidecall.export(booster, tmp_path / "a.onnx", rows))
    booster.set_attr(missing="-999")
    report = sidecall.export(booster, tmp_path / "b.onnx", rows)
    assert "missing" not in "".join(report.notes)
    answers = sidecall.open(tmp_path / "b.onnx").predict(rows)["prediction"]
    np.testing.assert_array_equal(answers, booster.predict(matrix))
    assert sidecall.compare(booster, tmp_path / "b.onnx", rows).moved == 0
    booster.set_attr(missing="none")
    with pytest.raises(sidecall.Error, match="expected a number as text"):
        sidecall.export(booster, tmp_path / "c.onnx", rows)
