"""Linear classifiers and networks convert to few nodes, which handle ties and huge scores."""

import numpy as np
import pytest
from convert_harness import assert_agrees, run
from sidecall.convert import to_graph
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 3))
TWO = (X @ [1.0, -2.0, 0.5] + RNG.normal(size=120) > 0.0).astype(int)
THREE = np.arange(120) % 3


def operators(model, precision):
    graph = to_graph(model, [("X", "float32", 3)], precision=precision).graph
    return [node.op_type for node in graph.node if node.op_type != "Cast"]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    ("model", "y", "expected"),
    [
        (LogisticRegression(), TWO, "Gemm ArgMax Sigmoid"),
        (LogisticRegression(), TWO.astype(str), "Gemm ArgMax Gather Sigmoid"),
        (LogisticRegression(), THREE, "Gemm ArgMax Softmax"),
        (make_pipeline(StandardScaler(), LogisticRegression()), TWO, "Sub Div Gemm ArgMax Sigmoid"),
        (LinearDiscriminantAnalysis(), TWO, "Gemm ArgMax Sigmoid"),
        (SGDClassifier(loss="log_loss"), TWO, "Gemm ArgMax Sigmoid"),
        (RidgeClassifier(), TWO, "Gemm Greater Squeeze"),
        (MLPClassifier(4, max_iter=5), TWO, "Gemm Relu Gemm ArgMax Sigmoid"),
        (MLPClassifier(4, max_iter=5), THREE, "Gemm Relu Gemm Softmax ArgMax"),
    ],
    ids=lambda v: str(v)[:40] if not isinstance(v, np.ndarray) else v.dtype.kind,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_graphs_have_the_expected_operators(model, y, expected, precision):
    assert operators(model.fit(X, y), precision) == expected.split()


def logistic(weights, intercept, y=TWO):
    model = LogisticRegression().fit(X, y)
    model.coef_, model.intercept_ = (
        np.array([weights], dtype="float64"),
        np.array([intercept], dtype="float64"),
    )
    return model


@pytest.mark.parametrize("rows", [1, 2, 9, 64])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_tie_gives_the_first_class(precision, rows):
    for weights, row in (([1.0, 1.0, 2.0], [0.0, 0.0, 0.0]), ([1.0, 1.0, 2.0], [1.0, 1.0, -1.0])):
        got = run(logistic(weights, 0.0), np.full((rows, 3), row, dtype="float32"), precision)
        assert got["label"].tolist() == [0] * rows
        assert (got["probabilities"] == 0.5).all()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_tiny_scores_decide_although_their_probabilities_round_to_a_half(precision):
    tiny = np.array([[1e-20, 0.0, 0.0], [-1e-20, 0.0, 0.0]], dtype="float32")
    model = logistic([1.0, 0.0, 0.0], 0.0)
    got = run(model, tiny, precision)
    assert got["label"].tolist() == [1, 0] == model.predict(tiny.astype("float64")).tolist()
    assert (got["probabilities"] == 0.5).all()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_huge_scores_give_probabilities_of_zero_and_one(precision):
    huge = np.array([[1e30, 0.0, 0.0], [-1e30, 0.0, 0.0], [3e38, 0.0, 0.0]], dtype="float32")
    got = run(logistic([10.0, 0.0, 0.0], 0.0), huge, precision)
    assert got["label"].tolist() == [1, 0, 1]
    np.testing.assert_allclose(got["probabilities"], [[0, 1], [1, 0], [0, 1]], atol=1e-7)
    assert not np.isnan(got["probabilities"]).any()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_classes_that_are_not_indices_are_returned(precision):
    model = logistic([1.0, 0.0, 0.0], 0.0, np.array([7, 9])[TWO])
    got = run(model, np.array([[2.0, 0, 0], [0.0, 0, 0], [-2.0, 0, 0]], dtype="float32"), precision)
    assert got["label"].tolist() == [9, 7, 7]


def test_labels_of_random_rows_agree():
    rows = (RNG.normal(size=(500, 3)) * RNG.choice([1e-6, 1.0, 1e6], size=(500, 1))).astype(
        "float32"
    )
    for model in (
        LogisticRegression(),
        LinearDiscriminantAnalysis(),
        SGDClassifier(loss="modified_huber", random_state=0),
    ):
        assert_agrees(model.fit(X, TWO), rows, tolerance=1e-4)


def test_a_tie_in_a_network_gives_the_first_class():
    model = MLPClassifier(4, max_iter=300, random_state=0).fit(X, TWO)
    model.coefs_[-1][:] = 0.0
    model.intercepts_[-1][:] = 0.0
    assert_agrees(model, X.astype("float32"))
    assert set(run(model, X.astype("float32"))["label"]) == {0}
