"""Finds the converter of a step, keeps the path for messages; every family of converters registers here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .errors import NotConvertible
from .frame import Frame
from .graph import Graph, Tensor
from .sparse import answers_sparse

Rule = Callable[["Conversion", Any, Frame], Any]
_rules: dict[tuple[str, str, str], Rule] = {}
_refusals: dict[tuple[str, str], str] = {}


def converts(library: str, classes: str, *methods: str) -> Callable[[Rule], Rule]:
    """Registers a function for methods of classes (names split by spaces) of a library.

    Methods are scikit-learn's own, and `index`: the position of the predicted class in `classes_`, [N].
    Responses are [N, K], also for one column; only `index` is [N].
    """

    def register(rule: Rule) -> Rule:
        for name in classes.split():
            for method in methods:
                _rules[library, name, method] = rule
        return rule

    return register


def refuses(library: str, classes: str, reason: str) -> None:
    for name in classes.split():
        _refusals[library, name] = reason


def _library(model: object) -> str:
    return type(model).__module__.partition(".")[0]


class Conversion(Graph):
    """A graph being built from one model.

    `real` is the type in which the step at hand computes. `steps` has it for each step, by the step's id(); without `steps`
    every step computes in the `real` that was given.
    `rows` says what a float32 of the caller stands for: itself, or the nearest to the float64 that the model means.
    """

    def __init__(self, real: str, reserved: list[str], rows: str = "float32", steps: Mapping[int, str] | None = None) -> None:
        super().__init__(real, reserved)
        self.rows = rows
        self.steps = steps
        self.new_trees = False  # TreeEnsemble of ai.onnx.ml 5 for trees of float32 too
        self.path: list[tuple[str, str]] = []
        # Holds the model too: an id may be reused once its object is gone.
        self.memo: dict[tuple[int, str, tuple[str, ...]], tuple[object, Any]] = {}

    def refuse(self, reason: str) -> NotConvertible:
        steps = [name for name, _ in self.path if name]
        label = self.path[-1][1] if self.path else ""
        where = f"{' > '.join(steps)} ({label})" if steps else label
        return NotConvertible(where, reason)

    @contextmanager
    def step(self, name: str, label: str) -> Iterator[None]:
        self.path.append((name, label))
        try:
            yield
        finally:
            self.path.pop()

    @contextmanager
    def computing_as(self, model: object) -> Iterator[None]:
        """The type in which this step of the original computes, for the time of the block."""
        outer = self.real
        if self.steps is not None:
            self.real = "float32" if _library(model) == "xgboost" else self.steps.get(id(model), "float64")
        try:
            yield
        finally:
            self.real = outer

    def snap(self, values: Any, single: Any) -> Any:
        """Values that rows are compared with in double, for columns of which `single` tells the origin.

        Where float32 stands for float64, v and t meet rounded alike: v <= t implies float32(v) <= float32(t), and
        equality, which is common as edges and categories are data, is kept.
        """
        values = np.asarray(values, dtype="float64")
        if self.rows != "float64":
            return values
        with np.errstate(over="ignore"):
            return np.where(single, values.astype("float32").astype("float64"), values)

    def handles(self, model: object, method: str) -> bool:
        return (_library(model), type(model).__name__, method) in _rules

    def refusal(self, model: object) -> str:
        """Why the class as a whole does not convert, where that is known."""
        return _refusals.get((_library(model), type(model).__name__), "")

    def call(self, model: Any, method: str, x: Frame | Tensor, step: str = "") -> Any:
        """What `model.method(x)` would return, as a tensor (or for transform perhaps a frame)."""
        frame = x if isinstance(x, Frame) else Frame(self, [x])
        key = (id(model), method, frame.key)
        if key in self.memo:
            return self.memo[key][1]
        with self.step(step, type(model).__name__), self.computing_as(model):
            rule = self._rule(model, method)
            try:
                result = rule(self, model, frame)
            except TypeError as error:
                if "column" not in str(error):
                    raise
                raise self.refuse(str(error)) from error
        self.memo[key] = (model, result)
        return result

    def _rule(self, model: object, method: str) -> Rule:
        library, name = _library(model), type(model).__name__
        rule = _rules.get((library, name, method))
        if rule is not None:
            return rule
        if method == "index" and (library, name, "predict_proba") in _rules:
            return lambda g, m, x: g.argmax(g.call(m, "predict_proba", x))
        if method == "predict_log_proba" and (library, name, "predict_proba") in _rules:
            return lambda g, m, x: g.log(g.call(m, "predict_proba", x))
        if reason := self.refusal(model):
            raise self.refuse(reason)
        if any(key[:2] == (library, name) for key in _rules):
            raise self.refuse(f"{method} of this class has no converter")
        raise self.refuse(f"there is no converter for the class {type(model).__module__}.{name}")

    def frame(self, result: Any) -> Frame:
        return result if isinstance(result, Frame) else Frame(self, [result])

    def transform(self, model: Any, x: Frame | Tensor, step: str = "") -> Frame:
        result = self.frame(self.call(model, "transform", x, step))
        return Frame(self, result.parts, answers_sparse(model, isinstance(x, Frame) and x.sparse))

    def labels(self, model: Any, x: Frame | Tensor, step: str = "") -> Tensor:
        """The predicted classes as numbers, [N, 1]: what a step inside another one computes with."""
        classes = np.asarray(model.classes_)
        if classes.dtype.kind not in "iufb":
            raise self.refuse("another step computes with its labels, and they are not numbers")
        return self.column(self.gather(self.const(classes.astype("float64"), self.real), self.call(model, "index", x, step)))

    def predict(self, model: Any, x: Frame | Tensor, step: str = "") -> Tensor:
        """`predict` as numbers, [N, K], of a regressor or of a classifier of numbers."""
        classifies = len(getattr(model, "classes_", ())) > 0  # CatBoostRegressor has an empty list
        return self.labels(model, x, step) if classifies else self.call(model, "predict", x, step)
