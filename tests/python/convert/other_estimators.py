"""The estimators of packages other than scikit-learn, each with parameters and data to fit it on.

Used by walk_other_packages.py. The samplers of imbalanced-learn are fitted in a pipeline, because
they have no answers of their own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler

SIZE = 90
RNG = np.random.default_rng(4)


def table(size: int) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "city": RNG.choice(["Köln", "Bonn", "Kiel", "Ulm"], size, p=[0.4, 0.3, 0.2, 0.1]),
            "shop": RNG.choice([f"shop {k}" for k in range(6)], size),
            "area": RNG.gamma(4.0, 10.0, size).round(2) + 1.0,
            "share": RNG.uniform(0.05, 0.95, size).round(3),
            "rooms": RNG.integers(1, 6, size),
            "lat": RNG.uniform(47.0, 55.0, size).round(4),
            "lon": RNG.uniform(6.0, 15.0, size).round(4),
        }
    ).astype({"city": object, "shop": object})
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 9000, size), unit="h")
    stay = pd.to_timedelta(RNG.integers(1, 90, size), unit="h")
    # Numbers for the selectors to drop, and dates.
    more = {"copy": frame["area"] * 2.0, "same": 1.0, "day": day, "stay": stay, "end": day + stay}
    return frame.assign(**more, written=day.strftime("%Y-%m-%d %H:%M"))


ROWS, FRESH = table(SIZE), table(30)
LARGE = (ROWS["area"] / 40 + ROWS["share"] + (ROWS["city"] == "Ulm") > 1.6).to_numpy().astype(int)
AMOUNT = (ROWS["area"] * 1.5 + ROWS["rooms"] + RNG.normal(size=SIZE)).to_numpy()
COUNTS = RNG.poisson(np.exp(ROWS["share"]))
HALF = np.arange(SIZE) % 2
THREE = np.digitize(ROWS["area"] / 20 + RNG.normal(size=SIZE) * 0.2, [1.5, 2.5])
GROUPS = [30, 30, 30]
TEXTS, NUMBERS = ["city", "shop"], ["area", "share", "rooms"]
FLOATS = ["area", "share"]


@dataclass
class Recipe:
    """How an estimator is fitted: `make` returns it without its fit.

    `columns` are those of ROWS that it gets. `target` is its second argument, if it takes one;
    `options` are those of fit.
    """

    make: Callable[[], Any]
    columns: list[str] = field(default_factory=lambda: NUMBERS)
    target: Any = None
    options: dict[str, Any] = field(default_factory=dict)
    # Values that are missing, by their share among the rows.
    missing: float = 0.0

    def rows(self, of: pd.DataFrame) -> pd.DataFrame:
        rows = of[self.columns].copy()
        if self.missing:
            rng = np.random.default_rng(0)
            rows = rows.mask(rng.random(rows.shape) < self.missing)
        return rows

    def fitted(self) -> Any:
        rows = self.rows(ROWS)
        model = self.make()
        fitted = model.fit(rows, *([] if self.target is None else [self.target]), **self.options)
        return model if fitted is None else fitted


def recipes() -> Iterator[tuple[str, str, Recipe]]:
    """The package, the name of the estimator, and how it is fitted."""
    for package, of_package in PACKAGES.items():
        for name, recipe in sorted(of_package().items()):
            yield package, name, recipe


class Trained:
    """Trains a Booster when it is fitted."""

    def __init__(self, package: str) -> None:
        self.package = package

    def fit(self, rows: pd.DataFrame, target: Any) -> Any:
        library = importlib.import_module(self.package)
        if self.package == "xgboost":
            return library.train({"max_depth": 3}, library.DMatrix(rows, target), 5)
        return library.train({"num_leaves": 4, "verbose": -1}, library.Dataset(rows, target), 5)


def xgboost() -> dict[str, Recipe]:
    library = importlib.import_module("xgboost")
    small = {"n_estimators": 5, "max_depth": 3, "n_jobs": 1}
    grouped = {"qid": np.repeat(np.arange(3), GROUPS)}
    return {
        "Booster": Recipe(lambda: Trained("xgboost"), target=AMOUNT),
        "XGBClassifier": Recipe(lambda: library.XGBClassifier(**small), target=LARGE),
        "XGBRFClassifier": Recipe(lambda: library.XGBRFClassifier(**small), target=LARGE),
        "XGBRFRegressor": Recipe(lambda: library.XGBRFRegressor(**small), target=AMOUNT),
        "XGBRanker": Recipe(lambda: library.XGBRanker(**small), target=THREE, options=grouped),
        "XGBRegressor": Recipe(lambda: library.XGBRegressor(**small), target=AMOUNT),
    }


def lightgbm() -> dict[str, Recipe]:
    library = importlib.import_module("lightgbm")
    small = {"n_estimators": 5, "num_leaves": 4, "verbose": -1, "n_jobs": 1}
    return {
        "Booster": Recipe(lambda: Trained("lightgbm"), target=AMOUNT),
        "LGBMClassifier": Recipe(lambda: library.LGBMClassifier(**small), target=LARGE),
        "LGBMRanker": Recipe(
            lambda: library.LGBMRanker(**small), target=THREE, options={"group": GROUPS}
        ),
        "LGBMRegressor": Recipe(lambda: library.LGBMRegressor(**small), target=AMOUNT),
    }


def catboost() -> dict[str, Recipe]:
    library = importlib.import_module("catboost")
    small = {"iterations": 5, "depth": 3, "verbose": 0, "thread_count": 1}
    small |= {"allow_writing_files": False}
    mixed = {"columns": ["city", *NUMBERS], "options": {"cat_features": ["city"]}}
    grouped = {"group_id": np.repeat(np.arange(3), GROUPS)}
    return {
        "CatBoost": Recipe(lambda: library.CatBoost(small), target=AMOUNT),
        "CatBoostClassifier": Recipe(
            lambda: library.CatBoostClassifier(**small), target=LARGE, **mixed
        ),
        "CatBoostRanker": Recipe(
            lambda: library.CatBoostRanker(**small), target=THREE, options=grouped
        ),
        "CatBoostRegressor": Recipe(
            lambda: library.CatBoostRegressor(**small), target=AMOUNT, **mixed
        ),
    }


def category_encoders() -> dict[str, Recipe]:
    library = importlib.import_module("category_encoders")
    special: dict[str, dict[str, Any]] = {"HashingEncoder": {"max_process": 1}}

    def recipe(name: str) -> Recipe:
        make = getattr(library, name)
        options = special.get(name, {})
        return Recipe(lambda: make(**options), ["city", "area"], LARGE, missing=0.05)

    return {name: recipe(name) for name in library.__all__}


def imblearn() -> dict[str, Recipe]:
    together = importlib.import_module("imblearn.pipeline").make_pipeline
    members = {"n_estimators": 3, "random_state": 0}
    special: dict[str, dict[str, Any]] = {
        "BalancedBaggingClassifier": members,
        "BalancedRandomForestClassifier": members
        | {"sampling_strategy": "all", "replacement": True, "bootstrap": False},
        "EasyEnsembleClassifier": members,
        "InstanceHardnessThreshold": {"estimator": LogisticRegression(), "cv": 2},
        "KMeansSMOTE": {"cluster_balance_threshold": 0.01},
        "RUSBoostClassifier": members,
        "SMOTENC": {"categorical_features": [2]},
    }

    def recipe(make: Any) -> Recipe:
        def model() -> Any:
            step = make(**special.get(make.__name__, {}))
            is_sampler = hasattr(step, "fit_resample")
            return together(step, StandardScaler(), LogisticRegression()) if is_sampler else step

        return Recipe(model, target=LARGE)

    modules = [
        importlib.import_module(f"imblearn.{part}")
        for part in ("combine", "ensemble", "over_sampling", "under_sampling")
    ]
    found = {name: recipe(getattr(m, name)) for m in modules for name in m.__all__}
    pipeline = Recipe(lambda: together(StandardScaler(), LogisticRegression()), target=LARGE)
    return found | {"Pipeline": pipeline}


def skrub() -> dict[str, Recipe]:
    library = importlib.import_module("skrub")
    other = ROWS[["city", "area"]].groupby("city", as_index=False).mean()
    joined = ["city", "share"]

    def column(name: str, columns: list[str], **options: Any) -> tuple[str, Recipe]:
        """A transformer of single columns, which is applied to the first of these."""
        make = getattr(library, name)
        return name, Recipe(
            lambda: library.ApplyToCols(make(**options), cols=columns[:1]), columns, AMOUNT
        )

    found = [
        column("CatEncoder", ["city"]),
        column("DatetimeEncoder", ["day"]),
        column("Drop", FLOATS),
        column("DropUninformative", FLOATS),
        column("DurationToFloat", ["stay"]),
        column("GapEncoder", ["shop"], n_components=2),
        column("MinHashEncoder", ["shop"], n_components=2),
        column("StringEncoder", ["shop"], n_components=2),
        column("ToCategorical", ["city"]),
        column("ToDatetime", ["written"]),
        column("ToFloat", ["rooms", "area"]),
    ]
    aggregated = {"cols": "area", "operations": "mean"}
    return dict(found) | {
        "AggJoiner": Recipe(
            lambda: library.AggJoiner(ROWS, key="city", suffix="_x", **aggregated), joined
        ),
        "AggTarget": Recipe(
            lambda: library.AggTarget("city", "mean", suffix="_x"), joined, target=AMOUNT
        ),
        "ApplyToCols": Recipe(lambda: library.ApplyToCols(StandardScaler(), cols=["area"])),
        "Cleaner": Recipe(library.Cleaner, FLOATS),
        "DropCols": Recipe(lambda: library.DropCols(["area"])),
        "DropSimilar": Recipe(library.DropSimilar, ["area", "copy", "share"]),
        "InterpolationJoiner": Recipe(
            lambda: library.InterpolationJoiner(ROWS[["lat", "area"]], key="lat"), ["lat", "share"]
        ),
        "Joiner": Recipe(lambda: library.Joiner(other, key="city"), joined),
        "MultiAggJoiner": Recipe(
            lambda: library.MultiAggJoiner([ROWS], [["mean"]], keys=[["city"]], cols=[["area"]]),
            joined,
        ),
        "SelectCols": Recipe(lambda: library.SelectCols(["area"])),
        "SessionEncoder": Recipe(lambda: library.SessionEncoder("day"), ["day", "share"]),
        "SimilarityEncoder": Recipe(library.SimilarityEncoder, ["shop"]),
        "SquashingScaler": Recipe(library.SquashingScaler),
        "TableVectorizer": Recipe(library.TableVectorizer, ["city", *FLOATS]),
    }


def statsmodels() -> dict[str, Recipe]:
    api = importlib.import_module("statsmodels.api")

    class Given:
        """Puts the arguments of `fit` in the order of statsmodels."""

        def __init__(self, make: Callable[..., Any], **options: Any) -> None:
            self.make, self.options = make, options

        def fit(self, rows: pd.DataFrame, target: Any) -> Any:
            quiet = {"disp": False} if self.make.__name__ in discrete else {}
            return self.make(target, rows.astype("float64"), **self.options).fit(**quiet)

    discrete = {"Logit", "MNLogit", "NegativeBinomial", "Poisson", "Probit"}
    families = api.families
    return {
        "GLM": Recipe(lambda: Given(api.GLM, family=families.Poisson()), target=COUNTS),
        "GLS": Recipe(lambda: Given(api.GLS), target=AMOUNT),
        "GLSAR": Recipe(lambda: Given(api.GLSAR), target=AMOUNT),
        "Logit": Recipe(lambda: Given(api.Logit), target=LARGE),
        "MNLogit": Recipe(lambda: Given(api.MNLogit), target=THREE),
        "NegativeBinomial": Recipe(lambda: Given(api.NegativeBinomial), target=COUNTS),
        "OLS": Recipe(lambda: Given(api.OLS), target=AMOUNT),
        "Poisson": Recipe(lambda: Given(api.Poisson), target=COUNTS),
        "Probit": Recipe(lambda: Given(api.Probit), target=LARGE),
        "QuantReg": Recipe(lambda: Given(api.QuantReg), target=AMOUNT),
        "RLM": Recipe(lambda: Given(api.RLM), target=AMOUNT),
        "WLS": Recipe(lambda: Given(api.WLS), target=AMOUNT),
    }


def feature_engine() -> dict[str, Recipe]:
    def of(part: str, name: str) -> Any:
        return getattr(importlib.import_module(f"feature_engine.{part}"), name)

    def step(part: str, name: str, columns: list[str], target: Any = None, **options: Any) -> Any:
        return name, Recipe(lambda: of(part, name)(**options), columns, target)

    line = LinearRegression()
    scored = {"estimator": line, "scoring": "r2", "cv": 2}
    series = "timeseries.forecasting"
    pair = {"variables": ["area"], "reference": ["share"], "func": ["sub"]}
    recipes = [
        step("creation", "CyclicalFeatures", NUMBERS),
        step("creation", "DecisionTreeFeatures", FLOATS, AMOUNT, param_grid={"max_depth": [2]}),
        step(
            "creation",
            "GeoDistanceFeatures",
            ["lat", "lon", "area", "share"],
            lat1="lat",
            lon1="lon",
            lat2="area",
            lon2="share",
            validate_ranges=False,
        ),
        step("creation", "MathFeatures", FLOATS, variables=FLOATS, func=["sum", "mean"]),
        step("creation", "RelativeFeatures", FLOATS, **pair),
        step("datetime", "DatetimeFeatures", ["day"], variables=["day"]),
        step("datetime", "DatetimeOrdinal", ["day"], variables=["day"]),
        step(
            "datetime", "DatetimeSubtraction", ["day", "end"], variables=["end"], reference=["day"]
        ),
        step(
            "discretisation", "ArbitraryDiscretiser", NUMBERS, binning_dict={"area": [0, 40, 999]}
        ),
        step(
            "discretisation",
            "DecisionTreeDiscretiser",
            FLOATS,
            AMOUNT,
            param_grid={"max_depth": [2]},
            random_state=0,
        ),
        step("discretisation", "EqualFrequencyDiscretiser", FLOATS, q=4),
        step("discretisation", "EqualWidthDiscretiser", FLOATS, bins=4),
        step("discretisation", "GeometricWidthDiscretiser", FLOATS, bins=4),
        step("encoding", "CountFrequencyEncoder", TEXTS),
        step("encoding", "DecisionTreeEncoder", TEXTS, AMOUNT, param_grid={"max_depth": [2]}),
        step("encoding", "MeanEncoder", TEXTS, AMOUNT),
        step("encoding", "OneHotEncoder", TEXTS),
        step("encoding", "OrdinalEncoder", TEXTS, AMOUNT),
        step("encoding", "RareLabelEncoder", TEXTS, tol=0.15, n_categories=2),
        step("encoding", "StringSimilarityEncoder", TEXTS),
        step("encoding", "WoEEncoder", ["city"], LARGE, fill_value=0.01),
        step("imputation", "AddMissingIndicator", FLOATS),
        step("imputation", "ArbitraryNumberImputer", FLOATS),
        step("imputation", "CategoricalImputer", TEXTS),
        step("imputation", "DropMissingData", FLOATS),
        step("imputation", "EndTailImputer", FLOATS),
        step("imputation", "MeanMedianImputer", FLOATS),
        step("imputation", "RandomSampleImputer", FLOATS),
        step("outliers", "ArbitraryOutlierCapper", FLOATS, max_capping_dict={"area": 60.0}),
        step("outliers", "OutlierTrimmer", FLOATS),
        step("outliers", "Winsorizer", FLOATS),
        step("pipeline", "Pipeline", FLOATS, AMOUNT, steps=[("a", StandardScaler()), ("b", line)]),
        step("preprocessing", "MatchCategories", TEXTS),
        step("preprocessing", "MatchVariables", FLOATS),
        step("scaling", "MeanNormalizationScaler", FLOATS),
        step("selection", "DropConstantFeatures", ["area", "same"]),
        step("selection", "DropCorrelatedFeatures", ["area", "copy", "share"]),
        step("selection", "DropDuplicateFeatures", ["area", "copy", "share"]),
        step("selection", "DropFeatures", FLOATS, features_to_drop=["share"]),
        step("selection", "DropHighPSIFeatures", FLOATS, split_frac=0.5, threshold=9.0),
        step("selection", "MRMR", [*FLOATS, "lat"], AMOUNT, method="MID", regression=True),
        step("selection", "ProbeFeatureSelection", [*FLOATS, "lat"], AMOUNT, **scored),
        step("selection", "RecursiveFeatureAddition", FLOATS, AMOUNT, **scored),
        step("selection", "RecursiveFeatureElimination", FLOATS, AMOUNT, **scored),
        step("selection", "SelectByInformationValue", TEXTS, HALF, threshold=0.0),
        step("selection", "SelectByShuffling", FLOATS, AMOUNT, **scored),
        step("selection", "SelectBySingleFeaturePerformance", FLOATS, AMOUNT, **scored),
        step(
            "selection",
            "SelectByTargetMeanPerformance",
            FLOATS,
            AMOUNT,
            scoring="r2",
            regression=True,
            cv=2,
            threshold=-9.0,
        ),
        step("selection", "SmartCorrelatedSelection", ["area", "copy", "share"]),
        step("text", "TextFeatures", TEXTS, variables=["shop"]),
        step(series, "ExpandingWindowFeatures", FLOATS),
        step(series, "LagFeatures", FLOATS),
        step(series, "WindowFeatures", FLOATS, window=2),
        step("transformation", "ArcSinhTransformer", FLOATS),
        step("transformation", "ArcsinTransformer", ["share"]),
        step("transformation", "BoxCoxTransformer", FLOATS),
        step("transformation", "LogCpTransformer", FLOATS),
        step("transformation", "LogTransformer", FLOATS),
        step("transformation", "PowerTransformer", FLOATS),
        step("transformation", "ReciprocalTransformer", FLOATS),
        step("transformation", "YeoJohnsonTransformer", FLOATS),
        step("wrappers", "SklearnTransformerWrapper", FLOATS, transformer=StandardScaler()),
    ]
    return dict(recipes)


PACKAGES: dict[str, Callable[[], dict[str, Recipe]]] = {
    "catboost": catboost,
    "category_encoders": category_encoders,
    "feature_engine": feature_engine,
    "imblearn": imblearn,
    "lightgbm": lightgbm,
    "skrub": skrub,
    "statsmodels": statsmodels,
    "xgboost": xgboost,
}
