"""Finds the converter of a step, and keeps the path of the step for messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx

from sidecall.converters import METHODS, Converter, class_names, converters_of, names_of

from .checks import REFUSED, Checks, Rule
from .dates import MISSING_DATE, DateType
from .errors import NotConvertible
from .graph.builder import Graph, Tensor
from .graph.column_function import Recorded
from .graph.dates import Dates
from .graph.frame import MISSING, Frame
from .graph.inline import inline
from .graph.promotion import DATES, NO_NUMBERS
from .graph.sparse import answers_sparse
from .ranges import range_behind
from .registered import checked
from .skl2onnx_steps import skl2onnx_converter

_NUMBERS = ("float32", "float64", "int64", "int32")
_refusals: dict[str, str] = {}


def refuses(classes: str, reason: str) -> None:
    """Says why these classes cannot be converted; they are named as in register_converter."""
    for name in class_names(classes):
        _refusals[name] = reason


def no_converter(model: object) -> str:
    """Why a model of this class does not convert, and what to do."""
    kind = type(model)
    return (
        f"there is no converter for the class {kind.__module__}.{kind.__name__}; "
        "sidecall.register_converter takes one"
    )


def _refusal(model: object) -> str:
    return next((_refusals[name] for name in names_of(model) if name in _refusals), "")


def _class_index(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """The class with the largest probability or score, for classes without such a converter."""
    if g.handles(step, "predict_proba"):
        return g.argmax(g.call(step, "predict_proba", columns))
    scores = g.call(step, "decision_function", columns)
    if scores.width == 1:
        return g.flatten(g.where(scores > 0.0, g.const(np.int64(1)), g.const(np.int64(0))))
    return g.argmax(scores)


class Conversion(Graph):
    """A graph that is being built from one model.

    `real` is the type in which the current step computes. `steps` holds this type by the id() of
    the step; steps that are not listed compute in float64, and XGBoost always computes in float32.
    If `steps` is None, every step computes in the initial `real`.

    `rows` says what a float32 input value means: the number itself ("float32"), or a float64 number
    that was rounded to float32 ("float64").

    `checks` holds the rules by which steps refuse numbers. The graph checks a computed value that
    may break a rule.
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
        self.inputs: Mapping[str, int] = {}  # the number of columns of each input
        self.new_trees = False  # whether float32 trees use TreeEnsemble, as float64 trees do
        self.checks = Checks()
        self.checked: dict[tuple[int, tuple[str, ...]], object] = {}
        # Key: a step and what it expects. Values: tensors [N, 1], true where the step refuses the
        # row.
        self.refusals: dict[tuple[str, str], list[Tensor]] = {}
        # Features, as a step and a number, that the graph computes although their last digits may
        # differ: near a threshold their function does not rise or fall steadily, so it cannot be
        # replaced by a split. If the conversion finds more of them, it is repeated.
        self.unsplit: set[tuple[str, int]] = set()
        # By the name of a tensor: its node and the tensors that the node reads; the function that
        # a converter recorded for it; the names of all recorded functions behind its last digits.
        self.made: dict[str, tuple[onnx.NodeProto, list[Tensor]]] = {}
        self.recorded: dict[str, Recorded] = {}
        self.functions_behind: dict[str, frozenset[str]] = {}
        self.path: list[tuple[str, str]] = []
        # An error of a converter, and the path of the innermost step that raised it.
        self.failed: tuple[Exception, str] | None = None
        # A row as each step gets it in the original, by the id() of the step.
        self.examples: Mapping[int, Any] = {}
        # The values of columns of categories that a step got, by the id() of the step and the
        # position of the column.
        self.categories: Mapping[int, Mapping[int, list[Any]]] = {}
        # The value also holds the model, so that the model is not destroyed: Python could then give
        # its id to another object.
        self.memo: dict[tuple[int, str, tuple[str, ...]], tuple[object, Any]] = {}

    def refuse(self, reason: str) -> NotConvertible:
        return NotConvertible(self.step_path, reason)

    def note(self, text: str) -> None:
        """Records a remark about this step for the user; it becomes part of the export report."""
        note = f"{self.step_path}: {text}"
        if note not in self.checks.notes:
            self.checks.notes.append(note)

    def distrust(self) -> None:
        """Notes that only the comparison with the original shows whether this step is right."""
        if self.step_path not in self.checks.unproven:
            self.checks.unproven.append(self.step_path)

    @property
    def step_path(self) -> str:
        steps = [name for name, _ in self.path if name]
        label = self.path[-1][1] if self.path else ""
        return f"{' > '.join(steps)} ({label})" if steps else label

    @contextmanager
    def step(self, name: str, label: str) -> Iterator[None]:
        self.path.append((name, label))
        try:
            yield
        except Exception as error:
            if self.failed is None or self.failed[0] is not error:
                self.failed = error, self.step_path
            raise
        finally:
            self.path.pop()

    @contextmanager
    def computing_as(self, model: object) -> Iterator[None]:
        """During the block, `real` is the type in which this step of the original computes."""
        outer = self.real
        if self.steps is not None:
            self.real = (
                "float32"
                if type(model).__module__.partition(".")[0] == "xgboost"
                else self.steps.get(id(model), "float64")
            )
        try:
            yield
        finally:
            self.real = outer

    def snap(self, values: Any, single: Any) -> Any:
        """Adapts values that the graph compares with rows; the comparison is in double.

        `single`: whether the caller's column is float32.

        If float32 inputs stand for float64 numbers, `values` are rounded to float32 like the rows.
        Rounding preserves order: v <= t implies float32(v) <= float32(t). Rounding also preserves
        equality. A row often equals one of `values`, because bin edges and categories are values of
        the training data.
        """
        values = np.asarray(values, dtype="float64")
        if self.rows != "float64":
            return values
        with np.errstate(over="ignore"):
            return np.where(single, values.astype("float32").astype("float64"), values)

    def ops(
        self,
        op_type: str,
        inputs: Sequence[Tensor | None],
        outputs: Sequence[tuple[str, int | None]],
        domain: str = "",
        **attributes: Any,
    ) -> tuple[Tensor, ...]:
        results = super().ops(op_type, inputs, outputs, domain, **attributes)
        if results[0].name not in self.made:
            given = [t for t in inputs if t is not None]
            self.made |= {t.name: (self.nodes[-1], given) for t in results}
        return results

    def narrow(self, x: Tensor) -> Tensor:
        # With `steps`, the graph rounds wherever the model does. Later steps must then compare the
        # rounded result with their thresholds, so the double is not kept.
        return super().narrow(x) if self.steps is None else self.cast(x, self.real)

    def handles(self, model: object, method: str) -> bool:
        return self._find(model, method) is not None

    def refusal(self, model: object) -> str:
        """The reason why the class as a whole cannot be converted, if there is one."""
        if any(self._find(model, method) for method in METHODS):
            return ""
        return _refusal(model)

    def call(self, model: Any, method: str, x: Frame | Tensor, step: str = "") -> Any:
        """The result of `model.method(x)`: a tensor, or for transform possibly a frame."""
        frame = x if isinstance(x, Frame) else Frame(self, [x])
        key = (id(model), method, frame.key)
        if key in self.memo:
            return self.memo[key][1]
        with self.step(step, type(model).__name__), self.computing_as(model):
            self.check(model, frame)
            converter = self._converter(model, method)
            try:
                given = Frame(self, frame.parts, frame.sparse, self.column_names(model))
                result = self._formed(method, converter(model, given, self))
            except TypeError as error:
                if DATES in frame.dtypes:
                    raise self.refuse(NO_NUMBERS) from error
                if "column" not in str(error):
                    raise
                raise self.refuse(str(error)) from error
            self._note_range(model, method, frame, result)
        self.memo[key] = (model, result)
        return result

    def check(self, model: Any, x: Frame) -> None:
        """Adds a check for the rows that the step refuses, if a row can break the step's rule."""
        rule = self.checks.rules.get(id(model))
        if rule is None or rule.takes_all or (id(model), x.key) in self.checked:
            return
        self.checked[id(model), x.key] = model
        self.require(x, rule)

    def require(self, x: Frame, rule: Rule) -> None:
        """Refuses the rows in which a number breaks the rule, in the name of the current step."""
        doubtful = [
            p
            for p in x.parts
            if p.dtype in _NUMBERS
            and p.width
            and not (p.range is not None and p.range.within(rule))
        ]
        if doubtful:
            self.refuse_rows([self._broken(part, rule) for part in doubtful], rule.expected)

    def inputs_of(self, x: Tensor) -> list[tuple[str, int]] | None:
        """The input and its column for each column of x; None if a step computed one of them."""
        if x.name in self.inputs:
            return [(x.name, k) for k in range(self.inputs[x.name])]
        node = next((n for n in self.nodes if x.name in n.output), None)
        if node is None or node.op_type not in ("Cast", "Concat", "Gather"):
            return None
        constants = dict(self.constants.values())
        given = [n for n in node.input if n not in constants]
        parts = [self.inputs_of(Tensor(self, name, x.dtype, None)) for name in given]
        found = [place for part in parts if part is not None for place in part]
        if None in parts or not found:
            return None
        if node.op_type != "Gather":
            return found
        chosen = constants.get(node.input[1])
        return None if chosen is None else [found[k] for k in chosen.ravel()]

    def refuse_missing(self, parts: Sequence[Tensor]) -> None:
        """Refuses the rows in which a value of these tensors is missing."""
        numbers = [part for part in parts if part.dtype != "string"]
        self.require(Frame(self, numbers), Rule(-np.inf, np.inf, False))
        texts = [
            p for p in parts if p.dtype == "string" and (p.range is None or p.range.missing.any())
        ]
        if texts:
            self.refuse_rows([self.missing(part) for part in texts], "values that are not missing")

    def refuse_rows(self, broken: Sequence[Tensor], expected: str) -> None:
        """Refuses the rows in which one of the tensors [N, 1] is true, in the name of this step."""
        names = [name for name, _ in self.path if name]
        step = " > ".join(names) or self.path[-1][1]
        listed = self.refusals.setdefault((step, expected), [])
        listed += [part for part in broken if part.key not in {other.key for other in listed}]

    def _broken(self, x: Tensor, rule: Rule) -> Tensor:
        """[N, 1], true where a number of the row breaks the rule."""
        width = x.width or 1
        if x.dtype not in ("float32", "float64"):
            x = self.cast(x, "float64")
        largest = float(np.finfo(x.dtype).max)
        if not rule.missing and -np.inf < rule.low <= -largest and largest <= rule.high < np.inf:
            # A finite number times zero is zero; infinity or NaN times zero is NaN. So one matrix
            # product checks all columns.
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
        """The output that holds the number of the first step that refuses a row, or 0 if none does.

        The list is empty if no check is needed.
        """
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

    def _formed(self, method: str, result: Any) -> Any:
        """The result of a converter as the callers of the method expect it.

        Floating-point numbers get the type of the graph. A Frame that transform returns, and an
        intermediate result, stay as they are.
        """
        if method.startswith("_") or (method == "transform" and isinstance(result, Frame)):
            return result
        parts = result.parts if isinstance(result, Frame) else result
        parts = list(parts) if isinstance(parts, list | tuple) else [parts]
        if method == "kneighbors":
            return parts
        if method == "class_index":
            return parts[0]
        parts = [self.narrow(part) if part.dtype.startswith("float") else part for part in parts]
        if method == "transform":
            return parts[0] if len(parts) == 1 else Frame(self, parts)
        return Frame(self, parts).matrix()

    @staticmethod
    def _find(model: object, method: str) -> Converter | None:
        """Our converter; for other classes, one that users registered here or with skl2onnx."""
        found, is_own = converters_of(model)
        if method in found:
            return found[method] if is_own else checked(found[method], method)
        if method == "class_index" and ("predict_proba" in found or "decision_function" in found):
            return _class_index
        if is_own or (names_of(model)[0].startswith("sklearn:") and _refusal(model)):
            return None
        return skl2onnx_converter(model, method)

    def _converter(self, model: object, method: str) -> Converter:
        if (converter := self._find(model, method)) is not None:
            return converter
        if method == "predict_log_proba" and self.handles(model, "predict_proba"):
            return lambda step, columns, g: g.log(g.call(step, "predict_proba", columns))
        if reason := self.refusal(model):
            raise self.refuse(reason)
        if converters_of(model)[1]:
            raise self.refuse(f"{method} of this class has no converter")
        raise self.refuse(no_converter(model))

    def column_names(self, model: object) -> list[str] | None:
        """The names of the columns that the step gets; None if it gets an array, or is unknown."""
        columns = getattr(self.examples.get(id(model)), "columns", None)
        return None if columns is None else [str(name) for name in columns]

    def lookup(self, x: Tensor, table: Mapping[Any, Any], default: Any) -> Tensor:
        """The value that the table has for each element of x, or `default`."""
        table = dict(table)
        kinds = {str if isinstance(key, str) else type(key) for key in table}
        whole = all(isinstance(key, int | np.integer) for key in table)
        if not table:
            raise ValueError("table: expected a dict with at least one key, got none")
        if not (whole if x.dtype != "string" else kinds == {str}):
            names = ", ".join(sorted(kind.__name__ for kind in kinds))
            raise TypeError(
                f"table: expected keys that are all texts or all integers, as the tensor of {x.dtype}, "
                f"got {names}"
            )
        keys: dict[str, list[Any]] = (
            {"keys_strings": list(table)}
            if x.dtype == "string"
            else {"keys_int64s": [int(key) for key in table]}  # a bool is an int here
        )
        if x.dtype.startswith("float"):  # whole numbers that may be missing
            absent = max(table, default=0) + 1
            is_whole = (self.abs(x) < 2.0**53) & self.unary("Floor", x).equals(x)
            x = self.cast(self.where(is_whole, x, float(absent)), "int64")
        place = self.op(
            "LabelEncoder",
            x,
            dtype="int64",
            width=x.width,
            domain="ai.onnx.ml",
            values_int64s=list(range(len(table))),
            default_int64=len(table),
            **keys,
        )
        result = self.gather(self.const(np.asarray([*table.values(), default])), place)
        result.width = x.width
        return result

    def missing(self, x: Tensor) -> Tensor:
        """For each element whether the caller's value is missing."""
        if x.dtype == "string":
            return x.equals(MISSING)
        if isinstance(x, Dates):
            return x.counts.equals(MISSING_DATE)
        return self.isnan(x) if x.dtype.startswith("float") else ~x.equals(x)

    def date_part(self, x: Tensor, name: str) -> Tensor:
        """A part of each date, float64 with NaN for missing dates; or a property of it, bool."""
        from .graph.calendar import ALIASES, FLAGS, flag, part

        dates = self._dates(x)
        if name in FLAGS:
            return flag(self, dates, name)
        if name not in ALIASES:
            raise ValueError(f"name: expected {', '.join([*ALIASES, *FLAGS])}, got {name!r}")
        return self.where(
            self.missing(dates), np.nan, self.cast(part(self, dates, ALIASES[name]), "float64")
        )

    def date_counts(self, x: Tensor) -> Tensor:
        """The counts of a column of dates, int64; the smallest one means a missing date."""
        return self._dates(x).counts

    def tz_convert(self, x: Tensor, zone: Any) -> Tensor:
        """The same dates with the clock of another zone."""
        import pandas

        dates = self._dates(x)
        if dates.kind.zone is None:
            raise ValueError("zone: expected a column with a zone, got one without")
        kind = DateType(dates.kind.unit, pandas.DatetimeTZDtype(dates.kind.unit, zone).tz)
        return Dates.of(dates.counts, kind, dates.range)

    @staticmethod
    def _dates(x: Tensor) -> Dates:
        if not isinstance(x, Dates):
            raise TypeError(f"x: expected a column of dates, got one of {x.dtype}")
        return x

    def inline(self, model: onnx.ModelProto, *inputs: Tensor) -> list[Tensor]:
        """The outputs of another ONNX model, whose nodes become part of this graph."""
        try:
            return inline(self, model, inputs)
        except ValueError as error:
            raise self.refuse(str(error)) from error

    def frame(self, result: Any) -> Frame:
        return result if isinstance(result, Frame) else Frame(self, [result])

    def transform(self, model: Any, x: Frame | Tensor, step: str = "") -> Frame:
        result = self.frame(self.call(model, "transform", x, step))
        return Frame(self, result.parts, answers_sparse(model, isinstance(x, Frame) and x.sparse))

    def labels(self, model: Any, x: Frame | Tensor, step: str = "") -> Tensor:
        """The predicted classes of an inner step as numbers, [N, 1]; the outer step computes with
        them.
        """
        classes = np.asarray(model.classes_)
        if classes.dtype.kind not in "iufb":
            raise self.refuse("its labels are not numbers, but another step computes with them")
        return self.column(
            self.gather(
                self.const(classes.astype("float64"), self.real),
                self.call(model, "class_index", x, step),
            )
        )

    def predict(self, model: Any, x: Frame | Tensor, step: str = "") -> Tensor:
        """`predict` as numbers, [N, K], of a regressor or of a classifier whose classes are
        numbers.
        """
        classes = getattr(model, "classes_", None)  # CatBoostRegressor has an empty list
        is_label = classes is not None and len(classes) > 0 and not self.predicts_numbers(model)
        return self.labels(model, x, step) if is_label else self.call(model, "predict", x, step)

    def predicts_numbers(self, model: object) -> bool:
        """Whether `predict` gives numbers, as for a CatBoost or a Booster that has classes."""
        return self.handles(model, "predict") and not (
            self.handles(model, "class_index") or self.handles(model, "predict_proba")
        )
