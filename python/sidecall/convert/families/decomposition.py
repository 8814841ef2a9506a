"""Converters of projections, random features, feature selection, neural networks and clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.numeric import cos
from ..graph.terms import Terms
from ..registry import Conversion, refuses
from .kernels import dense, expanded_squares, squared_distances
from .linear_model import affine, product, sides
from .preprocessing import safe_norm


@register_converter("sklearn:PCA IncrementalPCA", "transform")
def pca(step: Any, columns: Frame, g: Conversion) -> Tensor:
    components = np.asarray(step.components_)
    centre: np.ndarray = np.asarray(step.mean_).reshape(1, -1) @ components.T
    # The mean is subtracted after the projection, as in the model: for rows far away from the mean,
    # the last digits depend on the order of these two operations.
    y = product(g, columns, components.T) - centre
    if step.whiten:
        scale = np.sqrt(np.asarray(step.explained_variance_, "float64"))
        y = y / np.maximum(scale, np.finfo("float64").eps).reshape(1, -1)
    return y


@register_converter(
    "sklearn:TruncatedSVD NeighborhoodComponentsAnalysis GaussianRandomProjection SparseRandomProjection",
    "transform",
)
def projection(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return product(g, columns, dense(step.components_).T)


@register_converter("sklearn:FactorAnalysis", "transform")
def factors(step: Any, columns: Frame, g: Conversion) -> Any:
    w = np.asarray(step.components_, "float64")
    scaled = w / step.noise_variance_
    covariance = linalg.inv(np.eye(len(w)) + scaled @ w.T)
    # Two products, as in the model. For very large rows the first one overflows.
    return (columns.matrix() - np.asarray(step.mean_).reshape(1, -1)) @ scaled.T @ covariance


@register_converter("sklearn:FastICA", "transform")
def ica(step: Any, columns: Frame, g: Conversion) -> Tensor:
    y = columns.matrix()
    if step.whiten:
        y = y - np.asarray(step.mean_).reshape(1, -1)
    return y @ np.asarray(step.components_, "float64").T


@register_converter("sklearn:SparsePCA MiniBatchSparsePCA", "transform")
def sparse_pca(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """Ridge regression of the row on the components; its closed form is one matrix."""
    w = np.asarray(step.components_, "float64")
    matrix = np.linalg.solve(w @ w.T + step.ridge_alpha * np.eye(len(w)), w)
    return (columns.matrix() - np.asarray(step.mean_).reshape(1, -1)) @ matrix.T


@register_converter("sklearn:PLSRegression PLSCanonical CCA", "predict")
def pls(step: Any, columns: Frame, g: Conversion) -> Tensor:
    centred = columns.matrix() - np.asarray(step._x_mean).reshape(1, -1)
    return affine(g, centred, step.coef_, step.intercept_)


@register_converter("sklearn:PLSRegression PLSCanonical CCA", "transform")
def pls_transform(step: Any, columns: Frame, g: Conversion) -> Tensor:
    scaled = (columns.matrix() - np.asarray(step._x_mean).reshape(1, -1)) / np.asarray(
        step._x_std
    ).reshape(1, -1)
    return scaled @ np.asarray(step.x_rotations_, "float64")


@register_converter("sklearn:PLSSVD", "transform")
def pls_svd(step: Any, columns: Frame, g: Conversion) -> Tensor:
    scaled = (columns.matrix() - np.asarray(step._x_mean).reshape(1, -1)) / np.asarray(
        step._x_std
    ).reshape(1, -1)
    return scaled @ np.asarray(step.x_weights_, "float64")


refuses("sklearn:LabelEncoder MultiLabelBinarizer", "it encodes targets, not the columns of a row")
refuses("sklearn:PatchExtractor", "it cuts images into patches at random")
refuses("sklearn:NMF MiniBatchNMF", "each row needs an iterative optimisation")
refuses(
    "sklearn:LatentDirichletAllocation",
    "each row needs an iterative optimisation",
)
refuses(
    "sklearn:LocallyLinearEmbedding",
    "each row needs the solution of a linear system over its neighbours",
)


@register_converter(
    "sklearn:DictionaryLearning MiniBatchDictionaryLearning SparseCoder", "transform"
)
def sparse_code(step: Any, columns: Frame, g: Conversion) -> Tensor:
    dictionary = getattr(step, "components_", None)
    dictionary = step.dictionary if dictionary is None else dictionary
    if step.transform_algorithm != "threshold":
        raise g.refuse(
            f"transform_algorithm='{step.transform_algorithm}' needs an iterative optimisation "
            "for each row; 'threshold' is supported"
        )
    alpha = (
        step.transform_alpha if step.transform_alpha is not None else getattr(step, "alpha", None)
    )
    y = columns.matrix() @ np.asarray(dictionary, "float64").T
    code = g.unary("Sign", y) * g.maximum(g.abs(y) - float(1.0 if alpha is None else alpha), 0.0)
    if step.positive_code:
        code = g.maximum(code, 0.0)
    if step.split_sign:
        code = g.concat([g.maximum(code, 0.0), g.maximum(-code, 0.0)])
    return code


# Random features.


@register_converter("sklearn:RBFSampler", "transform")
def rbf_sampler(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return random_cosines(g, step, columns.matrix(str(step.random_weights_.dtype)))


@register_converter("sklearn:SkewedChi2Sampler", "transform")
def chi2_sampler(step: Any, columns: Frame, g: Conversion) -> Tensor:
    shifted = columns.matrix(str(step.random_weights_.dtype)) + float(step.skewedness)
    return random_cosines(g, step, g.log(shifted))


def random_cosines(g: Conversion, model: Any, x: Tensor) -> Tensor:
    """The cosines of random projections, whose angles have the type of the weights.

    In float32, an angle of 1e8 is rounded to a multiple of 8, so that only the same type gives the
    same cosine.
    """
    angle = (x @ model.random_weights_) + model.random_offset_.reshape(1, -1)
    scaled = cos(g, g.cast(angle, "float64")) * float((2.0 / model.n_components) ** 0.5)
    return g.cast(scaled, g.real)


@register_converter("sklearn:AdditiveChi2Sampler", "transform")
def additive_chi2(step: Any, columns: Frame, g: Conversion) -> Tensor:
    interval = step.sample_interval
    if interval is None:
        interval = {1: 0.8, 2: 0.5, 3: 0.4}[step.sample_steps]
    y = columns.matrix("float64")
    zero = y.equals(0.0)
    logs = g.log(g.where(zero, 1.0, y)) * float(interval)
    parts = [g.sqrt(y * float(interval))]
    for j in range(1, step.sample_steps):
        factor = g.sqrt(y * float(2.0 * interval / np.cosh(np.pi * j * interval)))
        parts.append(factor * cos(g, logs * float(j)))
        parts.append(factor * g.unary("Sin", logs * float(j)))
    return g.cast(g.concat(parts), g.real)


@register_converter("sklearn:PolynomialCountSketch", "transform")
def count_sketch(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """The circular convolution of the sketches of all degrees.

    scikit-learn multiplies the Fourier transforms of the sketches. The graph computes the
    convolution directly, with a table of indices.
    """
    size = step.n_components
    y = columns.matrix("float64") * float(np.sqrt(step.gamma))
    if step.coef0 != 0:
        y = g.concat([y, g.columns(y, [0]) * 0.0 + float(np.sqrt(step.coef0))])
    result: Tensor | None = None
    shifts = (np.arange(size)[:, None] - np.arange(size)[None, :]) % size
    for d in range(step.degree):
        matrix = np.zeros((y.width or 0, size))
        matrix[np.arange(len(matrix)), step.indexHash_[d]] = step.bitHash_[d]
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


@register_converter(
    "sklearn:SelectKBest SelectPercentile SelectFdr SelectFpr SelectFwe GenericUnivariateSelect "
    "VarianceThreshold SelectFromModel "
    "RFE RFECV SequentialFeatureSelector",
    "transform",
)
def select(step: Any, columns: Frame, g: Conversion) -> Frame:
    kept = np.flatnonzero(step.get_support())
    if not len(kept):
        raise g.refuse("it keeps no column")
    return columns.select(kept)


def _register_elimination(method: str) -> None:
    @register_converter("sklearn:RFE RFECV", method)
    def elimination(step: Any, columns: Frame, g: Conversion) -> Any:
        return g.call(step.estimator_, method, select(step, columns, g), "estimator_")


for _method in ("predict", "class_index", "predict_proba", "decision_function"):
    _register_elimination(_method)


@register_converter("sklearn:TfidfTransformer", "transform")
def tfidf(step: Any, columns: Frame, g: Conversion) -> Tensor:
    terms = columns.parts[0] if len(columns.parts) == 1 else None
    if isinstance(terms, Terms) and step.norm in (None, "l2"):
        return _listed_tfidf(g, step, terms)
    y = columns.matrix("float64")
    if step.sublinear_tf:
        zero = y.equals(0.0)
        y = g.where(zero, 0.0, g.log(g.where(zero, 1.0, y)) + 1.0)
    if step.use_idf:
        y = y * np.asarray(step.idf_, "float64").reshape(1, -1)
    if step.norm is not None:
        y = y / safe_norm(g, y, step.norm)
    return g.cast(y, g.real)


def _listed_tfidf(g: Conversion, model: Any, terms: Terms) -> Terms:
    counts = terms.cast("float64")
    value = counts.damped() if model.sublinear_tf else counts.value
    if model.use_idf:
        value = counts.scaled(value, model.idf_)
    if model.norm is not None:
        value = counts.normalized(value)
    return counts.with_value(
        g.cast(value, g.real), lambda: tfidf(model, Frame(g, [terms.matrix]), g)
    )


# Neural networks.


@register_converter("sklearn:MLPClassifier MLPRegressor", "_forward")
def forward(step: Any, columns: Frame, g: Conversion) -> Tensor:
    y = affine(g, _hidden(g, step, columns), np.asarray(step.coefs_[-1]).T, step.intercepts_[-1])
    return _activate(g, step.out_activation_, y)


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


@register_converter("sklearn:MLPRegressor", "predict")
def mlp_regressor(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "_forward", columns)


@register_converter("sklearn:MLPClassifier", "predict_proba")
def mlp_probabilities(step: Any, columns: Frame, g: Conversion) -> Any:
    if step.n_outputs_ == 1:
        return g.sigmoid(_mlp_sides(g, step, columns))
    return g.call(step, "_forward", columns)


@register_converter("sklearn:MLPClassifier", "class_index")
def mlp_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if step._label_binarizer.y_type_.startswith("multilabel"):
        return g.cast(g.call(step, "_forward", columns) > 0.5, "int64")
    return g.argmax(
        _mlp_sides(g, step, columns) if step.n_outputs_ == 1 else g.call(step, "_forward", columns)
    )


@register_converter("sklearn:BernoulliRBM", "transform")
def boltzmann(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.sigmoid(affine(g, columns, step.components_, step.intercept_hidden_))


# Clusters.


@register_converter("sklearn:KMeans MiniBatchKMeans BisectingKMeans", "transform")
def centre_distances(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """Distances to the cluster centres, [N, clusters].

    Before the root is taken, the squares are rounded to the type of this step, as in scikit-learn,
    so that they overflow in the same cases.
    """
    return g.sqrt(
        g.cast(squared_distances(g, columns.matrix("float64"), step.cluster_centers_), g.real)
    )


@register_converter("sklearn:KMeans MiniBatchKMeans MeanShift AffinityPropagation", "class_index")
def nearest_centre(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if not len(getattr(step, "cluster_centers_", ())):
        raise g.refuse("it holds no cluster centres")
    if "KMeans" not in type(step).__name__:
        return _nearest_pair(g, columns, step.cluster_centers_)
    return g.argmin(
        _without_norm(
            g,
            columns.matrix() if g.steps is not None else columns.matrix("float64"),
            step.cluster_centers_,
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


@register_converter("sklearn:BisectingKMeans", "class_index")
def bisecting(step: Any, columns: Frame, g: Conversion) -> Tensor:
    y = columns.matrix() if g.steps is not None else columns.matrix("float64")
    shift = np.asarray(getattr(step, "_X_mean", 0.0))

    def descend(node: Any) -> Any:
        if node.left is None:
            return g.const(np.int64(node.label))
        d = _without_norm(g, y, np.stack([node.left.center, node.right.center]) + shift)
        left = g.columns(d, [0]) <= g.columns(d, [1])
        return g.where(left, descend(node.left), descend(node.right))

    return g.flatten(descend(step._bisecting_tree))


@register_converter("sklearn:Birch", "transform")
def birch_distances(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.sqrt(
        g.cast(squared_distances(g, columns.matrix("float64"), step.subcluster_centers_), g.real)
    )


@register_converter("sklearn:Birch", "class_index")
def birch(step: Any, columns: Frame, g: Conversion) -> Tensor:
    nearest = _nearest_pair(g, columns, step.subcluster_centers_)
    return g.gather(g.const(np.asarray(step.subcluster_labels_).astype("int64")), nearest)


@register_converter("sklearn:FeatureAgglomeration", "transform")
def agglomeration(step: Any, columns: Frame, g: Conversion) -> Tensor:
    pools = {np.mean: g.mean, np.max: g.max, np.min: g.min, np.sum: g.sum}
    if step.pooling_func not in pools:
        raise g.refuse("pooling_func converts for np.mean, np.max, np.min and np.sum")
    y = columns.matrix()
    labels = np.asarray(step.labels_)
    return g.concat(
        [
            pools[step.pooling_func](g.columns(y, np.flatnonzero(labels == k)))
            for k in np.unique(labels)
        ]
    )
