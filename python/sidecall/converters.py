"""Registers converters: of users, for classes that sidecall does not convert, and its own.

A library of transformers or estimators registers a converter for each class, once, when it is
imported. sidecall.export then calls the converter for every fitted step of this class, and compares
the answers of the file with those of the model on the rows of the data and on synthetic rows:

    @sidecall.register_converter(Ratio)
    def convert(step, columns, g):
        x = columns.matrix()
        return g.columns(x, [0]) / g.columns(x, [1])

sidecall's own converters, in sidecall/convert/families, are registered with the same function, and
have the same arguments and methods. So a converter is contributed to sidecall by moving its file
into this folder. It then makes the same graph, and these things differ on purpose:

- A converter whose module is inside of sidecall.convert.families is trusted. For the others, export
  also checks that the answers can be compared with those of the original at all: it refuses a step
  whose answers are random, or whose graph computes a row from other rows.
- The result of a converter of a user is checked, and the error that reports a mistake says that the
  converter is a registered one.
- If a class has converters there, those that users registered for it are not used.

The types in this module describe what a converter gets. docs/tutorials/converters.md has examples.
Importing this module loads neither onnx nor scikit-learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

__all__ = ["Columns", "Converter", "Graph", "Tensor", "register_converter"]

METHODS = (
    "transform",
    "predict",
    "predict_proba",
    "decision_function",
    "score_samples",
    "class_index",
    "inverse_transform",
    "kneighbors",
)


class Tensor(Protocol):
    """A value of the graph: a matrix [N, width] with a row for each row of the caller.

    The operators of numpy add nodes to the graph: + - * / ** @ < <= > >= & | ~ and abs(), with
    another tensor, a number or an array. Types are promoted as in numpy. A tensor has no truth
    value: combine conditions with & and |, and compare for equality with equals(), because `==`
    compares Python objects.
    """

    @property
    def dtype(self) -> str:
        """float32, float64, int32, int64, bool, string or datetime.

        No operator takes a column of type datetime: Graph.date_part and Graph.date_counts read it.
        Such a column also has `unit`, which is "s", "ms", "us" or "ns", and `zone`, a
        datetime.tzinfo or None.
        """

    @property
    def width(self) -> int | None:
        """The number of columns, if known."""

    def equals(self, other: Any) -> Any:
        """For each element whether it equals `other`, bool."""


class Columns(Protocol):
    """The columns that a step gets, in the order in which its `fit` got them."""

    @property
    def names(self) -> list[str] | None:
        """The names of the columns; None if the step gets an array, as after most steps of
        scikit-learn, or if no data is known.
        """

    @property
    def dtypes(self) -> list[str]:
        """The type of each column. Text is "string". Integers and bools are float64 if they may be
        missing, or if all features of the model are numbers. Dates are "datetime".
        """

    def __len__(self) -> int:
        """The number of columns."""

    def __getitem__(self, column: str | int) -> Any:
        """One column by its name or position, a tensor [N, 1] of its own type.

        Raises KeyError or IndexError if there is no such column.
        """

    def matrix(self, dtype: str | None = None) -> Any:
        """All columns as one tensor [N, width], by default in the type in which the step computes.

        Raises TypeError if a column holds text and `dtype` is not "string".
        """


class Graph(Protocol):
    """Adds nodes to the graph. The functions named like numpy's do what these do."""

    @property
    def real(self) -> str:
        """The type in which this step of the original computes: "float32" or "float64"."""

    def const(self, value: Any, dtype: str | None = None) -> Any:
        """A constant of any shape. Without `dtype`, floating-point numbers have the type `real`,
        and integers are int64.
        """

    def cast(self, x: Any, dtype: str) -> Any:
        """x in another type."""

    def where(self, condition: Any, yes: Any, no: Any) -> Any: ...
    def exp(self, x: Any) -> Any: ...
    def log(self, x: Any) -> Any: ...
    def sqrt(self, x: Any) -> Any: ...
    def abs(self, x: Any) -> Any: ...
    def isnan(self, x: Any) -> Any: ...
    def maximum(self, x: Any, low: Any) -> Any: ...
    def minimum(self, x: Any, high: Any) -> Any: ...

    def sum(self, x: Any) -> Any:
        """The sum of each row, [N, 1]."""

    def mean(self, x: Any) -> Any:
        """The mean of each row, [N, 1]."""

    def max(self, x: Any) -> Any:
        """The largest number of each row, [N, 1]. Unlike in numpy, NaN may be left out."""

    def min(self, x: Any) -> Any:
        """The smallest number of each row, [N, 1]. Unlike in numpy, NaN may be left out."""

    def argmax(self, x: Any) -> Any:
        """The position of the largest number of each row, int64 [N]."""

    def columns(self, x: Any, indices: Iterable[int]) -> Any:
        """The given columns of a matrix, in this order."""

    def concat(self, parts: Sequence[Any]) -> Any:
        """Matrices of one type side by side."""

    def gather(self, table: Any, index: Any) -> Any:
        """The elements or rows of a table at the positions in an int64 tensor."""

    def lookup(self, x: Any, table: Mapping[Any, Any], default: Any) -> Any:
        """The value that a dict has for each element of x, or `default`; x keeps its shape.

        The keys are all texts or all integers, like x. The values are of one type: numbers, bools
        or texts. Missing text has no key.
        """

    def missing(self, x: Any) -> Any:
        """For each element whether the caller's value is missing, bool. A missing number is NaN,
        and a missing text is one that no caller can send. int64 and bool tensors hold no missing
        values.
        """

    def date_part(self, x: Any, name: str) -> Any:
        """What `.dt` of pandas says about each date of a column, on the clock of its zone.

        year, month, day, hour, minute, second, microsecond, nanosecond, quarter, day_of_week,
        day_of_year, days_in_month and week (of ISO 8601) are float64, and NaN for missing dates. is_leap_year and
        is_month_start, is_month_end, also of quarter and year, are bool, and false for missing
        dates.

        Raises ValueError for another name. Dates before the year 1 or after 9999, with most zones
        after 2262, are refused when the file is called.
        """

    def date_counts(self, x: Any) -> Any:
        """How many units lie between 1970-01-01T00:00:00 and each date, int64: in UTC if the column
        has a zone, else on the wall clock. The smallest int64 means a missing date.
        """

    def tz_convert(self, x: Any, zone: Any) -> Any:
        """The same dates with the clock of another zone, such as "Europe/Berlin"."""

    def op(
        self,
        op_type: str,
        *inputs: Any,
        dtype: str | None = None,
        width: int | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> Any:
        """Any operator of ONNX (operator set 20, ai.onnx.ml 3) with one output.

        `dtype` is the type of its output, by default that of the first input. `width` is the last
        dimension of the output, which the last result of a converter must have.
        """

    def inline(self, model: Any, *inputs: Any) -> list[Any]:
        """The outputs of an onnx.ModelProto, whose nodes become part of this graph.

        The inputs are tensors of the types that the model declares, in its order. Outputs are
        matrices [N, width] whose width the model declares. So a converter can be written with
        onnxscript or with another package that makes ONNX graphs.
        """

    def transform(self, step: Any, columns: Any) -> Any:
        """The Columns that `step.transform(columns)` returns, for a fitted step inside of this one.
        It can be of any class that sidecall converts, or that has a registered converter.
        """

    def predict(self, step: Any, columns: Any) -> Any:
        """What a fitted estimator inside of this one predicts, [N, K]; its classes must be numbers.
        Its other methods: call(step, "predict_proba", columns).
        """

    def call(self, step: Any, method: str, columns: Any) -> Any:
        """The tensor that any other method of a fitted estimator inside of this one returns."""

    def refuse(self, reason: str) -> Exception:
        """The exception to raise if a fitted step cannot be converted; export reports why."""

    def note(self, text: str) -> None:
        """A remark about this step for the report of the export."""


Converter = Callable[[Any, Any, Any], Any]
_C = TypeVar("_C", bound=Converter)
# Converters by class, and then by method. A class is "shop.features.Ratio" or "shop:Ratio".
_Table = dict[str, dict[str, Converter]]
_families: _Table = {}  # those of sidecall.convert.families
_converters: _Table = {}  # those of users


def register_converter(model_class: type | str, method: str = "transform") -> Callable[[_C], _C]:
    """Registers the converter of one method of a class; used as a decorator.

    model_class  The class, or a name, so that its package need not be imported: either that of one
                 class with the module that defines it, such as "shop.features.Ratio", or those of
                 several classes of a package, whichever of its modules define them, such as
                 "shop:Ratio Share". Subclasses need a converter of their own.
    method       transform, predict, predict_proba, decision_function, score_samples,
                 inverse_transform, kneighbors or class_index. A classifier needs predict_proba or
                 decision_function, and class_index if its predict is not the class with the largest
                 of these: the position of the predicted class in `classes_`, int64 [N].
                 A method whose name begins with an underscore is an intermediate result that
                 several converters of the class share: `g.call(step, "_scores", columns)` adds its
                 nodes once, and returns what its converter returns.

    The converter is called as converter(step, columns, g) with the fitted step (object), the
    columns that it gets (Columns) and the graph (Graph). It returns a tensor [N, width]; from
    transform also a list of tensors, which are columns side by side; and from kneighbors two
    tensors, the distances and the indices. It must not keep `columns` or `g`.

    Registering a second converter for the same method replaces the first one. Classes that sidecall
    converts itself keep their own converters.

    Raises ValueError if `method` is none of these, and TypeError if `model_class` is no class or
    name, or the converter cannot be called.
    """
    names = class_names(model_class)
    if method not in METHODS and not method.startswith("_"):
        raise ValueError(f"method: expected {', '.join(METHODS)}, got {method!r}")

    def register(converter: _C) -> _C:
        if not callable(converter):
            raise TypeError(f"converter: expected a function, got {type(converter).__name__}")
        is_own = str(converter.__module__).startswith("sidecall.convert.families.")
        for name in names:
            (_families if is_own else _converters).setdefault(name, {})[method] = converter
        return converter

    return register


def class_names(model_class: type | str) -> list[str]:
    """The names of the classes, as the tables of converters have them. Raises TypeError."""
    if isinstance(model_class, type):
        return [f"{model_class.__module__}.{model_class.__qualname__}"]
    if isinstance(model_class, str):
        library, colon, classes = model_class.partition(":")
        names = classes.split()
        if colon and library.isidentifier() and names:
            return [f"{library}:{name}" for name in names]
        if "." in model_class and not colon:
            return [model_class]
    raise TypeError(
        "model_class: expected a class or its name with its module, such as 'shop.features.Ratio' "
        f"or 'shop:Ratio Share', got {model_class!r}"
    )


def names_of(model: object) -> tuple[str, str]:
    """The names that the class of `model` may have in the tables; the second is more exact."""
    kind = type(model)
    library = kind.__module__.partition(".")[0]
    return f"{library}:{kind.__name__}", f"{kind.__module__}.{kind.__qualname__}"


def converters_of(model: object) -> tuple[dict[str, Converter], bool]:
    """The converters for the class of `model` by method, and whether they are those of sidecall.

    Converters that users registered for a class that sidecall converts itself are left out.
    """
    for table in (_families, _converters):
        by_package, by_module = (table.get(name, {}) for name in names_of(model))
        if by_package or by_module:
            return by_package | by_module, table is _families
    return {}, False
