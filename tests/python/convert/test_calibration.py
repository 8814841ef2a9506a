"""Calibration on raw scores and on probabilities; fixed and tuned thresholds."""

import numpy as np
import pytest
from convert_harness import assert_agrees, differences
from lightgbm import LGBMClassifier
from sidecall.convert import NotConvertible, to_graph
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from xgboost import XGBClassifier

CANCER, MALIGNANT = load_breast_cancer(return_X_y=True)
WINE, CULTIVAR = load_wine(return_X_y=True)
ROWS, WINES = CANCER.astype("float32"), WINE.astype("float32")

# Models that have decision values (LightGBM has them since 4.6), and models that have only
# probabilities.
INNER = [
    LGBMClassifier(n_estimators=10, verbose=-1),
    XGBClassifier(n_estimators=5),
    RandomForestClassifier(11, random_state=0),
    GradientBoostingClassifier(n_estimators=10),
    make_pipeline(StandardScaler(), LinearSVC()),
]


@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("inner", INNER, ids=lambda m: type(m).__name__)
def test_calibrated_classifiers_agree(inner, method, ensemble):
    for x, y, rows in ((CANCER, MALIGNANT, ROWS), (WINE, CULTIVAR, WINES)):
        model = CalibratedClassifierCV(inner, method=method, ensemble=ensemble, cv=2).fit(x, y)
        # XGBoost itself computes in float32; a steep isotonic step amplifies the difference.
        single = isinstance(inner, XGBClassifier)
        assert_agrees(
            model,
            rows,
            tolerance=2e-3 if method == "isotonic" else 1e-4,
            exact=1e-4 if single else 1e-9,
        )


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_calibration_of_extreme_probabilities_agrees_roughly_in_float64(method):
    model = CalibratedClassifierCV(GaussianNB(), method=method, cv=2).fit(CANCER, MALIGNANT)
    # The probabilities p are within 1e-12 of 1. Two programs therefore compute different values of
    # 1 - p, in which most digits cancel.
    assert differences(model, ROWS, "float64")["probabilities"] < 2e-3


def test_calibration_of_a_frozen_model_agrees():
    inner = GradientBoostingClassifier(n_estimators=5).fit(CANCER[::2], MALIGNANT[::2])
    assert_agrees(
        CalibratedClassifierCV(FrozenEstimator(inner)).fit(CANCER[1::2], MALIGNANT[1::2]), ROWS
    )


@pytest.mark.parametrize("outside", ["clip", "nan"])
@pytest.mark.parametrize("increasing", [True, False])
def test_isotonic_regression_agrees(outside, increasing):
    x = np.linspace(0, 10, 60)
    y = np.sin(x) + (x if increasing else -x)
    model = IsotonicRegression(out_of_bounds=outside, increasing=increasing).fit(x, y)
    assert_agrees(model, np.linspace(-1, 11, 97, dtype="float32").reshape(-1, 1), tolerance=1e-5)


def test_isotonic_regression_that_raises_is_refused():
    model = IsotonicRegression(out_of_bounds="raise").fit([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(NotConvertible, match="out_of_bounds='raise'"):
        to_graph(model, [("X", "float32", 1)], precision="float32")


@pytest.mark.parametrize("positive", [None, 0, 1])
@pytest.mark.parametrize(
    "inner",
    [LogisticRegression(solver="newton-cholesky"), GradientBoostingClassifier(n_estimators=10)],
    ids=lambda m: type(m).__name__,
)
def test_fixed_thresholds_agree(inner, positive):
    model = FixedThresholdClassifier(inner, threshold=0.3, pos_label=positive).fit(
        CANCER, MALIGNANT
    )
    assert_agrees(model, ROWS)


def test_fixed_thresholds_on_decision_values_agree():
    assert_agrees(
        FixedThresholdClassifier(RidgeClassifier(), threshold=0.1).fit(CANCER, MALIGNANT),
        ROWS,
        tolerance=1e-4,
    )


def test_tuned_thresholds_with_class_names_agree():
    names = np.where(MALIGNANT == 1, "benign", "malignant")
    scorer = make_scorer(f1_score, pos_label="malignant")
    model = TunedThresholdClassifierCV(
        GradientBoostingClassifier(n_estimators=5), scoring=scorer, cv=3
    ).fit(CANCER, names)
    assert differences(model, ROWS)["label"] == 0
    assert differences(model, ROWS, "float64")["label"] == 0
