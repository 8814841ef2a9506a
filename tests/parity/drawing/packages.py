"""Draws steps of CatBoost, category_encoders, feature_engine, imbalanced-learn, skrub and XGBoost.

pipelines.py puts them together. Only steps are drawn that fit the columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import category_encoders  # type: ignore[import-untyped]
import pandas as pd
import skrub  # type: ignore[import-untyped]
from catboost import CatBoostClassifier, CatBoostRegressor
from feature_engine import (
    creation,
    discretisation,
    encoding,
    imputation,
    outliers,
    scaling,
    selection,
    transformation,
    wrappers,
)
from imblearn import (  # type: ignore[import-untyped]
    combine,
    over_sampling,
    under_sampling,
)
from sklearn import preprocessing
from sklearn.impute import SimpleImputer
from xgboost import XGBClassifier, XGBRegressor

from .estimators import Last
from .members import xgboost_options
from .steps import Sampler
from .tables import kind_of

CATBOOST, ENCODERS, FEATURE_ENGINE = "catboost", "category_encoders", "feature_engine"
IMBLEARN, SKRUB, XGBOOST = "imblearn", "skrub", "xgboost"
WEIGHTS = [
    (2.0, CATBOOST),
    (2.0, ENCODERS),
    (2.5, FEATURE_ENGINE),
    (1.0, IMBLEARN),
    (2.0, SKRUB),
    (1.5, XGBOOST),
]
TASKS = {IMBLEARN: ["classification"]}


def package(sampler: Sampler) -> str:
    return sampler.weighted(WEIGHTS)


def task(sampler: Sampler, package: str, possible: list[str]) -> str:
    """A task that suits the package and the table. Raises ValueError if none does."""
    wanted = TASKS.get(package, ["regression", "classification"])
    if not set(wanted) & set(possible):
        raise ValueError(f"the table has no target for {package}")
    return sampler.one([name for name in wanted if name in possible])


@dataclass
class Kinds:
    """The columns of a table by their kind."""

    # The packages want lists of texts and integers, not of texts alone.
    numbers: list[Any]
    words: list[Any]
    missing: list[Any]

    @classmethod
    def of(cls, pool: pd.DataFrame) -> Kinds:
        def are(kinds: str) -> list[Any]:
            return [name for name in pool.columns if kind_of(pool[name]) in kinds]

        missing = [name for name in pool.columns if pool[name].isna().any()]
        return cls(are("fiu"), are("O"), missing)


# Models that take categories themselves.


def prepared(package: str, pool: pd.DataFrame) -> pd.DataFrame:
    """The columns in the types that the package takes."""
    words = Kinds.of(pool).words
    if package == CATBOOST:  # it takes no missing category
        pool = pool.copy()
        for name in words:
            pool[name] = pool[name].astype(object).fillna("none")
        return pool
    if package == XGBOOST:
        return pool.astype(dict.fromkeys(words, "category"))
    return pool


def catboost_options(d: Sampler) -> dict[str, Any]:
    return {
        "iterations": d.one([5, 20, 50]),
        "depth": d.one([2, 4, 6]),
        "grow_policy": d.one(["SymmetricTree", "SymmetricTree", "Depthwise", "Lossguide"]),
        "nan_mode": d.one(["Min", "Max"]),
        "one_hot_max_size": d.one([2, 10]),
        "max_ctr_complexity": d.one([1, 1, 2]),
        "random_seed": d.seed(),
        "thread_count": 1,
        "verbose": 0,
        "allow_writing_files": False,
    }


def last(sampler: Sampler, package: str, task: str) -> Last | None:
    """The model of the package, or None if the last step is one of estimators.py."""
    is_number = task == "regression"
    if package == CATBOOST:
        kind = CatBoostRegressor if is_number else CatBoostClassifier
        return Last(1, lambda d: kind(**catboost_options(d)), takes_missing=True)
    if package == XGBOOST:
        kind = XGBRegressor if is_number else XGBClassifier
        more = {"enable_categorical": True, "max_cat_to_onehot": sampler.one([1, 4, 16])}
        options = {k: v for k, v in xgboost_options(sampler).items() if k != "missing"}
        return Last(1, lambda d: kind(**options, **more), takes_missing=True, codes=True)
    return None


# Encoders of category_encoders.


def encoder(sampler: Sampler) -> Any:
    kind = sampler.one(
        [
            category_encoders.BackwardDifferenceEncoder,
            category_encoders.BaseNEncoder,
            category_encoders.BinaryEncoder,
            category_encoders.CatBoostEncoder,
            category_encoders.CountEncoder,
            category_encoders.HelmertEncoder,
            category_encoders.JamesSteinEncoder,
            category_encoders.LeaveOneOutEncoder,
            category_encoders.MEstimateEncoder,
            category_encoders.OneHotEncoder,
            category_encoders.OrdinalEncoder,
            category_encoders.QuantileEncoder,
            category_encoders.RankHotEncoder,
            category_encoders.SumEncoder,
            category_encoders.TargetEncoder,
            category_encoders.WOEEncoder,
        ]
    )
    unknown = sampler.one(["value", "value", "return_nan", "error"])
    missing = sampler.one(["value", "value", "return_nan"])
    return kind(handle_unknown=unknown, handle_missing=missing)


# Samplers of imbalanced-learn.


def resampler(sampler: Sampler) -> Any:
    options: dict[str, Any] = {"random_state": 0}
    return sampler.one(
        [
            over_sampling.RandomOverSampler(**options),
            over_sampling.SMOTE(k_neighbors=2, **options),
            under_sampling.RandomUnderSampler(**options),
            under_sampling.TomekLinks(),
            combine.SMOTETomek(**options),
        ]
    )


# Steps of skrub.


def table_vectorizer(sampler: Sampler, takes_missing: bool) -> list[Any]:
    by_number = preprocessing.OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=sampler.one([-1, 99])
    )
    one_hot = preprocessing.OneHotEncoder(
        sparse_output=False, handle_unknown=sampler.one(["ignore", "infrequent_if_exist"])
    )
    numeric = [preprocessing.StandardScaler(), skrub.SquashingScaler(), "passthrough"]
    step = skrub.TableVectorizer(
        cardinality_threshold=sampler.one([5, 40]),
        low_cardinality=sampler.one([by_number, one_hot]),
        high_cardinality=skrub.StringEncoder(
            n_components=sampler.one([2, 6]),
            vectorizer=sampler.one(["tfidf", "tfidf", "counts"]),
            random_state=0,
        ),
        numeric=sampler.one(numeric),
        drop_if_constant=sampler.chance(0.3),
    )
    fills = not takes_missing or sampler.chance(0.3)
    return [step, *([SimpleImputer(strategy="median")] if fills else [])]


# Steps of feature_engine.


def feature_engine(sampler: Sampler, pool: pd.DataFrame, task: str) -> list[Any]:
    """Steps that leave only numbers, none of them missing if the encoders know all categories."""
    kinds = Kinds.of(pool)
    return [
        *(_of_words(sampler, kinds.words, task) if kinds.words else []),
        *_of_numbers(sampler, pool, kinds),
    ]


def _of_words(sampler: Sampler, words: list[Any], task: str) -> list[Any]:
    steps: list[Any] = [
        imputation.CategoricalImputer(
            imputation_method="missing" if len(words) > 1 else sampler.one(["missing", "frequent"]),
            variables=words,
        )
    ]
    if sampler.chance(0.4):
        rare = sampler.one([0.02, 0.1])
        steps.append(encoding.RareLabelEncoder(tol=rare, n_categories=2, variables=words))
    unseen = sampler.one(["ignore", "encode", "raise"])
    ordered = sampler.one(["ordered", "arbitrary"])
    options = [
        (3, encoding.OneHotEncoder(drop_last=sampler.chance(0.3), variables=words)),
        (2, encoding.OrdinalEncoder(encoding_method=ordered, unseen=unseen, variables=words)),
        (1, encoding.CountFrequencyEncoder(unseen=unseen, variables=words)),
        (
            2,
            encoding.MeanEncoder(unseen=unseen, smoothing=sampler.one([0.0, 5.0]), variables=words),
        ),
        (
            1,
            encoding.DecisionTreeEncoder(
                regression=task == "regression", random_state=0, variables=words
            ),
        ),
        (
            1,
            encoding.WoEEncoder(
                unseen=sampler.one(["ignore", "raise"]), fill_value=0.01, variables=words
            ),
        ),
    ]
    return [*steps, sampler.weighted(options)]


def _of_numbers(sampler: Sampler, pool: pd.DataFrame, kinds: Kinds) -> list[Any]:
    steps: list[Any] = []
    numbers = kinds.numbers
    if not numbers:
        return steps
    if set(numbers) & set(kinds.missing):
        if sampler.chance(0.3):
            steps.append(imputation.AddMissingIndicator(variables=numbers))
        steps.append(
            sampler.one(
                [
                    imputation.MeanMedianImputer(variables=numbers),
                    imputation.ArbitraryNumberImputer(-999, variables=numbers),
                    imputation.EndTailImputer(variables=numbers),
                ]
            )
        )
    is_positive = bool((pool[numbers].min() > 0).all())
    options = _transformers(sampler, numbers, is_positive)
    for place in sorted(sampler.rng.permutation(len(options))[: sampler.one([0, 1, 2])].tolist()):
        steps.append(options[place])
    return steps


def _transformers(sampler: Sampler, numbers: list[Any], is_positive: bool) -> list[Any]:
    """One step of each kind, in an order in which any of them may follow each other."""
    given: dict[str, Any] = {"variables": numbers}
    bins = sampler.one([3, 8])
    tails: dict[str, Any] = {
        "capping_method": sampler.one(["gaussian", "iqr", "quantiles"]),
        "fold": 0.05,
    }
    positive: list[Any] = [
        transformation.LogTransformer(base=sampler.one(["e", "10"]), **given),
        transformation.BoxCoxTransformer(**given),
        transformation.PowerTransformer(exp=0.5, **given),
        transformation.ReciprocalTransformer(**given),
    ]
    first: list[Any] = [outliers.Winsorizer(tail="both", **tails, **given)]
    if is_positive:
        first.append(sampler.one(positive))
    return [
        *first,
        transformation.YeoJohnsonTransformer(**given),
        transformation.ArcSinhTransformer(**given),
        scaling.MeanNormalizationScaler(**given),
        wrappers.SklearnTransformerWrapper(preprocessing.StandardScaler(), **given),
        sampler.one(
            [
                discretisation.EqualWidthDiscretiser(bins=bins, **given),
                discretisation.EqualFrequencyDiscretiser(q=bins, **given),
                discretisation.GeometricWidthDiscretiser(bins=bins, **given),
            ]
        ),
        selection.DropCorrelatedFeatures(**given) if len(numbers) > 1 else _cyclical(numbers),
        _cyclical(numbers),
        *_combining(sampler, numbers),
    ]


def _cyclical(numbers: list[Any]) -> Any:
    return creation.CyclicalFeatures(variables=numbers)


def _combining(sampler: Sampler, numbers: list[Any]) -> list[Any]:
    if len(numbers) < 2:
        return []
    functions = sampler.some(["sum", "prod", "mean", "min", "max", "std", "var"], 1, 3)
    pairs = sampler.some(["add", "sub", "mul", "div"], 1, 2)
    return [
        creation.MathFeatures(variables=numbers, func=functions),
        creation.RelativeFeatures(
            variables=numbers[:-1],
            reference=numbers[-1:],
            func=pairs,
            fill_value=sampler.one([None, 0.0]),
        ),
    ]
