"""Converters of LightGBM; they read the thresholds and leaves from the model's own dump."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ...checks import Rule as NumberRule
from ...graph.builder import Tensor
from ...graph.categories import CategoricalSets
from ...graph.frame import Frame, join
from ...graph.tree_ensemble import Ensemble
from ...graph.tree_rows import TreeRows
from ...registry import Conversion
from ..encoders import lookup
from ..linear_model import pair, sign_index
from ..tree import compared

LIGHTGBM = "LGBMClassifier LGBMRegressor LGBMRanker Booster"
LIGHTGBM_ZERO = float(np.float32(1e-35))
# Linear trees take numbers up to this magnitude.
_LARGEST_FACTOR = 1e100


def _codes(g: Conversion, dump: dict[str, Any], x: Frame, example: Any) -> Frame:
    """Replaces columns of pandas categories by their codes; NaN where unknown or missing.

    `example` is a row as the model gets it, if it is known.
    """
    categories = dump.get("pandas_categorical") or []
    strings = [k for k, dtype in enumerate(x.dtypes) if dtype == "string"]
    if not categories and not strings:
        return x
    if hasattr(example, "iloc"):
        coded = [k for k, dtype in enumerate(example.dtypes) if hasattr(dtype, "categories")]
    else:
        # The dump lists values for features that are split by category.
        infos = (dump["feature_infos"].get(name, {}) for name in dump["feature_names"])
        coded = sorted({*strings, *(k for k, info in enumerate(infos) if info.get("values"))})
    if len(categories) != len(coded):
        raise g.refuse(
            f"expected {len(categories)} columns of pandas categories, as in training, got "
            f"{len(coded)}; pass `data` with the types of the training data"
        )
    frames = []
    for k in range(x.width):
        column = x.select([k])
        if k in coded:
            values = list(categories[coded.index(k)])
            table = np.append(np.arange(len(values), dtype="float64"), np.nan).reshape(-1, 1)
            code = g.gather(g.const(table), lookup(g, column.parts[0], values))
            code.width = 1
            column = g.frame(code)
        frames.append(column)
    return join(g, frames)


class _Reader:
    """Reads the trees of a model's dump into an ensemble.

    The leaves of linear trees hold a linear function of the features. The ensemble then has further
    targets, which sum the coefficients of each feature.
    """

    def __init__(self, g: Conversion, dump: dict[str, Any], x: Frame, example: Any) -> None:
        self.g = g
        self.x = _codes(g, dump, x, example)
        self.sets = CategoricalSets(g, compared(g, self.x))
        self.singles = np.array(self.x.singles)
        self.outputs = int(dump["num_tree_per_iteration"])
        trees = [info["tree_structure"] for info in dump["tree_info"]]
        # The features that leaves multiply, in the order of their targets.
        self.linear = sorted({feature for tree in trees for feature in _leaf_features(tree)})
        self.zero_is_missing: set[int] = set()
        self.ensemble = Ensemble(self.outputs * (1 + len(self.linear)))
        for number, tree in enumerate(trees):
            self._add(tree, number % self.outputs)
        self.rows = self._rows()

    def _add(self, root: dict[str, Any], output: int) -> None:
        # One list per node: feature, threshold, left, right, whether a missing value goes left,
        # whether the node is a leaf.
        nodes: list[list[Any]] = []
        weights: list[tuple[int, int, float]] = []  # node, target, weight
        stack: list[tuple[dict[str, Any], int, int]] = [(root, -1, 0)]
        while stack:
            node, parent, side = stack.pop()
            place = len(nodes)
            if parent >= 0:
                nodes[parent][side] = place
            if "split_index" in node:
                stack += [(node["right_child"], place, 3), (node["left_child"], place, 2)]
                feature, threshold, missing = self._split(node)
                nodes.append([feature, threshold, 0, 0, missing, False])
                continue
            # A linear leaf answers with its constant if a feature that it multiplies is missing.
            for feature in node.get("leaf_features") or ():
                nodes.append([feature, np.inf, place + 2, place + 1, False, False])
                nodes.append([0, 0.0, 0, 0, False, True])
                weights.append((place + 1, output, float(node["leaf_value"])))
                place += 2
            nodes.append([0, 0.0, 0, 0, False, True])
            weights += [(place, target, weight) for target, weight in self._leaf(node, output)]
        columns = [np.array(column) for column in zip(*nodes, strict=True)]
        where, targets, values = zip(*weights, strict=True)
        features, thresholds, left, right, missing_left, leaf = columns
        self.ensemble.add(
            features, thresholds, left, right, missing_left, leaf, (where, targets, values)
        )

    def _leaf(self, node: dict[str, Any], output: int) -> Iterator[tuple[int, float]]:
        """The targets of a leaf and their weights."""
        yield output, float(node["leaf_const"] if self.linear else node["leaf_value"])
        for feature, weight in zip(
            node.get("leaf_features") or (), node.get("leaf_coeff") or (), strict=True
        ):
            yield self.outputs * (1 + self.linear.index(feature)) + output, float(weight)

    def _split(self, node: dict[str, Any]) -> tuple[int, float, bool]:
        feature, missing_type = int(node["split_feature"]), node["missing_type"]
        if node["decision_type"] == "==":
            # A category in the set goes left; every other value, including a missing or negative
            # one, goes right.
            left = [int(c) for c in str(node["threshold"]).split("||")]
            return self.sets.split(feature, left, [], False), 0.5, False
        threshold = float(self.g.snap(node["threshold"], self.singles[feature]))
        # LightGBM reads numbers from -1e-35 to 1e-35 as zero, and its thresholds beside zero are
        # these two numbers. So a value that equals the lower threshold is read as zero, and goes
        # right.
        if threshold == -LIGHTGBM_ZERO:
            threshold = float(np.nextafter(threshold, -np.inf))
        if missing_type == "Zero":
            self.zero_is_missing.add(feature)
        # If training saw no missing value, LightGBM treats a missing value as zero.
        missing = threshold >= 0.0 if missing_type == "None" else bool(node["default_left"])
        return feature, threshold, missing

    def _rows(self) -> TreeRows:
        rows = self.sets.rows()
        if not self.zero_is_missing:
            return rows
        g, matrix = self.g, rows.matrix
        features = [f for f in sorted(self.zero_is_missing) if rows.categories[f] < 0]
        is_replaced = np.zeros((1, matrix.width or 0), bool)
        is_replaced[0, rows.columns[features]] = True
        is_zero = (g.abs(matrix) <= LIGHTGBM_ZERO) & g.const(is_replaced)
        zeros_missing = g.where(is_zero, float("nan"), matrix)
        return replace(rows, matrix=zeros_missing, zero_is_missing=True)

    def scores(self) -> Tensor:
        """The sum of each output over the trees, [N, outputs]."""
        g = self.g
        sums = self.ensemble.scores(g, self.rows)
        if not self.linear:
            return sums
        sums = g.cast(sums, "float64")
        factors = self.x.select(self.linear)
        # LightGBM adds the products of each tree, and here the coefficients are added first. For
        # infinite products, the sums would differ.
        g.require(factors, NumberRule(-_LARGEST_FACTOR, _LARGEST_FACTOR, missing=True))
        matrix = factors.matrix("float64")
        total = g.columns(sums, range(self.outputs))
        for k in range(1, len(self.linear) + 1):
            number = g.columns(matrix, [k - 1])
            number = g.where(g.isnan(number), 0.0, number)
            places = range(self.outputs * k, self.outputs * (k + 1))
            total = total + g.columns(sums, places) * number
        return total


def _leaf_features(tree: dict[str, Any]) -> set[int]:
    """The features that the leaves of a linear tree multiply."""
    found: set[int] = set()
    stack = [tree]
    while stack:
        node = stack.pop()
        found.update(node.get("leaf_features") or ())
        stack += [node[side] for side in ("left_child", "right_child") if side in node]
    return found


@register_converter(f"lightgbm:{LIGHTGBM}", "_trees")
def lightgbm_trees(step: Any, columns: Frame, g: Conversion) -> tuple[_Reader, str]:
    dump = _booster(step).dump_model()
    return _Reader(g, dump, columns, g.examples.get(id(step))), str(dump.get("objective", "custom"))


def _booster(model: Any) -> Any:
    return getattr(model, "booster_", model)


def averages(model: Any) -> bool:
    """Whether the model answers with the mean of its trees, as a random forest does."""
    return bool(_booster(model).dump_model(num_iteration=1)["average_output"])


@register_converter(f"lightgbm:{LIGHTGBM}", "_raw")
def lightgbm_raw(step: Any, columns: Frame, g: Conversion) -> tuple[Tensor, str]:
    reader, objective = g.call(step, "_trees", columns)
    total = reader.scores()
    if averages(step):
        total = total / float(len(reader.ensemble.trees) // reader.outputs)
    return g.cast(total, g.real), objective


def _option(objective: str, key: str, default: float) -> float:
    for part in objective.split()[1:]:
        name, _, value = part.partition(":")
        if name == key and value:
            return float(value)
    return default


@register_converter("lightgbm:LGBMRegressor LGBMRanker", "predict")
def lightgbm_regressor(step: Any, columns: Frame, g: Conversion) -> Any:
    raw, objective = g.call(step, "_raw", columns)
    name, *options = objective.split()
    if name in (
        "regression",
        "regression_l1",
        "huber",
        "fair",
        "quantile",
        "mape",
        "lambdarank",
        "rank_xendcg",
        "custom",  # answers are the sums themselves
    ):
        return raw * g.abs(raw) if "sqrt" in options else raw
    if name in ("poisson", "gamma", "tweedie"):
        return g.exp(raw)
    if name == "cross_entropy":
        return g.sigmoid(raw)
    raise g.refuse(f"the objective '{name}' is not supported")


@register_converter("lightgbm:Booster", "predict")
def lightgbm_booster(step: Any, columns: Frame, g: Conversion) -> Any:
    """A Booster predicts what its objective is about: probabilities, or a number."""
    objective = g.call(step, "_trees", columns)[1].split()[0]
    if objective in ("binary", "multiclass", "multiclassova"):
        probabilities = _classified(g, step, columns)[1]
        return g.columns(probabilities, [1]) if objective == "binary" else probabilities
    return lightgbm_regressor(step, columns, g)


@register_converter("lightgbm:LGBMClassifier", "decision_function")
def lightgbm_decision(step: Any, columns: Frame, g: Conversion) -> Tensor:
    raw: Tensor = g.call(step, "_raw", columns)[0]
    return raw


@register_converter("lightgbm:LGBMClassifier", "_classified")
def lightgbm_classified(step: Any, columns: Frame, g: Conversion) -> Any:
    return _classified(g, step, columns)


def _classified(g: Conversion, model: Any, x: Frame) -> Any:
    """Class index and probabilities."""
    reader, objective = g.call(model, "_trees", x)
    ensemble, rows = reader.ensemble, reader.rows
    name, classes = objective.split()[0], max(reader.outputs, 2)
    sigmoid = _option(objective, "sigmoid", 1.0)
    is_sum = not averages(model) and not reader.linear
    if name == "binary" and sigmoid == 1.0 and rows.dtype == "float32" and is_sum:
        return ensemble.classify(g, rows, 2, "LOGISTIC")
    if name == "multiclass" and rows.dtype == "float32" and is_sum:
        return ensemble.classify(g, rows, classes, "SOFTMAX")
    if name == "binary" and is_sum:
        scores = g.cast(ensemble.against_zero().scores(g, rows), g.real)
        return g.argmax(scores), g.softmax(scores if sigmoid == 1.0 else scores * sigmoid)
    raw = g.call(model, "_raw", x)[0]
    if name == "binary":
        return sign_index(g, raw), pair(g, g.sigmoid(raw if sigmoid == 1.0 else raw * sigmoid))
    if name == "multiclass":
        return g.argmax(raw), g.softmax(raw)
    if name == "multiclassova":
        p = g.sigmoid(raw if sigmoid == 1.0 else raw * sigmoid)
        return g.argmax(p), p
    if name == "custom":
        raise g.refuse(
            "with a custom objective it answers with scores instead of classes; export its booster_"
        )
    raise g.refuse(f"the objective '{name}' is not supported")


@register_converter("lightgbm:LGBMClassifier", "predict_proba")
def lightgbm_probabilities(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "_classified", columns)[1]


@register_converter("lightgbm:LGBMClassifier", "class_index")
def lightgbm_index(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "_classified", columns)[0]
