"""Converters of kernel methods: support vectors, kernel ridge, kernel PCA, Gaussian processes.

All of them compute in double.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.numeric import erf, row_squares
from ..registry import Conversion
from .ensemble import ovr_decision
from .linear_model import pair, sign_index


def dense(values: Any) -> np.ndarray:
    """A fitted array; it is sparse if the model was fitted on a sparse matrix."""
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, "float64")


def squared_distances(g: Conversion, x: Tensor, points: Any) -> Tensor:
    """|x - p|^2 for every point, [N, points].

    The square is expanded into products, in the order of scikit-learn's euclidean_distances.
    """
    distance = expanded_squares(g, x, points)
    return g.where(distance < 0.0, 0.0, distance)


def expanded_squares(g: Conversion, x: Tensor, points: Any) -> Tensor:
    """As squared_distances; rounding can make it negative."""
    points = dense(points)
    norms = np.einsum("ij,ij->i", points, points).reshape(1, -1)
    distance: Tensor = (x @ (-2.0 * points.T)) + row_squares(g, x) + norms
    return distance


def squared_differences(g: Conversion, x: Tensor, points: Any) -> Tensor:
    """|x - p|^2 for models that subtract before they square.

    The graph expands the square, but first centres the points on their mean, so that fewer digits
    cancel. For very large x the result is infinite, as in the model.
    """
    points = dense(points)
    centre = points.mean(axis=0)
    x = x - centre.reshape(1, -1)
    points = points - centre
    size = g.sum(x * x) + (points * points).sum(axis=1).reshape(1, -1)
    distance = size - (x @ (2.0 * points.T))
    return g.where(
        g.unary("IsInf", size, "bool"),
        float("inf"),
        g.where(distance < size * 4e-15, 0.0, distance),
    )


def kernel(
    g: Conversion, name: Any, x: Tensor, points: Any, gamma: Any, coef0: Any, degree: Any
) -> Any:
    """The pairwise kernel that scikit-learn calls `name`, between x and the fitted points."""
    points = dense(points)
    gamma = 1.0 / points.shape[1] if gamma is None else float(gamma)
    if name == "linear":
        return x @ points.T
    if name == "rbf":
        return g.exp(squared_distances(g, x, points) * -gamma)
    if name in ("poly", "polynomial"):
        return _power(g, (x @ points.T) * gamma + float(coef0), degree)
    if name == "sigmoid":
        return g.unary("Tanh", (x @ points.T) * gamma + float(coef0))
    if name == "cosine":
        norms = np.linalg.norm(points, axis=1)
        unit = points / np.where(norms == 0, 1.0, norms).reshape(-1, 1)
        length = g.sqrt(g.sum(x * x))
        return (x / g.where(length.equals(0.0), 1.0, length)) @ unit.T
    if name == "laplacian":
        return g.exp(manhattan(g, x, points) * -gamma)
    raise g.refuse(
        f"the kernel {name!r} is not supported"
        if isinstance(name, str)
        else "its kernel is a Python function; use the name of a kernel"
    )


def _power(g: Conversion, x: Tensor, degree: Any) -> Tensor:
    if float(degree) != int(degree):
        return x ** float(degree)
    result = x
    for _ in range(int(degree) - 1):
        result = result * x
    return result if int(degree) >= 1 else x * 0.0 + 1.0


def manhattan(g: Conversion, x: Tensor, points: Any) -> Tensor:
    return g.sum(g.abs(differences(g, x, points)), axis=2, keep=False)


def differences(g: Conversion, x: Tensor, points: Any) -> Tensor:
    """x - p for every point, [N, points, width]."""
    row = g.op("Unsqueeze", x, g.const([1]))
    return row - g.const(dense(points)[None], x.dtype)


# Support vector machines.


def _svm_kernel(g: Conversion, model: Any, x: Frame) -> Any:
    if model.kernel == "precomputed" or callable(model.kernel):
        raise g.refuse(
            "a precomputed or callable kernel is not supported; use 'linear', 'poly', 'rbf' or 'sigmoid'"
        )
    if model.kernel == "rbf":
        return g.exp(
            squared_differences(g, x.matrix("float64"), model.support_vectors_)
            * -float(model._gamma)
        )
    return kernel(
        g,
        model.kernel,
        x.matrix("float64"),
        model.support_vectors_,
        model._gamma,
        model.coef0,
        model.degree,
    )


@register_converter("sklearn:SVR NuSVR", "predict")
def svr(step: Any, columns: Frame, g: Conversion) -> Any:
    # libsvm computes the products first and then their sum. If products overflow to both
    # infinities, the answer is NaN.
    products = _svm_kernel(g, step, columns) * dense(step.dual_coef_).reshape(1, -1)
    return g.cast(g.sum(products) + float(step.intercept_[0]), g.real)


@register_converter("sklearn:OneClassSVM", "decision_function")
def one_class_svm(step: Any, columns: Frame, g: Conversion) -> Any:
    return svr(step, columns, g)


@register_converter("sklearn:SVC NuSVC", "_pairs")
def svc_pairs(step: Any, columns: Frame, g: Conversion) -> Any:
    """libsvm's decision values of all pairs of classes, [N, pairs].

    A positive value means the first class of the pair.
    """
    coef = dense(step._dual_coef_)
    counts = np.asarray(step._n_support)
    starts = np.concatenate([[0], np.cumsum(counts)])
    classes = len(counts)
    bias = np.asarray(step._intercept_, "float64").reshape(1, -1)
    if classes > 2 and step.kernel in ("linear", "poly"):
        return _sums_of_classes(g, _svm_kernel(g, step, columns), coef, starts) + bias
    weights = []
    for i in range(classes):
        for j in range(i + 1, classes):
            column = np.zeros(coef.shape[1])
            column[starts[i] : starts[i + 1]] = coef[j - 1, starts[i] : starts[i + 1]]
            column[starts[j] : starts[j + 1]] = coef[i, starts[j] : starts[j + 1]]
            weights.append(column)
    return _svm_kernel(g, step, columns) @ np.stack(weights, axis=1) + bias


def _sums_of_classes(g: Conversion, k: Tensor, coef: np.ndarray, starts: np.ndarray) -> Tensor:
    """The sums of all pairs of classes, each from the support vectors of its two classes only.

    If a kernel value of a third class is infinite, its product with a coefficient of 0 would be
    NaN.
    """
    classes = len(starts) - 1
    others = classes - 1
    blocks = [range(starts[i], starts[i + 1]) for i in range(classes)]
    sums = g.concat([g.columns(k, block) @ coef[:, list(block)].T for block in blocks])
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    first = g.columns(sums, [i * others + j - 1 for i, j in pairs])
    return first + g.columns(sums, [j * others + i for i, j in pairs])


@register_converter("sklearn:SVC NuSVC", "decision_function")
def svc_decision(step: Any, columns: Frame, g: Conversion) -> Tensor:
    pairs = g.call(step, "_pairs", columns)
    if len(step.classes_) == 2:
        return g.cast(-pairs, g.real)
    if step.decision_function_shape == "ovo":
        return g.cast(pairs, g.real)
    votes = g.cast(pairs < 0.0, "float64")
    return g.cast(ovr_decision(g, votes, -pairs, len(step.classes_)), g.real)


@register_converter("sklearn:SVC NuSVC", "class_index")
def svc_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if step.break_ties and step.decision_function_shape == "ovr" and len(step.classes_) > 2:
        return g.argmax(g.call(step, "decision_function", columns))
    pairs = g.call(step, "_pairs", columns)
    if len(step.classes_) == 2:
        return sign_index(g, -pairs, strict=False)
    # Each pair votes: for the first class if its value is above zero, otherwise for the second, as
    # in libsvm.
    first = g.cast(pairs > 0.0, "float64")
    every = [(i, j) for i in range(len(step.classes_)) for j in range(i + 1, len(step.classes_))]
    win = np.zeros((len(every), len(step.classes_)))
    lose = np.zeros_like(win)
    for k, (i, j) in enumerate(every):
        win[k, i], lose[k, j] = 1.0, 1.0
    return g.argmax(first @ win + (1.0 - first) @ lose)


@register_converter("sklearn:KernelRidge", "predict")
def kernel_ridge(step: Any, columns: Frame, g: Conversion) -> Tensor:
    k = kernel(
        g, step.kernel, columns.matrix("float64"), step.X_fit_, step.gamma, step.coef0, step.degree
    )
    dual = np.asarray(step.dual_coef_)
    return g.cast(k @ dual.reshape(len(dual), -1), g.real)


@register_converter("sklearn:KernelPCA", "transform")
def kernel_pca(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if step.kernel == "precomputed":
        k = columns.matrix("float64")
    else:
        gamma = getattr(step, "gamma_", step.gamma)
        k = kernel(
            g, step.kernel, columns.matrix("float64"), step.X_fit_, gamma, step.coef0, step.degree
        )
    values = np.asarray(step.eigenvalues_, "float64")
    scaled = np.zeros_like(step.eigenvectors_, dtype="float64")
    used = np.flatnonzero(values)
    scaled[:, used] = step.eigenvectors_[:, used] / np.sqrt(values[used])
    return g.cast(_centred(g, step._centerer, k) @ scaled, g.real)


def _centred(g: Conversion, centerer: Any, k: Tensor) -> Tensor:
    rows = np.asarray(centerer.K_fit_rows_, "float64").reshape(1, -1)
    return k - rows - g.sum(k) / float(rows.shape[1]) + float(centerer.K_fit_all_)


@register_converter("sklearn:KernelCenterer", "transform")
def centerer(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return g.cast(_centred(g, step, columns.matrix("float64")), g.real)


@register_converter("sklearn:Nystroem", "transform")
def nystroem(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if step.kernel_params:
        raise g.refuse("kernel_params are not supported")
    default = {"poly": 3, "polynomial": 3}.get(step.kernel, 1)
    degree = default if step.degree is None else step.degree
    coef0 = 1.0 if step.coef0 is None else step.coef0
    k = kernel(
        g, step.kernel, columns.matrix("float64"), step.components_, step.gamma, coef0, degree
    )
    return g.cast(k @ np.asarray(step.normalization_, "float64").T, g.real)


# Gaussian processes.


def process_kernel(g: Conversion, k: Any, x: Tensor, points: np.ndarray) -> Tensor:
    """k(x, points) for scikit-learn's kernel objects, [N, points]."""
    name = type(k).__name__
    if not type(k).__module__.startswith("sklearn."):
        raise g.refuse(f"the kernel {name} is not scikit-learn's own")
    if name in ("Sum", "Product"):
        a, b = process_kernel(g, k.k1, x, points), process_kernel(g, k.k2, x, points)
        return a + b if name == "Sum" else a * b
    if name == "Exponentiation":
        return process_kernel(g, k.kernel, x, points) ** float(k.exponent)
    if name == "ConstantKernel":
        return g.columns(x, [0]) * 0.0 + np.full((1, len(points)), float(k.constant_value))
    if name == "WhiteKernel":
        return g.columns(x, [0]) * 0.0 + np.zeros((1, len(points)))
    if name == "DotProduct":
        return x @ points.T + float(k.sigma_0) ** 2
    if name in ("RBF", "Matern", "RationalQuadratic", "ExpSineSquared"):
        return _stationary(g, k, name, x, points)
    raise g.refuse(f"the kernel {name} is not supported")


