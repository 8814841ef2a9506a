"""Draws transformers and their parameters at random; pipelines.py combines them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from sklearn import (
    cluster,
    decomposition,
    feature_extraction,
    feature_selection,
    impute,
    kernel_approximation,
    preprocessing,
)
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomTreesEmbedding
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.random_projection import GaussianRandomProjection

T = TypeVar("T")


class Sampler:
    """The random draws of one pipeline, all from one generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def one(self, options: Sequence[T]) -> T:
        return options[int(self.rng.integers(len(options)))]

    def weighted(self, options: Sequence[tuple[float, T]]) -> T:
        weights = np.array([weight for weight, _ in options])
        return options[int(self.rng.choice(len(options), p=weights / weights.sum()))][1]

    def some(self, options: Sequence[T], least: int, most: int) -> list[T]:
        """A random subset in the order of `options`."""
        most = min(most, len(options))
        count = int(self.rng.integers(min(least, most), most + 1))
        return [options[i] for i in sorted(self.rng.permutation(len(options))[:count].tolist())]

    def number(self, low: float, high: float) -> float:
        """A random number with two decimals, as a person writes a parameter."""
        return round(float(self.rng.uniform(low, high)), 2)

    def seed(self) -> int:
        return int(self.rng.integers(1000))


@dataclass
class Columns:
    """The properties of a step's input that decide which steps are possible."""

    width: int
    positive: bool = False
    few_values: bool = False
    task: str = "regression"


Maker = Callable[[Sampler, Columns], Any]


def _simple(sampler: Sampler, columns: Columns) -> Any:
    strategy = sampler.one(["mean", "median", "most_frequent"])
    return impute.SimpleImputer(strategy=strategy, add_indicator=sampler.chance(0.2))


def _constant(sampler: Sampler, columns: Columns) -> Any:
    return impute.SimpleImputer(strategy="constant", fill_value=sampler.one([0.0, -1.0, -999.0]))


def _nearest(sampler: Sampler, columns: Columns) -> Any:
    return impute.KNNImputer(
        n_neighbors=sampler.one([2, 3, 5]), weights=sampler.one(["uniform", "distance"])
    )


IMPUTERS: list[tuple[float, Maker]] = [
    (10, _simple),
    (3, _constant),
    (0.7, _nearest),
    (0.7, lambda d, c: impute.IterativeImputer(max_iter=3, random_state=0)),
]


def imputer(sampler: Sampler, columns: Columns) -> Any:
    """A step that fills in missing numbers."""
    return sampler.weighted(IMPUTERS)(sampler, columns)


def _function(sampler: Sampler, columns: Columns) -> Any:
    anywhere = [np.square, np.abs, np.tanh, np.cbrt, np.rint, np.floor]
    above_zero = [np.log1p, np.log1p, np.log1p, np.sqrt, np.log, np.log10]
    names = {"feature_names_out": "one-to-one"} if sampler.chance(0.5) else {}
    return preprocessing.FunctionTransformer(
        sampler.one(above_zero if columns.positive else anywhere), **names
    )


def _bins(sampler: Sampler, columns: Columns) -> Any:
    return preprocessing.KBinsDiscretizer(
        n_bins=sampler.one([3, 5, 8, 12]),
        encode=sampler.one(["ordinal", "onehot", "onehot-dense"]),
        strategy=sampler.one(["uniform", "quantile", "kmeans"]),
        quantile_method="averaged_inverted_cdf",
        random_state=0,
    )


def _power(sampler: Sampler, columns: Columns) -> Any:
    method = sampler.one(["box-cox", "yeo-johnson"]) if columns.positive else "yeo-johnson"
    return preprocessing.PowerTransformer(method=method, standardize=sampler.chance(0.8))


def _quantiles(sampler: Sampler, columns: Columns) -> Any:
    count, shape = sampler.one([20, 100, 300]), sampler.one(["uniform", "normal"])
    return preprocessing.QuantileTransformer(
        n_quantiles=count, output_distribution=shape, random_state=0
    )


def _spline(sampler: Sampler, columns: Columns) -> Any:
    return preprocessing.SplineTransformer(
        n_knots=sampler.one([3, 5, 7]),
        degree=sampler.one([1, 2, 3]),
        knots=sampler.one(["uniform", "quantile"]),
        # export refuses "error"
        extrapolation=sampler.one(["constant", "linear", "continue"]),
        include_bias=sampler.chance(0.5),
    )


def _standard(sampler: Sampler, columns: Columns) -> Any:
    return preprocessing.StandardScaler(with_mean=sampler.chance(0.9), with_std=sampler.chance(0.9))


def _robust(sampler: Sampler, columns: Columns) -> Any:
    return preprocessing.RobustScaler(quantile_range=sampler.one([(25.0, 75.0), (10.0, 90.0)]))


def _minmax(sampler: Sampler, columns: Columns) -> Any:
    return preprocessing.MinMaxScaler(
        feature_range=sampler.one([(0, 1), (-1, 1), (0, 10)]), clip=sampler.chance(0.2)
    )


def _binary(sampler: Sampler, columns: Columns) -> Any:
    return preprocessing.Binarizer(threshold=sampler.number(-1, 30))


