"""Feature selection, model selection, thresholds, several classes, semi-supervised learning."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import (
    RFE,
    RFECV,
    SelectFromModel,
    SelectKBest,
    SequentialFeatureSelector,
    VarianceThreshold,
    f_classif,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LassoCV, LogisticRegression, RidgeCV
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.semi_supervised import LabelSpreading
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from . import data
from .catalogue import fitted, page

SK = "scikit-learn"
_FOLDER = "auto_examples/feature_selection/"


@page(SK, "Univariate Feature Selection", _FOLDER + "plot_feature_selection.html")
def univariate_selection() -> Any:
    model = make_pipeline(SelectKBest(f_classif, k=4), MinMaxScaler(), LinearSVC())
    return fitted(model, *data.bundled("iris"))


@page(SK, "Recursive feature elimination", _FOLDER + "plot_rfe_digits.html")
def recursive_elimination() -> Any:
    steps = [
        ("scaler", MinMaxScaler()),
        ("rfe", RFE(estimator=LogisticRegression(), n_features_to_select=10, step=10)),
    ]
    return fitted(Pipeline(steps), *data.bundled("digits"))


@page(
    SK,
    "Recursive feature elimination with cross-validation",
    _FOLDER + "plot_rfe_with_cross_validation.html",
)
def recursive_elimination_by_score() -> Any:
    rows, target = data.bundled("iris")
    model = RFECV(LogisticRegression(), step=1, cv=3, scoring="accuracy", min_features_to_select=1)
    return fitted(model, rows, target)


_SELECT = "Model-based and sequential feature selection"
_SELECT_PATH = _FOLDER + "plot_select_from_model_diabetes.html"


@page(SK, _SELECT, _SELECT_PATH)
def selection_by_ridge() -> Any:
    rows, target = data.bundled_frame("diabetes")
    ridge = RidgeCV(alphas=np.logspace(-6, 6, num=5)).fit(rows, target)
    selector = SelectFromModel(ridge, threshold=np.sort(np.abs(ridge.coef_))[-3] + 0.01)
    return fitted(selector, rows, target)


@page(SK, _SELECT, _SELECT_PATH)
def selection_by_sequence() -> Any:
    selector = SequentialFeatureSelector(
        RidgeCV(alphas=[0.1, 1.0]), n_features_to_select=2, direction="forward", cv=2
    )
    return fitted(selector, *data.bundled_frame("diabetes"))


@page(SK, "Pipeline ANOVA SVM", _FOLDER + "plot_feature_selection_pipeline.html")
def anova_and_svm() -> Any:
    model = make_pipeline(SelectKBest(f_classif, k=3), LinearSVC())
    return fitted(model, *data.bundled("wine"))


_GUIDE, _GUIDE_PATH = "User guide: Feature selection", "modules/feature_selection.html"


@page(SK, _GUIDE, _GUIDE_PATH)
def guide_selection_by_trees() -> Any:
    steps = [
        ("variance", VarianceThreshold(threshold=0.8 * (1 - 0.8))),
        ("feature_selection", SelectFromModel(ExtraTreesClassifier(10, random_state=0))),
        ("classification", LogisticRegression(max_iter=1000)),
    ]
    return fitted(Pipeline(steps), *data.bundled("wine"))


@page(SK, _GUIDE, _GUIDE_PATH)
def guide_selection_by_lasso() -> Any:
    model = make_pipeline(StandardScaler(), SelectFromModel(LassoCV(cv=3)), RidgeCV())
    return fitted(model, *data.bundled("diabetes"))


@page(
    SK,
    "Custom refit strategy of a grid search with cross-validation",
    "auto_examples/model_selection/plot_grid_search_digits.html",
)
def grid_search() -> Any:
    rows, target = data.bundled("digits")
    grid = [
        {"kernel": ["rbf"], "gamma": [1e-3], "C": [1, 10]},
        {"kernel": ["linear"], "C": [1]},
    ]
    return fitted(GridSearchCV(SVC(), grid, cv=2), rows, target == 8)


@page(
    SK,
    "Comparison between grid search and successive halving",
    "auto_examples/model_selection/plot_successive_halving_heatmap.html",
)
def successive_halving() -> Any:
    search = HalvingGridSearchCV(
        SVC(random_state=0), {"gamma": [1e-3, 1e-2], "C": [1, 10]}, factor=2, random_state=0
    )
    return fitted(search, *data.bundled("iris"))


@page(
    SK,
    "Post-hoc tuning the cut-off point of decision function",
    "auto_examples/model_selection/plot_tuned_decision_threshold.html",
)
def tuned_threshold() -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return fitted(
        TunedThresholdClassifierCV(model, scoring="balanced_accuracy", cv=3),
        *data.bundled("breast_cancer"),
    )


@page(
    SK,
    "Post-tuning the decision threshold for cost-sensitive learning",
    "auto_examples/model_selection/plot_cost_sensitive_learning.html",
)
def fixed_threshold() -> Any:
    rows, target = data.pima()
    model = FixedThresholdClassifier(
        HistGradientBoostingClassifier(random_state=0, max_iter=10), threshold=0.3, pos_label="Yes"
    )
    return fitted(model, rows, target)


@page(
    SK,
    "Release Highlights for scikit-learn 1.6",
    "auto_examples/release_highlights/plot_release_highlights_1_6_0.html",
)
def frozen_classifier() -> Any:
    rows, target = data.bundled("breast_cancer")
    inside = FrozenEstimator(SVC().fit(rows, target))
    return fitted(FixedThresholdClassifier(inside, threshold=0.1), rows, target)


_MULTI = "Overview of multiclass training meta-estimators"
_MULTI_PATH = "auto_examples/multiclass/plot_multiclass_overview.html"


@page(SK, _MULTI, _MULTI_PATH)
def one_against_one() -> Any:
    tree = DecisionTreeClassifier(random_state=0, max_depth=5)
    return fitted(OneVsOneClassifier(tree), *data.bundled("digits"))


@page(SK, _MULTI, _MULTI_PATH)
def one_against_rest() -> Any:
    tree = DecisionTreeClassifier(random_state=0, max_depth=5)
    return fitted(OneVsRestClassifier(tree), *data.bundled("digits"))


@page(SK, _MULTI, _MULTI_PATH)
def output_codes() -> Any:
    tree = DecisionTreeClassifier(random_state=0, max_depth=5)
    return fitted(OutputCodeClassifier(tree, code_size=2, random_state=0), *data.bundled("wine"))


@page(SK, "Multilabel classification", "auto_examples/miscellaneous/plot_multilabel.html")
def several_labels() -> Any:
    rows, target = data.bundled("digits")
    labels = np.column_stack([target % 2 == 0, target > 4]).astype(int)
    return fitted(OneVsRestClassifier(SVC(kernel="linear")), rows[:, 20:40], labels)


@page(
    SK,
    "Label Propagation digits: Demonstrating performance",
    "auto_examples/semi_supervised/plot_label_propagation_digits.html",
)
def label_spreading() -> Any:
    rows, target = data.bundled("digits", 200)
    partly = np.where(np.arange(len(target)) < 60, target, -1)
    return fitted(LabelSpreading(gamma=0.25, max_iter=20), rows / 16.0, partly)


@page(SK, "Classifier comparison", "auto_examples/classification/plot_classifier_comparison.html")
def classifier_comparison() -> Any:
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(3))
    rows, target = data.bundled("iris")
    return fitted(model, rows[:, :2], target)
