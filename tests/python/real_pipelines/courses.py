"""Public courses and books: the scikit-learn MOOC, mlcourse.ai, Kaggle, two books."""

from __future__ import annotations

from typing import Any

import numpy as np
import xgboost
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LinearRegression, LogisticRegression, LogisticRegressionCV, RidgeCV
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVC

from . import data
from .catalogue import fitted, page

MOOC, KAGGLE, ML = "scikit-learn MOOC", "Kaggle", "mlcourse.ai"
BOOK, HANDS_ON = "Python Data Science Handbook", "Hands-On Machine Learning"
_NUMBERS = make_column_selector(dtype_include=np.number)
_WORDS = make_column_selector(dtype_include=["object", "str"])
_OTHERS = make_column_selector(dtype_exclude=["object", "str"])


@page(MOOC, "Preprocessing for numerical features", "02_numerical_pipeline_scaling.html")
def mooc_scaled_numbers() -> Any:
    rows, target = data.adult()
    numbers = rows[["whrswk", "experience", "husby"]]
    return fitted(make_pipeline(StandardScaler(), LogisticRegression()), numbers, target)


@page(MOOC, "Encoding of categorical variables", "03_categorical_pipeline.html")
def mooc_categories() -> Any:
    rows, target = data.adult()
    words = rows[["education", "race", "hispanic", "region"]]
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression(max_iter=500))
    return fitted(model, words, target)


_BOTH = "Using numerical and categorical variables together"
_BOTH_PATH = "03_categorical_pipeline_column_transformer.html"


@page(MOOC, _BOTH, _BOTH_PATH)
def mooc_columns() -> Any:
    columns = ColumnTransformer(
        [
            ("one-hot-encoder", OneHotEncoder(handle_unknown="ignore"), _WORDS),
            ("standard_scaler", StandardScaler(), _OTHERS),
        ]
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=500))
    return fitted(model, *data.adult())


@page(MOOC, _BOTH, _BOTH_PATH)
def mooc_boosting() -> Any:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("categorical", encoder, _WORDS)], remainder="passthrough")
    model = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=20))
    return fitted(model, *data.adult())


@page(MOOC, "Hyperparameter tuning by randomized-search", "parameter_tuning_randomized_search.html")
def mooc_search() -> Any:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer(
        [("cat_preprocessor", encoder, _WORDS)], remainder="passthrough", sparse_threshold=0
    )
    booster = HistGradientBoostingClassifier(random_state=42, max_leaf_nodes=4, max_iter=10)
    model = Pipeline([("preprocessor", columns), ("classifier", booster)])
    grid = {"classifier__learning_rate": [0.01, 0.1, 1], "classifier__max_leaf_nodes": [3, 10, 30]}
    return fitted(RandomizedSearchCV(model, grid, n_iter=3, cv=2, random_state=0), *data.adult())


@page(
    MOOC,
    "Non-linear feature engineering for Linear Regression",
    "linear_regression_non_linear_link.html",
)
def mooc_nystroem_regression() -> Any:
    model = make_pipeline(
        PolynomialFeatures(degree=3, include_bias=False),
        Nystroem(n_components=5, random_state=0),
        LinearRegression(),
    )
    rows = data.penguins()[0].dropna().reset_index(drop=True)
    return fitted(model, rows[["flipper_length_mm"]], rows["body_mass_g"])


@page(MOOC, "Clustering as a transformer", "clustering_transformer.html")
def mooc_clusters_as_features() -> Any:
    columns = ColumnTransformer(
        [("cluster", KMeans(n_clusters=20, random_state=0, n_init=1), ["nox", "dis"])],
        remainder="passthrough",
    )
    model = make_pipeline(columns, StandardScaler(), RidgeCV(alphas=np.logspace(-3, 3, 5)))
    return fitted(model, *data.california())


@page(
    ML,
    "Topic 3. Classification, Decision Trees and k Nearest Neighbors",
    "topic03/topic03_decision_trees_kNN.html",
)
def mlcourse_neighbours() -> Any:
    model = Pipeline([("scaler", StandardScaler()), ("knn", KNeighborsClassifier())])
    search = GridSearchCV(model, {"knn__n_neighbors": range(1, 6)}, cv=2)
    return fitted(search, *data.bundled("digits"))