SCALING: list[tuple[float, Maker]] = [
    (5, _standard),
    (5, _minmax),
    (1, lambda d, c: preprocessing.MaxAbsScaler()),
    (3, _robust),
    (3, _power),
    (3, _quantiles),
    (2.5, _bins),
    (2, _function),
    (1.5, _spline),
    (0.7, lambda d, c: preprocessing.Normalizer(norm=d.one(["l1", "l2", "max"]))),
    (0.5, _binary),
]


def scaling(sampler: Sampler, columns: Columns) -> Any:
    """A random step that works on numbers column by column."""
    return sampler.weighted(SCALING)(sampler, columns)


def _polynomial(sampler: Sampler, columns: Columns) -> Any:
    degree = 3 if columns.width <= 4 and sampler.chance(0.3) else 2
    return preprocessing.PolynomialFeatures(
        degree, interaction_only=sampler.chance(0.3), include_bias=sampler.chance(0.5)
    )


def _components(sampler: Sampler, columns: Columns) -> int:
    return int(sampler.rng.integers(1, max(2, min(columns.width, 8))))


def _pca(sampler: Sampler, columns: Columns) -> Any:
    return decomposition.PCA(
        _components(sampler, columns), whiten=sampler.chance(0.3), random_state=0
    )


def _select(sampler: Sampler, columns: Columns) -> Any:
    score = (
        feature_selection.f_regression
        if columns.task == "regression"
        else feature_selection.f_classif
    )
    return feature_selection.SelectKBest(score, k=_components(sampler, columns))


def _variance(sampler: Sampler, columns: Columns) -> Any:
    return feature_selection.VarianceThreshold(sampler.one([0.0, 0.01]))


def _nystroem(sampler: Sampler, columns: Columns) -> Any:
    kernel = sampler.one(["rbf", "poly", "linear"])
    return kernel_approximation.Nystroem(
        kernel=kernel,
        gamma=None if kernel == "linear" else 0.1,
        n_components=10,
        random_state=sampler.seed(),
    )


def _discriminant(sampler: Sampler, columns: Columns) -> Any:
    return (
        _pca(sampler, columns) if columns.task != "classification" else LinearDiscriminantAnalysis()
    )


MIXING: list[tuple[float, Maker]] = [
    (4, _pca),
    (2, lambda d, c: decomposition.TruncatedSVD(_components(d, c), random_state=0)),
    (3, _select),
    (1.5, _variance),
    (1, _nystroem),
    (
        0.7,
        lambda d, c: kernel_approximation.RBFSampler(
            gamma=0.1, n_components=10, random_state=d.seed()
        ),
    ),
    (1, lambda d, c: cluster.KMeans(d.one([2, 4, 7]), n_init=1, random_state=0)),
    (0.7, lambda d, c: GaussianRandomProjection(_components(d, c), random_state=d.seed())),
    (0.7, lambda d, c: decomposition.FactorAnalysis(_components(d, c), random_state=0)),
    (0.7, lambda d, c: decomposition.FastICA(_components(d, c), random_state=0, max_iter=500)),
    (0.5, lambda d, c: RandomTreesEmbedding(5, max_depth=3, random_state=0)),
    (0.5, _discriminant),
]


def mixing(sampler: Sampler, columns: Columns) -> Any:
    """A random step that combines columns or selects some of them."""
    narrow: list[tuple[float, Maker]] = [(5, _polynomial)] if columns.width <= 9 else []
    return sampler.weighted([*MIXING, *narrow])(sampler, columns)


def encoder(sampler: Sampler, columns: Columns) -> Any:
    """A random step that turns categories (text, or numbers with few values) into numbers."""
    unknown = sampler.one(["ignore", "ignore", "error", "infrequent_if_exist"])
    drop = (
        sampler.one([None, None, "first", "if_binary"])
        if unknown != "infrequent_if_exist"
        else None
    )
    rare = (
        sampler.one([None, 10, 0.02])
        if unknown == "infrequent_if_exist" or sampler.chance(0.2)
        else None
    )
    one_hot = preprocessing.OneHotEncoder(
        handle_unknown=unknown, drop=drop, min_frequency=rare, sparse_output=sampler.chance(0.5)
    )
    value = sampler.one([-1, np.nan, 99])
    lenient = preprocessing.OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=value,
        encoded_missing_value=sampler.one([np.nan, -2]),
    )
    options = [(5, one_hot), (2, lenient), (1.5, preprocessing.OrdinalEncoder())]
    if columns.task in ("regression", "classification"):
        options.append(
            (2, preprocessing.TargetEncoder(smooth=sampler.one(["auto", 5.0]), random_state=0))
        )
    return sampler.weighted(options)


def vectorizer(sampler: Sampler) -> Any:
    """A random step that turns free text into numbers."""
    options: dict[str, Any] = {
        "ngram_range": sampler.one([(1, 1), (1, 2)]),
        "min_df": sampler.one([2, 3, 5]),
        "max_features": sampler.one([None, 50, 300]),
        "binary": sampler.chance(0.2),
        "lowercase": sampler.chance(0.8),
        "strip_accents": sampler.one([None, None, "unicode"]),
        "analyzer": sampler.weighted([(6, "word"), (1, "char_wb"), (1, "char")]),
    }
    if sampler.chance(0.4):
        return feature_extraction.text.CountVectorizer(**options)
    extra = {
        "sublinear_tf": sampler.chance(0.3),
        "norm": sampler.one(["l2", "l1", None]),
        "use_idf": sampler.chance(0.8),
    }
    return feature_extraction.text.TfidfVectorizer(**options, **extra)
