"""Scaling, discretisation, encoders, splines and imputation."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import BayesianRidge, LinearRegression, LogisticRegressionCV, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from . import data
from .catalogue import fitted, page

SK = "scikit-learn"
_SCALERS = "Compare the effect of different scalers on data with outliers"
_SCALERS_PATH = "auto_examples/preprocessing/plot_all_scaling.html"


@page(SK, _SCALERS, _SCALERS_PATH)
def robust_scaling() -> Any:
    return fitted(RobustScaler(quantile_range=(25, 75)), data.california()[0])


@page(SK, _SCALERS, _SCALERS_PATH)
def yeo_johnson() -> Any:
    return fitted(PowerTransformer(method="yeo-johnson"), data.california()[0])


@page(SK, _SCALERS, _SCALERS_PATH)
def quantiles_uniform() -> Any:
    model = QuantileTransformer(output_distribution="uniform", n_quantiles=300, random_state=42)
    return fitted(model, data.california()[0])


_NORMAL = "Map data to a normal distribution"
_NORMAL_PATH = "auto_examples/preprocessing/plot_map_data_to_normal.html"


@page(SK, _NORMAL, _NORMAL_PATH)
def box_cox() -> Any:
    rows = np.random.default_rng(0).lognormal(size=(300, 1))
    return fitted(PowerTransformer(method="box-cox"), rows)


@page(SK, _NORMAL, _NORMAL_PATH)
def quantiles_normal() -> Any:
    rows = np.random.default_rng(0).chisquare(3, size=(300, 1))
    model = QuantileTransformer(n_quantiles=200, output_distribution="normal", random_state=0)
    return fitted(model, rows)


_IMPORTANCE = "Importance of Feature Scaling"
_IMPORTANCE_PATH = "auto_examples/preprocessing/plot_scaling_importance.html"


@page(SK, _IMPORTANCE, _IMPORTANCE_PATH)
def scaled_neighbours() -> Any:
    rows, target = data.bundled_frame("wine")
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(n_neighbors=20))
    return fitted(model, rows[["proline", "hue"]], target)


@page(SK, _IMPORTANCE, _IMPORTANCE_PATH)
def scaled_pca() -> Any:
    logistic = LogisticRegressionCV(Cs=np.logspace(-5, 5, 4), cv=3)
    model = make_pipeline(StandardScaler(), PCA(n_components=2), logistic)
    return fitted(model, *data.bundled_frame("wine"))


_BINS = "Feature discretization"
_BINS_PATH = "auto_examples/preprocessing/plot_discretization_classification.html"


@page(SK, _BINS, _BINS_PATH)
def bins_before_a_linear_model() -> Any:
    rows, target = data.bundled("iris")
    bins = KBinsDiscretizer(
        encode="onehot", n_bins=5, random_state=0, quantile_method="averaged_inverted_cdf"
    )
    model = make_pipeline(StandardScaler(), bins, LinearSVC(random_state=0))
    return fitted(model, rows[:, :2], target)


@page(
    SK,
    "Using KBinsDiscretizer to discretize continuous features",
    "auto_examples/preprocessing/plot_discretization.html",
)
def bins_before_a_tree() -> Any:
    rows, target = data.curve()
    bins = KBinsDiscretizer(n_bins=10, encode="onehot", quantile_method="averaged_inverted_cdf")
    tree = DecisionTreeRegressor(min_samples_split=3, random_state=0)
    return fitted(make_pipeline(bins, tree), rows, target)


_ENCODERS = "Comparing Target Encoder with Other Encoders"
_ENCODERS_PATH = "auto_examples/preprocessing/plot_target_encoder.html"
_WORDS, _NUMBERS = ["country", "category"], ["sales", "assets"]


def _encoded(encoder: Any) -> Any:
    branches = [("num", "passthrough", _NUMBERS), ("cat", encoder, _WORDS)]
    booster = HistGradientBoostingRegressor(random_state=0, max_iter=20)
    return make_pipeline(ColumnTransformer(branches), booster)


@page(SK, _ENCODERS, _ENCODERS_PATH)
def target_encoder() -> Any:
    return fitted(_encoded(TargetEncoder(target_type="continuous", cv=3)), *data.wine_reviews())


@page(SK, _ENCODERS, _ENCODERS_PATH)
def ordinal_encoder() -> Any:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return fitted(_encoded(encoder), *data.wine_reviews())


@page(SK, _ENCODERS, _ENCODERS_PATH)
def one_hot_encoder() -> Any:
    encoder = OneHotEncoder(handle_unknown="ignore", max_categories=20, sparse_output=False)
    return fitted(_encoded(encoder), *data.wine_reviews())


@page(SK, _ENCODERS, _ENCODERS_PATH)
def native_categories() -> Any:
    rows, target = data.wine_reviews()
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    branches = [("num", "passthrough", _NUMBERS), ("cat", encoder, _WORDS)]
    columns = ColumnTransformer(branches, verbose_feature_names_out=False)
    booster = HistGradientBoostingRegressor(
        random_state=0, max_iter=20, categorical_features=_WORDS
    )
    model = make_pipeline(columns.set_output(transform="pandas"), booster)
    return fitted(model, rows, target)


@page(
    SK,
    "Target Encoder's Internal Cross fitting",
    "auto_examples/preprocessing/plot_target_encoder_cross_val.html",
)
def target_encoder_and_ridge() -> Any:
    rows, target = data.wine_reviews()
    model = make_pipeline(TargetEncoder(random_state=0), Ridge(alpha=1e-6, solver="lsqr"))
    return fitted(model, rows[_WORDS], target)


_GUIDE, _PATH = "User guide: Preprocessing data", "modules/preprocessing.html"


@page(SK, _GUIDE, _PATH)
def guide_log1p() -> Any:
    model = make_pipeline(FunctionTransformer(np.log1p, validate=True), MaxAbsScaler())
    return fitted(model, np.abs(data.bundled("diabetes")[0]) * 100)


@page(SK, _GUIDE, _PATH)
def guide_interactions() -> Any:
    model = PolynomialFeatures(degree=3, interaction_only=True)
    return fitted(model, data.bundled("iris")[0])


@page(SK, _GUIDE, _PATH)
def guide_splines() -> Any:
    return fitted(SplineTransformer(degree=2, n_knots=3), data.bundled("iris")[0])


@page(SK, _GUIDE, _PATH)
def guide_infrequent_categories() -> Any:
    encoder = OneHotEncoder(
        min_frequency=6, sparse_output=False, handle_unknown="infrequent_if_exist"
    )
    return fitted(encoder, data.wages()[0][["industry", "occupation"]])


@page(SK, _GUIDE, _PATH)
def guide_drop_if_binary() -> Any:
    return fitted(OneHotEncoder(drop="if_binary"), data.penguins()[0][["island", "sex"]])


@page(SK, _GUIDE, _PATH)
def guide_ordinal_missing() -> Any:
    model = make_pipeline(OrdinalEncoder(encoded_missing_value=-1), StandardScaler())
    return fitted(model, data.titanic()[0][["Exer", "Smoke", "W_Hnd"]])


@page(SK, _GUIDE, _PATH)
def guide_bins() -> Any:
    model = KBinsDiscretizer(
        n_bins=[3, 2, 2, 4], encode="ordinal", quantile_method="averaged_inverted_cdf"
    )
    return fitted(model, data.bundled("iris")[0])


@page(SK, _GUIDE, _PATH)
def guide_normalizer_and_binarizer() -> Any:
    return fitted(make_pipeline(Normalizer(), Binarizer(threshold=0.1)), data.bundled("wine")[0])


_MISSING = "Imputing missing values before building an estimator"
_MISSING_PATH = "auto_examples/impute/plot_missing_values.html"


def _with_gaps() -> Any:
    rows, target = data.bundled("diabetes")
    rows = rows.copy()
    rows[np.random.default_rng(0).random(rows.shape) < 0.2] = np.nan
    return rows, target


def _imputed(imputer: Any) -> Any:
    forest = RandomForestRegressor(random_state=42, n_estimators=10)
    return fitted(make_pipeline(imputer, forest), *_with_gaps())


@page(SK, _MISSING, _MISSING_PATH)
def imputed_by_zero() -> Any:
    return _imputed(SimpleImputer(strategy="constant", fill_value=0, add_indicator=True))


@page(SK, _MISSING, _MISSING_PATH)
def imputed_by_mean() -> Any:
    return _imputed(SimpleImputer(strategy="mean", add_indicator=True))


@page(SK, _MISSING, _MISSING_PATH)
def imputed_by_neighbours() -> Any:
    return _imputed(KNNImputer(add_indicator=True))


@page(SK, _MISSING, _MISSING_PATH)
def imputed_iteratively() -> Any:
    return _imputed(IterativeImputer(add_indicator=True, random_state=0, max_iter=3))


_VARIANTS = "Imputing missing values with variants of IterativeImputer"
_VARIANTS_PATH = "auto_examples/impute/plot_iterative_imputer_variants_comparison.html"


def _variant(estimator: Any, rows: int = 200) -> Any:
    x, y = data.california()
    x = x.to_numpy()[:rows]
    x[np.random.default_rng(0).random(x.shape) < 0.1] = np.nan
    imputer = IterativeImputer(random_state=0, estimator=estimator, max_iter=2)
    return fitted(make_pipeline(imputer, BayesianRidge()), x, y[:rows])


@page(SK, _VARIANTS, _VARIANTS_PATH)
def iterative_bayesian_ridge() -> Any:
    return _variant(BayesianRidge())


@page(SK, _VARIANTS, _VARIANTS_PATH)
def iterative_forest() -> Any:
    return _variant(ExtraTreesRegressor(n_estimators=4, max_depth=5, random_state=0))


@page(SK, _VARIANTS, _VARIANTS_PATH)
def iterative_nystroem() -> Any:
    nystroem = Nystroem(kernel="polynomial", degree=2, n_components=20, random_state=0)
    return _variant(make_pipeline(nystroem, Ridge(alpha=1e2)))


@page(SK, _VARIANTS, _VARIANTS_PATH)
def iterative_neighbours() -> Any:
    return _variant(KNeighborsRegressor(n_neighbors=10))


@page(SK, "User guide: Imputation of missing values", "modules/impute.html")
def guide_missing_indicator() -> Any:
    rows, target = _with_gaps()
    union = FeatureUnion(
        [("features", SimpleImputer(strategy="mean")), ("indicators", MissingIndicator())]
    )
    model = make_pipeline(union, DecisionTreeClassifier(max_depth=4, random_state=0))
    return fitted(model, rows, target > 150)


@page(SK, "User guide: Polynomial regression", "modules/linear_model.html")
def guide_polynomial_regression() -> Any:
    columns = make_column_transformer((PolynomialFeatures(degree=3), [0]))
    return fitted(make_pipeline(columns, LinearRegression(fit_intercept=False)), *data.curve())
