"""Placeholders for the arrays, columns and DataFrames of a function that is traced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ..graph.builder import Tensor
from ..graph.column_function import record
from ..graph.frame import Frame
from ..graph.numeric import row_sum
from ..registry import Conversion
from . import three_valued
from .advice import advice, name_of
from .columns import (
    EXACT,
    EXACT_RULE,
    NARROW,
    Flag,
    Small,
    Whole,
    as_kind_of,
    as_nullable,
    declared_type,
    numpy_type,
    reason_of,
    type_of,
    whole,
)
from .integers import in_narrow_type, require_width, total
from .membership import is_in
from .pandas_numbers import WEAK, beside_table, filled, python_number
from .positions import Labels, Positions
from .refusals import NoColumn, Unknown, Untraceable, Valueless, called
from .thresholds import divided, settled
from .ufuncs import BINARY, DIVISIONS, INEXACT, TESTS, UNARY, recorded
from .values import (
    compared_text,
    folded,
    matrix_of,
    of_operands,
    rounded,
    shortcut,
    unknown_type,
)

TYPES = ("float32", "float64", "int64", "bool")
_ROWS = Unknown("the number of rows", int)  # which only reshape() accepts
INDEX = Unknown("the index", pd.Index)  # which only pd.DataFrame() accepts
# What placeholders do with the functions of numpy that are not ufuncs (numpy_functions.py).
FUNCTIONS: dict[Any, Callable[..., Any]] = {}
# The classes of columns whose tensors have a class of their own (dates.py).
COLUMNS: dict[type[Tensor], type[Column]] = {}
# The attributes of placeholders that are hidden from the traced function.
_OWN = {"g", "parts", "tensor", "width", "compute", "stands_for", "prefix"}
_UFUNCS = {*UNARY, *TESTS, *BINARY, *DIVISIONS, np.logical_not, np.invert, np.isnat}


class Placeholder(Valueless, np.lib.mixins.NDArrayOperatorsMixin):
    """What arrays, columns and tables have in common: operators, and the functions of numpy."""

    g: Conversion

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # for isinstance() in the traced function
        return type(self).stands_for

    def __getattribute__(self, name: str) -> Any:
        """Hides attributes that the original does not have, so that hasattr() is false for them."""
        kind = type(self).stands_for
        if name == "__dict__":
            raise Untraceable("it uses vars() or .__dict__; use .columns and isinstance()")
        if name[0] != "_" and name not in _OWN and not hasattr(kind, name):
            raise AttributeError(name)  # so Python asks __getattr__
        return super().__getattribute__(name)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__":
            raise Untraceable(f"it uses np.{ufunc.__name__}.{method}")
        if options:
            raise Untraceable(f"it uses np.{ufunc.__name__} with {', '.join(sorted(options))}")
        if ufunc not in _UFUNCS:
            name = name_of(ufunc)
            raise Untraceable(f"it uses {name}, which is not supported{advice(name)}")
        if ufunc is np.power and isinstance(inputs[0], Column):  # pandas calls the operator
            return raised(inputs[0], inputs[1])
        return elementwise(self.g, ufunc, inputs)

    def __array_function__(
        self, function: Any, types: Any, args: Sequence[Any], options: dict[str, Any]
    ) -> Any:
        name = f"{function.__module__}.{function.__name__}"
        if function not in FUNCTIONS:
            raise Untraceable(f"it uses {name}, which is not supported{advice(name)}")
        return called(name, FUNCTIONS[function], *args, **options)

    def _with_tensor(self, body: Callable[[Conversion, Tensor], Tensor]) -> Any:
        """The same shape with `body` applied to each tensor."""
        raise NotImplementedError

    def abs(self) -> Any:
        return elementwise(self.g, np.absolute, (self,))

    def clip(self, *bounds: Any, **named: Any) -> Any:
        return FUNCTIONS[np.clip](self, *bounds, **named)

    def round(self, decimals: int = 0) -> Any:
        return self._with_tensor(lambda g, x: as_nullable(rounded(g, x, decimals), x.nullable))

    def isna(self) -> Any:
        return self._with_tensor(lambda g, x: g.missing(x))

    isnull = isna

    def notna(self) -> Any:
        return ~self.isna()

    notnull = notna

    def isin(self, values: Any) -> Any:
        is_table = isinstance(self, Table)
        if isinstance(values, Placeholder) or (
            is_table and isinstance(values, dict | pd.Series | pd.DataFrame)
        ):
            raise Untraceable("it uses isin() with something else than a list of values")
        return self._with_tensor(lambda g, x: is_in(g, x, values, of_numpy=False))

    def between(self, left: Any, right: Any, inclusive: str = "both") -> Any:
        above = np.greater_equal if inclusive in ("both", "left") else np.greater
        below = np.less_equal if inclusive in ("both", "right") else np.less
        return above(self, left) & below(self, right)

    def astype(self, dtype: Any, **_: Any) -> Any:
        name = str(pd.api.types.pandas_dtype(dtype))
        if name not in (*TYPES, *NARROW):
            expected = ", ".join((*TYPES, *NARROW))
            raise Untraceable(f"it uses the type {name}, expected one of {expected}{advice(name)}")
        return self._with_tensor(lambda g, x: three_valued.as_type(g, x, name))

    def copy(self, *_: Any, **__: Any) -> Any:
        return self._with_tensor(lambda g, x: x)

    __copy__ = __deepcopy__ = copy


class Array(Placeholder):
    """An array [N, K]; or an array or column [N], whose tensor is [N, 1]."""

    stands_for: ClassVar[type] = np.ndarray

    def __init__(self, g: Conversion, tensor: Tensor, ndim: int) -> None:
        self.g, self.ndim = g, ndim
        self.tensor = tensor if isinstance(self, Column) else as_nullable(tensor, None)

    @property
    def width(self) -> int:
        return self.tensor.width or 0

    @property
    def dtype(self) -> Any:
        return declared_type(self.tensor)

    @property
    def shape(self) -> tuple[Any, ...]:
        return (_ROWS, self.width) if self.ndim == 2 else (_ROWS,)

    def __pow__(self, exponent: Any) -> Any:
        return raised(self, exponent)

    def _with_tensor(self, body: Callable[[Conversion, Tensor], Tensor]) -> Array:
        return type(self)(self.g, body(self.g, self.tensor), self.ndim)

    def __getitem__(self, key: Any) -> Array:
        rows, *rest = key if isinstance(key, tuple) else (key,)
        if not (rows is Ellipsis or (isinstance(rows, slice) and rows == slice(None))):
            raise Untraceable("it chooses rows")
        if not rest:
            return self
        if self.ndim == 1 and rest == [None]:
            return Array(self.g, self.tensor, 2)
        if self.ndim == 1 or len(rest) > 1:
            raise Untraceable("it uses an index of more dimensions than its array has")
        chosen = np.arange(self.width)[rest[0]]
        if np.ndim(chosen) > 1:
            raise Untraceable("it uses an index of more dimensions than its array has")
        tensor = self.g.columns(self.tensor, np.atleast_1d(chosen))
        return Array(self.g, as_kind_of(self.tensor, tensor), 1 + np.ndim(chosen))

    def reshape(self, *shape: Any) -> Array:
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        rows, *rest = wanted
        if rows is _ROWS or rows == -1:
            if rest == [self.width]:
                return Array(self.g, self.tensor, 2)
            if not rest and self.width == 1:
                return Array(self.g, self.tensor, 1)
        raise Untraceable("it changes the shape of its array")

    def ravel(self) -> Array:
        return self.reshape(-1)

    flatten = ravel

    def sum(self, axis: Any = None, keepdims: bool = False) -> Array:
        return self._reduce(total, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Array:
        def mean(g: Conversion, x: Tensor) -> Tensor:
            return row_sum(g, x if x.dtype.startswith("float") else g.cast(x, "float64")) / x.width

        return self._reduce(mean, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Array:
        return self._reduce(folded(np.maximum), axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Array:
        return self._reduce(folded(np.minimum), axis, keepdims)

    def _reduce(
        self, body: Callable[[Conversion, Tensor], Tensor], axis: Any, keepdims: bool
    ) -> Array:
        if isinstance(self.tensor, Flag):
            raise Untraceable(reason_of(self.tensor))
        if self.ndim != 2 or axis not in (1, -1):
            raise Untraceable("it combines the values of several rows")
        return Array(self.g, body(self.g, self.tensor), 2 if keepdims else 1)


class Column(Array):
    """A column of a table, or what a function of each of its elements returns."""

    stands_for: ClassVar[type] = pd.Series

    @property
    def values(self) -> Array:
        three_valued.require_numpy_type(self.tensor)
        return Array(self.g, self.tensor, 1)

    def to_numpy(self) -> Array:
        """An array, in which NaN stands for pd.NA if it holds numbers."""
        three_valued.require_array(self.tensor)
        return Array(self.g, self.tensor, 1)

    def map(self, mapping: Any, na_action: Any = None) -> Column:
        return Column(self.g, three_valued.mapped(self.g, self.tensor, mapping), 1)

    def fillna(self, value: Any) -> Column:
        plain = Column(self.g, as_nullable(self.tensor, None), 1)

        def chosen(filling: Any) -> Tensor:
            column: Column = FUNCTIONS[np.where](self.isna(), filling, plain)
            return column.tensor

        result = filled(self.g, self.tensor, value, chosen)
        return Column(self.g, three_valued.filled(self.tensor, result, value), 1)

    def to_frame(self, name: str = "0") -> Table:
        return Table(self.g, {name: self.tensor})


class OwnColumn(Column):
    """A column that numpy's functions do not compute as numbers."""

    def compute(self, ufunc: np.ufunc, inputs: Sequence[Any]) -> Any:
        raise NotImplementedError


