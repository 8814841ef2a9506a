"""Neighbours, support vectors, Gaussian processes, kernels, naive Bayes, discriminants."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.feature_selection import SelectPercentile, f_classif
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    RBF,
    ExpSineSquared,
    Matern,
    RationalQuadratic,
    WhiteKernel,
)
from sklearn.kernel_approximation import Nystroem, PolynomialCountSketch, RBFSampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, GaussianNB
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    LocalOutlierFactor,
    NearestCentroid,
    NeighborhoodComponentsAnalysis,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, OneClassSVM

from . import data
from .catalogue import fitted, page

SK = "scikit-learn"


@page(SK, "Nearest Neighbors Classification", "auto_examples/neighbors/plot_classification.html")
def nearest_neighbours() -> Any:
    neighbours = KNeighborsClassifier(n_neighbors=11, weights="distance")
    return fitted(make_pipeline(StandardScaler(), neighbours), *data.bundled_frame("iris"))


@page(SK, "Nearest Neighbors regression", "auto_examples/neighbors/plot_regression.html")
def neighbours_regression() -> Any:
    return fitted(KNeighborsRegressor(5, weights="uniform"), *data.curve(40))


@page(
    SK,
    "Comparing Nearest Neighbors with and without Neighborhood Components Analysis",
    "auto_examples/neighbors/plot_nca_classification.html",
)
def neighbourhood_components() -> Any:
    steps = [
        ("scaler", StandardScaler()),
        ("nca", NeighborhoodComponentsAnalysis(random_state=42, max_iter=20)),
        ("knn", KNeighborsClassifier(n_neighbors=1)),
    ]
    return fitted(Pipeline(steps), *data.bundled("iris"))


@page(SK, "Nearest Centroid Classification", "auto_examples/neighbors/plot_nearest_centroid.html")
def nearest_centroid() -> Any:
    return fitted(NearestCentroid(shrink_threshold=0.2), *data.bundled("iris"))


@page(
    SK, "Caching nearest neighbors", "auto_examples/neighbors/plot_caching_nearest_neighbors.html"
)
def cached_neighbours() -> Any:
    graph = KNeighborsTransformer(n_neighbors=10, mode="distance")
    model = KNeighborsClassifier(n_neighbors=5, metric="precomputed")
    return fitted(Pipeline([("graph", graph), ("knn", model)]), *data.bundled("iris"))


@page(
    SK,
    "Novelty detection with Local Outlier Factor (LOF)",
    "auto_examples/neighbors/plot_lof_novelty_detection.html",
)
def local_outliers() -> Any:
    model = LocalOutlierFactor(n_neighbors=20, novelty=True, contamination=0.1)
    return fitted(model, data.bundled("iris")[0])


@page(SK, "RBF SVM parameters", "auto_examples/svm/plot_rbf_parameters.html")
def support_vectors() -> Any:
    grid = {"svc__gamma": [0.01, 0.1], "svc__C": [1, 10]}
    search = GridSearchCV(make_pipeline(StandardScaler(), SVC()), grid, cv=2)
    return fitted(search, *data.bundled("iris"))


@page(
    SK, "SVM-Anova: SVM with univariate feature selection", "auto_examples/svm/plot_svm_anova.html"
)
def selection_and_support_vectors() -> Any:
    steps = [
        ("anova", SelectPercentile(f_classif, percentile=40)),
        ("scaler", StandardScaler()),
        ("svc", SVC(gamma="auto")),
    ]
    return fitted(Pipeline(steps), *data.bundled("breast_cancer"))


@page(
    SK,
    "Support Vector Regression (SVR) using linear and non-linear kernels",
    "auto_examples/svm/plot_svm_regression.html",
)
def support_vector_regression() -> Any:
    return fitted(
        SVR(kernel="poly", C=100, gamma="auto", degree=3, epsilon=0.1, coef0=1), *data.curve(40)
    )


@page(SK, "Non-linear SVM", "auto_examples/svm/plot_svm_nonlinear.html")
def nu_support_vectors() -> Any:
    rows, target = data.bundled("breast_cancer", 200)
    return fitted(make_pipeline(StandardScaler(), NuSVC(gamma="auto", nu=0.2)), rows, target)


@page(SK, "One-class SVM with non-linear kernel (RBF)", "auto_examples/svm/plot_oneclass.html")
def one_class_svm() -> Any:
    rows = data.bundled("iris")[0][:, :2]
    return fitted(OneClassSVM(nu=0.1, kernel="rbf", gamma=0.1), rows)


def _square_kernel(left: Any, right: Any) -> Any:
    return left @ np.array([[2.0, 0], [0, 1.0]]) @ right.T


@page(SK, "SVM with custom kernel", "auto_examples/svm/plot_custom_kernel.html")
def custom_kernel() -> Any:
    rows, target = data.bundled("iris")
    return fitted(SVC(kernel=_square_kernel), rows[:, :2], target)


@page(
    SK,
    "Comparison of kernel ridge regression and SVR",
    "auto_examples/miscellaneous/plot_kernel_ridge_regression.html",
)
def kernel_ridge() -> Any:
    search = GridSearchCV(
        KernelRidge(kernel="rbf", gamma=0.1),
        {"alpha": [1.0, 0.1], "gamma": np.logspace(-2, 2, 3)},
        cv=2,
    )
    return fitted(search, *data.curve(40))


@page(
    SK,
    "Forecasting of CO2 level on Mona Loa dataset using Gaussian process regression (GPR)",
    "auto_examples/gaussian_process/plot_gpr_co2.html",
)
def gaussian_process_of_co2() -> Any:
    rows, target = data.table("co2", "time", "co2", 100)
    trend = 50.0**2 * RBF(length_scale=50.0)
    season = 2.0**2 * RBF(100.0) * ExpSineSquared(1.0, 1.0, periodicity_bounds="fixed")
    medium = 0.5**2 * RationalQuadratic(length_scale=1.0, alpha=1.0)
    noise = 0.1**2 * RBF(length_scale=0.1) + WhiteKernel(noise_level=0.1**2)
    kernel = trend + season + medium + noise
    model = GaussianProcessRegressor(kernel=kernel, normalize_y=False, optimizer=None)
    return fitted(model, rows, target - target.mean())


@page(
    SK,
    "Ability of Gaussian process regression (GPR) to estimate data noise-level",
    "auto_examples/gaussian_process/plot_gpr_noisy.html",
)
def noisy_gaussian_process() -> Any:
    kernel = 1.0 * RBF(length_scale=1.0, length_scale_bounds=(1e-2, 1e3)) + WhiteKernel(1e-2)
    return fitted(GaussianProcessRegressor(kernel=kernel, alpha=0.0), *data.curve(40))


@page(
    SK,
    "Illustration of prior and posterior Gaussian process for different kernels",
    "auto_examples/gaussian_process/plot_gpr_prior_posterior.html",
)
def matern_gaussian_process() -> Any:
    kernel = 1.0 * Matern(length_scale=1.0, length_scale_bounds=(1e-1, 10.0), nu=1.5)
    return fitted(
        GaussianProcessRegressor(kernel=kernel, random_state=0, alpha=0.1), *data.curve(40)
    )


@page(
    SK,
    "Gaussian process classification (GPC) on iris dataset",
    "auto_examples/gaussian_process/plot_gpc_iris.html",
)
def gaussian_process_of_iris() -> Any:
    rows, target = data.bundled("iris", 90)
    return fitted(GaussianProcessClassifier(1.0 * RBF([1.0, 1.0])), rows[:, :2], target)


_APPROXIMATION = "Explicit feature map approximation for RBF kernels"
_APPROXIMATION_PATH = "auto_examples/miscellaneous/plot_kernel_approximation.html"


@page(SK, _APPROXIMATION, _APPROXIMATION_PATH)
def fourier_features() -> Any:
    steps = [
        ("feature_map", RBFSampler(gamma=0.2, random_state=1, n_components=60)),
        ("svm", LinearSVC(random_state=42)),
    ]
    rows, target = data.bundled("digits")
    return fitted(Pipeline(steps), rows / 16.0, target)


@page(SK, _APPROXIMATION, _APPROXIMATION_PATH)
def nystroem_features() -> Any:
    steps = [
        ("feature_map", Nystroem(gamma=0.2, random_state=1, n_components=60)),
        ("svm", LinearSVC(random_state=42)),
    ]
    rows, target = data.bundled("digits")
    return fitted(Pipeline(steps), rows / 16.0, target)


@page(
    SK,
    "Scalable learning with polynomial kernel approximation",
    "auto_examples/kernel_approximation/plot_scalable_poly_kernels.html",
)
def polynomial_sketch() -> Any:
    model = make_pipeline(
        MinMaxScaler(),
        Normalizer(),
        PolynomialCountSketch(n_components=60, degree=4, random_state=0),
        LinearSVC(),
    )
    return fitted(model, *data.bundled("breast_cancer"))


_BAYES, _BAYES_PATH = "User guide: Naive Bayes", "modules/naive_bayes.html"


@page(SK, _BAYES, _BAYES_PATH)
def gaussian_bayes() -> Any:
    return fitted(GaussianNB(), *data.bundled("iris"))


@page(SK, _BAYES, _BAYES_PATH)
def bernoulli_bayes() -> Any:
    rows, target = data.bundled("digits")
    return fitted(BernoulliNB(binarize=8.0), rows, target)


@page(SK, _BAYES, _BAYES_PATH)
def categorical_bayes() -> Any:
    rows, target = data.wages()
    words = ["union", "ethn", "married", "industry"]
    return fitted(make_pipeline(OrdinalEncoder(), CategoricalNB()), rows[words], target > 1.6)


@page(
    SK,
    "Linear and Quadratic Discriminant Analysis with covariance ellipsoid",
    "auto_examples/classification/plot_lda_qda.html",
)
def linear_discriminants() -> Any:
    model = LinearDiscriminantAnalysis(solver="svd", store_covariance=True)
    return fitted(model, *data.bundled("wine"))


@page(
    SK,
    "Linear and Quadratic Discriminant Analysis with covariance ellipsoid",
    "auto_examples/classification/plot_lda_qda.html",
)
def quadratic_discriminants() -> Any:
    return fitted(QuadraticDiscriminantAnalysis(store_covariance=True), *data.bundled("wine"))