def _stationary(g: Conversion, k: Any, name: str, x: Tensor, points: np.ndarray) -> Tensor:
    scale = np.asarray(k.length_scale, "float64")
    if name == "RationalQuadratic":
        d = squared_differences(g, x, points) / float(2.0 * k.alpha * scale**2)
        return (d + 1.0) ** float(-k.alpha)
    if name == "ExpSineSquared":
        d = g.sqrt(squared_differences(g, x, points))
        s = g.unary("Sin", d * float(np.pi / k.periodicity)) / float(scale)
        return g.exp(s * s * -2.0)
    # Without an explicit type, the graph would round these constants to its own type.
    d = squared_differences(g, x / g.const(scale.reshape(1, -1), "float64"), points / scale)
    if name == "RBF" or k.nu == np.inf:
        return g.exp(d * -0.5)
    r = g.sqrt(d)
    if k.nu == 0.5:
        return g.exp(-r)
    if k.nu == 1.5:
        s = r * float(np.sqrt(3.0))
        return (s + 1.0) * g.exp(-s)
    if k.nu == 2.5:
        s = r * float(np.sqrt(5.0))
        return (s + 1.0 + s * s / 3.0) * g.exp(-s)
    raise g.refuse(
        f"Matern with nu={k.nu} needs Bessel functions; 0.5, 1.5, 2.5 and inf are supported"
    )


