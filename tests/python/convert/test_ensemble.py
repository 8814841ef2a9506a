"""Ensembles: voting, stacking, bagging, AdaBoost, one-vs-rest, one-vs-one, chains."""

import numpy as np
import pytest
from convert_harness import assert_agrees
from sidecall.convert import NotConvertible, to_graph
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeRegressor

CANCER, MALIGNANT = load_breast_cancer(return_X_y=True)
WINE, CULTIVAR = load_wine(return_X_y=True)
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
CANCER, WINE = (
    StandardScaler().fit_transform(CANCER).round(3),
    StandardScaler().fit_transform(WINE).round(3),
)
NAMES = np.array(["a", "b", "c"])[CULTIVAR]
MEMBERS = [
    ("l", LogisticRegression()),
    ("f", RandomForestClassifier(7, random_state=0)),
    ("d", "drop"),
    ("h", HistGradientBoostingClassifier(max_iter=5)),
]


def on_both(model, **limits):
    """Fits on two numeric classes and on three named classes, and checks both."""
    assert_agrees(model.fit(CANCER, MALIGNANT), CANCER.astype("float32"), **limits)
    assert_agrees(model.fit(WINE, NAMES), WINE.astype("float32"), **limits)


@pytest.mark.parametrize("voting", ["soft", "hard"])
@pytest.mark.parametrize("weights", [None, [1, 2, 5, 3]], ids=str)
def test_voting_classifiers_agree(voting, weights):
    on_both(VotingClassifier(MEMBERS, voting=voting, weights=weights))


def test_voting_regressors_agree():
    model = VotingRegressor(
        [("r", Ridge()), ("t", DecisionTreeRegressor(max_depth=4)), ("d", "drop")],
        weights=[1, 3, 1],
    )
    assert_agrees(model.fit(DIABETES, PROGRESS), DIABETES.astype("float32"))


@pytest.mark.parametrize("passthrough", [False, True])
@pytest.mark.parametrize("method", ["auto", "predict"])
def test_stacking_classifiers_agree(passthrough, method):
    model = StackingClassifier(
        [*MEMBERS, ("r", RidgeClassifier())],
        LogisticRegression(),
        passthrough=passthrough,
        stack_method=method,
        cv=2,
    )
    on_both(model)


def test_stacking_of_trees_on_trees_agrees_in_float64():
    from convert_harness import differences

    model = StackingClassifier(MEMBERS, RandomForestClassifier(5, random_state=0), cv=2).fit(
        WINE, NAMES
    )
    assert differences(model, WINE.astype("float32"), "float64")["probabilities"] < 1e-9


@pytest.mark.parametrize("passthrough", [False, True])
def test_stacking_regressors_agree(passthrough):
    members = [
        ("r", Ridge()),
        ("t", DecisionTreeRegressor(max_depth=4)),
        ("g", GradientBoostingRegressor(n_estimators=5)),
    ]
    assert_agrees(
        StackingRegressor(members, passthrough=passthrough, cv=2).fit(DIABETES, PROGRESS),
        DIABETES.astype("float32"),
    )


@pytest.mark.parametrize("inner", [None, LogisticRegression(), RidgeClassifier()], ids=str)
def test_bagging_classifiers_agree(inner):
    on_both(BaggingClassifier(inner, n_estimators=5, max_features=0.5, random_state=0))


@pytest.mark.parametrize("inner", [None, Ridge()], ids=str)
def test_bagging_and_boosting_of_regressors_agree(inner):
    rows = DIABETES.astype("float32")
    assert_agrees(
        BaggingRegressor(inner, n_estimators=5, max_features=0.5).fit(DIABETES, PROGRESS), rows
    )
    assert_agrees(AdaBoostRegressor(inner, n_estimators=7).fit(DIABETES, PROGRESS), rows)


@pytest.mark.parametrize("inner", [None, LogisticRegression(), GaussianNB()], ids=str)
def test_adaboost_classifiers_agree(inner):
    on_both(AdaBoostClassifier(inner, n_estimators=7))


INNER = [LogisticRegression(), RandomForestClassifier(5, random_state=0), LinearSVC(), GaussianNB()]


@pytest.mark.parametrize("inner", INNER, ids=lambda m: type(m).__name__)
def test_one_vs_rest_agrees(inner):
    on_both(OneVsRestClassifier(inner))


@pytest.mark.parametrize("inner", [*INNER, SVC()], ids=lambda m: type(m).__name__)
def test_one_vs_one_agrees(inner):
    on_both(OneVsOneClassifier(inner))


@pytest.mark.parametrize(
    "inner", [LogisticRegression(), LinearSVC()], ids=lambda m: type(m).__name__
)
def test_output_codes_agree(inner):
    assert_agrees(
        OutputCodeClassifier(inner, random_state=0).fit(WINE, NAMES), WINE.astype("float32")
    )


def test_several_labels_per_row_agree():
    labels = np.c_[MALIGNANT, CANCER[:, 0] > 0, CANCER[:, 1] > 0.5].astype(int)
    rows = CANCER.astype("float32")
    assert_agrees(OneVsRestClassifier(LogisticRegression()).fit(CANCER, labels), rows)
    assert_agrees(MultiOutputClassifier(GaussianNB()).fit(CANCER, labels), rows)
    for method in ("predict", "predict_proba", "decision_function"):
        assert_agrees(
            ClassifierChain(LogisticRegression(), order=[2, 0, 1], chain_method=method).fit(
                CANCER, labels
            ),
            rows,
        )


def test_several_targets_per_row_agree():
    targets = np.c_[PROGRESS, PROGRESS**0.5, DIABETES[:, 0]]
    rows = DIABETES.astype("float32")
    assert_agrees(
        MultiOutputRegressor(GradientBoostingRegressor(n_estimators=5)).fit(DIABETES, targets), rows
    )
    assert_agrees(RegressorChain(Ridge(), order=[1, 2, 0]).fit(DIABETES, targets), rows)


def test_self_training_agrees():
    y = CULTIVAR.copy()
    y[::3] = -1
    assert_agrees(SelfTrainingClassifier(LogisticRegression()).fit(WINE, y), WINE.astype("float32"))


def test_a_step_that_computes_with_class_names_is_refused():
    model = StackingClassifier(MEMBERS, stack_method="predict", cv=2).fit(WINE, NAMES)
    # Internally, scikit-learn replaces the names by numbers.
    assert_agrees(model, WINE.astype("float32"))
    chain = ClassifierChain(LogisticRegression()).fit(CANCER, np.c_[MALIGNANT, 1 - MALIGNANT])
    chain.estimators_[0].classes_ = np.array(["no", "yes"])
    with pytest.raises(NotConvertible, match="its labels are not numbers"):
        to_graph(chain, [("X", "float32", 30)], precision="float32")


def test_an_error_names_the_member():
    model = VotingClassifier(
        [("fine", GaussianNB()), ("odd", SVC(kernel=lambda a, b: a @ b.T))]
    ).fit(WINE, NAMES)
    with pytest.raises(NotConvertible) as caught:
        to_graph(model, [("X", "float32", 13)], precision="float32")
    assert caught.value.step == "odd (SVC)"
