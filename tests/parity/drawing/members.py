"""Draws parameters of last steps and members of ensembles at random, for estimators.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import compose, ensemble, linear_model, model_selection, naive_bayes, neighbors, tree

from .steps import Sampler


def tree_options(d: Sampler) -> dict[str, Any]:
    return {
        "max_depth": d.one([None, 3, 6, 10]),
        "min_samples_leaf": d.one([1, 2, 10]),
        "random_state": d.seed(),
    }


def forest_options(d: Sampler) -> dict[str, Any]:
    return tree_options(d) | {"n_estimators": d.one([5, 20, 50])}


def gradient_options(d: Sampler) -> dict[str, Any]:
    subsample, features = d.one([1.0, 0.7]), d.one([None, 0.5])
    return {
        "n_estimators": d.one([10, 40, 100]),
        "max_depth": d.one([1, 3, 5]),
        "learning_rate": d.one([0.05, 0.1, 0.3]),
        "subsample": subsample,
        "max_features": features,
        "random_state": d.seed(),
    }


def histogram_options(d: Sampler) -> dict[str, Any]:
    return {
        "max_iter": d.one([10, 40, 100]),
        "max_leaf_nodes": d.one([7, 31]),
        "max_bins": d.one([15, 63, 255]),
        "random_state": d.seed(),
    }


def lightgbm_options(d: Sampler) -> dict[str, Any]:
    kind = d.one(["gbdt", "gbdt", "gbdt", "dart", "rf"])
    bagging = {"bagging_freq": 1, "bagging_fraction": 0.7} if kind == "rf" else {}
    leaves, depth = d.one([7, 31]), d.one([-1, 4])
    trees = d.one([10, 40, 100])
    return {
        "boosting_type": kind,
        "n_estimators": trees,
        "num_leaves": leaves,
        "max_depth": depth,
        "random_state": d.seed(),
        "verbose": -1,
        "n_jobs": 1,
    } | d.one([bagging, bagging, bagging | {"zero_as_missing": True}])


def xgboost_options(d: Sampler) -> dict[str, Any]:
    return {
        "n_estimators": d.one([10, 40, 100]),
        "max_depth": d.one([2, 4, 6]),
        "learning_rate": d.one([0.1, 0.3]),
        "random_state": d.seed(),
        "n_jobs": 1,
    } | d.one([{}, {}, {"booster": "dart", "rate_drop": 0.2}, {"missing": 0.0}])


def network_options(d: Sampler) -> dict[str, Any]:
    activation = d.one(["relu", "tanh", "logistic"])
    return {
        "hidden_layer_sizes": d.one([(8,), (16, 8)]),
        "activation": activation,
        "max_iter": 60,
        "random_state": d.seed(),
    }


def kernel_options(d: Sampler) -> dict[str, Any]:
    return {
        "kernel": d.one(["rbf", "rbf", "linear", "poly", "sigmoid"]),
        "C": d.one([0.5, 1.0, 10.0]),
    }


def neighbors_options(d: Sampler) -> dict[str, Any]:
    return {
        "n_neighbors": d.one([1, 3, 5, 15]),
        "weights": d.one(["uniform", "distance"]),
        "metric": d.one(["minkowski", "manhattan", "chebyshev"]),
    }


def some_regressors(d: Sampler) -> list[tuple[str, Any]]:
    pool = [
        ("ridge", linear_model.Ridge(d.number(0.1, 5))),
        ("tree", tree.DecisionTreeRegressor(max_depth=4, random_state=0)),
        ("forest", ensemble.RandomForestRegressor(5, max_depth=5, random_state=0)),
        ("boosting", ensemble.HistGradientBoostingRegressor(max_iter=10, random_state=0)),
        ("near", neighbors.KNeighborsRegressor(5)),
    ]
    return d.some(pool, 2, 3)


def some_classifiers(d: Sampler) -> list[tuple[str, Any]]:
    pool = [
        ("logistic", linear_model.LogisticRegression(C=d.number(0.1, 5), max_iter=300)),
        ("tree", tree.DecisionTreeClassifier(max_depth=4, random_state=0)),
        ("forest", ensemble.RandomForestClassifier(5, max_depth=5, random_state=0)),
        ("boosting", ensemble.HistGradientBoostingClassifier(max_iter=10, random_state=0)),
        ("bayes", naive_bayes.GaussianNB()),
    ]
    return d.some(pool, 2, 3)


def one_regressor(d: Sampler) -> Any:
    return some_regressors(d)[0][1]


def one_classifier(d: Sampler) -> Any:
    return some_classifiers(d)[0][1]


def searched(d: Sampler) -> Any:
    grid = {"C": [0.1, 1.0]}
    return model_selection.GridSearchCV(linear_model.LogisticRegression(max_iter=200), grid, cv=2)


def transformed_target(d: Sampler) -> Any:
    # log1p needs numbers above -1. If the target has a number of -1 or less, the fit fails and the
    # pipeline is drawn again.
    function, inverse = d.one([(np.log1p, np.expm1), (np.sqrt, np.square), (np.cbrt, np.square)])
    return compose.TransformedTargetRegressor(
        one_regressor(d), func=function, inverse_func=inverse, check_inverse=False
    )
