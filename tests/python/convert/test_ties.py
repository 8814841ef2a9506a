"""Equally near neighbours, and rows so far away that all fitted rows are equally near.

The converted model must choose the same neighbours as scikit-learn.
"""

import numpy as np
import pytest
from convert_harness import run
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVR
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


@pytest.mark.parametrize("cls", [KMeans, MiniBatchKMeans])
def test_clusters_of_far_rows_agree(cls):
    model = cls(5, random_state=0, n_init=2).fit(GRID)
    rows = ASKED * RNG.normal(1, 0.1, ASKED.shape)
    np.testing.assert_array_equal(double(model, rows[:-1])["label"], model.predict(rows[:-1]))


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