class Table(Placeholder):
    """A DataFrame: columns [N, 1] of their own types, by name."""

    stands_for: ClassVar[type] = pd.DataFrame
    ndim = 2
    index = INDEX

    def __init__(self, g: Conversion, parts: dict[str, Tensor]) -> None:
        self.g, self.parts = g, parts

    @property
    def columns(self) -> Any:
        return pd.Index(list(self.parts))

    @property
    def shape(self) -> tuple[Any, ...]:
        return (_ROWS, len(self.parts))

    @property
    def values(self) -> Array:
        objects = three_valued.objects_of(self.g, list(self.parts.values()))
        return self._matrix if objects is None else Array(self.g, objects, 2)

    @property
    def _matrix(self) -> Array:
        return Array(self.g, matrix_of(self.g, Frame(self.g, list(self.parts.values()))), 2)

    def to_numpy(self) -> Array:
        return self.values

    @property
    def iloc(self) -> Positions:
        return Positions(self)

    @property
    def loc(self) -> Labels:
        return Labels(self)

    def _with_tensor(self, body: Callable[[Conversion, Tensor], Tensor]) -> Table:
        return Table(self.g, {name: body(self.g, x) for name, x in self.parts.items()})

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in self.parts:
                raise NoColumn(f"column '{key}': expected one of {', '.join(self.parts)}")
            return column(self.g, self.parts[key])
        if isinstance(key, Placeholder | slice):
            raise Untraceable("it chooses rows")
        return Table(self.g, {name: self[name].tensor for name in key})

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, str):
            raise Untraceable("it assigns to some rows, or to several columns (use d.assign(...))")
        self.parts = self.assign(**{key: value}).parts

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            super().__setattr__(name, value)
        elif name in self.parts:
            self[name] = value
        else:
            raise Untraceable(f"it sets .{name} (use .assign, .rename or a new DataFrame)")

    def __getattr__(self, name: str) -> Any:
        if name in object.__getattribute__(self, "__dict__").get("parts", {}):
            return self[name]
        return super().__getattr__(name)

    def assign(self, /, **columns: Any) -> Table:
        result = Table(self.g, dict(self.parts))
        for name, value in columns.items():
            assigned = value(result) if callable(value) else value
            if not isinstance(assigned, Array):
                assigned = constant_column(self, assigned)
            if assigned.width != 1:
                raise Untraceable(f"it assigns {assigned.width} columns to '{name}'")
            result.parts[name] = assigned.tensor
        return result

    def drop(
        self, labels: Any = None, *, axis: Any = 0, columns: Any = None, errors: str = "raise"
    ) -> Table:
        if columns is None and axis not in (1, "columns"):
            raise Untraceable("it drops rows")
        dropped = columns if columns is not None else labels
        names = [dropped] if isinstance(dropped, str) else list(dropped)
        unknown = [name for name in names if name not in self.parts]
        if unknown and errors != "ignore":
            raise NoColumn(f"{unknown} not found in axis")
        return Table(self.g, {name: x for name, x in self.parts.items() if name not in names})

    def fillna(self, value: Any) -> Table:
        if not isinstance(value, dict):
            value = dict.fromkeys(self.parts, value)
        parts = {
            name: self[name].fillna(value[name]).tensor if name in value else x
            for name, x in self.parts.items()
        }
        return Table(self.g, parts)

    def rename(self, columns: dict[str, str]) -> Table:
        return Table(self.g, {columns.get(name, name): x for name, x in self.parts.items()})

    def apply(self, function: Callable[..., Any], **options: Any) -> Table:
        results = {name: function(self[name], **options) for name in self.parts}
        if not all(isinstance(result, Array) and result.ndim == 1 for result in results.values()):
            raise Untraceable("it applies a function that does not return a column")
        return Table(self.g, {name: result.tensor for name, result in results.items()})

    def sum(self, axis: Any = 0) -> Column:
        """Unlike numpy, pandas leaves missing values out."""
        present = self.fillna(0)._matrix
        three_valued.require_type_of_sums(list(self.parts.values()), present)
        return self._of_rows(present.sum(axis))

    def mean(self, axis: Any = 0) -> Column:
        counts = self.notna().values.sum(axis)
        present = self.fillna(0)._matrix
        numbers = present if present.dtype.kind == "f" else present.astype("float64")
        return self._of_rows(numbers.sum(axis) / counts.astype(numbers.dtype))

    def max(self, axis: Any = 0) -> Column:
        return self._of_rows(self._matrix._reduce(folded(np.fmax), axis, False))

    def min(self, axis: Any = 0) -> Column:
        return self._of_rows(self._matrix._reduce(folded(np.fmin), axis, False))

    def _of_rows(self, result: Array) -> Column:
        three_valued.require_one_family(list(self.parts.values()))
        nullable = three_valued.of_nullable(list(self.parts.values()))
        return Column(self.g, as_nullable(result.tensor, nullable), 1)


