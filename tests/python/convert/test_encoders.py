"""Encoders of categories: unknown, missing, infrequent, dropped; strings, numbers and booleans."""

import numpy as np
import pandas as pd
import pytest
from convert_harness import MISSING, assert_agrees, run, session
from sidecall.convert import NotConvertible, to_graph
from sklearn.preprocessing import LabelBinarizer, OneHotEncoder, OrdinalEncoder, TargetEncoder


def table(size=300):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "a b": rng.choice(["x", "y", "zé", None], size),
            "c.d": rng.choice([1.5, 2.5, 0.1, np.nan], size),
            "count": rng.integers(0, 5, size),
            "flag": rng.random(size) > 0.5,
            "rare": rng.choice(list("pqrstuv"), size, p=[0.4, 0.4, 0.1, 0.04, 0.03, 0.02, 0.01]),
        }
    )


TRAINED = table()
# Each kind of column, with values that do not occur in the training data.
FRESH = TRAINED.copy()
FRESH.loc[:20, "a b"] = "unseen"
FRESH.loc[10:30, "rare"] = "unseen"
FRESH.loc[:15, "count"] = 9
FRESH.loc[5:9, "c.d"] = 77.0


@pytest.mark.parametrize("unknown", ["ignore", "infrequent_if_exist", "warn"])
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"min_frequency": 20},
        {"max_categories": 3},
        {"drop": "first"},
        {"drop": "if_binary", "min_frequency": 15},
        {"sparse_output": False},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Found unknown categories")
def test_one_hot_encoders_agree(unknown, params):
    assert_agrees(
        OneHotEncoder(handle_unknown=unknown, **params).fit(TRAINED), FRESH, tolerance=0, exact=0
    )


@pytest.mark.parametrize(
    "params",
    [{}, {"drop": "first"}, {"drop": ["x", 1.5, 0, False, "p"]}, {"min_frequency": 0.1}],
    ids=str,
)
def test_one_hot_encoders_that_refuse_unknown_values_agree(params):
    assert_agrees(OneHotEncoder(**params).fit(TRAINED), TRAINED, tolerance=0, exact=0)


def test_an_unknown_value_that_the_encoder_refuses_gives_nan():
    model = OneHotEncoder().fit(TRAINED[["rare"]])
    loaded = session(to_graph(model, [("rare", "string", 1)], precision="float32"))
    assert np.isnan(loaded.run(None, {"rare": np.array([["unseen"]], dtype=object)})[0]).all()


@pytest.mark.parametrize(
    "params",
    [
        {"unknown_value": -1, "encoded_missing_value": -2},
        {"unknown_value": np.nan},
        {"unknown_value": 99, "min_frequency": 15, "encoded_missing_value": 50},
        {"unknown_value": 99, "max_categories": 3},
    ],
    ids=str,
)
def test_ordinal_encoders_agree(params):
    assert_agrees(
        OrdinalEncoder(handle_unknown="use_encoded_value", **params).fit(TRAINED),
        FRESH,
        tolerance=0,
        exact=0,
    )


def test_ordinal_encoders_with_given_categories_agree():
    x = TRAINED[["rare"]]
    assert_agrees(OrdinalEncoder(categories=[list("vutsrqp")]).fit(x), x, tolerance=0, exact=0)


@pytest.mark.parametrize("kind", ["binary", "continuous", "multiclass"])
def test_target_encoders_agree(kind):
    rng = np.random.default_rng(1)
    numbers = rng.normal(size=len(TRAINED)) + TRAINED["count"]
    y = {
        "binary": (numbers > 2).astype(int),
        "continuous": numbers,
        "multiclass": np.digitize(numbers, [1, 3]),
    }[kind]
    assert_agrees(TargetEncoder(random_state=0).fit(TRAINED, y), FRESH, tolerance=1e-6, exact=1e-15)


def test_categories_of_numbers_are_compared_exactly():
    x = np.array([[0.1], [0.2], [0.3]])
    model = OneHotEncoder(handle_unknown="ignore").fit(x)
    rows = x.astype("float32")
    # The float32 nearest to 0.1 is a different number, so it is unknown to the model and to the
    # graph.
    assert not run(model, rows)["transformed"].any()
    assert np.array_equal(run(model, rows, rows="float64")["transformed"], np.eye(3))


def test_an_array_of_strings_agrees():
    x = TRAINED[["a b", "rare"]].to_numpy(dtype=object)
    assert_agrees(
        OneHotEncoder(handle_unknown="ignore").fit(x),
        FRESH[["a b", "rare"]].to_numpy(dtype=object),
        tolerance=0,
        exact=0,
    )


def test_booleans_with_missing_values_are_encoded_as_numbers():
    flags = pd.DataFrame({"flag": pd.Series([True, False, None, True] * 5, dtype=object)})
    model = OneHotEncoder(handle_unknown="ignore").fit(flags)
    rows = np.array([[1.0], [0.0], [np.nan]], dtype="float32")
    loaded = session(to_graph(model, [("flag", "float32", 1)], precision="float32"))
    assert np.array_equal(loaded.run(None, {"flag": rows})[0], np.eye(3)[[1, 0, 2]])


def test_label_binarizers_agree():
    for y in (np.array([3, 1, 2, 3]), np.array([0, 1, 1, 0])):
        assert_agrees(
            LabelBinarizer(neg_label=-1).fit(y),
            y.reshape(-1, 1).astype("float32"),
            tolerance=0,
            exact=0,
        )


def test_none_and_nan_as_two_categories_are_refused():
    x = np.array([["a"], [None], [np.nan]], dtype=object)
    model = OneHotEncoder().fit(x)
    with pytest.raises(NotConvertible, match="one kind of missing"):
        to_graph(model, [("X", "string", 1)], precision="float32")


@pytest.mark.parametrize(("dtype", "values"), [("float32", ["a", "b"]), ("string", [1, 2])])
def test_a_column_of_another_type_is_refused(dtype, values):
    model = OneHotEncoder().fit(np.array(values, dtype=object).reshape(-1, 1))
    with pytest.raises(NotConvertible, match="the column holds"):
        to_graph(model, [("X", dtype, 1)], precision="float32")


def test_a_category_that_is_the_reserved_string_is_refused():
    for values, reason in (([["a"], ["b"], [MISSING]], "stands for a missing string"),):
        model = OneHotEncoder().fit(np.array(values, dtype=object))
        with pytest.raises(NotConvertible, match=reason):
            to_graph(model, [("X", "string", 1)], precision="float32")