@register_converter("sklearn:GaussianProcessRegressor", "predict")
def process_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if not hasattr(step, "X_train_"):
        raise g.refuse("it is not fitted")
    k = process_kernel(
        g, step.kernel_, columns.matrix("float64"), np.asarray(step.X_train_, "float64")
    )
    alpha = np.asarray(step.alpha_, "float64")
    mean = k @ alpha.reshape(len(alpha), -1)
    scale, offset = (
        np.asarray(v, "float64").reshape(1, -1) for v in (step._y_train_std, step._y_train_mean)
    )
    return g.cast(mean * scale + offset, g.real)


# Constants of scikit-learn's approximation of the logistic function by error functions (Williams
# and Barber, 1998).
_LAMBDAS = (0.41, 0.4, 0.37, 0.44, 0.39)
_COEFS = (-1854.8214151, 3516.89893646, 221.29346712, 128.12323805, -2010.49422654)


@register_converter("sklearn:_BinaryGaussianProcessClassifierLaplace", "_latent")
def _latent(step: Any, columns: Frame, g: Conversion) -> tuple[Tensor, Tensor]:
    k = process_kernel(
        g, step.kernel_, columns.matrix("float64"), np.asarray(step.X_train_, "float64")
    )
    mean = k @ np.asarray(step.y_train_ - step.pi_, "float64").reshape(-1, 1)
    return k, mean