def column(g: Conversion, x: Tensor) -> Column:
    """A column of a table, of the class that its tensor has."""
    return COLUMNS.get(type(x), Column)(g, x, 1)


def raised(base: Array, exponent: Any) -> Any:
    """base ** exponent, for which numpy's operator has shorter ways than np.power."""
    if np.ndim(exponent) == 0 and not isinstance(exponent, Placeholder):
        if isinstance(base, Column) and type_of(base.tensor) not in NARROW:
            exponent = python_number(exponent)
        if exponent == 2 and type(exponent) is int and base.dtype == bool:
            return elementwise(base.g, np.square, (base,))
        types = (base.dtype, kind_of(exponent), None)
        # In older versions of numpy, np.power has another result at minus infinity.
        if exponent == 0.5 and np.power.resolve_dtypes(types)[-1] == base.dtype:
            return elementwise(base.g, np.sqrt, (base,))
    return elementwise(base.g, np.power, (base, exponent))


def elementwise(g: Conversion, ufunc: np.ufunc, inputs: Sequence[Any]) -> Any:
    tables = [x for x in inputs if isinstance(x, Table)]
    if tables:
        names = list(tables[0].parts)
        if any(list(table.parts) != names for table in tables):
            raise Untraceable("it computes with DataFrames of different columns")
        if any(isinstance(x, Array) and x.ndim == 1 for x in inputs):
            raise Untraceable("it computes with a DataFrame and a column")
        inputs = [beside_table(ufunc, x) for x in inputs]
        parts = {}
        for k, name in enumerate(names):
            operands = [part_of(x, name, k, len(names)) for x in inputs]
            is_power = ufunc is np.power and isinstance(operands[0], Array)
            result = raised(*operands) if is_power else _elementwise(g, ufunc, operands)
            parts[name] = result.tensor
        return Table(g, parts)
    _require_known_types(ufunc, inputs)
    if ufunc in WEAK and any(isinstance(x, Column) for x in inputs):
        inputs = [python_number(x) for x in inputs]
    return _elementwise(g, ufunc, inputs)