@page(
    ML,
    "Topic 4. Where Logistic Regression Is Good and Where It's Not",
    "topic04/topic4_linear_models_part4_good_bad_logit_movie_reviews_XOR.html",
)
def mlcourse_reviews() -> Any:
    search = GridSearchCV(
        make_pipeline(CountVectorizer(), LogisticRegression(random_state=17, max_iter=500)),
        {"logisticregression__C": np.logspace(-5, 0, 3)},
        cv=2,
    )
    return fitted(search, *data.titles())


@page(
    ML,
    "Topic 4. Where Logistic Regression Is Good and Where It's Not",
    "topic04/topic4_linear_models_part4_good_bad_logit_movie_reviews_XOR.html",
)
def mlcourse_xor() -> Any:
    rows = np.random.default_rng(0).normal(size=(200, 2))
    target = np.logical_xor(rows[:, 0] > 0, rows[:, 1] > 0)
    logit = LogisticRegression(C=1e4, random_state=17)
    steps = [("poly", PolynomialFeatures(degree=2)), ("logit", logit)]
    return fitted(Pipeline(steps), rows, target)


@page(
    ML,
    "Assignment 4. Sarcasm detection with logistic regression",
    "topic04/assignment04_sarcasm_detection_with_logit_solution.html",
)
def mlcourse_sarcasm() -> Any:
    words = TfidfVectorizer(ngram_range=(1, 2), max_features=50_000, min_df=2)
    logit = LogisticRegression(C=1, random_state=17, solver="lbfgs")
    return fitted(Pipeline([("tf_idf", words), ("logit", logit)]), *data.titles())


_MISSING = "Intermediate Machine Learning: Pipelines"
_MISSING_PATH = "code/alexisbcook/pipelines"


@page(KAGGLE, _MISSING, _MISSING_PATH)
def kaggle_house_prices() -> Any:
    words = Pipeline(
        [
            ("imputer", SimpleImputer(strategy="most_frequent")),
            ("onehot", OneHotEncoder(handle_unknown="ignore")),
        ]
    )
    columns = ColumnTransformer(
        [("num", SimpleImputer(strategy="constant"), _NUMBERS), ("cat", words, _WORDS)]
    )
    forest = RandomForestRegressor(n_estimators=10, random_state=0)
    return fitted(Pipeline([("preprocessor", columns), ("model", forest)]), *data.cars())


@page(KAGGLE, "Intermediate Machine Learning: XGBoost", "code/alexisbcook/xgboost")
def kaggle_xgboost() -> Any:
    model = xgboost.XGBRegressor(n_estimators=20, learning_rate=0.05, n_jobs=1)
    return fitted(model, *data.california())


@page(KAGGLE, "Titanic Tutorial", "code/alexisbcook/titanic-tutorial")
def kaggle_titanic() -> Any:
    rows, target = data.titanic()
    columns = make_column_transformer(
        (SimpleImputer(), ["Age", "Height"]),
        (OneHotEncoder(handle_unknown="ignore"), ["Exer", "Smoke"]),
    )
    forest = RandomForestClassifier(n_estimators=10, max_depth=5, random_state=1)
    return fitted(make_pipeline(columns, forest), rows, target)


def _with_sums(frame: Any) -> Any:
    return frame.assign(
        rooms=frame["bedrooms"] + frame["bathrms"], is_large=(frame["lotsize"] > 5000).astype(int)
    )


@page(
    KAGGLE,
    "House prices: feature engineering",
    "code/ryanholbrook/feature-engineering-for-house-prices",
)
def kaggle_features_of_houses() -> Any:
    encoder = make_column_transformer((OrdinalEncoder(), _WORDS), remainder="passthrough")
    model = make_pipeline(
        FunctionTransformer(_with_sums),
        encoder,
        GradientBoostingRegressor(n_estimators=20, random_state=0),
    )
    return fitted(model, *data.houses())


