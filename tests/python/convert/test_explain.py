"""Which steps convert, and why others do not."""

import numpy as np
import pandas as pd
import pytest
from sidecall.convert import NotConvertible, explain, to_graph
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

FRAME = pd.DataFrame(
    {"word": ["a", "b", "c"] * 20, "x": np.arange(60.0), "text": ["red apple", "green pear"] * 30}
)
Y = np.arange(60) % 2


def above_average(x):
    return x - x.mean(axis=0)


def test_every_step_is_a_row_with_its_own_reason():
    columns = ColumnTransformer(
        [
            (
                "cat",
                make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()),
                ["word"],
            ),
            ("num", make_pipeline(StandardScaler(), FunctionTransformer(above_average)), ["x"]),
            ("words", TfidfVectorizer(), "text"),
            ("hashes", HashingVectorizer(n_features=4), "text"),
        ]
    )
    last = StackingClassifier([("n", GaussianNB()), ("k", KNeighborsClassifier(metric="canberra"))])
    rows = explain(
        make_pipeline(
            columns,
            FunctionTransformer(lambda x: np.asarray(x.todense()) if hasattr(x, "todense") else x),
            last,
        ).fit(FRAME, Y)
    )
    by_step = {row.step: row for row in rows}
    assert [row.step for row in rows if row.converts] == [
        "columntransformer > cat > simpleimputer",
        "columntransformer > cat > onehotencoder",
        "columntransformer > num > standardscaler",
        "columntransformer > words",
    ]
    assert "'above_average'" in by_step["columntransformer > num > functiontransformer"].reason
    assert "MurmurHash" in by_step["columntransformer > hashes"].reason
    assert by_step["stackingclassifier"].kind == "StackingClassifier"
    assert (
        by_step["stackingclassifier"].reason
        == "k (KNeighborsClassifier): the metric 'canberra' is not supported; use euclidean, "
        "manhattan, chebyshev or minkowski"
    )


def test_a_model_without_pipeline_is_one_row():
    assert explain(LogisticRegression().fit([[0.0], [1.0]], [0, 1])) == [
        ("LogisticRegression", "LogisticRegression", True, "")
    ]


def test_a_model_with_categories_converts():
    frame = FRAME.assign(word=FRAME["word"].astype("category"))[["word", "x"]]
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=2).fit(
        frame, Y
    )
    assert [row.converts for row in explain(model)] == [True]


def test_an_error_in_a_converter_is_reported_with_its_step():
    model = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), LogisticRegression()))
    model.fit(FRAME[["x"]], Y)
    del model[1][0].mean_
    with pytest.raises(NotConvertible, match="fitted form is not the expected one") as caught:
        to_graph(model, [("X", "float64", 1)])
    assert caught.value.step == "pipeline > standardscaler (StandardScaler)"


def test_a_function_that_calls_an_estimator_is_refused_with_the_call():
    forest = RandomForestClassifier(2, random_state=0).fit(FRAME[["x"]].to_numpy(), Y)
    for method in ("apply", "predict_proba"):
        step = FunctionTransformer(getattr(forest, method)).fit(FRAME[["x"]].to_numpy())
        (row,) = explain(step)
        assert f"it calls RandomForestClassifier.{method}" in row.reason
        assert "put it into the pipeline" in row.reason


def test_steps_that_are_not_fitted_do_not_convert():
    rows = explain(make_pipeline(StandardScaler(), LogisticRegression()))
    assert [(row.converts, row.reason) for row in rows] == [(False, "it is not fitted")] * 2


def test_objects_that_are_not_models_do_not_convert():
    (row,) = explain(object())
    assert not row.converts and row.reason
