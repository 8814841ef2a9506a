"""Kernels, neighbours, densities, projections, networks, clusters: parameters that affect the
numbers.
"""

import numpy as np
import pytest
from convert_harness import assert_agrees, case_name, differences, run
from sidecall.convert import NotConvertible, to_graph
from sklearn.cluster import Birch, BisectingKMeans, FeatureAgglomeration, KMeans
from sklearn.covariance import EllipticEnvelope
from sklearn.datasets import load_wine
from sklearn.decomposition import NMF, PCA, DictionaryLearning, FastICA, KernelPCA, SparseCoder
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process import kernels as k
from sklearn.kernel_approximation import (
    AdditiveChi2Sampler,
    Nystroem,
    PolynomialCountSketch,
    RBFSampler,
    SkewedChi2Sampler,
)
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestCentroid,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelPropagation
from sklearn.svm import SVC, SVR, NuSVC, OneClassSVM

WINE, CULTIVAR = load_wine(return_X_y=True)
RNG = np.random.default_rng(0)
X = StandardScaler().fit_transform(WINE) + RNG.normal(scale=1e-3, size=WINE.shape)
Y = X @ np.arange(13.0)
TWO = (CULTIVAR == 1).astype(int)
ROWS = (X + RNG.normal(scale=0.2, size=X.shape)).astype("float32")


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "sigmoid"])
@pytest.mark.parametrize("cls", [SVC, NuSVC], ids=lambda c: c.__name__)
def test_support_vector_classifiers_agree(cls, kernel):
    for y in (TWO, np.array(["a", "b", "c"])[CULTIVAR]):
        for shape in ("ovr", "ovo"):
            assert_agrees(
                cls(kernel=kernel, decision_function_shape=shape, coef0=0.3).fit(X, y), ROWS
            )
    assert_agrees(cls(kernel=kernel, break_ties=True).fit(X, CULTIVAR), ROWS)


@pytest.mark.parametrize("cls", [SVC, NuSVC], ids=lambda c: c.__name__)
@pytest.mark.filterwarnings("ignore:The `probability`:FutureWarning")
def test_probabilities_of_libsvm_agree_also_near_the_boundary(cls):
    options = {"probability": True, "random_state": 0}
    # Scores near 0 give exactly 1/2, because libsvm's iteration stops before its first step.
    near = np.repeat(X[:1], 2000, axis=0) + np.linspace(-3, 3, 2000).reshape(-1, 1)
    two = cls(kernel="linear", **options).fit(X, TWO)
    assert (two.predict_proba(near) == 0.5).any()
    three = cls(**options).fit(X, np.array(["a", "b", "c"])[CULTIVAR])
    five = cls(kernel="poly", **options).fit(X, np.arange(len(X)) % 5)
    for model in (two, three, five):
        found = differences(model, near, "float64")
        assert found["label"] == 0
        assert found["probabilities"] < 1e-9


def test_probabilities_of_too_many_classes_are_refused():
    model = SVC(probability=True).fit(
        np.repeat(np.arange(41.0), 6)[:, None], np.repeat(range(41), 6)
    )
    with pytest.raises(NotConvertible, match="at most 40 are supported"):
        to_graph(model, [("X", "float64", 1)], precision="float64")


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "sigmoid"])
def test_kernel_methods_that_are_not_classifiers_agree(kernel):
    assert_agrees(SVR(kernel=kernel).fit(X, Y), ROWS)
    assert_agrees(OneClassSVM(kernel=kernel).fit(X), ROWS, tolerance=1e-4)
    assert_agrees(KernelRidge(kernel=kernel, gamma=0.05, alpha=1.0).fit(X, Y), ROWS, exact=1e-8)
    assert_agrees(
        Nystroem(kernel=kernel, n_components=8, gamma=0.1, coef0=0.5, degree=2, random_state=0).fit(
            X
        ),
        ROWS,
        exact=1e-8,
    )


@pytest.mark.parametrize("kernel", ["rbf", "poly", "cosine"])
def test_kernel_pca_agrees(kernel):
    assert_agrees(KernelPCA(3, kernel=kernel).fit(X), ROWS, exact=1e-8)