@register_converter("sklearn:_BinaryGaussianProcessClassifierLaplace", "predict_proba")
def process_probabilities(step: Any, columns: Frame, g: Conversion) -> Tensor:
    k, mean = g.call(step, "_latent", columns)
    solve = solve_triangular(np.asarray(step.L_), np.diag(np.asarray(step.W_sr_)), lower=True)
    v = k @ solve.T
    variance = _diagonal(g, step.kernel_, columns.matrix("float64")) - g.sum(v * v)
    alpha = 1.0 / (variance * 2.0)
    total: Tensor | None = None
    for lam, coef in zip(_LAMBDAS, _COEFS, strict=True):
        argument = mean * lam * g.sqrt(alpha / (alpha + lam**2))
        # In the paper, the factors sqrt(pi / alpha) and 1 / (2 sqrt(2 pi variance)) cancel to one
        # half.
        integral = erf(g, argument) * 0.5
        total = integral * coef if total is None else total + integral * coef
    assert total is not None
    p = total + 0.5 * sum(_COEFS)
    p.width = 1
    return g.cast(pair(g, p), g.real)


def _diagonal(g: Conversion, k: Any, x: Tensor) -> Tensor:
    """k(x, x) of each row, [N, 1]."""
    name = type(k).__name__
    if name in ("Sum", "Product"):
        a, b = _diagonal(g, k.k1, x), _diagonal(g, k.k2, x)
        return a + b if name == "Sum" else a * b
    if name == "Exponentiation":
        return _diagonal(g, k.kernel, x) ** float(k.exponent)
    if name == "DotProduct":
        return g.sum(x * x) + float(k.sigma_0) ** 2
    value = {"ConstantKernel": "constant_value", "WhiteKernel": "noise_level"}.get(name)
    return g.columns(x, [0]) * 0.0 + float(getattr(k, value) if value else 1.0)


@register_converter("sklearn:_BinaryGaussianProcessClassifierLaplace", "class_index")
def process_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    return sign_index(g, g.call(step, "_latent", columns)[1])


@register_converter("sklearn:GaussianProcessClassifier", "predict_proba")
def process_classifier(step: Any, columns: Frame, g: Conversion) -> Any:
    if step.n_classes_ > 2 and step.multi_class == "one_vs_one":
        raise g.refuse("multi_class='one_vs_one' gives no probabilities; 'one_vs_rest' does")
    return g.call(step.base_estimator_, "predict_proba", columns, "base_estimator_")


@register_converter("sklearn:GaussianProcessClassifier", "class_index")
def process_classifier_index(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step.base_estimator_, "class_index", columns, "base_estimator_")
