"""Decomposition, cross decomposition, clusters, outliers, neural networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import AgglomerativeClustering, Birch, KMeans, MeanShift, MiniBatchKMeans
from sklearn.covariance import EllipticEnvelope
from sklearn.cross_decomposition import CCA, PLSCanonical, PLSRegression
from sklearn.decomposition import (
    NMF,
    PCA,
    DictionaryLearning,
    FactorAnalysis,
    FastICA,
    IncrementalPCA,
    KernelPCA,
)
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.manifold import Isomap
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsTransformer
from sklearn.neural_network import BernoulliRBM, MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, StandardScaler

from . import data
from .catalogue import fitted, page

SK = "scikit-learn"


@page(
    SK,
    "Principal Component Analysis (PCA) on Iris Dataset",
    "auto_examples/decomposition/plot_pca_iris.html",
)
def principal_components() -> Any:
    return fitted(PCA(n_components=3), data.bundled("iris")[0])


@page(SK, "Incremental PCA", "auto_examples/decomposition/plot_incremental_pca.html")
def incremental_components() -> Any:
    return fitted(IncrementalPCA(n_components=2, batch_size=10), data.bundled("iris")[0])


@page(SK, "Kernel PCA", "auto_examples/decomposition/plot_kernel_pca.html")
def kernel_components() -> Any:
    model = KernelPCA(n_components=2, kernel="rbf", gamma=0.1, alpha=0.1)
    return fitted(model, data.bundled("iris", 100)[0])


@page(
    SK,
    "Blind source separation using FastICA",
    "auto_examples/decomposition/plot_ica_blind_source_separation.html",
)
def independent_components() -> Any:
    model = FastICA(n_components=3, whiten="arbitrary-variance", random_state=0)
    return fitted(model, data.bundled("iris")[0])


@page(
    SK,
    "Factor Analysis (with rotation) to visualize patterns",
    "auto_examples/decomposition/plot_varimax_fa.html",
)
def rotated_factors() -> Any:
    model = make_pipeline(StandardScaler(), FactorAnalysis(n_components=2, rotation="varimax"))
    return fitted(model, data.bundled("iris")[0])


@page(
    SK, "Faces dataset decompositions", "auto_examples/decomposition/plot_faces_decomposition.html"
)
def nonnegative_factors() -> Any:
    return fitted(NMF(n_components=6, tol=5e-3), data.bundled("digits")[0])


@page(
    SK,
    "Image denoising using dictionary learning",
    "auto_examples/decomposition/plot_image_denoising.html",
)
def learned_dictionary() -> Any:
    model = DictionaryLearning(
        n_components=6, alpha=1, max_iter=5, transform_algorithm="omp", random_state=0
    )
    return fitted(model, data.bundled("iris", 100)[0])


@page(
    SK,
    "Principal Component Regression vs Partial Least Squares Regression",
    "auto_examples/cross_decomposition/plot_pcr_vs_pls.html",
)
def principal_component_regression() -> Any:
    model = make_pipeline(StandardScaler(), PCA(n_components=1), LinearRegression())
    return fitted(model, *data.bundled("diabetes"))


@page(
    SK,
    "Principal Component Regression vs Partial Least Squares Regression",
    "auto_examples/cross_decomposition/plot_pcr_vs_pls.html",
)
def partial_least_squares() -> Any:
    return fitted(PLSRegression(n_components=1), *data.bundled("diabetes"))


_CROSS = "Compare cross decomposition methods"
_CROSS_PATH = "auto_examples/cross_decomposition/plot_compare_cross_decomposition.html"


@page(SK, _CROSS, _CROSS_PATH)
def canonical_least_squares() -> Any:
    return fitted(PLSCanonical(n_components=2), *data.bundled("linnerud"))


@page(SK, _CROSS, _CROSS_PATH)
def canonical_correlation() -> Any:
    return fitted(CCA(n_components=2), *data.bundled("linnerud"))


@page(
    SK,
    "A demo of K-Means clustering on the handwritten digits data",
    "auto_examples/cluster/plot_kmeans_digits.html",
)
def digit_clusters() -> Any:
    model = make_pipeline(
        StandardScaler(), KMeans(init="k-means++", n_clusters=10, n_init=2, random_state=0)
    )
    return fitted(model, data.bundled("digits")[0])


@page(
    SK,
    "Comparison of the K-Means and MiniBatchKMeans clustering algorithms",
    "auto_examples/cluster/plot_mini_batch_kmeans.html",
)
def mini_batch_clusters() -> Any:
    model = MiniBatchKMeans(init="k-means++", n_clusters=3, batch_size=50, n_init=2)
    return fitted(model, data.bundled("iris")[0])


_CLUSTERS = "Comparing different clustering algorithms on toy datasets"
_CLUSTERS_PATH = "auto_examples/cluster/plot_cluster_comparison.html"


@page(SK, _CLUSTERS, _CLUSTERS_PATH)
def shifted_means() -> Any:
    model = make_pipeline(StandardScaler(), MeanShift(bandwidth=1.5, bin_seeding=True))
    return fitted(model, data.bundled("iris")[0])


@page(SK, _CLUSTERS, _CLUSTERS_PATH)
def birch_clusters() -> Any:
    return fitted(make_pipeline(StandardScaler(), Birch(n_clusters=3)), data.bundled("iris")[0])


@page(SK, _CLUSTERS, _CLUSTERS_PATH)
def gaussian_mixture() -> Any:
    mixture = GaussianMixture(n_components=3, covariance_type="full", random_state=0)
    return fitted(make_pipeline(StandardScaler(), mixture), data.bundled("iris")[0])


class InductiveClusterer(BaseEstimator):
    """Predicts clusters by a classifier that is fitted on the labels of the clusters."""

    def __init__(self, clusterer: Any, classifier: Any) -> None:
        self.clusterer = clusterer
        self.classifier = classifier

    def fit(self, x: Any, y: Any = None) -> Any:
        self.clusterer_ = clone(self.clusterer)
        self.classifier_ = clone(self.classifier).fit(x, self.clusterer_.fit_predict(x))
        return self

    def predict(self, x: Any) -> Any:
        return self.classifier_.predict(x)


@page(SK, "Inductive Clustering", "auto_examples/cluster/plot_inductive_clustering.html")
def inductive_clusters() -> Any:
    forest = RandomForestClassifier(random_state=42, n_estimators=10)
    model = InductiveClusterer(AgglomerativeClustering(n_clusters=3), forest)
    return fitted(model, data.bundled("iris")[0])


@page(
    SK,
    "Approximate nearest neighbors in TSNE",
    "auto_examples/neighbors/approximate_nearest_neighbors.html",
)
def neighbours_and_isomap() -> Any:
    graph = KNeighborsTransformer(n_neighbors=40, mode="distance")
    model = make_pipeline(graph, Isomap(n_neighbors=40, metric="precomputed"))
    return fitted(model, data.bundled("iris", 100)[0])


@page(
    SK,
    "Comparing anomaly detection algorithms for outlier detection on toy datasets",
    "auto_examples/miscellaneous/plot_anomaly_comparison.html",
)
def robust_covariance() -> Any:
    model = EllipticEnvelope(contamination=0.15, random_state=42)
    return fitted(model, data.bundled("iris")[0])


@page(
    SK,
    "Restricted Boltzmann Machine features for digit classification",
    "auto_examples/neural_networks/plot_rbm_logistic_classification.html",
)
def boltzmann_features() -> Any:
    rows, target = data.bundled("digits")
    rbm = BernoulliRBM(random_state=0, learning_rate=0.06, n_iter=5, n_components=30)
    logistic = LogisticRegression(solver="newton-cg", tol=1, C=6000)
    scaled = MinMaxScaler(feature_range=(0, 1)).fit_transform(rows)
    return fitted(Pipeline([("rbm", rbm), ("logistic", logistic)]), scaled, target)


@page(
    SK,
    "Varying regularization in Multi-layer Perceptron",
    "auto_examples/neural_networks/plot_mlp_alpha.html",
)
def perceptron_with_layers() -> Any:
    network = MLPClassifier(
        solver="lbfgs", alpha=0.1, random_state=1, max_iter=100, hidden_layer_sizes=[10, 10]
    )
    return fitted(make_pipeline(StandardScaler(), network), *data.bundled("iris"))


@page(
    SK,
    "Partial Dependence and Individual Conditional Expectation Plots",
    "auto_examples/inspection/plot_partial_dependence.html",
)
def quantiles_and_perceptron() -> Any:
    network = MLPRegressor(
        hidden_layer_sizes=(30, 15), learning_rate_init=0.01, random_state=0, max_iter=50
    )
    model = make_pipeline(QuantileTransformer(n_quantiles=100), network)
    rows, target = data.california()
    return fitted(model, rows, np.log(target))
