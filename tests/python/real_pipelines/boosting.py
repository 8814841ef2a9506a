"""LightGBM and XGBoost, as their guides for Python show them."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import xgboost
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from . import data
from .catalogue import fitted, page

LIGHT, DOCS, XG = "LightGBM", "LightGBM docs", "XGBoost"
_FEW = {"n_estimators": 20, "n_jobs": 1}
_QUIET = {"verbose": -1, "num_threads": 1}
_WORDS = make_column_selector(dtype_include=["object", "str"])


@page(LIGHT, "simple_example.py", "simple_example.py")
def light_booster() -> Any:
    rows, target = data.bundled("diabetes")
    parameters = {
        "boosting_type": "gbdt",
        "objective": "regression",
        "num_leaves": 31,
        "learning_rate": 0.05,
        "feature_fraction": 0.9,
        "bagging_fraction": 0.8,
        "bagging_freq": 5,
    }
    sets = lightgbm.Dataset(rows, target)
    return lightgbm.train(parameters | _QUIET, sets, num_boost_round=20), rows


@page(LIGHT, "sklearn_example.py", "sklearn_example.py")
def light_regressor() -> Any:
    model = lightgbm.LGBMRegressor(num_leaves=31, learning_rate=0.05, verbose=-1, **_FEW)
    return fitted(model, *data.bundled("diabetes"))


@page(LIGHT, "sklearn_example.py", "sklearn_example.py")
def light_search() -> Any:
    model = lightgbm.LGBMRegressor(num_leaves=31, verbose=-1, n_jobs=1)
    grid = {"learning_rate": [0.1, 1], "n_estimators": [10, 20]}
    return fitted(GridSearchCV(model, grid, cv=3), *data.bundled("diabetes"))


@page(LIGHT, "advanced_example.py", "advanced_example.py")
def light_booster_with_categories() -> Any:
    rows, target = data.claims()
    rows = rows[["age", "lfam", "linc"]].assign(lfam=(rows["lfam"] * 2).round().astype(int))
    sets = lightgbm.Dataset(rows, (target > 2).astype(int), categorical_feature=["lfam"])
    parameters = {"objective": "binary", "metric": "binary_logloss", "num_leaves": 31}
    return lightgbm.train(parameters | _QUIET, sets, num_boost_round=10), rows


def _log_likelihood(predicted: Any, sets: Any) -> Any:
    share = 1.0 / (1.0 + np.exp(-predicted))
    return share - sets.get_label(), share * (1.0 - share)


@page(LIGHT, "advanced_example.py, self-defined objective function", "advanced_example.py")
def light_own_objective() -> Any:
    rows, target = data.bundled("breast_cancer")
    sets = lightgbm.Dataset(rows, target)
    parameters = {"objective": _log_likelihood, "num_leaves": 7}
    return lightgbm.train(parameters | _QUIET, sets, num_boost_round=10), rows


@page(LIGHT, "logistic_regression.py", "logistic_regression.py")
def light_cross_entropy() -> Any:
    rows, target = data.bundled("breast_cancer")
    sets = lightgbm.Dataset(rows, np.clip(target * 0.8 + 0.1, 0, 1))
    parameters = {"objective": "xentropy", "learning_rate": 0.1}
    return lightgbm.train(parameters | _QUIET, sets, num_boost_round=10), rows


@page(DOCS, "Python-package Introduction", "Python-Intro.html")
def light_frame_with_categories() -> Any:
    rows, target = data.adult()
    words = list(rows.select_dtypes(include=["object", "str"]))
    model = lightgbm.LGBMClassifier(verbose=-1, **_FEW)
    return fitted(model, rows.astype(dict.fromkeys(words, "category")), target)


@page(DOCS, "Advanced Topics: missing values and zeros", "Advanced-Topics.html")
def light_zero_as_missing() -> Any:
    rows, target = data.pima()
    model = lightgbm.LGBMClassifier(zero_as_missing=True, verbose=-1, **_FEW)
    return fitted(model, rows, target)


@page(DOCS, "Parameters: boosting", "Parameters.html")
def light_dart() -> Any:
    model = lightgbm.LGBMClassifier(boosting_type="dart", verbose=-1, **_FEW)
    return fitted(model, *data.bundled("wine"))


@page(DOCS, "Advanced Topics: LambdaRank", "Advanced-Topics.html")
def light_ranker() -> Any:
    rows, target = data.bundled("wine", 160)
    ranker = lightgbm.LGBMRanker(objective="lambdarank", verbose=-1, **_FEW)
    return ranker.fit(rows, target, group=[40] * 4), rows


_SKLEARN = "Collection of examples for using sklearn interface"
_SKLEARN_PATH = "python/examples/sklearn_examples.html"


@page(XG, _SKLEARN, _SKLEARN_PATH)
def xgboost_binary() -> Any:
    rows, target = data.bundled("digits")
    binary = target < 2
    return fitted(xgboost.XGBClassifier(n_jobs=1, n_estimators=20), rows[binary], target[binary])


@page(XG, _SKLEARN, _SKLEARN_PATH)
def xgboost_multiclass() -> Any:
    return fitted(xgboost.XGBClassifier(n_jobs=1, n_estimators=20), *data.bundled("iris"))


@page(XG, _SKLEARN, _SKLEARN_PATH)
def xgboost_search() -> Any:
    model = xgboost.XGBRegressor(n_jobs=1, tree_method="hist")
    grid = {"max_depth": [2, 4], "n_estimators": [10, 20]}
    return fitted(GridSearchCV(model, grid, cv=2), *data.california())


@page(XG, "Getting started with categorical data", "python/examples/categorical.html")
def xgboost_one_hot() -> Any:
    columns = make_column_transformer(
        (OneHotEncoder(sparse_output=False, handle_unknown="ignore"), _WORDS),
        remainder="passthrough",
    )
    model = xgboost.XGBRegressor(tree_method="hist", **_FEW)
    return fitted(make_pipeline(columns, model), *data.cars())


@page(XG, "Getting started with categorical data", "python/examples/categorical.html")
def xgboost_categories() -> Any:
    rows, target = data.cars()
    words = list(rows.select_dtypes(include=["object", "str"]))
    model = xgboost.XGBRegressor(
        tree_method="hist", enable_categorical=True, max_cat_to_onehot=5, **_FEW
    )
    return fitted(model, rows.astype(dict.fromkeys(words, "category")), target)


@page(XG, "Feature engineering pipeline for categorical data", "python/examples/cat_pipeline.html")
def xgboost_ordinal_pipeline() -> Any:
    encoder = make_column_transformer((OrdinalEncoder(), _WORDS), remainder="passthrough")
    rows, target = data.cars()
    types = [
        "c" if name.startswith("ordinal") else "q"
        for name in encoder.fit(rows).get_feature_names_out()
    ]
    model = xgboost.XGBRegressor(feature_types=types, enable_categorical=True, **_FEW)
    return fitted(make_pipeline(encoder, model), rows, target)


@page(XG, "A demo for gamma regression", "python/examples/gamma_regression.html")
def xgboost_gamma() -> Any:
    rows, target = data.claims()
    model = xgboost.XGBRegressor(objective="reg:gamma", base_score=3, **_FEW)
    return fitted(model, rows[["age", "ndisease", "linc", "lfam"]], target + 1)


@page(XG, "Quantile Regression", "python/examples/quantile_regression.html")
def xgboost_quantiles() -> Any:
    model = xgboost.XGBRegressor(
        objective="reg:quantileerror",
        quantile_alpha=np.array([0.05, 0.5, 0.95]),
        tree_method="hist",
        learning_rate=0.04,
        max_depth=5,
        **_FEW,
    )
    return fitted(model, *data.curve(200))


@page(XG, "Demo for GLM", "python/examples/generalized_linear_model.html")
def xgboost_linear_booster() -> Any:
    rows, target = data.bundled("breast_cancer")
    parameters = {"objective": "binary:logistic", "booster": "gblinear", "alpha": 0.0001}
    sets = xgboost.DMatrix(rows, label=target)
    return xgboost.train(parameters | {"nthread": 1}, sets, num_boost_round=4), rows


@page(XG, "Python Package Introduction", "python/python_intro.html")
def xgboost_booster() -> Any:
    rows, target = data.bundled("breast_cancer")
    parameters = {"max_depth": 2, "eta": 1, "objective": "binary:logistic", "nthread": 1}
    return xgboost.train(parameters, xgboost.DMatrix(rows, label=target), num_boost_round=10), rows


@page(XG, "A demo for multi-output regression", "python/examples/multioutput_regression.html")
def xgboost_multi_output() -> Any:
    rows, target = data.curve(200)
    both = np.column_stack([target, np.cos(rows[:, 0])])
    model = xgboost.XGBRegressor(tree_method="hist", multi_strategy="one_output_per_tree", **_FEW)
    return fitted(model, rows, both)


@page(XG, "Random Forests in XGBoost", "tutorials/rf.html")
def xgboost_forest() -> Any:
    model = xgboost.XGBRFRegressor(
        n_estimators=10, subsample=0.8, colsample_bynode=0.8, n_jobs=1, random_state=0
    )
    return fitted(
        MultiOutputRegressor(model),
        data.california()[0],
        np.column_stack([data.california()[1]] * 2),
    )


@page(XG, "Prediction: DART booster", "tutorials/dart.html")
def xgboost_dart() -> Any:
    model = xgboost.XGBClassifier(booster="dart", max_depth=5, rate_drop=0.1, skip_drop=0.5, **_FEW)
    return fitted(model, *data.bundled("breast_cancer"))