def _require_known_types(ufunc: np.ufunc, inputs: Sequence[Any]) -> None:
    """Refuses a number of numpy beside a column, if pandas ignores its type and numpy does not."""
    others = [x for x in inputs if not isinstance(x, Array)]
    columns = [x for x in inputs if isinstance(x, Array)]
    is_narrow = any(type_of(x.tensor) in NARROW for x in columns)
    if not is_narrow or all(x.ndim > 1 for x in columns) or any(map(np.ndim, others)):
        return
    of_numpy, of_pandas = (
        ufunc.resolve_dtypes((*map(kind_of, operands), *[None] * ufunc.nout))
        for operands in (inputs, [python_number(x) for x in inputs])
    )
    if of_numpy != of_pandas:
        raise Untraceable(
            "it computes with a number of a type of numpy; use a number of Python instead"
        )


def _elementwise(g: Conversion, ufunc: np.ufunc, inputs: Sequence[Any]) -> Array:
    for x in inputs:
        if isinstance(x, OwnColumn):
            return x.compute(ufunc, inputs)  # type: ignore[no-any-return]
    ndim = max(x.ndim for x in inputs if isinstance(x, Array))
    for x in inputs:
        shape = x.shape if isinstance(x, Array) else np.shape(x)
        if (isinstance(x, Array) and x.ndim != ndim) or len(shape) > ndim:
            raise Untraceable("it computes with arrays of different dimensions")
        if not isinstance(x, Array) and len(shape) == ndim and shape[0] != 1 and ndim == 1:
            raise Untraceable("it computes with a constant that has a number for each row")
        if not isinstance(x, Array) and len(shape) == 2 and shape[0] != 1:
            raise Untraceable("it computes with a constant that has a number for each row")
    kind = Column if any(isinstance(x, Column) for x in inputs) else Array
    tensors = [x.tensor for x in inputs if isinstance(x, Array)]
    result = three_valued.computed(g, ufunc, inputs, tensors, lambda: _computed(g, ufunc, inputs))
    return kind(g, result, ndim)


