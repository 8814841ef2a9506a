"""Placeholders for the arrays, columns and DataFrames of a function that is traced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..graph.numeric import row_sum
from ..graph.promotion import DATES
from ..registry import Conversion
from .columns import EXACT, FLAG, Flag, Small, Untraceable, Whole, as_kind_of, small, whole
from .lookup import looked_up
from .positions import Labels, Positions
from .ufuncs import BINARY, TESTS, UNARY, floor_divide, remainder

TYPES = ("float32", "float64", "int64", "bool")


class _Rows:
    """Stands for the number of rows, which only reshape() accepts."""


_ROWS = _Rows()
INDEX = object()  # stands for the index of a DataFrame, which only pd.DataFrame() accepts
# What placeholders do with the functions of numpy that are not ufuncs (numpy_functions.py).
FUNCTIONS: dict[Any, Callable[..., Any]] = {}
# The classes of columns whose tensors have a class of their own (dates.py).
COLUMNS: dict[type[Tensor], type[Array]] = {}


def matrix_of(g: Conversion, x: Frame) -> Tensor:
    """The columns as one array has them: of their common type."""
    if set(x.dtypes) == {"string"}:
        return x.matrix("string")
    if "string" in x.dtypes:
        raise Untraceable("its array holds numbers and text")
    if DATES in x.dtypes:
        raise Untraceable("its array holds dates; compute parts of them with .dt")
    if any(isinstance(part, Flag) for part in x.parts):
        raise Untraceable(FLAG)
    if any(isinstance(part, Whole) for part in x.parts) and all(
        isinstance(part, Whole) or part.dtype in ("int64", "bool") for part in x.parts
    ):
        return whole(g, x.matrix("float64"))
    return x.matrix(str(np.result_type(*set(x.dtypes))))


def _fail(what: str) -> Callable[..., NoReturn]:
    def failing(self: Any, *_: Any, **__: Any) -> NoReturn:
        raise Untraceable(f"it uses {what}")

    return failing


class Placeholder(np.lib.mixins.NDArrayOperatorsMixin):
    """What arrays, columns and tables have in common: operators, and the functions of numpy."""

    g: Conversion

    __bool__ = _fail("values in a condition (use np.where)")
    __float__ = __int__ = __index__ = _fail("a value as a Python number")
    __len__ = _fail("the number of rows")
    __str__ = __repr__ = __format__ = _fail("the text of its values")
    __iter__ = _fail("a loop over rows")
    __array__ = _fail("a function of numpy or another package that needs the values")
    __hash__ = None  # type: ignore[assignment]

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__":
            raise Untraceable(f"it uses np.{ufunc.__name__}.{method}")
        if options:
            raise Untraceable(f"it uses np.{ufunc.__name__} with {', '.join(sorted(options))}")
        return elementwise(self.g, ufunc, inputs)

    def __array_function__(
        self, function: Any, types: Any, args: Sequence[Any], options: dict[str, Any]
    ) -> Any:
        if function not in FUNCTIONS:
            name = f"{function.__module__}.{function.__name__}"
            raise Untraceable(f"it uses {name}, which is not supported")
        return FUNCTIONS[function](*args, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # numpy and pandas ask for what the object does not have
            raise AttributeError(name)
        raise Untraceable(f"it uses .{name}, which is not supported")

    def _with_tensor(self, body: Callable[[Conversion, Tensor], Tensor]) -> Any:
        """The same shape with `body` applied to each tensor."""
        raise NotImplementedError

    def abs(self) -> Any:
        return elementwise(self.g, np.absolute, (self,))

    def clip(self, *bounds: Any, **named: Any) -> Any:
        return FUNCTIONS[np.clip](self, *bounds, **named)

    def round(self, decimals: int = 0) -> Any:
        return self._with_tensor(lambda g, x: _rounded(g, x, decimals))

    def isna(self) -> Any:
        return self._with_tensor(lambda g, x: g.missing(x))

    isnull = isna

    def notna(self) -> Any:
        return ~self.isna()

    notnull = notna

    def fillna(self, value: Any) -> Any:
        if isinstance(self, Array) and isinstance(self.tensor, Flag):
            if not isinstance(value, bool):
                raise Untraceable("it fills a bool column with another type")
            filled = self.g.where(self.g.isnan(self.tensor), float(value), self.tensor)
            return Array(self.g, self.g.cast(filled, "bool"), self.ndim)
        return FUNCTIONS[np.where](self.isna(), value, self)

    def isin(self, values: Any) -> Any:
        return self._with_tensor(lambda g, x: _is_one_of(g, x, list(values)))

    def between(self, left: Any, right: Any, inclusive: str = "both") -> Any:
        above = np.greater_equal if inclusive in ("both", "left") else np.greater
        below = np.less_equal if inclusive in ("both", "right") else np.less
        return above(self, left) & below(self, right)

    def astype(self, dtype: Any, **_: Any) -> Any:
        name = str(np.dtype(dtype))
        if name not in TYPES:
            raise Untraceable(f"it uses the type {name}, expected one of {', '.join(TYPES)}")

        def cast(g: Conversion, x: Tensor) -> Tensor:
            if isinstance(x, Flag):
                raise Untraceable(FLAG)
            if isinstance(x, Whole):
                plain = Tensor(g, x.name, x.dtype, x.width)
                if name == "int64":
                    return whole(g, plain) if isinstance(x, Small) else x
                return g.cast(plain, name)
            if x.dtype == "string" or (x.dtype.startswith("float") and name == "int64"):
                raise Untraceable(f"it converts {x.dtype} to {name}")
            return g.cast(x, name)

        return self._with_tensor(cast)

    def copy(self, *_: Any, **__: Any) -> Any:
        return self._with_tensor(lambda g, x: x)


class Array(Placeholder):
    """An array [N, K]; or an array or column [N], whose tensor is [N, 1]."""

    __class__ = np.ndarray  # type: ignore[assignment]  # what isinstance() in the function says

    def __init__(self, g: Conversion, tensor: Tensor, ndim: int) -> None:
        self.g, self.tensor, self.ndim = g, tensor, ndim

    @property
    def width(self) -> int:
        return self.tensor.width or 0

    @property
    def dtype(self) -> np.dtype[Any]:
        if isinstance(self.tensor, Flag):
            raise Untraceable(FLAG)
        if isinstance(self.tensor, Whole):
            return np.dtype("int32" if isinstance(self.tensor, Small) else "int64")
        return np.dtype(object if self.tensor.dtype == "string" else self.tensor.dtype)

    @property
    def shape(self) -> tuple[Any, ...]:
        return (_ROWS, self.width) if self.ndim == 2 else (_ROWS,)

    @property
    def values(self) -> Array:
        return self

    def to_numpy(self) -> Array:
        return self

    def __pow__(self, exponent: Any) -> Any:
        """numpy's operator has shorter ways for some exponents, with other results at infinity."""
        shortcuts = {0.5: np.sqrt, 2: np.square, 1: np.positive}
        if np.ndim(exponent) == 0 and not isinstance(exponent, Placeholder):
            if exponent in shortcuts:
                return elementwise(self.g, shortcuts[exponent], (self,))
            if exponent == -1 and self.dtype.kind == "f":
                return elementwise(self.g, np.reciprocal, (self,))
        return elementwise(self.g, np.power, (self, exponent))

    def map(self, mapping: Any, na_action: Any = None) -> Array:
        if self.ndim != 1:
            raise Untraceable("it uses .map, which arrays do not have")
        return Array(self.g, looked_up(self.g, self.tensor, mapping), 1)

    def to_frame(self, name: str = "0") -> Table:
        return Table(self.g, {name: self.tensor})

    def _with_tensor(self, body: Callable[[Conversion, Tensor], Tensor]) -> Array:
        return Array(self.g, body(self.g, self.tensor), self.ndim)

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
        return self._reduce(_sum, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Array:
        def mean(g: Conversion, x: Tensor) -> Tensor:
            return _sum(g, x if x.dtype.startswith("float") else g.cast(x, "float64")) / x.width

        return self._reduce(mean, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Array:
        return self._reduce(_folded(np.maximum), axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Array:
        return self._reduce(_folded(np.minimum), axis, keepdims)

    def _reduce(
        self, body: Callable[[Conversion, Tensor], Tensor], axis: Any, keepdims: bool
    ) -> Array:
        if self.ndim != 2 or axis not in (1, -1):
            raise Untraceable("it combines the values of several rows")
        return Array(self.g, body(self.g, self.tensor), 2 if keepdims else 1)


class OwnColumn(Array):
    """A column that numpy's functions do not compute as numbers."""

    def compute(self, ufunc: np.ufunc, inputs: Sequence[Any]) -> Any:
        raise NotImplementedError


class Table(Placeholder):
    """A DataFrame: columns [N, 1] of their own types, by name."""

    __class__ = pd.DataFrame
    ndim = 2
    index = INDEX

    def __init__(self, g: Conversion, parts: dict[str, Tensor]) -> None:
        self.g, self.parts = g, parts

    @property
    def columns(self) -> list[str]:
        return list(self.parts)

    @property
    def shape(self) -> tuple[Any, ...]:
        return (_ROWS, len(self.parts))

    @property
    def values(self) -> Array:
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
                raise KeyError(f"column '{key}': expected one of {', '.join(self.parts)}")
            tensor = self.parts[key]
            return COLUMNS.get(type(tensor), Array)(self.g, tensor, 1)
        if isinstance(key, Placeholder | slice):
            raise Untraceable("it chooses rows")
        return Table(self.g, {name: self[name].tensor for name in key})

    def __setitem__(self, key: str, value: Any) -> None:
        self.parts = self.assign(**{key: value}).parts

    def __getattr__(self, name: str) -> Any:
        if name in vars(self).get("parts", {}):
            return self[name]
        return super().__getattr__(name)

    def assign(self, /, **columns: Any) -> Table:
        result = Table(self.g, dict(self.parts))
        for name, value in columns.items():
            column = value(result) if callable(value) else value
            if not isinstance(column, Array):
                column = constant_column(self, column)
            if column.width != 1:
                raise Untraceable(f"it assigns {column.width} columns to '{name}'")
            result.parts[name] = column.tensor
        return result

    def drop(self, labels: Any = None, axis: Any = 0, columns: Any = None) -> Table:
        if columns is None and axis not in (1, "columns"):
            raise Untraceable("it drops rows")
        dropped = columns if columns is not None else labels
        names = [dropped] if isinstance(dropped, str) else list(dropped)
        return Table(self.g, {name: x for name, x in self.parts.items() if name not in names})

    def rename(self, columns: dict[str, str]) -> Table:
        return Table(self.g, {columns.get(name, name): x for name, x in self.parts.items()})

    def apply(self, function: Callable[..., Any], **options: Any) -> Table:
        results = {name: function(self[name], **options) for name in self.parts}
        if not all(isinstance(result, Array) and result.ndim == 1 for result in results.values()):
            raise Untraceable("it applies a function that does not return a column")
        return Table(self.g, {name: result.tensor for name, result in results.items()})

    def sum(self, axis: Any = 0) -> Array:
        """Unlike numpy, pandas leaves missing values out."""
        return self.fillna(0).values.sum(axis)  # type: ignore[no-any-return]

    def mean(self, axis: Any = 0) -> Array:
        counts = self.notna().values.sum(axis)
        return self.sum(axis) / counts  # type: ignore[no-any-return]

    def max(self, axis: Any = 0) -> Array:
        return self.values._reduce(_folded(np.fmax), axis, False)

    def min(self, axis: Any = 0) -> Array:
        return self.values._reduce(_folded(np.fmin), axis, False)


def elementwise(g: Conversion, ufunc: np.ufunc, inputs: Sequence[Any]) -> Any:
    tables = [x for x in inputs if isinstance(x, Table)]
    if tables:
        names = tables[0].columns
        if any(table.columns != names for table in tables):
            raise Untraceable("it computes with DataFrames of different columns")
        if any(isinstance(x, Array) and x.ndim == 1 for x in inputs):
            raise Untraceable("it computes with a DataFrame and a column")
        return Table(
            g,
            {
                name: elementwise(
                    g, ufunc, [part_of(x, name, k, len(names)) for x in inputs]
                ).tensor
                for k, name in enumerate(names)
            },
        )
    for x in inputs:
        if isinstance(x, OwnColumn):
            return x.compute(ufunc, inputs)
    ndim = max(x.ndim for x in inputs if isinstance(x, Array))
    for x in inputs:
        shape = x.shape if isinstance(x, Array) else np.shape(x)
        if (isinstance(x, Array) and x.ndim != ndim) or len(shape) > ndim:
            raise Untraceable("it computes with arrays of different dimensions")
        if not isinstance(x, Array) and len(shape) == ndim and shape[0] != 1 and ndim == 1:
            raise Untraceable("it computes with a constant that has a number for each row")
        if not isinstance(x, Array) and len(shape) == 2 and shape[0] != 1:
            raise Untraceable("it computes with a constant that has a number for each row")
    return Array(g, _computed(g, ufunc, inputs), ndim)


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
        return _compared_text(g, ufunc, inputs)
    kinds = [kind_of(x) for x in inputs]
    if ufunc in (np.fmod, np.remainder, np.floor_divide, np.divmod):
        return _divided(g, ufunc, inputs, kinds)
    known = (*UNARY, *TESTS, *BINARY, np.logical_not, np.invert)
    if ufunc not in known:
        raise Untraceable(f"it uses np.{ufunc.__name__}, which is not supported")
    loop, exact = _loop(ufunc, kinds)
    if not set(loop) <= set(TYPES):
        raise Untraceable(f"np.{ufunc.__name__} computes in {loop[0]}, which is not supported")
    is_whole = any(isinstance(x, Array) and isinstance(x.tensor, Whole) for x in inputs)
    operands = [
        operand(g, x, "float64" if is_whole and dtype == "int64" else dtype)
        for x, dtype in zip(inputs, loop, strict=False)
    ]
    if is_whole and loop[0] == "int64":
        if any(not isinstance(x, Array) and (np.abs(x) > EXACT).any() for x in inputs):
            raise Untraceable("it computes with whole numbers from 2^53")
        if ufunc is np.power:
            return exact(g, _whole_power(operands[0], inputs[1]))
        types = ["float64" if dtype == "int64" else dtype for dtype in loop]
        result = _of_operands(g, ufunc, operands, types, inputs)
        return exact(g, result) if loop[-1] == "int64" else result
    return _of_operands(g, ufunc, operands, loop, inputs)


def _loop(ufunc: np.ufunc, kinds: Sequence[Any]) -> tuple[list[str], Callable[..., Tensor]]:
    """The types in which numpy computes, and what makes its integers a column.

    Doubles stand for numbers of int32, as they do for those of int64.
    """
    loop = [str(dtype) for dtype in ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))]
    exact = small if loop[-1] == "int32" else whole
    return ["int64" if dtype == "int32" else dtype for dtype in loop], exact


def _of_operands(
    g: Conversion, ufunc: np.ufunc, operands: list[Tensor], loop: list[str], inputs: Sequence[Any]
) -> Tensor:
    if ufunc in (np.logical_not, np.invert):
        if loop[0] != "bool":
            if ufunc is np.invert:
                raise Untraceable("it inverts the bits of numbers")
            return operands[0].equals(0)
        return ~operands[0]
    if ufunc in TESTS:
        if not loop[0].startswith("float"):
            raise Untraceable(f"it uses np.{ufunc.__name__} with {loop[0]}")
        return TESTS[ufunc](g, operands[0])
    if ufunc in UNARY:
        if loop[0] == "bool" or (loop[0] == "int64" and ufunc is np.reciprocal):
            raise Untraceable(f"it uses np.{ufunc.__name__} with {loop[0]}")
        return UNARY[ufunc](g, operands[0])
    if ufunc.__name__.startswith("bitwise") and loop[0] != "bool":
        raise Untraceable("it combines the bits of numbers")
    if ufunc is np.power and loop[0] == "int64":
        return _whole_power(operands[0], inputs[1])
    if loop[0] == "bool" and loop[-1] == "bool" and ufunc in _ORDER:
        operands = [g.cast(x, "int64") for x in operands]
    return BINARY[ufunc](g, operands[0], operands[1])


_ORDER = {np.less, np.less_equal, np.greater, np.greater_equal}


def kind_of(x: Any) -> Any:
    """What numpy's rules for types need to know: a dtype, or the class of a Python number."""
    if isinstance(x, Array):
        return x.dtype
    if type(x) in (int, float, bool):
        return np.dtype(bool) if type(x) is bool else type(x)
    return np.asarray(x).dtype


def operand(g: Conversion, x: Any, dtype: str) -> Tensor:
    if isinstance(x, Array):
        if isinstance(x.tensor, Flag):
            raise Untraceable(FLAG)
        return g.cast(x.tensor, dtype)
    return g.const(np.asarray(x), dtype)


def _compared_text(g: Conversion, ufunc: np.ufunc, inputs: Sequence[Any]) -> Tensor:
    column, text = inputs if isinstance(inputs[0], Array) else inputs[::-1]
    if ufunc not in (np.equal, np.not_equal):
        raise Untraceable(f"it uses np.{ufunc.__name__} with text")
    if not isinstance(text, str):
        raise Untraceable(f"it compares text with {type(text).__name__}")
    same: Tensor = column.tensor.equals(text)
    return same if ufunc is np.equal else ~same


def _divided(g: Conversion, ufunc: np.ufunc, inputs: Sequence[Any], kinds: list[Any]) -> Tensor:
    if ufunc not in (np.remainder, np.floor_divide):
        raise Untraceable(f"it uses np.{ufunc.__name__}, which is not supported")
    divisor = inputs[1]
    if isinstance(divisor, Placeholder) or np.ndim(divisor) or not divisor:
        raise Untraceable("it uses // or % with a divisor that is not one number other than 0")
    (dtype, *_), exact = _loop(ufunc, kinds)
    if dtype not in ("int64", "float32", "float64"):
        raise Untraceable(f"it uses // or % with {dtype}")
    body = remainder if ufunc is np.remainder else floor_divide
    if dtype == "int64" and isinstance(inputs[0].tensor, Whole):
        return exact(g, body(g, operand(g, inputs[0], "float64"), divisor))
    return body(g, operand(g, inputs[0], dtype), divisor)


def _whole_power(base: Tensor, exponent: Any) -> Tensor:
    if not isinstance(exponent, int | np.integer) or not 1 <= exponent <= 8:
        raise Untraceable("it raises whole numbers to a power other than 1 to 8")
    result = base
    for _ in range(int(exponent) - 1):
        result = result * base
    return result


def _is_one_of(g: Conversion, x: Tensor, values: list[Any]) -> Tensor:
    if (x.dtype == "string") != all(isinstance(value, str) for value in values) or not values:
        raise Untraceable("it uses isin() with values of another type, or with none")
    if isinstance(x, Whole) and any(abs(value) > EXACT for value in values):
        raise Untraceable("it computes with whole numbers from 2^53")
    found = [x.equals(value) for value in values]
    result = found[0]
    for other in found[1:]:
        result = result | other
    return result


def _rounded(g: Conversion, x: Tensor, decimals: int) -> Tensor:
    if isinstance(x, Flag):
        raise Untraceable(FLAG)
    if not x.dtype.startswith("float") or isinstance(x, Whole):
        if decimals < 0:
            raise Untraceable("it rounds whole numbers")
        return x
    scale = 10.0 ** abs(decimals)
    if decimals == 0:
        return g.unary("Round", x)
    if decimals > 0:
        return g.unary("Round", x * scale) / scale
    return g.unary("Round", x / scale) * scale


def _sum(g: Conversion, x: Tensor) -> Tensor:
    if isinstance(x, Whole):
        return whole(g, g.sum(x))
    x = g.cast(x, "int64") if x.dtype == "bool" else x
    return row_sum(g, x) if x.dtype.startswith("float") else g.sum(x)


def _folded(ufunc: np.ufunc) -> Callable[[Conversion, Tensor], Tensor]:
    """np.maximum or another function of two numbers, over the columns of each row."""

    def fold(g: Conversion, x: Tensor) -> Tensor:
        columns = [g.columns(x, [k]) for k in range(x.width or 0)]
        result = columns[0]
        for column in columns[1:]:
            result = BINARY[ufunc](g, result, column)
        return as_kind_of(x, result)

    return fold


def constant_column(table: Table, value: Any) -> Array:
    if np.ndim(value) or not table.parts:
        raise Untraceable("it assigns a constant that has a number for each row")
    first = Array(table.g, next(iter(table.parts.values())), 1)
    return FUNCTIONS[np.where](first.isna(), value, value)  # type: ignore[no-any-return]
