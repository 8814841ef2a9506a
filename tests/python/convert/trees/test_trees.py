"""Trees, forests and boosting: thresholds, missing values, categories, types of rows."""

import numpy as np
import pandas as pd
import pytest
from convert_harness import assert_agrees, differences, run, session
from sidecall.convert import NotConvertible, to_graph
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

CANCER, MALIGNANT = load_breast_cancer(return_X_y=True)
WINE, CULTIVAR = load_wine(return_X_y=True)
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
NAMES = np.array(["barolo", "grignolino", "barbera"])[CULTIVAR]


def with_holes(x, share=0.1):
    x = x.copy()
    x[np.random.default_rng(0).random(x.shape) < share] = np.nan
    return x


def test_histogram_boosting_agrees():
    model = HistGradientBoostingClassifier(max_iter=20).fit(CANCER, MALIGNANT)
    assert_agrees(model, CANCER.astype("float32"))


def test_histogram_thresholds_round_down_so_that_float32_rows_are_exact():
    x = with_holes(CANCER)
    model = HistGradientBoostingClassifier().fit(x, MALIGNANT)
    rows = x.astype("float32")
    assert differences(model, rows)["probabilities"] < 1e-6
    # With thresholds rounded to nearest, some of these rows would take another branch. Without this
    # check the test could pass on rows that show no difference.
    assert differences(model, rows, rows="float64")["probabilities"] > 1e-3


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_histogram_thresholds_round_to_nearest_for_rounded_float64_rows(precision):
    x = with_holes(CANCER)
    model = HistGradientBoostingClassifier().fit(x, MALIGNANT)
    got = run(model, x.astype("float32"), precision, rows="float64")["probabilities"]
    assert np.abs(got - model.predict_proba(x)).max() < 1e-6


def test_histogram_boosting_with_double_inputs_is_exact():
    x = with_holes(CANCER)
    model = HistGradientBoostingClassifier(max_iter=30).fit(x, MALIGNANT)
    assert differences(model, x, "float64")["probabilities"] < 1e-12


@pytest.mark.parametrize("scaled", [False, True])
def test_a_histogram_regressor_is_exact_with_and_without_a_scaler(scaled):
    steps = [StandardScaler()] if scaled else []
    model = make_pipeline(*steps, HistGradientBoostingRegressor(max_iter=30)).fit(
        DIABETES, PROGRESS
    )
    assert differences(model, DIABETES.astype("float32"), "float64")["prediction"] < 1e-12


@pytest.mark.parametrize("loss", ["poisson", "gamma", "absolute_error", "quantile"])
def test_histogram_losses_agree(loss):
    extra = {"quantile": 0.7} if loss == "quantile" else {}
    assert_agrees(
        HistGradientBoostingRegressor(loss=loss, max_iter=10, **extra).fit(DIABETES, PROGRESS),
        DIABETES.astype("float32"),
    )


def test_histogram_boosting_with_class_names_agrees():
    assert_agrees(
        HistGradientBoostingClassifier(max_iter=10).fit(WINE, NAMES), WINE.astype("float32")
    )


def categories(size=300):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "job": rng.choice(list("abcdefgh"), size),
            "age": rng.normal(size=size).astype("float32"),
            "zip": rng.integers(0, 9, size),
        }
    )
    frame.loc[::17, "job"] = None
    target = frame["job"].isin(list("acf")).to_numpy() ^ (
        frame["zip"].isin([1, 4, 5]).to_numpy() & (frame["age"].to_numpy() > 0)
    )
    return frame, target.astype(int)


def test_histogram_string_categories_agree_if_unknown_or_missing():
    frame, y = categories()
    typed = frame.assign(job=frame["job"].astype("category"))
    model = HistGradientBoostingClassifier(
        categorical_features="from_dtype", max_iter=30, min_samples_leaf=5
    ).fit(typed, y)
    rows = frame.copy()
    rows.loc[:20, "job"] = "unseen"
    assert_agrees(model, rows.assign(job=rows["job"].astype("category")))


def test_histogram_number_categories_agree():
    frame, y = categories()
    x = frame[["zip", "age"]].to_numpy("float64")
    model = HistGradientBoostingClassifier(
        categorical_features=[0], max_iter=30, min_samples_leaf=5
    ).fit(x, y)
    rows = np.vstack([x, [[77, 0.1], [np.nan, 0.2]]]).astype("float32")
    assert_agrees(model, rows)


