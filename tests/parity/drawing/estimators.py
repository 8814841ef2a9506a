"""Draws last steps and their parameters at random; pipelines.py puts them after transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm
import xgboost
from sklearn import (
    calibration,
    cluster,
    cross_decomposition,
    discriminant_analysis,
    ensemble,
    gaussian_process,
    kernel_ridge,
    linear_model,
    mixture,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    svm,
    tree,
)

from .members import (
    forest_options,
    gradient_options,
    histogram_options,
    kernel_options,
    lightgbm_options,
    neighbors_options,
    network_options,
    one_classifier,
    one_regressor,
    searched,
    some_classifiers,
    some_regressors,
    transformed_target,
    tree_options,
    xgboost_options,
)
from .steps import Sampler


@dataclass(frozen=True)
class Last:
    """A kind of last step. `rows` is the largest number of rows that it is fitted with.

    `takes_missing`: it accepts missing values. `positive`: it needs numbers that are not negative.
    `scaled`: it needs numbers of similar magnitude. `codes`: its classes must be 0, 1, 2, ...
    """

    weight: float
    make: Callable[[Sampler], Any]
    rows: int = 3000
    takes_missing: bool = False
    positive: bool = False
    scaled: bool = False
    codes: bool = False


REGRESSION = [
    Last(3, lambda d: linear_model.LinearRegression(fit_intercept=d.chance(0.9))),
    Last(3, lambda d: linear_model.Ridge(d.number(0.1, 9))),
    Last(
        1.5,
        lambda d: d.one([linear_model.Lasso, linear_model.ElasticNet])(alpha=d.number(0.01, 1)),
        scaled=True,
    ),
    Last(
        1,
        lambda d: d.one(
            [
                linear_model.BayesianRidge(),
                linear_model.HuberRegressor(max_iter=300),
                linear_model.LassoLars(alpha=0.01),
            ]
        ),
        scaled=True,
    ),
    Last(1, lambda d: linear_model.SGDRegressor(random_state=d.seed()), scaled=True),
    Last(
        1,
        lambda d: d.one(
            [linear_model.PoissonRegressor(), linear_model.TweedieRegressor(power=1.5, link="log")]
        ),
        scaled=True,
    ),
    Last(3, lambda d: tree.DecisionTreeRegressor(**tree_options(d)), takes_missing=True),
    Last(1, lambda d: tree.ExtraTreeRegressor(**tree_options(d)), takes_missing=True),
    Last(4, lambda d: ensemble.RandomForestRegressor(**forest_options(d)), takes_missing=True),
    Last(2, lambda d: ensemble.ExtraTreesRegressor(**forest_options(d)), takes_missing=True),
    Last(
        5,
        lambda d: ensemble.GradientBoostingRegressor(
            loss=d.one(["squared_error", "absolute_error", "huber"]), **gradient_options(d)
        ),
    ),
    Last(
        6,
        lambda d: ensemble.HistGradientBoostingRegressor(
            loss=d.one(["squared_error", "squared_error", "absolute_error"]), **histogram_options(d)
        ),
        rows=6000,
        takes_missing=True,
    ),
    Last(6, lambda d: lightgbm.LGBMRegressor(**lightgbm_options(d)), rows=6000, takes_missing=True),
    Last(6, lambda d: xgboost.XGBRegressor(**xgboost_options(d)), rows=6000, takes_missing=True),
    Last(1.5, lambda d: d.one([svm.SVR, svm.NuSVR])(**kernel_options(d)), rows=400, scaled=True),
    Last(0.7, lambda d: svm.LinearSVR(max_iter=300, random_state=0), scaled=True),
    Last(2, lambda d: neighbors.KNeighborsRegressor(**neighbors_options(d)), rows=800, scaled=True),
    Last(2, lambda d: neural_network.MLPRegressor(**network_options(d)), rows=800, scaled=True),
    Last(
        1, lambda d: ensemble.AdaBoostRegressor(n_estimators=10, random_state=d.seed()), rows=1000
    ),
    Last(
        1,
        lambda d: ensemble.BaggingRegressor(
            one_regressor(d), n_estimators=4, random_state=d.seed()
        ),
        rows=1000,
    ),
    Last(2, lambda d: ensemble.VotingRegressor(some_regressors(d), weights=None), rows=1000),
    Last(
        2,
        lambda d: ensemble.StackingRegressor(
            some_regressors(d), linear_model.Ridge(), cv=2, passthrough=d.chance(0.3)
        ),
        rows=1000,
    ),
    Last(1.5, transformed_target, rows=1000),
    Last(0.7, lambda d: cross_decomposition.PLSRegression(2), rows=1000),
    Last(
        0.7,
        lambda d: kernel_ridge.KernelRidge(kernel=d.one(["rbf", "poly"]), gamma=0.1),
        rows=300,
        scaled=True,
    ),
    Last(
        0.7,
        lambda d: gaussian_process.GaussianProcessRegressor(alpha=0.1, normalize_y=True),
        rows=200,
        scaled=True,
    ),
]

CLASSIFICATION = [
    Last(5, lambda d: linear_model.LogisticRegression(C=d.number(0.1, 5), max_iter=300)),
    Last(1, lambda d: linear_model.RidgeClassifier(d.number(0.1, 5))),
    Last(
        1,
        lambda d: linear_model.SGDClassifier(
            loss=d.one(["hinge", "log_loss", "modified_huber"]), random_state=d.seed()
        ),
        scaled=True,
    ),
    Last(
        1,
        lambda d: d.one(
            [linear_model.Perceptron(random_state=0), svm.LinearSVC(max_iter=300, random_state=0)]
        ),
        scaled=True,
    ),
    Last(3, lambda d: tree.DecisionTreeClassifier(**tree_options(d)), takes_missing=True),
    Last(5, lambda d: ensemble.RandomForestClassifier(**forest_options(d)), takes_missing=True),
    Last(2, lambda d: ensemble.ExtraTreesClassifier(**forest_options(d)), takes_missing=True),
    Last(
        3,
        lambda d: ensemble.GradientBoostingClassifier(
            **(gradient_options(d) | {"n_estimators": d.one([5, 20])})
        ),
    ),
    Last(
        4,
        lambda d: ensemble.HistGradientBoostingClassifier(
            **(histogram_options(d) | {"max_iter": d.one([5, 20])})
        ),
        takes_missing=True,
    ),
    Last(
        4,
        lambda d: lightgbm.LGBMClassifier(
            **(lightgbm_options(d) | {"n_estimators": d.one([5, 20])})
        ),
        takes_missing=True,
    ),
    Last(
        4,
        lambda d: xgboost.XGBClassifier(**(xgboost_options(d) | {"n_estimators": d.one([5, 20])})),
        takes_missing=True,
        codes=True,
    ),
    Last(1.5, lambda d: svm.SVC(**kernel_options(d), random_state=0), rows=400, scaled=True),
    Last(
        2, lambda d: neighbors.KNeighborsClassifier(**neighbors_options(d)), rows=800, scaled=True
    ),
    Last(2, lambda d: neural_network.MLPClassifier(**network_options(d)), rows=800, scaled=True),
    Last(2, lambda d: naive_bayes.GaussianNB()),
    Last(
        1, lambda d: d.one([naive_bayes.MultinomialNB(), naive_bayes.ComplementNB()]), positive=True
    ),
    Last(0.7, lambda d: naive_bayes.BernoulliNB(binarize=d.one([0.0, 0.5]))),
    Last(
        1, lambda d: discriminant_analysis.LinearDiscriminantAnalysis(solver=d.one(["svd", "lsqr"]))
    ),
    Last(
        1, lambda d: discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1), scaled=True
    ),
    Last(0.7, lambda d: neighbors.NearestCentroid(), scaled=True),
    Last(
        1, lambda d: ensemble.AdaBoostClassifier(n_estimators=10, random_state=d.seed()), rows=1000
    ),
    Last(
        1,
        lambda d: ensemble.BaggingClassifier(
            one_classifier(d), n_estimators=4, random_state=d.seed()
        ),
        rows=1000,
    ),
    Last(
        2.5,
        lambda d: calibration.CalibratedClassifierCV(
            one_classifier(d), method=d.one(["sigmoid", "isotonic"]), cv=2
        ),
        rows=1500,
    ),
    Last(
        2,
        lambda d: ensemble.VotingClassifier(some_classifiers(d), voting=d.one(["soft", "hard"])),
        rows=1000,
    ),
    Last(
        2,
        lambda d: ensemble.StackingClassifier(
            some_classifiers(d), linear_model.LogisticRegression(max_iter=300), cv=2
        ),
        rows=1000,
    ),
    Last(
        1,
        lambda d: d.one([multiclass.OneVsRestClassifier, multiclass.OneVsOneClassifier])(
            linear_model.LogisticRegression(max_iter=300)
        ),
        rows=1000,
    ),
    Last(0.7, searched, rows=600),
]

OUTLIERS = [
    Last(
        3,
        lambda d: ensemble.IsolationForest(
            n_estimators=d.one([10, 40]), contamination=d.one(["auto", 0.05]), random_state=d.seed()
        ),
    ),
    Last(
        1,
        lambda d: neighbors.LocalOutlierFactor(novelty=True, n_neighbors=10),
        rows=500,
        scaled=True,
    ),
    Last(1, lambda d: svm.OneClassSVM(nu=0.1), rows=500, scaled=True),
    Last(1, lambda d: linear_model.SGDOneClassSVM(random_state=0), scaled=True),
]

CLUSTERS = [
    Last(3, lambda d: cluster.KMeans(d.one([2, 5, 8]), n_init=1, random_state=0)),
    Last(1, lambda d: cluster.MiniBatchKMeans(4, n_init=1, random_state=0)),
    Last(
        2,
        lambda d: mixture.GaussianMixture(
            d.one([2, 4]),
            covariance_type=d.one(["full", "diag", "tied"]),
            reg_covar=1e-3,
            random_state=0,
        ),
        scaled=True,
    ),
    Last(1, lambda d: cluster.Birch(n_clusters=d.one([3, 5])), rows=500, scaled=True),
    Last(1, lambda d: cluster.BisectingKMeans(4, random_state=0)),
]

BY_TASK = {
    "regression": REGRESSION,
    "classification": CLASSIFICATION,
    "outlier": OUTLIERS,
    "cluster": CLUSTERS,
}


def last(sampler: Sampler, task: str) -> Last:
    return sampler.weighted([(kind.weight, kind) for kind in BY_TASK[task]])
