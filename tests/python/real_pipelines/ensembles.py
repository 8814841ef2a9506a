"""Boosting, bagging, voting, stacking, and models of other models."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LassoCV, LinearRegression, LogisticRegression, RidgeCV
from sklearn.multioutput import ClassifierChain, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from . import data
from .catalogue import fitted, page

SK = "scikit-learn"
_FOLDER = "auto_examples/ensemble/"
_WORDS = make_column_selector(dtype_include=["object", "str"])
_NUMBERS = make_column_selector(dtype_include=np.number)


@page(SK, "Gradient Boosting regression", _FOLDER + "plot_gradient_boosting_regression.html")
def gradient_boosting() -> Any:
    model = GradientBoostingRegressor(
        n_estimators=20, max_depth=4, min_samples_split=5, learning_rate=0.01, random_state=0
    )
    return fitted(model, *data.bundled("diabetes"))


@page(
    SK,
    "Prediction Intervals for Gradient Boosting Regression",
    _FOLDER + "plot_gradient_boosting_quantile.html",
)
def gradient_boosting_quantile() -> Any:
    model = GradientBoostingRegressor(loss="quantile", alpha=0.95, n_estimators=20, max_depth=2)
    return fitted(model, *data.curve())


_CATEGORICAL = "Categorical Feature Support in Gradient Boosting"
_CATEGORICAL_PATH = _FOLDER + "plot_gradient_boosting_categorical.html"


@page(SK, _CATEGORICAL, _CATEGORICAL_PATH)
def boosting_one_hot() -> Any:
    encoder = make_column_transformer(
        (OneHotEncoder(sparse_output=False, handle_unknown="ignore"), _WORDS),
        remainder="passthrough",
    )
    booster = HistGradientBoostingRegressor(random_state=42, max_iter=20)
    return fitted(make_pipeline(encoder, booster), *data.cars())


@page(SK, _CATEGORICAL, _CATEGORICAL_PATH)
def boosting_ordinal() -> Any:
    encoder = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), _WORDS),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    booster = HistGradientBoostingRegressor(random_state=42, max_iter=20)
    return fitted(make_pipeline(encoder, booster), *data.cars())


@page(SK, _CATEGORICAL, _CATEGORICAL_PATH)
def boosting_native_categories() -> Any:
    rows, target = data.cars()
    words = list(rows.select_dtypes(include=["object", "str"]))
    model = HistGradientBoostingRegressor(
        random_state=42, max_iter=20, categorical_features="from_dtype"
    )
    return fitted(model, rows.astype(dict.fromkeys(words, "category")), target)


@page(SK, "Features in Histogram Gradient Boosting Trees", _FOLDER + "plot_hgbt_regression.html")
def boosting_with_missing_values() -> Any:
    rows, target = data.pima()
    return fitted(HistGradientBoostingClassifier(max_iter=20), rows, target)


@page(SK, "Features in Histogram Gradient Boosting Trees", _FOLDER + "plot_hgbt_regression.html")
def boosting_of_quantiles() -> Any:
    model = HistGradientBoostingRegressor(loss="quantile", quantile=0.95, max_iter=20)
    return fitted(model, *data.california())


@page(SK, "Monotonic Constraints", _FOLDER + "plot_monotonic_constraints.html")
def monotonic_boosting() -> Any:
    rows, target = data.california()
    model = HistGradientBoostingRegressor(monotonic_cst={"rm": 1, "lstat": -1}, max_iter=20)
    return fitted(model, rows, target)


_EMBEDDING = "Feature transformations with ensembles of trees"
_EMBEDDING_PATH = _FOLDER + "plot_feature_transformation.html"


@page(SK, _EMBEDDING, _EMBEDDING_PATH)
def random_trees_embedding() -> Any:
    embedding = RandomTreesEmbedding(n_estimators=10, max_depth=3, random_state=0)
    model = make_pipeline(embedding, LogisticRegression(max_iter=1000))
    return fitted(model, *data.bundled("breast_cancer"))


def _leaves_of_forest(rows: Any, model: Any) -> Any:
    return model.apply(rows)


def _leaves_of_booster(rows: Any, model: Any) -> Any:
    return model.apply(rows)[:, :, 0]


def _embedded(function: Any, ensemble: Any) -> Any:
    rows, target = data.bundled("breast_cancer")
    leaves = FunctionTransformer(function, kw_args={"model": ensemble.fit(rows, target)})
    encoder = OneHotEncoder(handle_unknown="ignore")
    return fitted(make_pipeline(leaves, encoder, LogisticRegression(max_iter=1000)), rows, target)


@page(SK, _EMBEDDING, _EMBEDDING_PATH)
def leaves_of_a_forest() -> Any:
    forest = RandomForestClassifier(n_estimators=10, max_depth=3, random_state=10)
    return _embedded(_leaves_of_forest, forest)


@page(SK, _EMBEDDING, _EMBEDDING_PATH)
def leaves_of_boosting() -> Any:
    booster = GradientBoostingClassifier(n_estimators=10, max_depth=3, random_state=10)
    return _embedded(_leaves_of_booster, booster)


@page(SK, "Combine predictors using stacking", _FOLDER + "plot_stack_predictors.html")
def stacked_predictors() -> Any:
    trees = make_column_transformer(
        (SimpleImputer(strategy="mean", add_indicator=True), _NUMBERS),
        (
            OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
            ),
            _WORDS,
        ),
    )
    linear = make_column_transformer(
        (
            make_pipeline(StandardScaler(), SimpleImputer(strategy="mean", add_indicator=True)),
            _NUMBERS,
        ),
        (OneHotEncoder(handle_unknown="ignore"), _WORDS),
    )
    forest = make_pipeline(trees, RandomForestRegressor(random_state=42, n_estimators=10))
    booster = HistGradientBoostingRegressor(random_state=0, max_iter=10)
    members = [
        ("Random Forest", forest),
        ("Lasso", make_pipeline(linear, LassoCV(cv=3))),
        ("Gradient Boosting", make_pipeline(trees, booster)),
    ]
    return fitted(StackingRegressor(members, final_estimator=RidgeCV(), cv=3), *data.cars())


@page(
    SK, "Plot individual and voting regression predictions", _FOLDER + "plot_voting_regressor.html"
)
def voting_regressor() -> Any:
    members = [
        ("gb", GradientBoostingRegressor(random_state=1, n_estimators=10)),
        ("rf", RandomForestRegressor(random_state=1, n_estimators=10)),
        ("lr", LinearRegression()),
    ]
    return fitted(VotingRegressor(members), *data.bundled("diabetes"))


@page(
    SK,
    "Visualizing the probabilistic predictions of a VotingClassifier",
    _FOLDER + "plot_voting_decision_regions.html",
)
def voting_classifier() -> Any:
    rows, target = data.bundled("iris")
    members = [
        ("dt", DecisionTreeClassifier(max_depth=4)),
        ("knn", KNeighborsClassifier(n_neighbors=7)),
        ("svc", SVC(gamma=0.1, kernel="rbf", probability=True, random_state=0)),
    ]
    model = VotingClassifier(members, voting="soft", weights=[2, 1, 2])
    return fitted(model, rows[:, [0, 2]], target)


@page(SK, "Multi-class AdaBoosted Decision Trees", _FOLDER + "plot_adaboost_multiclass.html")
def adaboost_classifier() -> Any:
    weak = DecisionTreeClassifier(max_leaf_nodes=8)
    model = AdaBoostClassifier(estimator=weak, n_estimators=20, random_state=42)
    return fitted(model, *data.bundled("wine"))


@page(SK, "Decision Tree Regression with AdaBoost", _FOLDER + "plot_adaboost_regression.html")
def adaboost_regressor() -> Any:
    weak = DecisionTreeRegressor(max_depth=4)
    return fitted(AdaBoostRegressor(weak, n_estimators=20, random_state=1), *data.curve())


@page(
    SK,
    "Single estimator versus bagging: bias-variance decomposition",
    _FOLDER + "plot_bias_variance.html",
)
def bagging() -> Any:
    model = BaggingRegressor(DecisionTreeRegressor(), n_estimators=10, random_state=0)
    return fitted(model, *data.curve())


@page(SK, "IsolationForest example", _FOLDER + "plot_isolation_forest.html")
def isolation_forest() -> Any:
    model = IsolationForest(max_samples=100, random_state=0, n_estimators=20)
    return fitted(model, data.bundled("iris")[0])


@page(
    SK,
    "Comparing random forests and the multi-output meta estimator",
    _FOLDER + "plot_random_forest_regression_multioutput.html",
)
def multi_output_forest() -> Any:
    rows, target = data.curve()
    forest = RandomForestRegressor(n_estimators=5, max_depth=10, random_state=0)
    return fitted(MultiOutputRegressor(forest), rows, np.column_stack([target, -target]))


@page(SK, "User guide: Stacked generalization", "modules/ensemble.html")
def stacking_classifier() -> Any:
    members = [
        ("rf", RandomForestClassifier(n_estimators=10, random_state=42)),
        ("svr", make_pipeline(StandardScaler(), LinearSVC(random_state=42))),
    ]
    model = StackingClassifier(estimators=members, final_estimator=LogisticRegression(), cv=3)
    return fitted(model, *data.bundled("iris"))


_CALIBRATION = "Probability Calibration curves"
_CALIBRATION_PATH = "auto_examples/calibration/plot_calibration_curve.html"


@page(SK, _CALIBRATION, _CALIBRATION_PATH)
def calibrated_naive_bayes() -> Any:
    model = CalibratedClassifierCV(GaussianNB(), cv=2, method="isotonic")
    return fitted(model, *data.bundled("breast_cancer"))


class NaivelyCalibratedLinearSVC(LinearSVC):
    """A support vector classifier whose probabilities are its scaled decision values."""

    def fit(self, x: Any, y: Any) -> Any:
        super().fit(x, y)
        values = self.decision_function(x)
        self.lowest_, self.highest_ = values.min(), values.max()
        return self

    def predict_proba(self, x: Any) -> Any:
        values = self.decision_function(x)
        positive = np.clip((values - self.lowest_) / (self.highest_ - self.lowest_), 0, 1)
        return np.column_stack([1 - positive, positive])


@page(SK, _CALIBRATION, _CALIBRATION_PATH)
def naively_calibrated_svc() -> Any:
    model = make_pipeline(StandardScaler(), NaivelyCalibratedLinearSVC(max_iter=10_000))
    return fitted(model, *data.bundled("breast_cancer"))


@page(SK, _CALIBRATION, _CALIBRATION_PATH)
def calibrated_svc() -> Any:
    inside = NaivelyCalibratedLinearSVC(max_iter=10_000, dual=False)
    model = CalibratedClassifierCV(inside, cv=2, method="sigmoid")
    return fitted(model, *data.bundled("breast_cancer"))


@page(
    SK,
    "Multilabel classification using a classifier chain",
    "auto_examples/multioutput/plot_classifier_chain_yeast.html",
)
def classifier_chain() -> Any:
    rows, target = data.bundled("digits")
    labels = np.column_stack([target % 2 == 0, target > 4, target % 3 == 0]).astype(int)
    chain = ClassifierChain(LogisticRegression(max_iter=200), order="random", random_state=0)
    return fitted(chain, rows / 16, labels)