MODELS = [
    GradientBoostingClassifier(n_estimators=20),
    GradientBoostingClassifier(n_estimators=10, loss="exponential"),
    RandomForestClassifier(21, random_state=0),
    ExtraTreesClassifier(11, random_state=0),
    DecisionTreeClassifier(),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_classifiers_of_two_classes_agree(model, dtype):
    assert_agrees(model.fit(CANCER, MALIGNANT), CANCER.astype(dtype))


@pytest.mark.parametrize(
    "model",
    [m for m in MODELS if getattr(m, "loss", "") != "exponential"],
    ids=lambda m: type(m).__name__,
)
def test_classifiers_with_class_names_agree(model):
    assert_agrees(model.fit(WINE, NAMES), WINE.astype("float32"))


@pytest.mark.parametrize("model", MODELS, ids=lambda m: type(m).__name__)
def test_trees_after_a_scaler_have_float64_thresholds(model):
    pipeline = make_pipeline(StandardScaler(), model).fit(CANCER, MALIGNANT)
    assert differences(pipeline, CANCER, "float64")["probabilities"] < 1e-12


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingRegressor(n_estimators=20),
        GradientBoostingRegressor(n_estimators=5, init="zero", loss="huber"),
        RandomForestRegressor(10),
        DecisionTreeRegressor(criterion="poisson"),
    ],
    ids=str,
)
def test_regressors_agree(model):
    assert_agrees(model.fit(DIABETES, PROGRESS), DIABETES.astype("float32"))


def test_boosting_that_starts_from_a_regressor_agrees():
    # scikit-learn passes the rows as float32, so the first regressor answers in float32.
    model = GradientBoostingRegressor(n_estimators=5, init=Ridge()).fit(DIABETES, PROGRESS)
    assert_agrees(model, DIABETES.astype("float32"), exact=1e-6)


def test_probabilities_of_a_forest_stay_within_zero_and_one():
    for trees in (3, 10, 20, 70):
        model = RandomForestClassifier(trees, random_state=0, max_depth=4).fit(CANCER, MALIGNANT)
        got = run(model, CANCER.astype("float32"))["probabilities"]
        assert got.min() >= 0 and got.max() <= 1


def test_a_forest_with_missing_values_agrees():
    x = with_holes(CANCER)
    assert_agrees(RandomForestClassifier(10).fit(x, MALIGNANT), x.astype("float32"))


@pytest.mark.parametrize("trees", [2, 9, 10, 16, 50])
def test_equal_votes_of_two_classes_stay_equal(trees):
    model = RandomForestClassifier(trees, random_state=0, max_features=1).fit(
        CANCER[::4], MALIGNANT[::4]
    )
    rows = np.repeat(CANCER, 3, axis=0) * np.random.default_rng(0).uniform(
        0.8, 1.2, size=(3 * len(CANCER), 1)
    )
    rows = rows.astype("float32")
    if trees == 10:
        assert (model.predict_proba(rows)[:, 0] == 0.5).any()
    assert_agrees(model, rows, exact=1e-12)


def test_forests_with_several_outputs_agree():
    two = np.c_[MALIGNANT, CANCER[:, 0] > 14]
    assert_agrees(RandomForestClassifier(5).fit(CANCER, two), CANCER.astype("float32"))
    assert_agrees(
        RandomForestRegressor(5).fit(DIABETES, np.c_[PROGRESS, PROGRESS**0.5]),
        DIABETES.astype("float32"),
    )


@pytest.mark.parametrize("features", [1.0, 0.5])
def test_isolation_forests_agree(features):
    assert_agrees(
        IsolationForest(n_estimators=20, max_features=features).fit(DIABETES),
        DIABETES.astype("float32"),
    )


def test_random_trees_embeddings_agree():
    assert_agrees(RandomTreesEmbedding(5, max_depth=3).fit(DIABETES), DIABETES.astype("float32"))


def test_a_tree_of_a_single_leaf_agrees():
    model = GradientBoostingClassifier(n_estimators=3, max_depth=1, min_samples_leaf=400).fit(
        CANCER, MALIGNANT
    )
    assert_agrees(model, CANCER.astype("float32"))


