"""Decision trees and what is read from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from . import data
from .catalogue import fitted, page

SK = "scikit-learn"


@page(
    SK,
    "Plot the decision surface of decision trees trained on the iris dataset",
    "auto_examples/tree/plot_iris_dtc.html",
)
def iris_tree() -> Any:
    return fitted(DecisionTreeClassifier(), *data.bundled("iris"))


@page(SK, "Decision Tree Regression", "auto_examples/tree/plot_tree_regression.html")
def regression_tree_of_two_outputs() -> Any:
    rows, target = data.curve()
    both = np.column_stack([target, np.cos(rows[:, 0])])
    return fitted(DecisionTreeRegressor(max_depth=5), rows, both)


@page(
    SK,
    "Post pruning decision trees with cost complexity pruning",
    "auto_examples/tree/plot_cost_complexity_pruning.html",
)
def pruned_tree() -> Any:
    model = DecisionTreeClassifier(random_state=0, ccp_alpha=0.015)
    return fitted(model, *data.bundled("breast_cancer"))


@page(SK, "User guide: Decision Trees, missing values", "modules/tree.html")
def tree_with_missing_values() -> Any:
    rows, target = data.pima()
    return fitted(DecisionTreeClassifier(max_depth=4, random_state=0), rows, target)


@page(
    SK,
    "Feature importances with a forest of trees",
    "auto_examples/ensemble/plot_forest_importances.html",
)
def forest_importances() -> Any:
    model = RandomForestClassifier(random_state=0, n_estimators=10)
    return fitted(model, *data.bundled("breast_cancer"))


@page(
    SK,
    "Permutation Importance vs Random Forest Feature Importance (MDI)",
    "auto_examples/inspection/plot_permutation_importance.html",
)
def permutation_importance() -> Any:
    rows, target = data.titanic()
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1
    )
    numbers = Pipeline([("imputer", SimpleImputer(strategy="mean"))])
    columns = ColumnTransformer(
        [("cat", encoder, ["Exer", "Smoke"]), ("num", numbers, ["Age", "Height", "Pulse"])],
        verbose_feature_names_out=False,
    )
    forest = RandomForestClassifier(random_state=42, n_estimators=10)
    model = Pipeline([("preprocess", columns), ("classifier", forest)])
    return fitted(model, rows, target)


@page(SK, "User guide: Forests of randomized trees", "modules/ensemble.html")
def extra_trees() -> Any:
    model = ExtraTreesClassifier(n_estimators=10, min_samples_split=2, random_state=0)
    return fitted(model, *data.bundled("iris"))