@page(
    BOOK,
    "In Depth: Principal Component Analysis / Support Vector Machines",
    "05.07-support-vector-machines.html",
)
def handbook_faces() -> Any:
    pca = PCA(svd_solver="randomized", n_components=15, whiten=True, random_state=42)
    model = make_pipeline(pca, SVC(kernel="rbf", class_weight="balanced", C=5, gamma=0.005))
    return fitted(model, *data.bundled("digits"))


@page(BOOK, "In Depth: Naive Bayes Classification", "05.05-naive-bayes.html")
def handbook_newsgroups() -> Any:
    return fitted(make_pipeline(TfidfVectorizer(), MultinomialNB()), *data.newsgroups())


class GaussianFeatures(BaseEstimator, TransformerMixin):
    """Uniformly spaced Gaussian features of one column."""

    def __init__(self, count: int, width_factor: float = 2.0) -> None:
        self.count = count
        self.width_factor = width_factor

    def fit(self, x: Any, y: Any = None) -> Any:
        self.centers_ = np.linspace(x.min(), x.max(), self.count)
        self.width_ = self.width_factor * (self.centers_[1] - self.centers_[0])
        return self

    def transform(self, x: Any) -> Any:
        return np.exp(-0.5 * ((x - self.centers_) / self.width_) ** 2)


@page(BOOK, "In Depth: Linear Regression", "05.06-linear-regression.html")
def handbook_gaussian_basis() -> Any:
    return fitted(make_pipeline(GaussianFeatures(20), LinearRegression()), *data.curve())


class ClusterSimilarity(BaseEstimator, TransformerMixin):
    """How near a place is to the centres of clusters."""

    def __init__(self, n_clusters: int = 10, gamma: float = 1.0) -> None:
        self.n_clusters = n_clusters
        self.gamma = gamma

    def fit(self, x: Any, y: Any = None) -> Any:
        self.kmeans_ = KMeans(self.n_clusters, n_init=1, random_state=42).fit(x)
        return self

    def transform(self, x: Any) -> Any:
        return rbf_kernel(x, self.kmeans_.cluster_centers_, gamma=self.gamma)


def _ratio(x: Any) -> Any:
    return x[:, [0]] / x[:, [1]]


_HOUSING = "Chapter 2. End-to-end Machine Learning project"
_HOUSING_PATH = "02_end_to_end_machine_learning_project.ipynb"


@page(HANDS_ON, _HOUSING, _HOUSING_PATH)
def hands_on_numbers_and_categories() -> Any:
    words = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    )
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = make_column_transformer((numbers, _NUMBERS), (words, _WORDS))
    return fitted(make_pipeline(columns, LinearRegression()), *data.cars())


@page(HANDS_ON, _HOUSING, _HOUSING_PATH)
def hands_on_ratios_and_logs() -> Any:
    ratio = make_pipeline(
        SimpleImputer(strategy="median"), FunctionTransformer(_ratio), StandardScaler()
    )
    logs = make_pipeline(
        SimpleImputer(strategy="median"), FunctionTransformer(np.log), StandardScaler()
    )
    rest = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = ColumnTransformer(
        [("rooms", ratio, ["tax", "rm"]), ("log", logs, ["crim", "lstat"])], remainder=rest
    )
    forest = RandomForestRegressor(random_state=42, n_estimators=10)
    return fitted(make_pipeline(columns, forest), *data.california())


@page(HANDS_ON, _HOUSING, _HOUSING_PATH)
def hands_on_similarity() -> Any:
    rows, target = data.california()
    columns = ColumnTransformer(
        [("geo", ClusterSimilarity(n_clusters=5), ["nox", "dis"])], remainder=StandardScaler()
    )
    return fitted(make_pipeline(columns, LinearRegression()), rows, target)


@page(
    MOOC,
    "Cross-validation and hyperparameter tuning: regularization",
    "linear_models_regularization.html",
)
def mooc_regularized() -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=4, cv=3))
    rows, target = data.bundled_frame("iris")
    return fitted(model, rows, target)
