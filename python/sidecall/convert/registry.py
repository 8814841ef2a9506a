"""Finds the converter of a step, keeps the path for messages; every family of converters registers here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .checks import REFUSED, Checks
from .checks import Rule as NumberRule
from .errors import NotConvertible
from .frame import Frame
from .graph import Graph, Tensor
from .ranges import range_behind
from .sparse import answers_sparse

Rule = Callable[["Conversion", Any, Frame], Any]
_NUMBERS = ("float32", "float64", "int64", "int32")
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
    `checks` has the rules by which steps refuse numbers; what is computed and may break one is checked.
    """

    def __init__(
        self,
        real: str,
        reserved: list[str],
        rows: str = "float32",
        steps: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__(real, reserved)
        self.rows = rows
        self.steps = steps
        self.new_trees = False  # TreeEnsemble of ai.onnx.ml 5 for trees of float32 too
        self.checks = Checks()
        self.checked: dict[tuple[int, tuple[str, ...]], object] = {}
        self.refusals: dict[
            tuple[str, str], list[Tensor]
        ] = {}  # by step and what it expects: [N, 1], true where it refuses
        self.path: list[tuple[str, str]] = []
        # Holds the model too: an id may be reused once its object is gone.
        self.memo: dict[tuple[int, str, tuple[str, ...]], tuple[object, Any]] = {}

    def refuse(self, reason: str) -> NotConvertible:
        return NotConvertible(self._where(), reason)

    def note(self, text: str) -> None:
        """What the user should know of this step; a part of the export report."""
        note = f"{self._where()}: {text}"
        if note not in self.checks.notes:
            self.checks.notes.append(note)

    def _where(self) -> str:
        steps = [name for name, _ in self.path if name]
        label = self.path[-1][1] if self.path else ""
        return f"{' > '.join(steps)} ({label})" if steps else label

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
            self.real = (
                "float32" if _library(model) == "xgboost" else self.steps.get(id(model), "float64")
            )
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

    def narrow(self, x: Tensor) -> Tensor:
        # A step of a model that computes in float32 rounds to it, also before thresholds.
        return super().narrow(x) if self.steps is None else self.cast(x, self.real)

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
            self.check(model, frame)
            rule = self._rule(model, method)
            try:
                result = rule(self, model, frame)
            except TypeError as error:
                if "column" not in str(error):
                    raise
                raise self.refuse(str(error)) from error
            self._note_range(model, method, frame, result)
        self.memo[key] = (model, result)
        return result

    def check(self, model: Any, x: Frame) -> None:
        """Has the graph say which rows the step refuses, unless none can break its rule."""
        rule = self.checks.rules.get(id(model))
        if rule is None or rule.takes_all or (id(model), x.key) in self.checked:
            return
        self.checked[id(model), x.key] = model
        doubtful = [
            p
            for p in x.parts
            if p.dtype in _NUMBERS
            and p.width
            and not (p.range is not None and p.range.within(rule))
        ]
        if doubtful:
            names = [name for name, _ in self.path if name]
            step = " > ".join(names) or self.path[-1][1]
            self.refusals.setdefault((step, rule.expected), []).extend(
                self._broken(part, rule) for part in doubtful
            )

    def _broken(self, x: Tensor, rule: NumberRule) -> Tensor:
        """[N, 1], true where a number of the row breaks the rule."""
        width = x.width or 1
        if x.dtype not in ("float32", "float64"):
            x = self.cast(x, "float64")
        largest = float(np.finfo(x.dtype).max)
        if not rule.missing and -np.inf < rule.low <= -largest and largest <= rule.high < np.inf:
            # A product with zeros is zero, and NaN behind an infinity or NaN: one node judges all columns.
            return self.isnan(x @ self.const(np.zeros((width, 1)), x.dtype))
        low, high = (
            float(np.clip(end, -largest, largest)) if np.isfinite(end) else end
            for end in (rule.low, rule.high)
        )
        good = self.abs(x) <= high if low == -high else (x >= low) & (x <= high)
        if rule.missing:
            good = good | self.isnan(x)
        return (self.cast(~good, "float32") @ self.const(np.ones((width, 1)), "float32")) > 0.0

    def refused(self) -> list[tuple[str, Tensor, list[int]]]:
        """The output that counts the first step that refuses a row, 0 for none; nothing where no check is needed."""
        number: Tensor | None = None
        self.checks.steps[:] = [
            {"step": step, "expected": expected} for step, expected in self.refusals
        ]
        for k, parts in reversed(list(enumerate(self.refusals.values(), 1))):
            broken = parts[0]
            for part in parts[1:]:
                broken = broken | part
            number = self.where(
                broken,
                self.const(np.int64(k)),
                self.const(np.int64(0)) if number is None else number,
            )
        return [] if number is None else [(REFUSED, self.flatten(number), [])]

    def _note_range(self, model: Any, method: str, x: Frame, result: Any) -> None:
        if (
            method == "transform"
            and isinstance(result, Tensor)
            and result.range is None
            and x.range is not None
        ):
            dtype = "float32" if set(x.dtypes) == {"float32"} else "float64"
            known = range_behind(model, x.range, dtype)
            if known is not None and len(known.low) == result.width:
                result.range = known

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
        return self.column(
            self.gather(
                self.const(classes.astype("float64"), self.real), self.call(model, "index", x, step)
            )
        )

    def predict(self, model: Any, x: Frame | Tensor, step: str = "") -> Tensor:
        """`predict` as numbers, [N, K], of a regressor or of a classifier of numbers."""
        classifies = len(getattr(model, "classes_", ())) > 0  # CatBoostRegressor has an empty list
        return self.labels(model, x, step) if classifies else self.call(model, "predict", x, step)
