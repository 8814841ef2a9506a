"""Converters of CatBoost; they read the borders and the leaves from the model's own JSON file.

CatBoost rounds each number of a row to float32 before it compares, and adds in double.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ...graph.builder import Tensor
from ...graph.frame import Frame
from ...graph.tree_rows import TreeRows
from ...registry import Conversion
from ..linear_model import pair
from ..tree import rounding, tree_rows
from .catboost_categories import Categories, NumberColumn

CATBOOST = "CatBoost CatBoostClassifier CatBoostRegressor CatBoostRanker"

# A test of a row: the feature of the ensemble, its threshold, and whether a missing value goes
# left. A row goes left if its number is not above the threshold.
Split = tuple[int, float, bool]


def _saved(g: Conversion, model: Any) -> dict[str, Any]:
    """The model as its own JSON file describes it."""
    if not model.is_fitted():
        raise g.refuse("it is not fitted")
    for kind, places in (
        ("text", model.get_text_feature_indices()),
        ("embedding", model.get_embedding_feature_indices()),
    ):
        if places:
            name = model.feature_names_[places[0]]
            raise g.refuse(f"its {kind} feature '{name}' is not supported; drop it before fit")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return saved


def _is_ambiguous(params: dict[str, Any]) -> bool:
    """Whether two tables of statistics have one name in the file, because only the splits of the
    target differ.
    """
    groups = [params["simple_ctrs"], params["combinations_ctrs"]]
    groups += list(params["per_feature_ctrs"].values())
    for group in groups:
        splits: dict[str, Any] = {}
        for entry in group:
            split = entry.get("target_binarization")
            if splits.setdefault(entry["ctr_type"], split) != split:
                return True
    return False


class _Reader:
    """Reads the trees of a saved model into an ensemble.

    The features of the ensemble are the numeric columns, then the target statistics ("ctrs"), then
    a feature for each category that a tree tests by itself.
    """

    def __init__(self, g: Conversion, model: Any, x: Frame) -> None:
        saved = _saved(g, model)
        info = saved["features_info"]
        self.g = g
        self.example = g.examples.get(id(model))
        params = saved["model_info"].get("params") or {}  # a sum of models has none
        self.loss = str(params.get("loss_function", {}).get("type", ""))
        self.scale, bias = saved["scale_and_bias"]
        self.bias = np.asarray(bias, "float64").reshape(-1)
        columns = [
            NumberColumn.of(entry)
            for entry in info.get("float_features") or ()
            if entry.get("borders")
        ]
        self.numbers = {column.index: place for place, column in enumerate(columns)}
        self.columns = columns
        self.ctrs = info.get("ctrs") or []
        if self.ctrs and "cat_feature_params" not in params:
            raise g.refuse("it is a sum of models with target statistics, which is not supported")
        if self.ctrs and _is_ambiguous(params["cat_feature_params"]):
            raise g.refuse(
                "two of its target statistics of one kind differ only in how they split the target, "
                "and the model's file holds one table for both; fit with one of them"
            )
        one_hot = info.get("categorical_features") or []
        self.categories = Categories(g, model, x, one_hot, self.ctrs, saved.get("ctr_data") or {})
        # The JSON file names the border of a statistic by its number among all splits.
        first = sum(len(column.borders) for column in columns)
        first += sum(len(entry.get("values") or ()) for entry in one_hot)
        self.borders = [
            (place, border) for place, ctr in enumerate(self.ctrs) for border in ctr["borders"]
        ]
        self.first_border = first
        self.ensemble = rounding(len(self.bias))
        for tree in saved.get("oblivious_trees") or ():
            self._add_symmetric(tree)
        for tree in saved.get("trees") or ():
            self._add(tree)
        self.rows = self._rows(x)

    def _rows(self, x: Frame) -> TreeRows:
        by_index = {column.index: column for column in self.columns}
        x = self._as_read(x)
        parts = [
            *x.select([column.place for column in self.columns]).parts,
            *self.categories.statistics(x, by_index),
            *self.categories.one_hot(),
        ]
        if not parts:  # trees of a single leaf
            return tree_rows(self.g, x.select([0]))
        return tree_rows(self.g, Frame(self.g, parts, x.sparse))

    def _as_read(self, x: Frame) -> Frame:
        """Integers that are Python objects become doubles before they are rounded to float32."""
        dtypes = getattr(self.example, "dtypes", [getattr(self.example, "dtype", None)] * x.width)
        is_object = [
            tensor == "int64" and getattr(dtype, "kind", "") == "O"
            for tensor, dtype in zip(x.dtypes, dtypes, strict=True)
        ]
        if not any(is_object):
            return x
        columns = [x.column(k) for k in range(x.width)]
        return Frame(
            self.g,
            [
                self.g.cast(column, "float64") if is_read else column
                for column, is_read in zip(columns, is_object, strict=True)
            ],
            x.sparse,
        )

    def _split(self, split: dict[str, Any]) -> Split:
        kind = split["split_type"]
        if kind == "FloatFeature":
            place = self.numbers[int(split["float_feature_index"])]
            return place, float(split["border"]), not self.columns[place].missing_right
        if kind == "OnlineCtr":
            place, border = self.borders[int(split["split_index"]) - self.first_border]
            if border != split["border"]:
                raise self.g.refuse("this version of catboost numbers its splits in another way")
            return len(self.numbers) + place, float(border), True
        if kind == "OneHotFeature":
            place = self.categories.place(int(split["cat_feature_index"]), int(split["value"]))
            return len(self.numbers) + len(self.ctrs) + place, 0.5, True
        raise self.g.refuse(f"a split of the kind {kind} is not supported")

    def _add_symmetric(self, tree: dict[str, Any]) -> None:
        """Adds a tree with one test for each level; bit k of a leaf's number is the test k."""
        tests = [self._split(split) for split in tree.get("splits") or ()]
        values = np.asarray(tree["leaf_values"], "float64").reshape(-1, len(self.bias))
        if len(values) != 1 << len(tests):
            raise self.g.refuse(f"expected {1 << len(tests)} leaves of a tree, got {len(values)}")
        depth, inner = len(tests), len(values) - 1
        # Node i has the children 2 i + 1 and 2 i + 2. The root has the last test, so the leaves
        # have the order of their numbers.
        values = np.vstack([np.zeros((inner, values.shape[1])), values])
        is_leaf = np.arange(len(values)) >= inner
        level = np.zeros(len(values), "int64")
        for k in range(depth):
            level[(1 << k) - 1 : (2 << k) - 1] = k
        # A node whose leaves all hold the same values needs no test.
        for k in reversed(range(depth)):
            nodes = np.arange((1 << k) - 1, (2 << k) - 1)
            left, right = 2 * nodes + 1, 2 * nodes + 2
            is_same = is_leaf[left] & is_leaf[right] & (values[left] == values[right]).all(axis=1)
            values[nodes[is_same]] = values[left[is_same]]
            is_leaf[nodes] = is_same
        is_kept = np.ones(len(values), bool)
        for k in range(depth):
            nodes = np.arange((1 << k) - 1, (2 << k) - 1)
            has_children = is_kept[nodes] & ~is_leaf[nodes]
            is_kept[2 * nodes + 1] = is_kept[2 * nodes + 2] = has_children
        kept = np.flatnonzero(is_kept)
        place = np.cumsum(is_kept) - 1
        test = np.array(tests or [(0, 0.0, False)], "float64")[depth - 1 - level[kept]]
        left, right = (place[np.minimum(2 * kept + k, len(values) - 1)] for k in (1, 2))
        self.ensemble.add_values(
            test[:, 0], test[:, 1], left, right, test[:, 2], is_leaf[kept], values[kept]
        )

    def _add(self, root: dict[str, Any]) -> None:
        """Adds a tree whose nodes have tests of their own."""
        zeros = np.zeros(len(self.bias))
        tests: list[Split] = []
        children: list[list[int]] = []
        values: list[np.ndarray] = []
        stack: list[tuple[dict[str, Any], int, int]] = [(root, -1, 0)]
        while stack:
            node, parent, side = stack.pop()
            place = len(tests)
            if parent >= 0:
                children[parent][side] = place
            children.append([0, 0])
            if "split" in node:
                tests.append(self._split(node["split"]))
                values.append(zeros)
                stack += [(node["right"], place, 1), (node["left"], place, 0)]
            else:
                tests.append((-1, 0.0, False))
                values.append(np.asarray(node["value"], "float64").reshape(-1))
        features, thresholds, missing_left = (np.array(c) for c in zip(*tests, strict=True))
        left, right = np.array(children).T
        self.ensemble.add_values(
            features, thresholds, left, right, missing_left, features < 0, np.vstack(values)
        )

    def scores(self) -> Tensor:
        total = self.g.cast(self.ensemble.scores(self.g, self.rows), self.g.real)
        if self.scale != 1:
            total = total * float(self.scale)
        return total + self.bias if self.bias.any() else total


