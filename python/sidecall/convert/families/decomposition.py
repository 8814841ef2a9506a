"""Converters of projections, random features, feature selection, neural networks and clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.numeric import cos
from ..graph.terms import Terms
from ..registry import Conversion, converts, refuses
from .kernels import dense, expanded_squares, squared_distances
from .linear_model import affine, product, sides
from .preprocessing import safe_norm


@converts("sklearn", "PCA IncrementalPCA", "transform")
def pca(g: Conversion, model: Any, x: Frame) -> Tensor:
    components = np.asarray(model.components_)
    centre: np.ndarray = np.asarray(model.mean_).reshape(1, -1) @ components.T
    # The mean is subtracted after the projection, as in the model: for rows far away from the mean,
    # the last digits depend on the order of these two operations.
    y = product(g, x, components.T) - centre
    if model.whiten:
        scale = np.sqrt(np.asarray(model.explained_variance_, "float64"))
        y = y / np.maximum(scale, np.finfo("float64").eps).reshape(1, -1)
    return y


@converts(
    "sklearn",
    "TruncatedSVD NeighborhoodComponentsAnalysis GaussianRandomProjection SparseRandomProjection",
    "transform",
)
def projection(g: Conversion, model: Any, x: Frame) -> Tensor:
    return product(g, x, dense(model.components_).T)


@converts("sklearn", "FactorAnalysis", "transform")
def factors(g: Conversion, model: Any, x: Frame) -> Any:
    w = np.asarray(model.components_, "float64")
    scaled = w / model.noise_variance_
    covariance = linalg.inv(np.eye(len(w)) + scaled @ w.T)
    # Two products, as in the model. For very large rows the first one overflows.
    return (x.matrix() - np.asarray(model.mean_).reshape(1, -1)) @ scaled.T @ covariance


@converts("sklearn", "FastICA", "transform")
def ica(g: Conversion, model: Any, x: Frame) -> Tensor:
    y = x.matrix()
    if model.whiten:
        y = y - np.asarray(model.mean_).reshape(1, -1)
    return y @ np.asarray(model.components_, "float64").T


@converts("sklearn", "SparsePCA MiniBatchSparsePCA", "transform")
def sparse_pca(g: Conversion, model: Any, x: Frame) -> Tensor:
    """Ridge regression of the row on the components; its closed form is one matrix."""
    w = np.asarray(model.components_, "float64")
    matrix = np.linalg.solve(w @ w.T + model.ridge_alpha * np.eye(len(w)), w)
    return (x.matrix() - np.asarray(model.mean_).reshape(1, -1)) @ matrix.T


@converts("sklearn", "PLSRegression PLSCanonical CCA", "predict")
def pls(g: Conversion, model: Any, x: Frame) -> Tensor:
    centred = x.matrix() - np.asarray(model._x_mean).reshape(1, -1)
    return affine(g, centred, model.coef_, model.intercept_)


@converts("sklearn", "PLSRegression PLSCanonical CCA", "transform")
def pls_transform(g: Conversion, model: Any, x: Frame) -> Tensor:
    scaled = (x.matrix() - np.asarray(model._x_mean).reshape(1, -1)) / np.asarray(
        model._x_std
    ).reshape(1, -1)
    return scaled @ np.asarray(model.x_rotations_, "float64")


@converts("sklearn", "PLSSVD", "transform")
def pls_svd(g: Conversion, model: Any, x: Frame) -> Tensor:
    scaled = (x.matrix() - np.asarray(model._x_mean).reshape(1, -1)) / np.asarray(
        model._x_std
    ).reshape(1, -1)
    return scaled @ np.asarray(model.x_weights_, "float64")


refuses(
    "sklearn", "LabelEncoder MultiLabelBinarizer", "it encodes targets, not the columns of a row"
)
refuses("sklearn", "PatchExtractor", "it cuts images into patches at random")
refuses("sklearn", "NMF MiniBatchNMF", "each row needs an iterative optimisation")
refuses(
    "sklearn",
    "LatentDirichletAllocation",
    "each row needs an iterative optimisation",
)
refuses(
    "sklearn",
    "LocallyLinearEmbedding",
    "each row needs the solution of a linear system over its neighbours",
)


@converts("sklearn", "DictionaryLearning MiniBatchDictionaryLearning SparseCoder", "transform")
def sparse_code(g: Conversion, model: Any, x: Frame) -> Tensor:
    dictionary = getattr(model, "components_", None)
    dictionary = model.dictionary if dictionary is None else dictionary
    if model.transform_algorithm != "threshold":
        raise g.refuse(
            f"transform_algorithm='{model.transform_algorithm}' needs an iterative optimisation "
            "for each row; 'threshold' is supported"
        )
    alpha = (
        model.transform_alpha
        if model.transform_alpha is not None
        else getattr(model, "alpha", None)
    )
    y = x.matrix() @ np.asarray(dictionary, "float64").T
    code = g.unary("Sign", y) * g.maximum(g.abs(y) - float(1.0 if alpha is None else alpha), 0.0)
    if model.positive_code:
        code = g.maximum(code, 0.0)
    if model.split_sign:
        code = g.concat([g.maximum(code, 0.0), g.maximum(-code, 0.0)])
    return code


# Random features.


@converts("sklearn", "RBFSampler", "transform")
def rbf_sampler(g: Conversion, model: Any, x: Frame) -> Tensor:
    return random_cosines(g, model, x.matrix(str(model.random_weights_.dtype)))


@converts("sklearn", "SkewedChi2Sampler", "transform")
def chi2_sampler(g: Conversion, model: Any, x: Frame) -> Tensor:
    shifted = x.matrix(str(model.random_weights_.dtype)) + float(model.skewedness)
    return random_cosines(g, model, g.log(shifted))


def random_cosines(g: Conversion, model: Any, x: Tensor) -> Tensor:
    """The cosines of random projections, whose angles have the type of the weights.

    In float32, an angle of 1e8 is rounded to a multiple of 8, so that only the same type gives the
    same cosine.
    """
    angle = (x @ model.random_weights_) + model.random_offset_.reshape(1, -1)
    scaled = cos(g, g.cast(angle, "float64")) * float((2.0 / model.n_components) ** 0.5)
    return g.cast(scaled, g.real)


@converts("sklearn", "AdditiveChi2Sampler", "transform")
def additive_chi2(g: Conversion, model: Any, x: Frame) -> Tensor:
    interval = model.sample_interval
    if interval is None:
        interval = {1: 0.8, 2: 0.5, 3: 0.4}[model.sample_steps]
    y = x.matrix("float64")
    zero = y.equals(0.0)
    logs = g.log(g.where(zero, 1.0, y)) * float(interval)
    parts = [g.sqrt(y * float(interval))]
    for j in range(1, model.sample_steps):
        factor = g.sqrt(y * float(2.0 * interval / np.cosh(np.pi * j * interval)))
        parts.append(factor * cos(g, logs * float(j)))
        parts.append(factor * g.unary("Sin", logs * float(j)))
    return g.cast(g.concat(parts), g.real)


@converts("sklearn", "PolynomialCountSketch", "transform")
def count_sketch(g: Conversion, model: Any, x: Frame) -> Tensor:
    """The circular convolution of the sketches of all degrees.

    scikit-learn multiplies the Fourier transforms of the sketches. The graph computes the
    convolution directly, with a table of indices.
    """
    size = model.n_components
    y = x.matrix("float64") * float(np.sqrt(model.gamma))
    if model.coef0 != 0:
        y = g.concat([y, g.columns(y, [0]) * 0.0 + float(np.sqrt(model.coef0))])
    result: Tensor | None = None
    shifts = (np.arange(size)[:, None] - np.arange(size)[None, :]) % size
    for d in range(model.degree):
        matrix = np.zeros((y.width or 0, size))
        matrix[np.arange(len(matrix)), model.indexHash_[d]] = model.bitHash_[d]
        sketch = y @ matrix
        if result is None:
            result = sketch
            continue
        # out[n] = sum over m of a[m] b[n - m]
        shifted = g.op("Gather", sketch, g.const(shifts), axis=1)
        result = g.sum(shifted * g.op("Unsqueeze", result, g.const([1])), axis=2, keep=False)
        result.width = size
    assert result is not None
    return g.cast(result, g.real)


# Selection of columns.


@converts(
    "sklearn",
    "SelectKBest SelectPercentile SelectFdr SelectFpr SelectFwe GenericUnivariateSelect "
    "VarianceThreshold SelectFromModel "
    "RFE RFECV SequentialFeatureSelector",
    "transform",
)
def select(g: Conversion, model: Any, x: Frame) -> Frame:
    kept = np.flatnonzero(model.get_support())
    if not len(kept):
        raise g.refuse("it keeps no column")
    return x.select(kept)


def _register_elimination(method: str) -> None:
    @converts("sklearn", "RFE RFECV", method)
    def elimination(g: Conversion, model: Any, x: Frame) -> Any:
        return g.call(model.estimator_, method, select(g, model, x), "estimator_")


for _method in ("predict", "index", "predict_proba", "decision_function"):
    _register_elimination(_method)


@converts("sklearn", "TfidfTransformer", "transform")
def tfidf(g: Conversion, model: Any, x: Frame) -> Tensor:
    terms = x.parts[0] if len(x.parts) == 1 else None
    if isinstance(terms, Terms) and model.norm in (None, "l2"):
        return _listed_tfidf(g, model, terms)
    y = x.matrix("float64")
    if model.sublinear_tf:
        zero = y.equals(0.0)
        y = g.where(zero, 0.0, g.log(g.where(zero, 1.0, y)) + 1.0)
    if model.use_idf:
        y = y * np.asarray(model.idf_, "float64").reshape(1, -1)
    if model.norm is not None:
        y = y / safe_norm(g, y, model.norm)
    return g.cast(y, g.real)


def _listed_tfidf(g: Conversion, model: Any, terms: Terms) -> Terms:
    counts = terms.cast("float64")
    value = counts.damped() if model.sublinear_tf else counts.value
    if model.use_idf:
        value = counts.scaled(value, model.idf_)
    if model.norm is not None:
        value = counts.normalized(value)
    return counts.with_value(
        g.cast(value, g.real), lambda: tfidf(g, model, Frame(g, [terms.matrix]))
    )


# Neural networks.


@converts("sklearn", "MLPClassifier MLPRegressor", "forward")
def forward(g: Conversion, model: Any, x: Frame) -> Tensor:
    y = affine(g, _hidden(g, model, x), np.asarray(model.coefs_[-1]).T, model.intercepts_[-1])
    return _activate(g, model.out_activation_, y)


def _hidden(g: Conversion, model: Any, x: Frame) -> Frame | Tensor:
    y: Frame | Tensor = x
    for weights, bias in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        y = _activate(g, model.activation, affine(g, y, np.asarray(weights).T, bias))
    return y


def _mlp_sides(g: Conversion, model: Any, x: Frame) -> Tensor:
    return sides(g, _hidden(g, model, x), model.coefs_[-1], model.intercepts_[-1])


def _activate(g: Conversion, name: str, y: Tensor) -> Tensor:
    if name == "identity":
        return y
    if name == "relu":
        return g.unary("Relu", y)
    if name == "tanh":
        return g.unary("Tanh", y)
    if name == "logistic":
        return g.sigmoid(y)
    if name == "softmax":
        return g.softmax(y)
    if name == "exp":
        return g.exp(y)
    raise g.refuse(f"the activation '{name}' is not supported")


@converts("sklearn", "MLPRegressor", "predict")
def mlp_regressor(g: Conversion, model: Any, x: Frame) -> Any:
    return g.call(model, "forward", x)


@converts("sklearn", "MLPClassifier", "predict_proba")
def mlp_probabilities(g: Conversion, model: Any, x: Frame) -> Any:
    if model.n_outputs_ == 1:
        return g.sigmoid(_mlp_sides(g, model, x))
    return g.call(model, "forward", x)


@converts("sklearn", "MLPClassifier", "index")
def mlp_index(g: Conversion, model: Any, x: Frame) -> Tensor:
    if model._label_binarizer.y_type_.startswith("multilabel"):
        return g.cast(g.call(model, "forward", x) > 0.5, "int64")
    return g.argmax(
        _mlp_sides(g, model, x) if model.n_outputs_ == 1 else g.call(model, "forward", x)
    )


@converts("sklearn", "BernoulliRBM", "transform")
def boltzmann(g: Conversion, model: Any, x: Frame) -> Tensor:
    return g.sigmoid(affine(g, x, model.components_, model.intercept_hidden_))


# Clusters.


@converts("sklearn", "KMeans MiniBatchKMeans BisectingKMeans", "transform")
def centre_distances(g: Conversion, model: Any, x: Frame) -> Tensor:
    """Distances to the cluster centres, [N, clusters].

    Before the root is taken, the squares are rounded to the type of this step, as in scikit-learn,
    so that they overflow in the same cases.
    """
    return g.sqrt(g.cast(squared_distances(g, x.matrix("float64"), model.cluster_centers_), g.real))


@converts("sklearn", "KMeans MiniBatchKMeans MeanShift AffinityPropagation", "index")
def nearest_centre(g: Conversion, model: Any, x: Frame) -> Tensor:
    if not len(getattr(model, "cluster_centers_", ())):
        raise g.refuse("it holds no cluster centres")
    if "KMeans" not in type(model).__name__:
        return _nearest_pair(g, x, model.cluster_centers_)
    return g.argmin(
        _without_norm(
            g, x.matrix() if g.steps is not None else x.matrix("float64"), model.cluster_centers_
        )
    )


def _nearest_pair(g: Conversion, x: Frame, centres: Any) -> Tensor:
    """The nearest centre, as scikit-learn's pairwise_distances_argmin finds it.

    For very large rows |x|^2 and the product overflow. Their sum is NaN if they have other signs,
    and counts as 0.
    """
    distance = expanded_squares(g, x.matrix("float64"), centres)
    return g.argmin(g.where(distance > 0.0, distance, 0.0))


def _without_norm(g: Conversion, x: Tensor, centres: Any) -> Any:
    """|c|^2 - 2 x c, by which k-means compares centres.

    The term |x|^2 is left out: if |x|^2 is large, adding it would round the other terms away.
    """
    centres = np.asarray(centres)
    return x @ (-2.0 * centres.T) + (centres * centres).sum(axis=1).reshape(1, -1)


@converts("sklearn", "BisectingKMeans", "index")
def bisecting(g: Conversion, model: Any, x: Frame) -> Tensor:
    y = x.matrix() if g.steps is not None else x.matrix("float64")
    shift = np.asarray(getattr(model, "_X_mean", 0.0))

    def descend(node: Any) -> Any:
        if node.left is None:
            return g.const(np.int64(node.label))
        d = _without_norm(g, y, np.stack([node.left.center, node.right.center]) + shift)
        left = g.columns(d, [0]) <= g.columns(d, [1])
        return g.where(left, descend(node.left), descend(node.right))

    return g.flatten(descend(model._bisecting_tree))


@converts("sklearn", "Birch", "transform")
def birch_distances(g: Conversion, model: Any, x: Frame) -> Tensor:
    return g.sqrt(
        g.cast(squared_distances(g, x.matrix("float64"), model.subcluster_centers_), g.real)
    )


@converts("sklearn", "Birch", "index")
def birch(g: Conversion, model: Any, x: Frame) -> Tensor:
    nearest = _nearest_pair(g, x, model.subcluster_centers_)
    return g.gather(g.const(np.asarray(model.subcluster_labels_).astype("int64")), nearest)


@converts("sklearn", "FeatureAgglomeration", "transform")
def agglomeration(g: Conversion, model: Any, x: Frame) -> Tensor:
    pools = {np.mean: g.mean, np.max: g.max, np.min: g.min, np.sum: g.sum}
    if model.pooling_func not in pools:
        raise g.refuse("pooling_func converts for np.mean, np.max, np.min and np.sum")
    y = x.matrix()
    labels = np.asarray(model.labels_)
    return g.concat(
        [
            pools[model.pooling_func](g.columns(y, np.flatnonzero(labels == k)))
            for k in np.unique(labels)
        ]
    )
