"""Fits, converts and compares every estimator of scikit-learn, on both engines.

Writes docs/coverage.md with `--update`, with the results of walk_other_packages.py. docs/engine.md
has the results of the native engine.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from convert_harness import differences_of, layout, run_graph, run_graph_natively
from parity.judging.engines import without_names
from sidecall import errors
from sidecall.convert import NotConvertible, to_graph
from sklearn import __version__ as sklearn_version
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.experimental import (
    enable_halving_search_cv,  # noqa: F401 - part of the walk
    enable_iterative_imputer,  # noqa: F401 - part of the walk
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.utils import all_estimators

PAGE = Path(__file__).parents[3] / "docs" / "coverage.md"

# The largest difference, relative to 1 + |expected|, that counts as agreement: for a file with
# export's default precision, and with precision="float32".
LIMIT = 1e-8
FLOAT32_LIMIT = 1e-5


@dataclass
class Row:
    name: str
    fits: bool
    converts: bool
    agrees: bool = False
    difference: float = 0.0
    agrees_in_float32: bool = False
    reason: str = ""
    # Why the native engine does not run the graph, or gives other answers; "" if it agrees.
    native_reason: str = ""


def data() -> dict[str, Any]:
    """Training data of each kind, and new rows."""
    rng = np.random.default_rng(7)
    x, y = load_iris(return_X_y=True)
    x = np.hstack([x, x[:, :2] * x[:, 2:] + rng.normal(size=(150, 2))])
    order = rng.permutation(150)
    x, y = x[order], y[order]
    mix = rng.random((200, 1))
    fresh = x[rng.integers(150, size=200)] * mix + x[rng.integers(150, size=200)] * (1 - mix)
    words = np.array(
        ["red apple", "green pear", "blue plum", "Apple tree", "pear-tree red", "a plum"]
    )
    text = np.array([" ".join(rng.choice(words, 3)) for _ in range(150)])
    strings = rng.choice(["a", "b", "c"], size=(150, 2)).astype(object)
    # Makes all values distinct, because two programs may order equal distances differently.
    x = x + rng.normal(scale=1e-3, size=x.shape)
    return {
        "x": x,
        "y": y,
        "target": x @ np.arange(1.0, 7.0) + rng.normal(size=150),
        "targets": np.c_[x @ np.arange(1.0, 7.0), x[:, 0] ** 2],
        "labels": np.c_[y == 0, x[:, 0] > 5.8].astype(int),
        "fresh": fresh,
        "positive": np.abs(x),
        "fresh_positive": np.abs(fresh),
        "whole": np.clip(np.round(np.abs(x[:, :4])), 0, 5),
        "fresh_whole": np.clip(np.round(np.abs(fresh[:, :4])), 0, 5),
        "text": text,
        "fresh_text": text[::-1].copy(),
        "strings": strings,
        "fresh_strings": rng.choice(["a", "b", "c"], size=(60, 2)).astype(object),
    }


WHOLE = {"CategoricalNB"}
STRINGS = {"OneHotEncoder", "OrdinalEncoder", "TargetEncoder"}
TEXT = {"CountVectorizer", "TfidfVectorizer", "HashingVectorizer"}
POSITIVE = {
    "AdditiveChi2Sampler", "SkewedChi2Sampler", "NMF", "MiniBatchNMF", "LatentDirichletAllocation",
    "MultinomialNB", "ComplementNB", "TfidfTransformer", "PoissonRegressor", "GammaRegressor",
    "TweedieRegressor",
}  # fmt: skip
LABELS = {"MultiOutputClassifier", "ClassifierChain"}
TARGETS = {
    "MultiOutputRegressor", "RegressorChain", "MultiTaskElasticNet", "MultiTaskElasticNetCV",
    "MultiTaskLasso", "MultiTaskLassoCV", "PLSCanonical", "CCA", "PLSSVD",
}  # fmt: skip
BINARY = {"FixedThresholdClassifier", "TunedThresholdClassifierCV"}


def make(cls: Any) -> Any:
    """An instance that fits quickly. Parameters without a default get a value."""
    name = cls.__name__
    classifier, regressor = LogisticRegression(max_iter=30), Ridge()
    special: dict[str, dict[str, Any]] = {
        "ColumnTransformer": {
            "transformers": [("a", KMeans(2, random_state=0), [0, 1]), ("b", "passthrough", [2])]
        },
        "FeatureUnion": {
            "transformer_list": [("a", KMeans(2, random_state=0)), ("b", "passthrough")]
        },
        "Pipeline": {"steps": [("a", KMeans(3, random_state=0)), ("b", LinearRegression())]},
        "VotingClassifier": {"estimators": [("a", classifier), ("b", LogisticRegression(C=0.1))]},
        "VotingRegressor": {"estimators": [("a", regressor), ("b", LinearRegression())]},
        "StackingClassifier": {"estimators": [("a", classifier), ("b", LogisticRegression(C=0.1))]},
        "StackingRegressor": {"estimators": [("a", regressor), ("b", LinearRegression())]},
        "GridSearchCV": {"estimator": classifier, "param_grid": {"C": [0.1, 1.0]}, "cv": 3},
        "RandomizedSearchCV": {
            "estimator": classifier,
            "param_distributions": {"C": [0.1, 1.0]},
            "n_iter": 2,
            "cv": 3,
        },
        "HalvingGridSearchCV": {"estimator": classifier, "param_grid": {"C": [0.1, 1.0]}, "cv": 3},
        "HalvingRandomSearchCV": {
            "estimator": classifier,
            "param_distributions": {"C": [0.1, 1.0]},
            "cv": 3,
        },
        "SparseCoder": {"dictionary": np.eye(6)[:4]},
        "LatentDirichletAllocation": {"max_iter": 3},
        "DictionaryLearning": {"max_iter": 20},
        "IterativeImputer": {"max_iter": 5},
        "LocalOutlierFactor": {"novelty": True},
        "RadiusNeighborsClassifier": {"radius": 2.0, "outlier_label": 0},
        "RadiusNeighborsRegressor": {"radius": 5.0},
        "SequentialFeatureSelector": {"estimator": regressor, "n_features_to_select": 2, "cv": 2},
        "SelectKBest": {"k": 3},
        "DictVectorizer": {},
        "KernelPCA": {"n_components": 2, "kernel": "rbf"},
        "TSNE": {"perplexity": 5.0, "max_iter": 250},
        "RANSACRegressor": {},
        "OrthogonalMatchingPursuitCV": {"cv": 3, "max_iter": 3},
        "QuantileTransformer": {"n_quantiles": 50},
        "SelfTrainingClassifier": {"estimator": classifier},
        "GaussianRandomProjection": {"n_components": 3},
        "SparseRandomProjection": {"n_components": 3},
        "PatchExtractor": {},
    }
    if name in special:
        params = dict(special[name])
    elif cls.__init__ is object.__init__:
        return cls()
    else:
        required = set(getattr(cls, "_required_parameters", [])) | (
            {"estimator"} if "estimator" in cls.__init__.__code__.co_varnames[1:2] else set()
        )
        regresses = "Regressor" in name or name in ("RegressorChain", "MultiOutputRegressor")
        params = (
            {"estimator": regressor if regresses else classifier} if "estimator" in required else {}
        )
        if name == "FrozenEstimator":
            params = {"estimator": None}
    for key, value in {
        "random_state": 0,
        "n_estimators": 10,
        "max_iter": 100,
        "n_jobs": None,
    }.items():
        accepted = cls.__init__.__code__.co_varnames[
            : cls.__init__.__code__.co_argcount + cls.__init__.__code__.co_kwonlyargcount
        ]
        if (
            key in accepted
            and key not in params
            and not (key == "max_iter" and name in _SLOW_TO_CONVERGE)
        ):
            params[key] = value
    return cls(**params)


_SLOW_TO_CONVERGE = {"ARDRegression", "GaussianMixture"}


def fitted(cls: Any, d: dict[str, Any]) -> tuple[Any, Any]:
    """The fitted estimator and its new rows."""
    name = cls.__name__
    if name == "FrozenEstimator":
        return cls(LogisticRegression(max_iter=30).fit(d["x"], d["y"])), d["fresh"]
    model = make(cls)
    x, fresh = d["x"], d["fresh"]
    if name in WHOLE:
        x, fresh = d["whole"], d["fresh_whole"]
    elif name in STRINGS:
        x, fresh = d["strings"], d["fresh_strings"]
    elif name in TEXT:
        x, fresh = d["text"], d["fresh_text"]
    elif name in POSITIVE:
        x, fresh = d["positive"], d["fresh_positive"]
    elif name == "IsotonicRegression":
        x, fresh = x[:, :1], np.clip(fresh[:, :1], x[:, :1].min(), x[:, :1].max())
    elif name == "LabelBinarizer":
        return model.fit(d["y"]), d["y"][::-1].reshape(-1, 1).astype("float64")
    elif name in ("LabelEncoder", "MultiLabelBinarizer"):
        return model.fit(d["y"] if name == "LabelEncoder" else [[v] for v in d["y"]]), fresh
    elif name == "KernelCenterer":
        return model.fit(x @ x.T), fresh @ x.T
    elif name in ("MissingIndicator", "SimpleImputer", "KNNImputer", "IterativeImputer"):
        rng = np.random.default_rng(3)
        x, fresh = x.copy(), fresh.copy()
        x[rng.random(x.shape) < 0.1] = np.nan
        fresh[rng.random(fresh.shape) < 0.1] = np.nan
    return model.fit(x, _target(model, name, d)), fresh


def _target(model: Any, name: str, d: dict[str, Any]) -> Any:
    from sklearn.base import is_classifier

    if name in LABELS:
        return d["labels"]
    if name in TARGETS:
        return d["targets"]
    if name in BINARY:
        return (d["y"] == 1).astype(int)
    if name == "CountVectorizer":
        return None
    supervised_by_class = name.startswith("Select") or name in (
        "RFE",
        "RFECV",
        "GenericUnivariateSelect",
        "TargetEncoder",
        "NeighborhoodComponentsAnalysis",
    )
    if name == "SequentialFeatureSelector":
        return d["target"]
    return d["y"] if is_classifier(model) or supervised_by_class else d["target"]


def examine(cls: Any, d: dict[str, Any]) -> Row:
    name = cls.__name__
    try:
        model, fresh = fitted(cls, d)
    except Exception as error:  # whatever a scikit-learn class raises on unsuitable data
        return Row(
            name, False, False, reason=f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
        )
    rounded = fresh.astype("float32") if fresh.dtype.kind == "f" else fresh
    row = Row(name, True, True)
    try:
        double = _graph(model, fresh, "float64")
        single = _graph(model, rounded, "float32")
    except NotConvertible as error:
        return Row(name, True, False, reason=str(error))
    found = differences_of(model, fresh, run_graph(*double))
    row.agrees, row.difference = agrees(found, LIMIT), worst(found)
    found = differences_of(model, rounded, run_graph(*single))
    row.agrees_in_float32 = agrees(found, FLOAT32_LIMIT)
    row.native_reason = _reason_against_native(model, fresh, double, LIMIT)
    if row.agrees_in_float32 and not row.native_reason:
        row.native_reason = _reason_against_native(model, rounded, single, FLOAT32_LIMIT)
    return row


def _graph(model: Any, rows: Any, precision: str) -> tuple[Any, dict[str, np.ndarray]]:
    inputs, feeds = layout(rows)
    return to_graph(model, inputs, precision=precision), feeds


def _reason_against_native(model: Any, rows: Any, graph: tuple[Any, Any], limit: float) -> str:
    """Why the native engine does not run the graph as it should; "" if it does."""
    try:
        answers = run_graph_natively(*graph)
    except errors.Unsupported as error:
        return without_names(error)
    return "" if agrees(differences_of(model, rows, answers), limit) else "the answers differ"


def worst(found: dict[str, float]) -> float:
    return max((value for output, value in found.items() if output != "label"), default=0.0)


def agrees(found: dict[str, float], limit: float) -> bool:
    return worst(found) <= limit and not found.get("label")


def walk() -> list[Row]:
    d = data()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return [examine(cls, d) for _, cls in all_estimators()]


def page(rows: list[Row], more: list[str]) -> str:
    """The page about these estimators of scikit-learn; `more` holds the lines after them."""
    fits = [r for r in rows if r.fits]
    good = [r for r in fits if r.converts]
    lines = [
        f"{len(good)} of {len(fits)}",
        "",
        "# Which estimators convert",
        "",
        f"This page lists every estimator of scikit-learn {sklearn_version} that can be fitted on "
        "the small data",
        "of `tests/python/convert/walk_estimators.py`. Each estimator is fitted and then converted",
        "as `sidecall.export` does it. The answers of the converted model for up to 200 rows are",
        "compared with those of the original. If the conversion is refused, the last column gives",
        "the reason. The command `python tests/python/convert/walk_estimators.py --update` writes",
        "this page. A test fails if the page is out of date. [Other packages](#other-packages) and",
        "[parameters that are refused](#parameters-that-are-refused) follow after the table.",
        "",
        "A difference is relative to 1 + |expected|. Every estimator that converts agrees within",
        f'{LIMIT:g}, and no label differs. The column `float32` says "yes" if the conversion with',
        f'`precision="float32"` agrees within {FLOAT32_LIMIT:g} on the same rows, rounded to '
        "float32, and no",
        "label differs. An estimator that converts here may be refused if it has other parameters.",
        "The error of the export then names the step and the reason.",
        "",
        "| estimator | outcome | largest difference | float32 | reason |",
        "|---|---|---|---|---|",
    ]
    for r in fits:
        if not r.converts:
            lines.append(f"| {r.name} | refused |  |  | {r.reason.replace('|', '/')} |")
            continue
        magnitude = f"at most 1e{int(np.ceil(np.log10(r.difference)))}" if r.difference > 0 else "0"
        lines.append(
            f"| {r.name} | converts | {magnitude} | {'yes' if r.agrees_in_float32 else 'no'} |  |"
        )
    others = ", ".join(r.name for r in rows if not r.fits)
    lines += [
        "",
        f"Not counted, as they do not fit on tables of numbers, strings or texts: {others}.",
        "",
        *more,
    ]
    return "\n".join(lines)


def without_magnitudes(text: str) -> str:
    """The page without the column of differences, which depend on the rounding of the processor."""
    rows = (line.split("|") if line.startswith("| ") else [line] for line in text.splitlines())
    return "\n".join("|".join(cells[:3] + cells[4:]) for cells in rows)


if __name__ == "__main__":
    walked = walk()
    for row in walked:
        if "-v" in sys.argv and not (row.converts and row.agrees and row.agrees_in_float32):
            print(row)
    import walk_other_packages as other

    written = page(walked, other.lines(other.walk(), other.walk_parameters()))
    if "--update" in sys.argv:
        PAGE.write_text(written, encoding="utf-8")
    print(written.splitlines()[0])