@register_converter(f"catboost:{CATBOOST}", "_raw")
def catboost_raw(step: Any, columns: Frame, g: Conversion) -> tuple[Tensor, str]:
    """The sums, [N, outputs], and the loss with which the model was trained."""
    reader = _Reader(g, step, columns)
    return reader.scores(), reader.loss


@register_converter("catboost:CatBoost CatBoostRanker", "predict")
def catboost_numbers(step: Any, columns: Frame, g: Conversion) -> Tensor:
    raw: Tensor = g.call(step, "_raw", columns)[0]
    return raw


@register_converter("catboost:CatBoostRegressor", "predict")
def catboost_regressor(step: Any, columns: Frame, g: Conversion) -> Tensor:
    raw: Tensor = g.call(step, "_raw", columns)[0]
    kind = step._get_default_prediction_type()
    if kind == "RMSEWithUncertainty":  # the mean and the variance
        return g.concat([g.columns(raw, [0]), g.exp(g.columns(raw, [1]) * 2.0)])
    if kind not in ("RawFormulaVal", "Exponent"):
        raise g.refuse(f"its predictions of the kind '{kind}' are not supported")
    return g.exp(raw) if kind == "Exponent" else raw


@register_converter("catboost:CatBoostClassifier", "_classified")
def catboost_classified(step: Any, columns: Frame, g: Conversion) -> tuple[Tensor, Tensor]:
    """Class index and probabilities."""
    raw, loss = g.call(step, "_raw", columns)
    classes = len(step.classes_)
    if loss in ("Logloss", "CrossEntropy") and raw.width == 1 and classes == 2:
        share = float(step.get_probability_threshold())
        with np.errstate(divide="ignore"):
            limit = float(np.log(share) - np.log1p(-share)) if share != 0.5 else 0.0
        return g.cast(g.flatten(raw > limit), "int64"), pair(g, g.sigmoid(raw))
    if raw.width == classes and loss == "MultiClass":
        return g.argmax(raw), g.softmax(raw)
    if raw.width == classes and loss == "MultiClassOneVsAll":
        return g.argmax(raw), g.sigmoid(raw)
    raise g.refuse(
        f"the loss '{loss}' with {classes} classes and {raw.width} sums is not supported"
    )


@register_converter("catboost:CatBoostClassifier", "predict_proba")
def catboost_probabilities(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "_classified", columns)[1]


@register_converter("catboost:CatBoostClassifier", "class_index")
def catboost_index(step: Any, columns: Frame, g: Conversion) -> Any:
    return g.call(step, "_classified", columns)[0]
