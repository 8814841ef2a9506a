"""Values of parameters with which estimators are refused; used by walk_other_packages.py."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from other_estimators import (
    AMOUNT,
    COUNTS,
    FLOATS,
    HALF,
    LARGE,
    NUMBERS,
    TEXTS,
    THREE,
    Recipe,
)
from sklearn import (
    cluster,
    decomposition,
    dummy,
    ensemble,
    gaussian_process,
    isotonic,
    kernel_approximation,
    linear_model,
    neighbors,
    preprocessing,
    svm,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.gaussian_process.kernels import Matern
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier


class Case(NamedTuple):
    """An estimator with one value of a parameter; `value` describes it in the table."""

    package: str
    name: str
    value: str
    recipe: Recipe


def cases() -> Iterator[Case]:
    for part in (scikit_learn, boosting, encoders, models):
        yield from part()


def product(a: Any, b: Any) -> Any:
    return a @ b.T


def distance(a: Any, b: Any, **_: Any) -> float:
    return float(np.abs(a - b).sum())


def words(text: str) -> list[str]:
    return text.split()


def rounded(values: Any) -> Any:
    return values.apply(lambda column: [round(value) for value in column])


def _case(make: Any, value: str, target: Any = None, rows: Any = NUMBERS, **more: Any) -> Case:
    """The case for an estimator with the parameters `more`, of which `value` names one."""
    package = make.__module__.partition(".")[0].replace("sklearn", "scikit-learn")
    return Case(package, make.__name__, value, Recipe(lambda: make(**more), rows, target))


def scikit_learn() -> list[Case]:
    a_function, text = "a function of Python", ["shop"]
    network = {"alpha": 1, "max_iter": 2, "n_components": 2}
    neighbours = KNeighborsClassifier
    start = linear_model.LogisticRegression()
    trees = {"n_estimators": 2}
    matern = {"kernel": Matern(nu=0.7), "optimizer": None}
    imputed = {"max_iter": 2, "sample_posterior": True}
    one_of_two = {"multi_class": "one_vs_one"}
    process = gaussian_process.GaussianProcessClassifier
    boosted = ensemble.GradientBoostingClassifier
    dictionary = decomposition.DictionaryLearning
    kernel_pca = decomposition.KernelPCA
    return [
        _case(CountVectorizer, f"analyzer={a_function}", None, text, analyzer=words),
        _case(CountVectorizer, f"preprocessor={a_function}", None, text, preprocessor=str.upper),
        _case(CountVectorizer, f"strip_accents={a_function}", None, text, strip_accents=str.upper),
        _case(CountVectorizer, r"token_pattern='\w+(?!x)'", None, text, token_pattern=r"\w+(?!x)"),
        _case(CountVectorizer, f"tokenizer={a_function}", None, text, tokenizer=words),
        _case(dictionary, "transform_algorithm='lars'", transform_algorithm="lars", **network),
        _case(dictionary, "transform_algorithm='omp'", transform_algorithm="omp", **network),
        _case(dummy.DummyClassifier, "strategy='stratified'", LARGE, strategy="stratified"),
        _case(dummy.DummyClassifier, "strategy='uniform'", LARGE, strategy="uniform"),
        _case(cluster.FeatureAgglomeration, "pooling_func=np.median", pooling_func=np.median),
        _case(preprocessing.FunctionTransformer, f"func={a_function}", func=rounded),
        _case(process, "multi_class='one_vs_one'", THREE, **one_of_two),
        _case(gaussian_process.GaussianProcessRegressor, "kernel=Matern(nu=0.7)", AMOUNT, **matern),
        _case(boosted, "init=LogisticRegression()", LARGE, init=start, **trees),
        _case(
            isotonic.IsotonicRegression,
            "out_of_bounds='raise'",
            AMOUNT,
            ["area"],
            out_of_bounds="raise",
        ),
        _case(IterativeImputer, "sample_posterior=True", **imputed),
        _case(KNNImputer, f"metric={a_function}", metric=distance),
        _case(KNNImputer, f"weights={a_function}", weights=abs),
        _case(neighbours, "metric='canberra'", LARGE, metric="canberra"),
        _case(neighbours, f"metric={a_function}", LARGE, metric=distance),
        _case(neighbours, f"weights={a_function}", LARGE, weights=np.exp),
        _case(neighbors.KernelDensity, "kernel='tophat'", kernel="tophat"),
        _case(neighbors.KernelDensity, "rtol=0.1", rtol=0.1),
        _case(kernel_pca, f"kernel={a_function}", kernel=product, n_components=2),
        _case(
            kernel_approximation.Nystroem, f"kernel={a_function}", kernel=distance, n_components=5
        ),
        _case(RadiusNeighborsClassifier, "outlier_label=None", LARGE, radius=99.0),
        _case(preprocessing.SplineTransformer, "extrapolation='error'", extrapolation="error"),
        _case(svm.SVC, f"kernel={a_function}", LARGE, kernel=product),
    ]


def boosting() -> list[Case]:
    catboost, lightgbm, xgboost = map(importlib.import_module, ("catboost", "lightgbm", "xgboost"))
    small = {"n_estimators": 2, "max_depth": 2, "n_jobs": 1}
    few = {"n_estimators": 2, "num_leaves": 4, "verbose": -1, "n_jobs": 1}
    quiet = {"iterations": 2, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
    hinge, cox, linear = "binary:hinge", "survival:cox", "gblinear"
    vector = {"multi_strategy": "multi_output_tree", "tree_method": "hist"}
    classifier, regressor = xgboost.XGBClassifier, xgboost.XGBRegressor
    pairs = np.c_[AMOUNT, COUNTS]
    entropy = "cross_entropy_lambda"
    labels = np.c_[LARGE, HALF]
    several, text = "MultiLogloss", ["shop", "area"]
    return [
        _case(
            catboost.CatBoostClassifier,
            f"loss_function='{several}'",
            labels,
            loss_function=several,
            **quiet,
        ),
        _case(
            catboost.CatBoostClassifier,
            "text_features=['shop']",
            LARGE,
            text,
            text_features=["shop"],
            **quiet,
        ),
        _case(lightgbm.LGBMRegressor, f"objective='{entropy}'", LARGE, objective=entropy, **few),
        _case(classifier, f"booster='{linear}'", LARGE, booster=linear, n_estimators=2),
        _case(classifier, f"objective='{hinge}'", LARGE, objective=hinge, **small),
        _case(regressor, "multi_strategy='multi_output_tree'", pairs, **vector, **small),
        _case(regressor, f"objective='{cox}'", AMOUNT.clip(1), objective=cox, **small),
    ]


def encoders() -> list[Case]:
    creation = importlib.import_module("feature_engine.creation")
    skrub = importlib.import_module("skrub")
    table, strings = skrub.TableVectorizer, skrub.StringEncoder
    median = {"variables": FLOATS, "func": ["median"]}
    power = {"variables": ["rooms"], "reference": ["rooms"], "func": ["pow"]}
    hashed = {"vectorizer": "hashing", "n_components": 2}
    limit = {"cardinality_threshold": 2}
    gap = {"high_cardinality": skrub.GapEncoder(n_components=2), **limit}
    minhash = {"high_cardinality": skrub.MinHashEncoder(n_components=2), **limit}
    return [
        _case(creation.MathFeatures, "func=['median']", None, FLOATS, **median),
        _case(creation.RelativeFeatures, "func=['pow'], of integers", None, ["rooms"], **power),
        Case(
            "skrub",
            "StringEncoder",
            "vectorizer='hashing'",
            Recipe(lambda: skrub.ApplyToCols(strings(**hashed)), ["shop"]),
        ),
        _case(table, "high_cardinality=GapEncoder()", None, TEXTS, **gap),
        _case(table, "high_cardinality=MinHashEncoder()", None, TEXTS, **minhash),
    ]


def models() -> list[Case]:
    api = importlib.import_module("statsmodels.api")
    formulas = importlib.import_module("statsmodels.formula.api")
    binomial = api.families.Binomial

    class Probit:
        def fit(self, rows: Any, target: Any) -> Any:
            family = binomial(api.families.links.Probit())
            return api.GLM(target, rows.astype("float64"), family).fit()

    class Formula:
        def fit(self, rows: Any, target: Any) -> Any:
            return formulas.ols("target ~ area * share", rows.assign(target=target)).fit()

    return [
        Case("statsmodels", "GLM", "family=Binomial(Probit())", Recipe(Probit, NUMBERS, LARGE)),
        Case("statsmodels", "OLS", "a formula", Recipe(Formula, NUMBERS, AMOUNT)),
    ]