def part_of(x: Any, name: str, place: int, width: int) -> Any:
    """The part of an operand that belongs to one column of a table."""
    if isinstance(x, Table):
        return x[name]
    if isinstance(x, Array):
        if x.width != width:
            raise Untraceable("it computes with arrays of different widths")
        return x[:, place]
    values = np.asarray(x)
    if values.ndim == 0:
        return x
    if values.shape != (width,):
        raise Untraceable("it computes with a constant of another width than its DataFrame")
    return values[place]


def _computed(g: Conversion, ufunc: np.ufunc, inputs: Sequence[Any]) -> Tensor:
    """The tensor of ufunc(*inputs), computed in the types in which numpy computes it."""
    if any(isinstance(x, Array) and x.tensor.dtype == "string" for x in inputs):
        column, text = inputs if isinstance(inputs[0], Array) else inputs[::-1]
        return compared_text(ufunc, column.tensor, text)
    kinds = [kind_of(x) for x in inputs]
    if ufunc in DIVISIONS:
        return _divided(g, ufunc, inputs, kinds)

    def body(operands: list[Tensor], loop: list[str]) -> Tensor:
        if ufunc is np.power and (shorter := shortcut(inputs[1], loop)) is not None:
            return UNARY[shorter](g, operands[0])
        result = of_operands(g, ufunc, operands, loop, inputs)
        if ufunc in INEXACT and loop[-1].startswith("float"):
            is_column = [isinstance(x, Array) for x in inputs]
            record(g, result, recorded(ufunc, operands, inputs, is_column))
        return settled(g, ufunc, operands, inputs, result)

    return _in_types(g, ufunc, inputs, kinds, body)