def test_gradient_boosting_converts_to_one_node():
    model = GradientBoostingClassifier(n_estimators=20).fit(CANCER, MALIGNANT)
    graph = to_graph(model, [("X", "float32", 30)], precision="float32")
    assert [n.op_type for n in graph.graph.node] == ["TreeEnsembleClassifier"]


@pytest.mark.parametrize(
    "model",
    [GradientBoostingClassifier(n_estimators=20), HistGradientBoostingClassifier(max_iter=20)],
)
def test_boosting_of_doubles_converts_to_three_nodes(model):
    graph = to_graph(model.fit(CANCER, MALIGNANT), [("X", "float64", 30)])
    assert [n.op_type for n in graph.graph.node] == ["TreeEnsemble", "ArgMax", "Softmax"]


def test_boosting_that_starts_from_a_classifier_is_refused():
    model = GradientBoostingClassifier(
        n_estimators=2, init=LogisticRegression(max_iter=1000, solver="newton-cholesky")
    ).fit(WINE, CULTIVAR)
    with pytest.raises(NotConvertible, match="starts from another estimator"):
        to_graph(model, [("X", "float32", 13)], precision="float32")


def test_a_forest_with_several_outputs_has_no_probabilities():
    model = RandomForestClassifier(3).fit(CANCER, np.c_[MALIGNANT, MALIGNANT])
    graph = to_graph(model, [("X", "float32", 30)], precision="float32")
    assert [o.name for o in session(graph).get_outputs()] == ["label"]


def grow(rng, depth):
    """A random tree as nested tuples.

    A node is (feature, threshold, missing goes left, left, right); a leaf is an array of values.
    """
    if depth == 0 or rng.random() < 0.35:
        return rng.normal(size=2)
    return (
        int(rng.integers(3)),
        float(np.float32(rng.normal())),
        bool(rng.integers(2)),
        grow(rng, depth - 1),
        grow(rng, depth - 1),
    )


def answer(tree, row):
    while isinstance(tree, tuple):
        feature, threshold, missing, left, right = tree
        tree = left if (missing if np.isnan(row[feature]) else row[feature] <= threshold) else right
    return tree


def flat(tree, rows):
    """Appends the nodes of a tree to `rows`, the root first; returns the root's number."""
    place = len(rows)
    rows.append([0, 0.0, 0, 0, False, True, np.zeros(2)])
    if isinstance(tree, tuple):
        feature, threshold, missing, left, right = tree
        rows[place] = [
            feature,
            threshold,
            flat(left, rows),
            flat(right, rows),
            missing,
            False,
            np.zeros(2),
        ]
    else:
        rows[place][6] = tree
    return place


@pytest.mark.parametrize(
    ("precision", "new_trees"), [("float32", False), ("float32", True), ("float64", False)]
)
@pytest.mark.parametrize("seed", range(12))
def test_trees_of_any_shape_agree(seed, precision, new_trees):
    from sidecall.convert.graph.builder import Tensor
    from sidecall.convert.graph.frame import Frame
    from sidecall.convert.graph.tree_ensemble import Ensemble
    from sidecall.convert.graph.tree_rows import TreeRows
    from sidecall.convert.registry import Conversion

    rng = np.random.default_rng(seed)
    trees = [grow(rng, 4) for _ in range(rng.integers(1, 8))]
    ensemble = Ensemble(2)
    for tree in trees:
        rows = []
        flat(tree, rows)
        ensemble.add_values(*(np.array(c) for c in zip(*rows, strict=True)))
    ensemble.start_with([0.5, -0.25])
    g = Conversion(precision, ["X"])
    g.new_trees = new_trees
    x = Tensor(g, "X", precision, 3)
    columns = TreeRows.of(g, Frame(g, [x]), Frame.matrix, precision, "float64")
    graph = g.finish("trees", [(x, 3)], [("y", ensemble.scores(g, columns), [2])])
    table = rng.normal(size=(200, 3)).astype("float32")
    table[rng.random(table.shape) < 0.1] = np.nan
    expected = np.array([np.sum([answer(tree, row) for tree in trees], axis=0) for row in table])
    got = session(graph).run(None, {"X": table.astype(precision)})[0]
    np.testing.assert_allclose(
        got - np.array([0.5, -0.25]), expected, atol=1e-5 if precision == "float32" else 1e-12
    )
