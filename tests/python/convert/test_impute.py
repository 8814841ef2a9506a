"""Imputers and indicators of missing values."""

import numpy as np
import pandas as pd
import pytest
from convert_harness import assert_agrees, run
from sidecall.convert import NotConvertible, to_graph
from sklearn.datasets import load_wine
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.pipeline import make_pipeline

RNG = np.random.default_rng(0)
WINE, CULTIVAR = load_wine(return_X_y=True)
HOLES = np.where(RNG.random(WINE.shape) < 0.1, np.nan, WINE * RNG.normal(1, 0.01, WINE.shape))
ROWS = HOLES[::-1].astype("float32")
WORDS = pd.DataFrame(
    {
        "one": RNG.choice(["a", "b", None], 50, p=[0.5, 0.3, 0.2]),
        "two": RNG.choice(["u", "v", None], 50),
    }
)


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
@pytest.mark.parametrize("indicator", [False, True])
def test_imputers_of_numbers_agree(strategy, indicator):
    assert_agrees(SimpleImputer(strategy=strategy, add_indicator=indicator).fit(HOLES), ROWS)


@pytest.mark.parametrize("strategy", ["most_frequent", "constant"])
def test_imputers_of_strings_agree(strategy):
    assert_agrees(SimpleImputer(strategy=strategy).fit(WORDS), WORDS[::-1])


def test_strings_with_a_question_mark_as_the_missing_value_agree():
    marked = WORDS.fillna("?")
    assert_agrees(SimpleImputer(strategy="most_frequent", missing_values="?").fit(marked), marked)


def test_imputed_strings_before_an_encoder_agree():
    from sklearn.preprocessing import OneHotEncoder

    model = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    ).fit(WORDS)
    assert_agrees(model, WORDS)


def test_integers_with_minus_one_as_the_missing_value_agree():
    x = RNG.integers(-1, 5, size=(60, 3))
    assert_agrees(SimpleImputer(missing_values=-1, strategy="median", add_indicator=True).fit(x), x)


def test_columns_without_any_value_agree():
    x = HOLES.copy()
    x[:, 2] = np.nan
    rows = ROWS.copy()
    rows[:, 2] = np.nan
    for keep in (False, True):
        assert_agrees(SimpleImputer(keep_empty_features=keep).fit(x), rows)
        assert_agrees(KNNImputer(keep_empty_features=keep).fit(x), rows)


def test_an_imputer_of_float_and_integer_columns_agrees():
    frame = pd.DataFrame({"n": [1.0, np.nan, 3.0], "k": [1, 2, 2]})
    assert_agrees(SimpleImputer(strategy="most_frequent").fit(frame), frame)


@pytest.mark.parametrize("features", ["missing-only", "all"])
def test_missing_indicators_agree(features):
    x = HOLES.copy()
    x[:, 0] = 1.0
    rows = ROWS.copy()
    rows[:, 0] = 1.0
    assert_agrees(MissingIndicator(features=features).fit(x), rows)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("neighbours", [1, 5])
def test_knn_imputers_agree(weights, neighbours):
    model = KNNImputer(n_neighbors=neighbours, weights=weights, add_indicator=True).fit(HOLES)
    rows = ROWS.copy()
    rows[0] = np.nan  # has no coordinate in common with any row
    assert_agrees(model, rows, exact=1e-7)


@pytest.mark.parametrize("order", ["ascending", "random"])
@pytest.mark.parametrize(
    "inner",
    [BayesianRidge(), ExtraTreesRegressor(5, random_state=0)],
    ids=lambda m: type(m).__name__,
)
def test_iterative_imputers_agree(inner, order):
    model = IterativeImputer(
        inner, max_iter=3, imputation_order=order, random_state=0, add_indicator=True
    ).fit(HOLES)
    assert_agrees(model, ROWS, tolerance=1e-3)


def test_an_imputer_before_a_model_agrees():
    assert_agrees(make_pipeline(KNNImputer(), Ridge()).fit(HOLES, CULTIVAR), ROWS)


def test_unsupported_imputers_are_refused():
    inputs = [("X", "float32", WINE.shape[1])]
    random = IterativeImputer(BayesianRidge(), sample_posterior=True, max_iter=2).fit(HOLES)
    callable_weights = KNNImputer(weights=lambda d: d).fit(HOLES)
    callable_metric = KNNImputer(metric=lambda a, b, missing_values=None: 0.0).fit(HOLES)
    for model, reason in (
        (random, "at random"),
        (callable_weights, "weights='uniform'"),
        (callable_metric, "nan_euclidean"),
    ):
        with pytest.raises(NotConvertible, match=reason):
            to_graph(model, inputs, precision="float32")


def test_numbers_filled_with_a_string_are_refused():
    model = SimpleImputer(strategy="most_frequent").fit(WORDS)
    with pytest.raises(NotConvertible, match="numbers with a string"):
        to_graph(model, [("one", "float32", 1), ("two", "string", 1)], precision="float32")


def test_the_fill_value_of_a_float64_graph_is_not_rounded():
    x = np.array([[0.1], [0.1], [np.nan]])
    assert run(SimpleImputer().fit(x), x, "float64")["transformed"][2, 0] == 0.1


def test_an_iterative_imputer_of_one_column_agrees():
    x = np.array([[1.0], [np.nan], [4.0]])
    assert_agrees(IterativeImputer(random_state=0).fit(x), x)