def _in_types(
    g: Conversion,
    ufunc: np.ufunc,
    inputs: Sequence[Any],
    kinds: Sequence[Any],
    body: Callable[[list[Tensor], list[str]], Tensor],
) -> Tensor:
    """The result of `body`, which gets the operands and the types in which numpy computes.

    int64 stands for narrower integers. Operands are doubles if integers may be missing.
    """
    loop = [str(dtype) for dtype in ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))]
    for dtype in loop:
        if dtype not in (*TYPES, *NARROW):
            raise Untraceable(unknown_type(f"np.{ufunc.__name__}", dtype))
    columns = [x.tensor for x in inputs if isinstance(x, Array)]
    if loop[0] in (*NARROW, "float32") and loop[-1] != "bool":
        for column in columns:
            require_width(g, column)
    types = ["int64" if dtype in NARROW else dtype for dtype in loop]
    if loop[-1] in NARROW and not any(isinstance(x, Small) for x in columns):

        def compute(as_int64: Callable[[Tensor], Tensor]) -> Tensor:
            operands = [
                as_int64(x.tensor) if isinstance(x, Array) else operand(g, x, "int64")
                for x in inputs
            ]
            return body(operands, types)

        return in_narrow_type(g, ufunc, columns, loop[-1], compute)
    is_whole = types[0] == "int64" and any(isinstance(x, Whole) for x in columns)
    if not is_whole:
        return body([operand(g, x, t) for x, t in zip(inputs, types, strict=False)], types)
    if any(not isinstance(x, Array) and (np.abs(x) > EXACT).any() for x in inputs):
        raise Untraceable("it computes with whole numbers from 2^53")
    doubles = [
        operand(g, x, "float64" if t == "int64" else t) for x, t in zip(inputs, types, strict=False)
    ]
    g.require(
        Frame(g, [x for x, t in zip(doubles, inputs, strict=False) if _is_plain(t)]), EXACT_RULE
    )
    result = body(doubles, types)
    return result if loop[-1] == "bool" else whole(g, result, loop[-1])


def _is_plain(x: Any) -> bool:
    return (
        isinstance(x, Array)
        and type_of(x.tensor) in ("int64", "uint64")
        and not isinstance(x.tensor, Whole)
    )


def kind_of(x: Any) -> Any:
    """What numpy's rules for types need to know: a dtype, or the class of a Python number."""
    if isinstance(x, Array):
        return numpy_type(x.tensor)
    if type(x) in (int, float, bool):
        return np.dtype(bool) if type(x) is bool else type(x)
    return np.asarray(x).dtype


def operand(g: Conversion, x: Any, dtype: str) -> Tensor:
    if isinstance(x, Array):
        if isinstance(x.tensor, Flag):
            raise Untraceable(reason_of(x.tensor))
        return g.cast(x.tensor, dtype)
    return g.const(np.asarray(x), dtype)


def _divided(g: Conversion, ufunc: np.ufunc, inputs: Sequence[Any], kinds: list[Any]) -> Tensor:
    divisor = inputs[1]
    if isinstance(divisor, Placeholder) or np.ndim(divisor) or not divisor:
        raise Untraceable("it uses // or % with a divisor that is not one number other than 0")
    return _in_types(g, ufunc, inputs, kinds, lambda given, _: divided(g, ufunc, given, inputs))


def constant_column(table: Table, value: Any) -> Array:
    if np.ndim(value) or not table.parts:
        raise Untraceable("it assigns a constant that has a number for each row")
    first = Column(table.g, next(iter(table.parts.values())), 1)
    return FUNCTIONS[np.where](first.isna(), value, value)  # type: ignore[no-any-return]
