"""Equally near neighbours, and rows so far away that all fitted rows are equally near.

The converted model must choose the same neighbours as scikit-learn.
"""

import numpy as np
import pytest
from convert_harness import run, run_graph, run_graph_natively
from sidecall.convert import to_graph
from sklearn.cluster import AffinityPropagation, Birch, KMeans, MeanShift, MiniBatchKMeans
from sklearn.datasets import load_iris
from sklearn.decomposition import FactorAnalysis
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.impute import KNNImputer
from sklearn.metrics.pairwise import nan_euclidean_distances
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR
from threadpoolctl import threadpool_limits

RNG = np.random.default_rng(3)
GRID = RNG.integers(0, 7, (300, 3)).astype(float)
TARGETS = RNG.normal(size=300)
ASKED = np.vstack(
    [
        RNG.integers(0, 14, (200, 3)) / 2,
        [[1e15, 3, 3], [2.0**63, 1, 1], [-1e300, 1, 1], [1e308, -1e308, 0]],
    ]
)


@pytest.fixture(autouse=True)
def one_thread():
    """With several threads, scikit-learn's brute-force search may choose other rows of equal
    distance.
    """
    with threadpool_limits(1):
        yield


def double(model, rows):
    return run(model, rows, precision="float64")


def on_both_engines(model, rows):
    graph = to_graph(model, [("X", "float64", rows.shape[1])], precision="float64")
    return [run_graph(graph, {"X": rows}), run_graph_natively(graph, {"X": rows})]


@pytest.mark.parametrize("algorithm", ["kd_tree", "ball_tree", "brute"])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev"])
@pytest.mark.parametrize("neighbours", [1, 2, 5, 16])
def test_the_same_neighbours_are_chosen_among_equally_near_rows(algorithm, metric, neighbours):
    model = KNeighborsRegressor(neighbours, algorithm=algorithm, metric=metric, leaf_size=10).fit(
        GRID, TARGETS
    )
    # Brute force expands the square of the distance. For the last row this gives infinities, whose
    # difference is NaN.
    rows = ASKED[:-1] if (algorithm, metric) == ("brute", "euclidean") else ASKED
    np.testing.assert_allclose(
        double(model, rows)["prediction"].ravel(), model.predict(rows), rtol=1e-10
    )


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("algorithm", ["kd_tree", "brute"])
def test_class_probabilities_agree_if_neighbours_are_equally_near(algorithm, weights):
    model = KNeighborsClassifier(5, algorithm=algorithm, metric="manhattan", weights=weights).fit(
        GRID, RNG.integers(0, 3, 300)
    )
    rows = ASKED[:-2]  # infinite distances give no weights
    np.testing.assert_allclose(
        double(model, rows)["probabilities"], model.predict_proba(rows), rtol=1e-10, atol=1e-12
    )


def test_as_many_neighbours_as_rows_agree():
    model = KNeighborsRegressor(12, algorithm="kd_tree").fit(GRID[:12], TARGETS[:12])
    np.testing.assert_allclose(
        double(model, ASKED[:-2])["prediction"].ravel(), model.predict(ASKED[:-2]), rtol=1e-10
    )


@pytest.mark.parametrize(
    "model",
    [
        KMeans(5, random_state=0, n_init=2),
        MiniBatchKMeans(5, random_state=0, n_init=2),
        MeanShift(bandwidth=2.5),
        AffinityPropagation(damping=0.8, random_state=0),
        Birch(n_clusters=3),
    ],
    ids=lambda m: type(m).__name__,
)
def test_clusters_of_far_rows_agree(model):
    model.fit(GRID[:80] - 3.0)  # centres on both sides of 0
    assert len(np.unique(model.labels_)) > 1
    far = ASKED * np.random.default_rng(0).normal(1, 0.1, ASKED.shape)
    rows = np.vstack([far[:-1], [[1.7e308, 0.0, 1.0], [0.0, -1.7e308, 1.0]]])
    for answers in on_both_engines(model, rows):
        np.testing.assert_array_equal(answers["label"].ravel(), model.predict(rows))


def test_factors_overflow_in_the_same_rows():
    """The first of two products overflows, although the product of all three matrices is small."""
    model = FactorAnalysis(2, random_state=0).fit(GRID)
    model.components_ = np.array([[1.0, 2.0, 3.0], [3.0, 1.0, -2.0]])
    model.noise_variance_ = np.full(3, 1e-3)
    rows = np.vstack([ASKED[:-4], [[1e304, 0.0, 1.0], [1e306, 0.0, 1.0]]])
    with np.errstate(all="ignore"):
        expected = model.transform(rows)
    assert np.isfinite(expected[-2]).all() and not np.isfinite(expected[-1]).any()
    for answers in on_both_engines(model, rows):
        np.testing.assert_allclose(answers["transformed"], expected, rtol=1e-9)


def test_imputers_find_the_same_neighbours_if_a_coordinate_is_far():
    """The square of a far coordinate rounds the other coordinates away.

    So the order of the additions decides which of the fitted rows are near.
    """
    rng = np.random.default_rng(1)
    fitted, rows = rng.normal(size=(200, 5)), rng.normal(size=(80, 5))
    fitted[::3, 0] = rows[:, 4] = np.nan
    rows[:, 0] = np.repeat([-1e6, 16777217.0], 40)
    model = KNNImputer(n_neighbors=3).fit(fitted)
    # A row whose third and fourth neighbours are equally near has no defined answer.
    near = np.sort(nan_euclidean_distances(rows, fitted), axis=1)
    rows = rows[near[:, 2] < near[:, 3]]
    assert len(rows) > 30
    for answers in on_both_engines(model, rows):
        np.testing.assert_allclose(answers["transformed"], model.transform(rows), rtol=1e-12)


