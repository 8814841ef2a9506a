"""One-hot encoders of many categories, which the graph keeps as one number for each row."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from convert_harness import (
    differences_of,
    layout,
    run,
    run_graph,
    run_graph_natively,
)
from sidecall.convert import to_graph
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.naive_bayes import ComplementNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import MaxAbsScaler, Normalizer, OneHotEncoder, StandardScaler
from sklearn.svm import SVR, LinearSVC

pytestmark = pytest.mark.filterwarnings(
    "ignore:lbfgs failed", "ignore:Stochastic Optimizer", "ignore:divide by zero"
)

LEVELS = 150


def draw(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "shop": rng.choice([f"shop {i} ü" for i in range(LEVELS)], rows).astype(object),
            "amount": rng.normal(size=rows).round(2),
            "city": rng.integers(0, LEVELS, rows) * 7 - 300,
            "kind": rng.choice(["a", "b", "c"], rows).astype(object),
        }
    )


TRAINED = draw(3000, 0)
EFFECT = dict(
    zip(sorted(set(TRAINED["shop"])), np.random.default_rng(1).normal(size=LEVELS), strict=True)
)
PRICE = TRAINED["shop"].map(EFFECT) + TRAINED["amount"] + (TRAINED["city"] % 3)
SOLD = PRICE.gt(PRICE.median()).astype(int)
CLASS = pd.cut(PRICE, 3, labels=["low", "middle", "high"]).astype(object)
FRESH = pd.concat([TRAINED[:400], draw(300, 2)], ignore_index=True)
FRESH.loc[:9, "shop"] = "never seen"
FRESH.loc[5:14, "city"] = 5
FRESH.loc[:2, "kind"] = "z"


def encode(**options):
    options = {"handle_unknown": "ignore"} | options
    return make_column_transformer(
        (StandardScaler(), ["amount"]),
        (OneHotEncoder(**options), ["shop", "city", "kind"]),
    )


def is_classifier(model):
    return hasattr(model, "predict") and model.__sklearn_tags__().estimator_type == "classifier"


MODELS = [
    LogisticRegression(max_iter=50),
    SGDClassifier(loss="log_loss", max_iter=20),
    LinearSVC(max_iter=200),
    Ridge(),
    MLPClassifier((8,), max_iter=20),
    MLPRegressor(hidden_layer_sizes=(), max_iter=20),
    RandomForestClassifier(15, max_depth=12, random_state=0),
    ExtraTreesRegressor(10, random_state=0),
    GradientBoostingClassifier(n_estimators=15, max_depth=4),
    AdaBoostClassifier(n_estimators=5),
    BaggingRegressor(n_estimators=4, max_features=0.7, random_state=0),
    IsolationForest(n_estimators=10, random_state=0),
    lightgbm.LGBMClassifier(n_estimators=15, verbose=-1, min_child_samples=3),
    xgboost.XGBClassifier(n_estimators=15, max_depth=5),
    xgboost.XGBRegressor(n_estimators=10, max_depth=5, base_score=0.25),
    SVR(),
    make_pipeline(Normalizer(), Ridge()),
    make_pipeline(TruncatedSVD(5, random_state=0), LogisticRegression()),
    make_pipeline(MaxAbsScaler(), LogisticRegression(max_iter=50)),
    make_pipeline(StandardScaler(with_mean=False), LogisticRegression(max_iter=50)),
    make_pipeline(SelectKBest(k=90), Ridge()),
    make_pipeline(SelectKBest(k=90), RandomForestClassifier(10, random_state=0)),
]
DENSE = [
    HistGradientBoostingRegressor(max_iter=15, min_samples_leaf=2),
    make_pipeline(PCA(4), Ridge()),
    xgboost.XGBClassifier(n_estimators=15, max_depth=5),
    GradientBoostingClassifier(n_estimators=15, max_depth=4),
]


def check(model, rows, precision, tolerance):
    """Compares both engines with the original; the native one must have every operator."""
    inputs, feeds = layout(rows)
    graph = to_graph(model, inputs, precision=precision)
    for answers in (run_graph(graph, feeds), run_graph_natively(graph, feeds)):
        found = differences_of(model, rows, answers)
        assert all(v <= (0 if name == "label" else tolerance) for name, v in found.items()), found
    return graph


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model)[:50])
def test_models_behind_sparse_columns_agree(model, precision):
    fitted = make_pipeline(encode(), model).fit(TRAINED, SOLD if is_classifier(model) else PRICE)
    check(fitted, FRESH, precision, 2e-5 if precision == "float32" else 1e-6)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("model", DENSE, ids=lambda model: str(model)[:50])
def test_models_behind_dense_columns_agree(model, precision):
    fitted = make_pipeline(encode(sparse_output=False), model)
    fitted.fit(TRAINED, SOLD if is_classifier(model) else PRICE)
    check(fitted, FRESH, precision, 2e-5 if precision == "float32" else 1e-6)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    "options",
    [
        {"drop": "first"},
        {"drop": "if_binary"},
        {"min_frequency": 18, "handle_unknown": "infrequent_if_exist"},
        {"max_categories": 80, "handle_unknown": "infrequent_if_exist"},
        {"handle_unknown": "warn"},
    ],
    ids=str,
)
@pytest.mark.parametrize("model", [LogisticRegression(max_iter=50), RandomForestClassifier(10)])
@pytest.mark.filterwarnings("ignore:Found unknown categories")
def test_encoders_with_options_agree(model, options, precision):
    fitted = make_pipeline(encode(**options), model).fit(TRAINED, CLASS)
    check(fitted, FRESH, precision, 2e-5 if precision == "float32" else 1e-6)


@pytest.mark.parametrize("missing", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("is_sparse", [True, False])
def test_columns_before_xgboost_with_missing_values_agree(is_sparse, missing):
    model = xgboost.XGBClassifier(n_estimators=10, max_depth=5, missing=missing)
    fitted = make_pipeline(encode(sparse_output=is_sparse), model).fit(TRAINED, SOLD)
    check(fitted, FRESH, "float64", 1e-6)


def test_an_encoder_alone_agrees():
    fitted = OneHotEncoder(handle_unknown="ignore").fit(TRAINED[["shop", "city"]])
    check(fitted, FRESH[["shop", "city"]], "float32", 0)


def test_several_readers_of_the_same_columns_agree():
    halves = make_union(TruncatedSVD(3, random_state=0), SelectKBest(k=70))
    fitted = make_pipeline(encode(), halves, Ridge()).fit(TRAINED, SOLD)
    check(fitted, FRESH, "float64", 1e-6)


def test_counts_of_categories_agree():
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["shop", "kind"]))
    fitted = make_pipeline(columns, ComplementNB()).fit(TRAINED, CLASS)
    check(fitted, FRESH, "float64", 1e-6)


@pytest.mark.parametrize("drop", [None, "first"])
def test_an_unknown_category_that_the_encoder_refuses_gives_nan(drop):
    encoder = OneHotEncoder(drop=drop).fit(TRAINED[["shop"]])
    rows = FRESH[["shop"]]
    known = rows[rows["shop"] != "never seen"]
    check(encoder, known, "float64", 0)
    is_unknown = (rows["shop"] == "never seen").to_numpy()
    assert np.array_equal(np.isnan(run(encoder, rows)["transformed"]).all(axis=1), is_unknown)
    model = make_pipeline(OneHotEncoder(drop=drop), Ridge()).fit(TRAINED[["shop"]], PRICE)
    check(model, known, "float64", 1e-9)
    assert np.array_equal(np.isnan(run(model, rows)["prediction"]).ravel(), is_unknown)


def test_the_file_grows_with_the_number_of_categories_and_not_with_its_square():
    sizes = []
    for levels in (1000, 2000):
        shops = pd.DataFrame({"shop": [f"shop {i:04}" for i in range(levels)]})
        target = np.arange(levels) % 2
        for model in (LogisticRegression(), RandomForestClassifier(3, max_depth=8)):
            fitted = make_pipeline(OneHotEncoder(handle_unknown="ignore"), model)
            inputs, _ = layout(shops)
            graph = to_graph(fitted.fit(shops, target), inputs, precision="float64")
            assert "OneHot" not in {node.op_type for node in graph.graph.node}
            sizes.append(len(graph.SerializeToString()))
    assert sizes[2] < 2.1 * sizes[0]
    assert sizes[3] < 2.1 * sizes[1]