@pytest.mark.parametrize(
    "kernel",
    [
        k.ConstantKernel(2.0) * k.RBF(3.0) + k.WhiteKernel(0.1),
        k.Matern(3.0, nu=0.5),
        k.Matern(3.0, nu=1.5),
        k.Matern(np.full(13, 3.0), nu=2.5),
        k.RationalQuadratic(2.0, 0.7),
        k.ExpSineSquared(0.5, 20.0) + k.WhiteKernel(0.1),
        k.DotProduct(1.0) ** 2 + k.WhiteKernel(1.0),
    ],
    ids=str,
)
def test_gaussian_processes_agree(kernel):
    assert_agrees(
        GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True, alpha=1e-3).fit(X, Y),
        ROWS,
        exact=1e-7,
    )
    if not isinstance(kernel, k.Sum):
        assert_agrees(
            GaussianProcessClassifier(kernel, optimizer=None).fit(X, CULTIVAR), ROWS, exact=1e-7
        )


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "chebyshev", "minkowski", "cosine"])
def test_nearest_neighbours_agree(metric, weights):
    p = 3 if metric == "minkowski" else 2
    for model in (
        KNeighborsClassifier(4, weights=weights, metric=metric, p=p).fit(X, CULTIVAR),
        KNeighborsRegressor(3, weights=weights, metric=metric, p=p).fit(X, np.c_[Y, Y**2]),
    ):
        assert_agrees(model, ROWS, exact=1e-8)


def test_a_fitted_row_is_its_own_neighbour():
    model = KNeighborsRegressor(3, weights="distance").fit(X, Y)
    np.testing.assert_allclose(run(model, X, "float64")["prediction"][:, 0], Y, rtol=1e-9)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_neighbours_within_a_radius_agree(weights):
    assert_agrees(
        RadiusNeighborsClassifier(2.5, weights=weights, outlier_label=1).fit(X, CULTIVAR),
        ROWS,
        exact=1e-8,
    )
    assert_agrees(RadiusNeighborsRegressor(2.5, weights=weights).fit(X, Y), ROWS, exact=1e-8)


def test_outlier_detectors_agree():
    assert_agrees(LocalOutlierFactor(novelty=True, contamination=0.1).fit(X), ROWS, exact=1e-8)
    assert_agrees(EllipticEnvelope(random_state=0).fit(X), ROWS, exact=1e-8)


def test_label_propagation_with_neighbours_agrees():
    y = np.where(RNG.random(len(X)) < 0.5, -1, CULTIVAR)
    assert_agrees(LabelPropagation("knn", n_neighbors=5).fit(X, y), ROWS)


@pytest.mark.parametrize("solver", ["svd", "eigen", "lsqr"])
def test_discriminant_analysis_agrees(solver):
    for y in (TWO, CULTIVAR):
        assert_agrees(LinearDiscriminantAnalysis(solver=solver).fit(X, y), ROWS)
        assert_agrees(QuadraticDiscriminantAnalysis(reg_param=0.1).fit(X, y), ROWS)
        assert_agrees(NearestCentroid(shrink_threshold=0.3).fit(X, y), ROWS)
        assert_agrees(NearestCentroid(priors="empirical").fit(X, y), ROWS)


def test_nearest_centroids_agree_on_rows_far_away():
    model = NearestCentroid().fit(X, CULTIVAR)
    far = np.concatenate([np.eye(X.shape[1]) * scale for scale in 10.0 ** np.arange(9, 18, 0.25)])
    assert run(model, far, "float64")["probabilities"] == pytest.approx(
        model.predict_proba(far), abs=1e-8
    )


def test_pca_subtracts_the_mean_after_the_product_as_scikit_learn_does():
    model = PCA(1).fit(X[:, :2])
    model.mean_, model.components_ = np.array([1e9, 0.0]), np.array([[0.6, 0.8]])
    rows = np.c_[1e9 + np.linspace(0, 1, 50), np.zeros(50)]
    np.testing.assert_array_equal(run(model, rows, "float64")["transformed"], model.transform(rows))


# A float32 sampler has float32 angles, whose last digits are whole turns for huge numbers.
@pytest.mark.parametrize(("dtype", "largest", "within"), [("f8", 300, 1e-8), ("f4", 38, 2e-5)])
@pytest.mark.parametrize("cls", [RBFSampler, SkewedChi2Sampler], ids=lambda c: c.__name__)
def test_random_cosines_of_huge_numbers_agree(cls, dtype, largest, within):
    model = cls(n_components=20, random_state=0).fit(np.abs(X[:, :1]).astype(dtype))
    rows = (10.0 ** np.arange(0, largest, largest / 40)).astype(dtype).reshape(-1, 1)
    assert run(model, rows, "float64")["transformed"] == pytest.approx(
        model.transform(rows), abs=within
    )


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize(
    "cls", [GaussianMixture, BayesianGaussianMixture], ids=lambda c: c.__name__
)
def test_gaussian_mixtures_agree(cls, covariance):
    assert_agrees(
        cls(n_components=3, covariance_type=covariance, random_state=0, max_iter=20).fit(X), ROWS
    )


def test_naive_bayes_of_counts_and_codes_agrees():
    codes = RNG.integers(0, 4, size=X.shape)
    assert_agrees(CategoricalNB().fit(codes, CULTIVAR), codes.astype("float32"))
    assert_agrees(BernoulliNB(binarize=0.3).fit(X, CULTIVAR), ROWS)
    assert_agrees(ComplementNB(norm=True).fit(codes, TWO), codes.astype("float32"))