@pytest.mark.parametrize("shape", ["ovo", "ovr"])
@pytest.mark.parametrize("kernel", ["linear", "poly"])
def test_an_infinite_kernel_value_reaches_only_the_pairs_of_its_class(kernel, shape):
    x = GRID[np.isin(GRID[:, 0], [0.0, 1.0, 6.0])]
    model = SVC(kernel=kernel, C=0.05, decision_function_shape=shape).fit(x, x[:, 0])
    rows = np.vstack([ASKED[:-4] + 0.01, [[3.2e307, 0.0, 0.0], [-3.2e307, 0.0, 0.0]]])
    expected = model.decision_function(rows)
    if (kernel, shape) == ("linear", "ovo"):
        assert np.isfinite(expected[-2:]).any() and not np.isfinite(expected[-2:]).all()
    for answers in on_both_engines(model, rows):
        np.testing.assert_allclose(answers["scores"], expected, rtol=1e-8, atol=1e-9)
        np.testing.assert_array_equal(answers["label"].ravel(), model.predict(rows))


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_mixtures_of_far_rows_agree(covariance):
    model = GaussianMixture(3, covariance_type=covariance, random_state=0).fit(
        GRID + RNG.normal(size=GRID.shape)
    )
    rows = np.vstack([ASKED[:-4] + 0.1, [[1e15, 3.0, 3.0]]])
    np.testing.assert_allclose(
        double(model, rows)["probabilities"], model.predict_proba(rows), rtol=1e-8, atol=1e-12
    )


def test_naive_bayes_that_was_fitted_in_float32_computes_in_float32():
    model = GaussianNB().fit(GRID.astype("float32"), TARGETS > 0)
    rows = np.vstack([GRID, np.full((1, 3), 1e30)]).astype("float32")
    got = run(model, rows, precision="float64", steps={id(model): "float32"})["probabilities"]
    with np.errstate(all="ignore"):
        expected = model.predict_proba(rows)
    assert np.isnan(expected[-1]).all()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_discriminants_that_were_fitted_in_float32_overflow_as_in_float32():
    classes = GRID[:, 0] % 3
    model = QuadraticDiscriminantAnalysis().fit(
        (GRID + TARGETS[:, None]).astype("float32"), classes
    )
    rows = np.vstack([GRID, np.full((1, 3), 1e30)]).astype("float32")
    got = run(model, rows, precision="float64", steps={id(model): "float32"})
    with np.errstate(all="ignore"):
        expected = model.predict_proba(rows)
    assert np.isnan(expected[-1]).all()
    np.testing.assert_allclose(got["probabilities"], expected, rtol=1e-4, atol=1e-5)
    assert got["label"][-1] == model.predict(rows)[-1]


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_support_vectors_agree_on_far_rows(kernel):
    model = SVR(kernel=kernel).fit(GRID, TARGETS)
    rows = np.vstack([ASKED[:-4], [[1e200, 0.0, 0.0], [-1e160, 1e160, 0.0]]])
    np.testing.assert_allclose(
        double(model, rows)["prediction"].ravel(), model.predict(rows), rtol=1e-8, atol=1e-9
    )


@pytest.mark.parametrize("covariance", ["full", "tied"])
@pytest.mark.parametrize("width", [2, 7, 8, 11, 24])
def test_squares_of_a_mixture_are_added_in_the_order_of_numpy(covariance, width):
    """The rows are so far away that only the last digits distinguish the components.

    The precision matrices are identities, so no other operation rounds.
    """
    model = GaussianMixture(2, covariance_type=covariance, random_state=0).fit(
        RNG.normal(size=(50, width))
    )
    model.means_ = np.array([np.zeros(width), np.ones(width)])
    model.precisions_cholesky_ = (
        np.eye(width) if covariance == "tied" else np.array([np.eye(width)] * 2)
    )
    rows = np.round(RNG.normal(size=(300, width)) * 1e15)
    answers = double(model, rows)
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(rows), rtol=1e-10)
    np.testing.assert_array_equal(answers["label"].ravel(), model.predict(rows))


def test_a_score_of_a_pair_that_is_not_finite_reaches_only_its_two_classes():
    model = SVC(kernel="linear", C=10).fit(*load_iris(return_X_y=True))
    # Without negative numbers a sum overflows in any order of its terms, which depends on the
    # processor.
    far = np.abs(np.random.default_rng(0).normal(size=(60, 4))) * 1e307
    with np.errstate(all="ignore"):
        expected = model.decision_function(far)
    is_some = np.isfinite(expected).any(axis=1) & ~np.isfinite(expected).all(axis=1)
    assert is_some.any()
    for answers in on_both_engines(model, far):
        np.testing.assert_allclose(answers["scores"], expected, rtol=1e-8)


@pytest.mark.parametrize("count", [1, 4])
def test_neighbours_by_brute_force_of_rows_whose_squares_overflow_agree(count):
    x = GRID + RNG.normal(size=GRID.shape)
    model = KNeighborsClassifier(count, algorithm="brute").fit(x, TARGETS > 0)
    far = np.vstack([np.full((1, 3), 5e307), np.eye(3) * 1.5e308, np.eye(3) * -7e307])
    with np.errstate(all="ignore"):
        expected = model.predict_proba(far)
    for answers in on_both_engines(model, far):
        np.testing.assert_array_equal(answers["probabilities"], expected)
