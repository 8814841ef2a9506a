"""Reads the example of a PyTorch module: one or several inputs, whose first dimension is the rows.

A file has a feature for each number of a row. So an input of more dimensions lies in the file as a
matrix with one row for each row of the example, in the order of the memory (docs/contract.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

from ..data.columns import Column, column_of_array
from ..data.containers import Data, check_names, column_of_series
from ..data.missing import to_pandas
from ..errors import DataError
from .checks import float_type, parameter_names, require_tensor, word

# More features would make the contract larger than most networks.
MOST_NUMBERS = 2**16
_LIMIT_ADVICE = (
    "; torch.onnx.export writes a file without a contract, which sidecall.open runs by its tensors"
)


@dataclass
class Input:
    """One argument of the module. `shape` is that of one row; `name` is the name of the tensor."""

    argument: str
    name: str
    shape: tuple[int, ...]
    dtype: Any
    columns: list[Column]
    is_keyword: bool

    @property
    def width(self) -> int:
        return math.prod(self.shape)

    @property
    def tensor(self) -> str:
        """The element type of the tensor in the file."""
        if self.dtype == torch.bool:
            return "bool"
        return word(self.dtype) if self.dtype.is_floating_point else "int64"

    @property
    def limits(self) -> tuple[int, int] | None:
        """The smallest and the largest integer, if the module takes a type narrower than int64."""
        if self.tensor != "int64" or self.dtype == torch.int64:
            return None
        info = torch.iinfo(self.dtype)
        return info.min, info.max

    def of_columns(self, columns: list[Column]) -> Any:
        """Returns the tensor that the module takes."""
        if self.dtype.is_floating_point:
            matrix = np.column_stack([column.as_float() for column in columns])
        else:
            matrix = np.column_stack([column.values for column in columns])
        with np.errstate(over="ignore"):
            numbers = matrix.astype(word(self.dtype))
        return torch.from_numpy(np.ascontiguousarray(numbers)).reshape(len(matrix), *self.shape)


class Rows:
    """Rows as the module takes them, which can be taken apart like those of a DataFrame.

    `impossible` marks rows that no tensor can hold: with a missing integer.
    """

    def __init__(self, tensors: list[Any], impossible: np.ndarray) -> None:
        self.tensors, self.impossible = tensors, impossible

    def __len__(self) -> int:
        return len(self.impossible)

    @property
    def iloc(self) -> Rows:
        return self

    def __getitem__(self, index: Any) -> Rows:
        index = slice(*index.indices(len(self))) if isinstance(index, slice) else np.asarray(index)
        chosen = index if isinstance(index, slice) else torch.from_numpy(index)
        return Rows([tensor[chosen] for tensor in self.tensors], self.impossible[index])

    def finite(self) -> np.ndarray:
        """Which rows hold finite numbers only."""
        result = np.ones(len(self), dtype=bool)
        for tensor in self.tensors:
            if tensor.is_floating_point():
                result &= torch.isfinite(tensor.reshape(len(self), -1)).all(dim=1).numpy()
        return result


class TorchData(Data):
    layout = "tensors"

    def __init__(self, inputs: list[Input]) -> None:
        super().__init__([column for item in inputs for column in item.columns])
        self.inputs = inputs
        self._of_column = [item for item in inputs for _ in item.columns]

    def original(self, rows: Any) -> Rows:
        return self.build([column.take(rows) for column in self.columns])

    def build(self, columns: list[Column]) -> Rows:
        tensors, start = [], 0
        impossible = np.zeros(len(columns[0]), dtype=bool)
        for item in self.inputs:
            part = columns[start : start + item.width]
            start += item.width
            if not item.dtype.is_floating_point:
                impossible |= np.any([column.missing for column in part], axis=0)
            tensors.append(item.of_columns(part))
        return Rows(tensors, impossible)

    def holds_objects(self, index: int) -> bool:
        return False

    def _dtype(self, index: int) -> Any:
        return np.dtype(word(self._of_column[index].dtype))


def read_example(example: Any, module: Any, feature_names: Sequence[str] | None) -> TorchData:
    """Reads a tensor, an array or a frame; a tuple of these; or a dict of them by argument.

    Raises DataError.
    """
    if example is None:
        raise DataError(
            "expected an example for a PyTorch module: a tensor, an array or a DataFrame of rows, "
            "or a tuple of these, got None"
        )
    names = parameter_names(module)
    by_name = isinstance(example, Mapping)
    if by_name:
        values = {str(key): value for key, value in example.items()}
        unknown = [key for key in values if key not in names]
        if unknown and names:
            raise DataError(
                f"example: expected arguments of forward ({', '.join(names)}), got '{unknown[0]}'"
            )
    else:
        parts = list(example) if isinstance(example, tuple) else [example]
        names += [f"input{k}" for k in range(len(names), len(parts))]
        values = dict(zip(names, parts, strict=False))
    if not values:
        raise DataError("example: expected at least one input, got none")
    read = [_read(name, value, module, len(values) == 1) for name, value in values.items()]
    rows = {len(item.columns[0]) for item in read}
    if len(rows) > 1:
        counts = " and ".join(map(str, sorted(rows)))
        raise DataError(f"example: expected inputs with the same number of rows, got {counts} rows")
    for item in read:
        item.is_keyword = by_name
    data = TorchData(read)
    _name_features(data, feature_names)
    _name_inputs(read)
    return data


def _read(name: str, value: Any, module: Any, is_only: bool) -> Input:
    value, _ = to_pandas(value)
    labels: list[str] | None = None
    if isinstance(value, torch.Tensor):
        require_tensor(name, value)
        array, dtype = value.numpy(), value.dtype
        columns = None
    elif hasattr(value, "iloc"):
        columns, labels = _columns_of(value, name)
        dtype = _common_type(columns, module)
        array = None
    elif isinstance(value, np.ndarray):
        array, dtype, columns = _plain(name, value, module)
    else:
        raise DataError(
            f"example '{name}': expected a tensor, an array or a DataFrame of rows, "
            f"got {type(value).__name__}",
            name,
        )
    shape = tuple(array.shape[1:]) if array is not None else (len(labels or ()),)
    if hasattr(value, "iloc") and not hasattr(value, "columns"):
        shape = ()
    count = len(array) if array is not None else len(value)
    if count == 0:
        raise DataError("expected at least one row of data, got none")
    width = math.prod(shape)
    if not 0 < width <= MOST_NUMBERS:
        advice = _LIMIT_ADVICE if width else ""
        raise DataError(
            f"example '{name}': expected rows of 1 to {MOST_NUMBERS} numbers, got {width}{advice}",
            name,
        )
    item = Input(name, name, shape, dtype, [], False)
    if columns is None:
        matrix = np.asarray(array).reshape(count, width)
        labels = _labels(name, shape, is_only)
        columns = [column_of_array(label, matrix[:, i]) for i, label in enumerate(labels)]
    item.columns = [_as_taken(column, item) for column in columns]
    return item


def _plain(name: str, array: np.ndarray, module: Any) -> tuple[np.ndarray, Any, None]:
    """Returns an array whose floats have the type of the module, and its type in torch."""
    if array.dtype.kind == "f" and array.dtype.itemsize <= 8:
        with np.errstate(over="ignore"):
            array = array.astype(word(float_type(module)))
    try:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"example '{name}': expected numbers or booleans, got {array.dtype}", name
        ) from error
    require_tensor(name, tensor)
    return array, tensor.dtype, None


def _columns_of(frame: Any, name: str) -> tuple[list[Column], list[str]]:
    """Returns the columns of a DataFrame or of a Series, and their names."""
    if not hasattr(frame, "columns"):
        label = frame.name if isinstance(frame.name, str) else name
        return [column_of_series(label, frame)], [label]
    texts = all(isinstance(label, str) for label in frame.columns)
    labels = list(frame.columns) if texts else [f"x{i}" for i in range(frame.shape[1])]
    columns = [column_of_series(label, frame.iloc[:, i]) for i, label in enumerate(labels)]
    for column in columns:
        if column.kind not in ("float", "int", "bool"):
            raise DataError(
                f"column '{column.name}': expected numbers or booleans, got {column.kind} values; "
                "encode them before the module",
                column.name,
            )
    return columns, labels


def _common_type(columns: list[Column], module: Any) -> Any:
    """The type of the tensor of a frame: integers and booleans keep theirs if they are alone."""
    kinds = {column.kind for column in columns}
    if any(column.missing.any() for column in columns) or len(kinds) != 1:
        return float_type(module)
    return {"int": torch.int64, "bool": torch.bool}.get(kinds.pop(), float_type(module))


def _as_taken(column: Column, item: Input) -> Column:
    """The column with the numbers that the module gets: rounded to the type of its tensor."""
    if not item.dtype.is_floating_point:
        return column
    column.narrow = item.dtype == torch.float32
    if column.kind == "float" and column.narrow:
        with np.errstate(over="ignore"):
            column.values = column.values.astype(np.float32).astype(np.float64)
    return column


def _labels(name: str, shape: tuple[int, ...], is_only: bool) -> list[str]:
    """Names of the numbers of a row: `x0`, `x1`, ... or `image.0.3.7` by their position."""
    if not shape or (shape == (1,) and not is_only):
        return [name]
    if len(shape) == 1 and is_only:
        return [f"x{i}" for i in range(shape[0])]
    positions = product(*(range(size) for size in shape))
    return [".".join([name, *map(str, position)]) for position in positions]


def _name_features(data: TorchData, feature_names: Sequence[str] | None) -> None:
    if feature_names is not None:
        given = [str(name) for name in feature_names]
        if len(given) != len(data.columns):
            raise DataError(f"expected {len(data.columns)} feature names, got {len(given)}")
        for column, name in zip(data.columns, given, strict=True):
            column.name = name
    check_names(data.names)


def _name_inputs(inputs: list[Input]) -> None:
    from ..inputs.schema import OUTPUT_NAMES

    taken = {item.name for item in inputs}
    for item in inputs:
        while item.name in OUTPUT_NAMES:
            item.name += "_input"
            while item.name in taken:
                item.name += "_"