@pytest.mark.parametrize("value", [-1.0, 9.0, np.nan])
def test_a_code_that_naive_bayes_never_saw_raises_an_error(value):
    codes = RNG.integers(0, 4, size=X.shape)
    with pytest.raises(Exception, match=r"out of (data )?bounds"):
        run(CategoricalNB().fit(codes, CULTIVAR), np.full((1, 13), value, dtype="float32"))


def test_naive_bayes_truncates_codes_to_integers():
    model = CategoricalNB().fit(RNG.integers(0, 4, size=X.shape), CULTIVAR)
    assert_agrees(model, np.tile(np.array([[-0.5], [1.5], [3.9]], dtype="float32"), 13))


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_neural_networks_agree(activation):
    for y in (TWO, CULTIVAR, np.c_[TWO, 1 - TWO]):
        assert_agrees(MLPClassifier(8, activation=activation, max_iter=30).fit(X, y), ROWS)
    assert_agrees(
        MLPRegressor(hidden_layer_sizes=(8, 4), activation=activation, max_iter=30).fit(
            X, np.c_[Y, -Y]
        ),
        ROWS,
    )


@pytest.mark.parametrize("loss", ["log_loss", "modified_huber", "hinge"])
def test_sgd_classifiers_agree(loss):
    for y in (TWO, CULTIVAR):
        assert_agrees(SGDClassifier(loss=loss, random_state=0).fit(X, y), ROWS, tolerance=1e-4)


def test_ridge_with_several_labels_agrees():
    assert_agrees(RidgeClassifier().fit(X, np.c_[TWO, CULTIVAR == 2, TWO]), ROWS)


def test_projections_agree():
    assert_agrees(PCA(4, whiten=True).fit(X), ROWS)
    assert_agrees(
        FastICA(4, whiten=False, random_state=0, max_iter=20).fit(X), ROWS, tolerance=1e-4
    )
    assert_agrees(FeatureAgglomeration(4, pooling_func=np.max).fit(X), ROWS)
    assert_agrees(AdditiveChi2Sampler(sample_steps=3).fit(np.abs(X)), np.abs(ROWS))
    assert_agrees(
        PolynomialCountSketch(degree=3, coef0=0.5, n_components=16, random_state=0).fit(X), ROWS
    )
    coder = SparseCoder(
        np.eye(13)[:5], transform_algorithm="threshold", transform_alpha=0.4, split_sign=True
    )
    assert_agrees(coder.fit(X), ROWS)


def test_feature_selections_agree():
    assert_agrees(SelectFromModel(Ridge()).fit(X, Y), ROWS)
    assert_agrees(RFE(LogisticRegression(), n_features_to_select=4).fit(X, CULTIVAR), ROWS)


def test_clusterings_agree():
    for model in (
        KMeans(4, n_init=1, random_state=0),
        BisectingKMeans(5, random_state=0),
        Birch(n_clusters=3),
    ):
        found = differences(model.fit(X), ROWS, "float64")
        assert found["label"] == 0 and found["scores"] < 1e-7


def test_dummy_estimators_agree():
    for strategy in ("prior", "most_frequent"):
        assert_agrees(DummyClassifier(strategy=strategy).fit(X, CULTIVAR), ROWS)
    assert_agrees(DummyRegressor(strategy="quantile", quantile=0.3).fit(X, Y), ROWS)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (DummyClassifier(strategy="uniform"), "at random"),
        (SVC(kernel=lambda a, b: a @ b.T), "callable kernel"),
        (KNeighborsClassifier(weights=lambda d: d), "Python function"),
        (KNeighborsClassifier(metric="canberra"), "metric 'canberra'"),
        (RadiusNeighborsClassifier(50.0), "outlier_label"),
        (LocalOutlierFactor(), "neither predict nor transform"),
        (GaussianProcessRegressor(k.Matern(nu=0.7), optimizer=None), "Bessel"),
        (DictionaryLearning(3, max_iter=2), "transform_algorithm='omp'"),
        (FeatureAgglomeration(3, pooling_func=np.median), "pooling_func"),
    ],
    ids=case_name,
)
def test_unsupported_models_are_refused(model, reason):
    model.fit(X, CULTIVAR)
    with pytest.raises(NotConvertible, match=reason):
        to_graph(model, [("X", "float32", 13)], precision="float32")


def test_models_that_run_an_optimisation_for_each_row_are_refused():
    model = NMF(2, max_iter=20).fit(np.abs(X))
    with pytest.raises(NotConvertible, match="optimisation"):
        to_graph(model, [("X", "float32", 13)], precision="float32")
