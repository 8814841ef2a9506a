"""Transformers of feature_engine in exported pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sidecall
from export_data import payments
from feature_engine import (
    creation,
    discretisation,
    encoding,
    imputation,
    outliers,
    preprocessing,
    scaling,
    selection,
    transformation,
    wrappers,
)
from feature_engine import pipeline as feature_engine_pipeline
from graph_rows import check_rows, graph_of
from sidecall.convert import NotConvertible
from sidecall.exporting.errors import StepError
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

FRAME, FRAUD = payments(300)
TEXT = FRAME[["country", "card type"]]
NUMBERS = FRAME[["amount", "age", "hour"]].assign(
    share=np.random.default_rng(0).random(300), epoch=FRAME["epoch"]
)
FULL = NUMBERS.assign(age=NUMBERS["age"].fillna(40.0))


def changed(rows: pd.DataFrame, changes: list[tuple[str, Any]]) -> pd.DataFrame:
    """A row for each change, and a few rows without a change."""
    result = rows.iloc[: len(changes) + 4].reset_index(drop=True)
    for k, (name, value) in enumerate(changes):
        result.loc[k, name] = value
    return result


STRANGE_TEXT = changed(
    TEXT.astype(object).fillna("FR"),
    [
        ("country", "XX"),
        ("country", ""),
        ("country", "Ångström"),
        ("country", "de"),
        ("country", np.nan),
        ("card type", np.nan),
        ("card type", "nan"),
        ("card type", "Missing"),
    ],
)
STRANGE_NUMBERS = changed(
    FULL,
    [
        ("amount", np.nan),
        ("amount", np.inf),
        ("amount", -np.inf),
        ("amount", 0.0),
        ("amount", -0.0),
        ("amount", -3.5),
        ("amount", 5e-324),
        ("amount", 1e308),
        ("amount", 2.0**53 + 2),
        ("age", np.nan),
        ("age", 30.0),
        ("age", np.nextafter(30.0, 31.0)),
        ("age", np.nextafter(30.0, 29.0)),
        ("age", 0.0),
        ("age", 120.0),
        ("age", 121.0),
        ("age", np.inf),
        ("hour", 0),
        ("hour", -1),
        ("hour", 24),
        ("hour", 2**53 + 1),
        ("share", 0.0),
        ("share", 1.0),
        ("share", 1.5),
        ("share", -0.1),
    ],
)
fill_text = imputation.CategoricalImputer()
fill_numbers = imputation.MeanMedianImputer()
POSITIVE = {"variables": ["amount"]}
SOME = {"variables": ["age", "amount"]}

OF_TEXT: dict[str, Any] = {
    "CategoricalImputer": imputation.CategoricalImputer(imputation_method="frequent"),
    "AddMissingIndicator": [imputation.AddMissingIndicator(), fill_text, encoding.OneHotEncoder()],
    "OneHotEncoder": [fill_text, encoding.OneHotEncoder(drop_last=True)],
    "OneHotEncoder of few": [fill_text, encoding.OneHotEncoder(top_categories=2)],
    "OrdinalEncoder": [fill_text, encoding.OrdinalEncoder(unseen="encode")],
    "OrdinalEncoder raises": [fill_text, encoding.OrdinalEncoder(unseen="raise")],
    "OrdinalEncoder ignores": encoding.OrdinalEncoder(missing_values="ignore"),
    "CountFrequencyEncoder": [fill_text, encoding.CountFrequencyEncoder(unseen="raise")],
    "MeanEncoder": encoding.MeanEncoder(missing_values="ignore", unseen="encode", smoothing="auto"),
    "WoEEncoder": [fill_text, encoding.WoEEncoder(fill_value=0.01)],
    "DecisionTreeEncoder": [
        fill_text,
        encoding.DecisionTreeEncoder(regression=False, random_state=0, unseen="raise"),
    ],
    "RareLabelEncoder": [fill_text, encoding.RareLabelEncoder(tol=0.1, n_categories=2)],
    "RareLabelEncoder ignores": encoding.RareLabelEncoder(
        tol=0.1, n_categories=2, missing_values="ignore"
    ),
    "MatchCategories": preprocessing.MatchCategories(missing_values="ignore"),
    "MatchCategories raises": [fill_text, preprocessing.MatchCategories()],
}
OF_NUMBERS: dict[str, Any] = {
    "MeanMedianImputer": imputation.MeanMedianImputer("mean"),
    "ArbitraryNumberImputer": imputation.ArbitraryNumberImputer(-1),
    "EndTailImputer": imputation.EndTailImputer(),
    "OneHotEncoder of numbers": encoding.OneHotEncoder(variables=["hour"], ignore_format=True),
    "MeanEncoder of numbers": encoding.MeanEncoder(
        variables=["hour"], ignore_format=True, unseen="raise"
    ),
    "EqualWidthDiscretiser": discretisation.EqualWidthDiscretiser(bins=4, **SOME),
    "EqualFrequencyDiscretiser": discretisation.EqualFrequencyDiscretiser(q=4, **SOME),
    "GeometricWidthDiscretiser": discretisation.GeometricWidthDiscretiser(bins=4, **SOME),
    "ArbitraryDiscretiser": discretisation.ArbitraryDiscretiser({"age": [0, 30, 50, 120]}),
    "ArbitraryDiscretiser raises": discretisation.ArbitraryDiscretiser(
        {"age": [0, 30, 50, 120]}, errors="raise"
    ),
    "DecisionTreeDiscretiser": discretisation.DecisionTreeDiscretiser(
        regression=False, precision=3, random_state=0, **SOME
    ),
    "DecisionTreeDiscretiser numbers": discretisation.DecisionTreeDiscretiser(
        regression=False, bin_output="bin_number", random_state=0, **SOME
    ),
    "Winsorizer": outliers.Winsorizer(tail="both", add_indicators=True, **SOME),
    "Winsorizer ignores": outliers.Winsorizer("iqr", missing_values="ignore", **SOME),
    "ArbitraryOutlierCapper": outliers.ArbitraryOutlierCapper({"amount": 500}, {"age": 0.0}),
    "LogTransformer": transformation.LogTransformer(base="10", **POSITIVE),
    "LogCpTransformer": transformation.LogCpTransformer(variables=["amount", "hour"]),
    "ReciprocalTransformer": transformation.ReciprocalTransformer(**POSITIVE),
    "PowerTransformer": transformation.PowerTransformer(**SOME),
    "PowerTransformer 0.3": transformation.PowerTransformer(exp=0.3, **SOME),
    "BoxCoxTransformer": transformation.BoxCoxTransformer(**POSITIVE),
    "YeoJohnsonTransformer": transformation.YeoJohnsonTransformer(**SOME),
    "ArcsinTransformer": transformation.ArcsinTransformer(variables=["share"]),
    "ArcSinhTransformer": transformation.ArcSinhTransformer(loc=2.0, **SOME),
    "CyclicalFeatures": creation.CyclicalFeatures(
        variables=["age"], max_values=None, drop_original=True
    ),
    "MathFeatures": creation.MathFeatures(
        ["age", "share"], ["sum", "mean", "min", "max", "prod", "std", "var"]
    ),
    "MathFeatures ignores": creation.MathFeatures(
        ["age", "amount"], ["sum", "mean", "max", "std"], missing_values="ignore"
    ),
    "MathFeatures of integers": creation.MathFeatures(["hour", "epoch"], ["sum", "min"]),
    "RelativeFeatures": creation.RelativeFeatures(
        ["share", "hour"], ["age"], ["add", "sub", "mul", "div", "floordiv", "mod"]
    ),
    "RelativeFeatures of integers": creation.RelativeFeatures(
        ["epoch"], ["hour"], ["sub", "mod", "floordiv", "div"], fill_value=-1
    ),
    "DecisionTreeFeatures": creation.DecisionTreeFeatures(
        ["age", "share"], regression=False, random_state=0, drop_original=True
    ),
    "MeanNormalizationScaler": scaling.MeanNormalizationScaler(variables=["age", "share"]),
    "MatchVariables": preprocessing.MatchVariables(verbose=False),
    "DropFeatures": selection.DropFeatures(["hour", "share"]),
    "SmartCorrelatedSelection": selection.SmartCorrelatedSelection(threshold=0.02),
    "wrapper": wrappers.SklearnTransformerWrapper(StandardScaler(), variables=["share", "age"]),
    "wrapper that creates": wrappers.SklearnTransformerWrapper(
        PolynomialFeatures(include_bias=False), variables=["share", "age"]
    ),
}


# Cases that resemble another one.
LONG = (
    "OneHotEncoder of few",
    "OrdinalEncoder",
    "CountFrequencyEncoder",
    "DecisionTreeEncoder",
    "MatchCategories raises",
    "ArbitraryNumberImputer",
    "EndTailImputer",
    "EqualWidthDiscretiser",
    "GeometricWidthDiscretiser",
    "ArbitraryDiscretiser",
    "DecisionTreeDiscretiser numbers",
    "Winsorizer ignores",
    "PowerTransformer",
    "LogTransformer",
    "MathFeatures ignores",
    "DecisionTreeFeatures",
    "SmartCorrelatedSelection",
)


def cases(of: dict[str, Any]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in of]


def fitted(steps: Any, rows: pd.DataFrame) -> Any:
    steps = steps if isinstance(steps, list) else [steps]
    return make_pipeline(*(clone(step) for step in steps)).fit(rows, FRAUD)


@pytest.mark.parametrize("name", cases(OF_TEXT))
@pytest.mark.filterwarnings("ignore")
def test_each_row_of_text_has_the_answer_or_refusal_of_the_original(name: str) -> None:
    model = fitted(OF_TEXT[name], TEXT)
    refused = check_rows(model, TEXT, STRANGE_TEXT)
    assert bool(refused) == name.endswith(("raises", "FrequencyEncoder", "TreeEncoder"))


@pytest.mark.parametrize("name", cases(OF_NUMBERS))
@pytest.mark.filterwarnings("ignore")
def test_each_row_of_numbers_has_the_answer_or_refusal_of_the_original(name: str) -> None:
    model = fitted(OF_NUMBERS[name], FULL)
    refused = check_rows(model, FULL, STRANGE_NUMBERS)
    takes_all = (
        "Imputer",
        "ignores",
        "DropFeatures",
        "Selection",
        "integers",
        "OneHotEncoder of numbers",
    )
    assert bool(refused) != name.endswith(takes_all)


@pytest.mark.filterwarnings("ignore")
def test_bins_can_be_named_by_their_edges() -> None:
    steps = discretisation.ArbitraryDiscretiser(
        {name: [0, 10, 30, 1e9] for name in ("age", "amount")}, return_boundaries=True
    )
    rows = FULL[["age", "amount"]]
    assert check_rows(fitted(steps, rows), rows, STRANGE_NUMBERS[["age", "amount"]]) == 5


@pytest.mark.filterwarnings("ignore")
def test_zero_is_refused_as_the_logarithm_of_a_float32_column() -> None:
    rows, strange = (frame[["amount"]].astype("float32") for frame in (FULL, STRANGE_NUMBERS))
    model = fitted(transformation.LogTransformer(), rows)
    # Missing, infinite, not above zero, and two that round to zero and to infinity.
    assert check_rows(model, rows, strange) == 8


@pytest.mark.filterwarnings("ignore")
def test_columns_of_categories_keep_their_missing_values() -> None:
    rows = TEXT.fillna("FR").astype("category")
    strange = pd.DataFrame(
        {name: pd.Categorical(STRANGE_TEXT[name], rows[name].cat.categories) for name in rows}
    )
    for encoder in (
        encoding.MeanEncoder(unseen="encode", missing_values="ignore"),
        encoding.RareLabelEncoder(tol=0.1, n_categories=2, missing_values="ignore"),
    ):
        assert check_rows(fitted(encoder, rows), rows, strange) == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "step",
    [
        encoding.RareLabelEncoder(tol=0.1, n_categories=2),
        encoding.OrdinalEncoder(unseen="encode"),
        encoding.OrdinalEncoder(unseen="raise"),
        encoding.MeanEncoder(unseen="ignore"),
        preprocessing.MatchCategories(missing_values="ignore"),
    ],
    ids=str,
)
def test_an_unknown_value_in_a_column_of_categories_is_not_a_missing_one(step: Any) -> None:
    rows = TEXT.astype("category")
    strange = TEXT.astype(object)
    strange.iloc[:3, 0] = ["XX", "", np.nan]
    model = make_pipeline(clone(fill_text), clone(step), encoding.OneHotEncoder())
    if isinstance(step, encoding.OrdinalEncoder | encoding.MeanEncoder):
        model = model[:-1]
    model.fit(rows, FRAUD)
    # The types of the rows list every value, as export builds them.
    strange = strange.iloc[:30].astype("category")
    check_rows(model, rows.iloc[:60], strange)


def test_a_pipeline_is_exported_and_refuses_the_rows_that_it_refuses(tmp_path: Path) -> None:
    rows = FRAME[["country", "amount", "card type", "age"]]
    steps = [
        imputation.MeanMedianImputer(),
        encoding.RareLabelEncoder(tol=0.1, n_categories=2, missing_values="ignore"),
        imputation.CategoricalImputer(),
        encoding.OrdinalEncoder(variables=["country"], unseen="raise"),
        encoding.MeanEncoder(variables=["card type"], unseen="raise"),
        transformation.LogTransformer(variables=["amount"]),
    ]
    model = feature_engine_pipeline.make_pipeline(*steps, LogisticRegression(max_iter=500))
    model.fit(rows, FRAUD)
    path = tmp_path / "model.onnx"
    # Columns in another order, and without one of the categories.
    data = rows[rows["card type"] != "prepaid"][["age", "card type", "country", "amount"]]
    report = sidecall.export(model, path, data, progress=False)
    assert set(report.contract["engines"]) == {"native", "onnxruntime"}
    opened = sidecall.open(path)
    np.testing.assert_allclose(
        opened.predict(rows)["probabilities.1"], model.predict_proba(rows)[:, 1], atol=1e-9
    )
    record = data.iloc[0].to_dict()
    for name, wrong, code in (
        ("amount", 0.0, "OUT_OF_RANGE"),
        ("card type", "cash", "UNKNOWN_CATEGORY"),
        ("card type", "", "UNKNOWN_CATEGORY"),
    ):
        with pytest.raises(sidecall.Error) as caught:
            opened.predict(record | {name: wrong})
        assert caught.value.code == code
    assert opened.predict(record | {"country": "XX", "age": None})["label"] in (0, 1)


@pytest.mark.filterwarnings("ignore")
def test_columns_of_float32_and_float64_in_one_transformer_are_refused() -> None:
    rows = FULL.astype({"age": "float32"})
    with pytest.raises(NotConvertible, match="computes in float32 in some of its columns"):
        graph_of(fitted(scaling.MeanNormalizationScaler(), rows), rows)


REFUSED: dict[str, Any] = {
    "it removes rows": imputation.DropMissingData(),
    "removes rows": outliers.OutlierTrimmer(variables=["amount"]),
    "at random": imputation.RandomSampleImputer(random_state=0),
    "function median is not supported": creation.MathFeatures(["age", "share"], "median"),
    "raises whole numbers to powers": creation.RelativeFeatures(["epoch"], ["hour"], ["pow"]),
    "replaces numbers by a string": encoding.RareLabelEncoder(
        variables=["hour"], ignore_format=True
    ),
}


@pytest.mark.parametrize("reason", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_transformers_without_an_exact_graph_are_refused(reason: str) -> None:
    with pytest.raises(NotConvertible, match=reason):
        graph_of(fitted(REFUSED[reason], FULL), FULL)


@pytest.mark.filterwarnings("ignore")
def test_an_encoder_that_compares_texts_is_refused(tmp_path: Path) -> None:
    model = fitted([encoding.StringSimilarityEncoder(), LogisticRegression()], TEXT)
    with pytest.raises(StepError, match="compares every text with the categories"):
        sidecall.export(model, tmp_path / "model.onnx", TEXT, progress=False)


@pytest.mark.filterwarnings("ignore")
def test_check_finds_out_without_data_that_a_pipeline_converts() -> None:
    steps = [fill_text, encoding.MeanEncoder(), encoding.OneHotEncoder()]
    for model in (fitted(steps[:2], TEXT), fitted([steps[0], steps[2]], TEXT)):
        assert all(row.converts for row in sidecall.check(model).steps)
    wrapped = wrappers.SklearnTransformerWrapper(OneHotEncoder(sparse_output=False))
    assert sidecall.check(fitted([fill_text, wrapped], TEXT), TEXT).ok
