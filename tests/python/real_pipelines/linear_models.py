"""Linear and generalised linear models, robust and sparse regression, gradient descent."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special
from sklearn.compose import (
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import (
    ARDRegression,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    LassoCV,
    LassoLarsIC,
    LinearRegression,
    LogisticRegression,
    MultiTaskLasso,
    OrthogonalMatchingPursuit,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    RANSACRegressor,
    Ridge,
    RidgeCV,
    SGDClassifier,
    SGDOneClassSVM,
    SGDRegressor,
    TheilSenRegressor,
    TweedieRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)

from . import data
from .catalogue import fitted, page

SK = "scikit-learn"
_FOLDER = "auto_examples/linear_model/"


@page(SK, "Ordinary Least Squares and Ridge Regression", _FOLDER + "plot_ols_ridge.html")
def ordinary_least_squares() -> Any:
    rows, target = data.bundled("diabetes")
    return fitted(LinearRegression(), rows[:, [2]], target)


@page(SK, "Non-negative least squares", _FOLDER + "plot_nnls.html")
def non_negative_least_squares() -> Any:
    return fitted(LinearRegression(positive=True), *data.bundled("diabetes"))


_POISSON = "Poisson regression and non-normal loss"
_POISSON_PATH = _FOLDER + "plot_poisson_regression_non_normal_loss.html"


def _claims_columns() -> ColumnTransformer:
    log_scale = make_pipeline(FunctionTransformer(np.log, validate=False), StandardScaler())
    bins = KBinsDiscretizer(n_bins=10, random_state=0, quantile_method="averaged_inverted_cdf")
    return ColumnTransformer(
        [
            ("passthrough_numeric", "passthrough", ["ndisease"]),
            ("binned_numeric", bins, ["age", "educdec"]),
            ("log_scaled_numeric", log_scale, ["linc"]),
            ("onehot_categorical", OneHotEncoder(), ["health", "sex"]),
        ],
        remainder="drop",
    )


def _positive_claims() -> Any:
    rows, target = data.claims()
    return rows[rows["linc"] > 0].reset_index(drop=True), target[(rows["linc"] > 0).to_numpy()]


@page(SK, _POISSON, _POISSON_PATH)
def poisson_regression() -> Any:
    poisson = PoissonRegressor(alpha=1e-12, solver="newton-cholesky")
    return fitted(make_pipeline(_claims_columns(), poisson), *_positive_claims())


@page(SK, _POISSON, _POISSON_PATH)
def poisson_boosting() -> Any:
    columns = ColumnTransformer(
        [
            ("categorical", OrdinalEncoder(), ["health", "sex"]),
            ("numeric", "passthrough", ["age", "ndisease", "linc"]),
        ],
        remainder="drop",
    )
    booster = HistGradientBoostingRegressor(loss="poisson", max_leaf_nodes=128, max_iter=20)
    return fitted(make_pipeline(columns, booster), *data.claims())


_TWEEDIE = "Tweedie regression on insurance claims"
_TWEEDIE_PATH = _FOLDER + "plot_tweedie_regression_insurance_claims.html"


@page(SK, _TWEEDIE, _TWEEDIE_PATH)
def tweedie_regression() -> Any:
    tweedie = TweedieRegressor(power=1.9, alpha=0.1, solver="newton-cholesky")
    return fitted(make_pipeline(_claims_columns(), tweedie), *_positive_claims())


@page(SK, _TWEEDIE, _TWEEDIE_PATH)
def gamma_regression() -> Any:
    rows, target = _positive_claims()
    gamma = GammaRegressor(alpha=10.0, solver="newton-cholesky")
    return fitted(make_pipeline(_claims_columns(), gamma), rows, target + 1.0)


_INTERPOLATION = "Polynomial and Spline interpolation"
_INTERPOLATION_PATH = _FOLDER + "plot_polynomial_interpolation.html"


@page(SK, _INTERPOLATION, _INTERPOLATION_PATH)
def polynomial_interpolation() -> Any:
    return fitted(make_pipeline(PolynomialFeatures(5), Ridge(alpha=1e-3)), *data.curve())


@page(SK, _INTERPOLATION, _INTERPOLATION_PATH)
def spline_interpolation() -> Any:
    model = make_pipeline(SplineTransformer(n_knots=4, degree=3), Ridge(alpha=1e-3))
    return fitted(model, *data.curve())


@page(SK, _INTERPOLATION, _INTERPOLATION_PATH)
def periodic_splines() -> Any:
    knots = np.linspace(0, 2 * np.pi, 5)[:, None]
    splines = SplineTransformer(knots=knots, degree=3, extrapolation="periodic")
    return fitted(make_pipeline(splines, Ridge(alpha=1e-3)), *data.curve())


_ROBUST, _ROBUST_PATH = "Robust linear estimator fitting", _FOLDER + "plot_robust_fit.html"


@page(SK, _ROBUST, _ROBUST_PATH)
def huber_regression() -> Any:
    return fitted(make_pipeline(PolynomialFeatures(3), HuberRegressor()), *data.curve())


@page(SK, _ROBUST, _ROBUST_PATH)
def ransac_regression() -> Any:
    model = make_pipeline(PolynomialFeatures(3), RANSACRegressor(random_state=42))
    return fitted(model, *data.curve())


@page(SK, _ROBUST, _ROBUST_PATH)
def theil_sen_regression() -> Any:
    sen = TheilSenRegressor(random_state=42, max_subpopulation=500)
    return fitted(make_pipeline(PolynomialFeatures(3), sen), *data.curve())


_LASSO = "Lasso model selection: AIC-BIC / cross-validation"
_LASSO_PATH = _FOLDER + "plot_lasso_model_selection.html"


@page(SK, _LASSO, _LASSO_PATH)
def lasso_by_criterion() -> Any:
    model = make_pipeline(StandardScaler(), LassoLarsIC(criterion="aic"))
    return fitted(model, *data.bundled_frame("diabetes"))


@page(SK, _LASSO, _LASSO_PATH)
def lasso_by_cross_validation() -> Any:
    return fitted(make_pipeline(StandardScaler(), LassoCV(cv=5)), *data.bundled_frame("diabetes"))


@page(SK, "Quantile regression", _FOLDER + "plot_quantile_regression.html")
def quantile_regression() -> Any:
    return fitted(QuantileRegressor(quantile=0.95, alpha=0), *data.curve())


@page(
    SK,
    "Logistic function and multinomial logistic regression",
    _FOLDER + "plot_logistic_multinomial.html",
)
def logistic_regression() -> Any:
    rows, target = data.bundled("iris")
    return fitted(LogisticRegression(C=1e5), rows[:, :2], target)


@page(
    SK,
    "MNIST classification using multinomial logistic + L1",
    _FOLDER + "plot_sparse_logistic_regression_mnist.html",
)
def sparse_logistic_regression() -> Any:
    logistic = LogisticRegression(C=50.0 / 300, l1_ratio=1, solver="saga", tol=0.1)
    return fitted(make_pipeline(StandardScaler(), logistic), *data.bundled("digits"))


@page(SK, "Comparing Linear Bayesian Regressors", _FOLDER + "plot_ard.html")
def relevance_determination() -> Any:
    model = make_pipeline(
        PolynomialFeatures(degree=10, include_bias=False), StandardScaler(), ARDRegression()
    )
    return fitted(model, *data.curve())


@page(SK, "Orthogonal Matching Pursuit", _FOLDER + "plot_omp.html")
def matching_pursuit() -> Any:
    model = OrthogonalMatchingPursuit(n_nonzero_coefs=5)
    return fitted(model, *data.bundled("diabetes"))


@page(
    SK,
    "Joint feature selection with multi-task Lasso",
    _FOLDER + "plot_multi_task_lasso_support.html",
)
def multi_task_lasso() -> Any:
    rows, target = data.bundled("linnerud")
    return fitted(MultiTaskLasso(alpha=1.0), rows, target)


@page(SK, "User guide: Elastic-Net", "modules/linear_model.html")
def elastic_net() -> Any:
    model = make_pipeline(StandardScaler(), ElasticNetCV(cv=3, alphas=5))
    return fitted(model, *data.california())


@page(SK, "User guide: Stochastic Gradient Descent", "modules/sgd.html")
def stochastic_gradient_descent() -> Any:
    sgd = SGDClassifier(loss="hinge", penalty="l2", random_state=0)
    return fitted(make_pipeline(StandardScaler(), sgd), *data.bundled("iris"))


@page(SK, "User guide: Stochastic Gradient Descent", "modules/sgd.html")
def stochastic_regression() -> Any:
    sgd = SGDRegressor(max_iter=1000, tol=1e-3, random_state=0)
    return fitted(make_pipeline(StandardScaler(), sgd), *data.california())


@page(SK, "Comparing various online solvers", _FOLDER + "plot_sgd_comparison.html")
def perceptron() -> Any:
    return fitted(
        make_pipeline(StandardScaler(), Perceptron(max_iter=110)), *data.bundled("digits")
    )


@page(
    SK,
    "One-Class SVM versus One-Class SVM using Stochastic Gradient Descent",
    _FOLDER + "plot_sgdocsvm_vs_ocsvm.html",
)
def one_class_gradient_descent() -> Any:
    nystroem = Nystroem(gamma=2.0, random_state=42, n_components=50)
    sgd = SGDOneClassSVM(nu=0.05, shuffle=True, fit_intercept=True, random_state=42, tol=1e-4)
    return fitted(make_pipeline(nystroem, sgd), data.bundled("iris")[0])


_COEFFICIENTS = "Common pitfalls in the interpretation of coefficients of linear models"
_COEFFICIENTS_PATH = "auto_examples/inspection/plot_linear_model_coefficient_interpretation.html"


def _log_wages(encoded: ColumnTransformer, ridge: Any) -> Any:
    inside = TransformedTargetRegressor(
        regressor=ridge, func=np.log10, inverse_func=scipy.special.exp10
    )
    rows, target = data.wages()
    return fitted(make_pipeline(encoded, inside), rows, np.exp(target))


def _one_hot_wages(remainder: Any) -> ColumnTransformer:
    words = make_column_selector(dtype_include=["object", "str"])
    return make_column_transformer(
        (OneHotEncoder(drop="if_binary"), words),
        remainder=remainder,
        verbose_feature_names_out=False,
    )


@page(SK, _COEFFICIENTS, _COEFFICIENTS_PATH)
def coefficients_as_they_are() -> Any:
    return _log_wages(_one_hot_wages("passthrough"), Ridge(alpha=1e-10))


@page(SK, _COEFFICIENTS, _COEFFICIENTS_PATH)
def coefficients_of_scaled_columns() -> Any:
    return _log_wages(_one_hot_wages(StandardScaler()), RidgeCV(alphas=np.logspace(-10, 10, 21)))


@page(
    SK,
    "Release Highlights for scikit-learn 0.23",
    "auto_examples/release_highlights/plot_release_highlights_0_23_0.html",
)
def release_0_23_poisson() -> Any:
    model = make_pipeline(StandardScaler(), PoissonRegressor())
    rows, target = data.claims()
    return fitted(model, rows[["age", "ndisease", "linc", "lfam", "educdec"]], target)
