"""The two sides of a comparison: the original and the exported model, which answer many rows.

Rows that a side refuses are found and left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sidecall import errors
from sidecall._methods import method_of
from sidecall.exporting.errors import ModelError
from sidecall.exporting.model.original import Original, quiet
from sidecall.exporting.model.steps import estimators_in, is_xgboost

from .rows import Rows

BATCH = 1000  # how many rows the original gets in one call
_TOLERANCE, _FLOAT32_TOLERANCE = 1e-8, 1e-5


@dataclass
class Output:
    """One output that both sides have.

    `columns` are the names of its columns in the exported model's answers. `order` lists the
    original's columns in that order. A number differs by more than the tolerance if
    |got - expected| > absolute + relative x |expected|. `is_float32` means that the original
    computes the output in float32; the default tolerances depend on this.
    """

    name: str
    is_number: bool
    method: str
    columns: list[str]
    order: list[int] | None
    given_absolute: float | None = None
    given_relative: float | None = None
    is_float32: bool = False

    @property
    def absolute(self) -> float:
        return self._default if self.given_absolute is None else self.given_absolute

    @property
    def relative(self) -> float:
        return self._default if self.given_relative is None else self.given_relative

    @property
    def _default(self) -> float:
        return _FLOAT32_TOLERANCE if self.is_float32 else _TOLERANCE


@dataclass
class Answers:
    """The answers for some rows.

    `index` holds the answered rows, as ascending positions. `values` has an array
    [len(index), width] for each output. `refusals` has the reasons for the rows without an answer.
    """

    index: np.ndarray
    values: dict[str, np.ndarray]
    refusals: dict[int, str]

    def at(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the answers for some of the answered rows."""
        places = np.searchsorted(self.index, rows)
        return {name: value[places] for name, value in self.values.items()}


def outputs_of(
    original: Original,
    contract: dict[str, Any],
    columns: Any,
    absolute: float | None = None,
    relative: float | None = None,
) -> list[Output]:
    """Returns the deterministic outputs of the contract.

    Raises ModelError if the original has other outputs or classes than the contract.
    """
    methods = {output.name: output.method for output in original.outputs}
    is_float32 = any(map(is_xgboost, estimators_in(original.model)))
    result = []
    for entry in contract["outputs"]:
        name = entry["name"]
        if name not in methods:
            raise ModelError(
                f"expected the model that the file was made from, got one without the output '{name}' (it has {', '.join(methods)})"
            )
        if not entry.get("deterministic", True):
            continue
        named = sorted(
            (column for column in columns if column.output == name),
            key=lambda column: column.column,
        )
        is_number = name != "label" and entry["type"] in ("float32", "float64")
        names = [column.name for column in named]
        result.append(
            Output(
                name,
                is_number,
                methods[name],
                names,
                _order(original, entry),
                absolute,
                relative,
                is_float32,
            )
        )
    if not result:
        raise ModelError(
            "expected at least one deterministic output, got a model whose outputs all differ between two runs"
        )
    return result


def _order(original: Original, entry: dict[str, Any]) -> list[int] | None:
    classes = original.classes()
    if (
        entry["name"] == "label"
        or "classes" not in entry
        or classes is None
        or len(entry["classes"]) != len(classes)
    ):
        return None
    if set(classes) != set(entry["classes"]):
        raise ModelError(
            f"expected the model that the file was made from, got one with different classes in '{entry['name']}'"
        )
    return [classes.index(label) for label in entry["classes"]]


class OriginalSide:
    """Asks the original in batches. A batch that it refuses is split to find the refused rows."""

    def __init__(self, original: Original, outputs: list[Output]) -> None:
        self.model = original.model
        self.outputs = outputs

    def ask(self, rows: Rows, batch: int = BATCH) -> Answers:
        parts = []
        for start in range(0, len(rows), batch):
            index = np.arange(start, min(start + batch, len(rows)))
            parts.append(_in_parts(rows, index, self._ask))
        return _joined(parts)

    def _ask(self, rows: Rows) -> dict[str, np.ndarray]:
        result = {}
        for output in self.outputs:
            try:
                with quiet():
                    answer = method_of(self.model, output.method)(rows.original)
            except MemoryError:
                raise
            except Exception as error:
                raise _Refused(type(error).__name__) from error
            answer = answer.toarray() if hasattr(answer, "toarray") else np.asarray(answer)
            matrix = answer.reshape(len(rows), -1)
            if output.is_number:
                output.is_float32 = output.is_float32 or matrix.dtype == np.float32
            matrix = matrix if output.order is None else matrix[:, output.order]
            result[output.name] = matrix.astype(np.float64) if output.is_number else words(matrix)
        return result


class ModelSide:
    """Asks the exported model by feature names, in process or in another process."""

    def __init__(self, model: Any, outputs: list[Output]) -> None:
        self.model = model
        self.outputs = outputs

    def ask(self, rows: Rows) -> Answers:
        return _joined([_in_parts(rows, np.arange(len(rows)), self._ask)])

    def _ask(self, rows: Rows) -> dict[str, np.ndarray]:
        try:
            frame = self.model.predict(rows.frame)
        except errors.Error as error:
            # Any other error, such as a timeout or a server that has gone, is not about the rows.
            if error.family != 40 and not isinstance(error, errors.Engine):
                raise
            faults = {
                fault.row: _reason(fault)
                for fault in reversed(error.faults)
                if fault.row is not None
            }
            raise _Refused(_reason(error), faults) from error
        result = {}
        for output in self.outputs:
            matrix = frame[output.columns].to_numpy()
            result[output.name] = matrix.astype(np.float64) if output.is_number else words(matrix)
        return result


def words(matrix: np.ndarray) -> np.ndarray:
    """Converts labels and other exact answers to int64, or to text if they are not whole numbers.

    Booleans become 0 and 1.
    """
    if matrix.dtype.kind in "iub":
        return matrix.astype(np.int64)
    if matrix.dtype.kind == "O" and all(
        isinstance(value, (bool, int, np.integer)) for value in matrix.flat
    ):
        return matrix.astype(np.int64)
    if (
        matrix.dtype.kind == "f"
        and np.array_equal(matrix, np.rint(matrix))
        and (np.abs(matrix) < 2**63).all()
    ):
        return matrix.astype(np.int64)
    return matrix.astype(str)


def _reason(fault: Any) -> str:
    """Returns a reason that contains no value of the data."""
    # The message up to the first ": expected" is the same for every row.
    if str(fault.code) == "REFUSED":
        return f"{fault.code}: {str(getattr(fault, 'message', fault)).partition(': expected')[0]}"
    return f"{fault.code}: feature '{fault.name}'" if fault.name else str(fault.code)


class _Refused(Exception):
    """Some of the rows are refused; `rows` maps each known refused row to the reason."""

    def __init__(self, reason: str, rows: dict[int, str] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.rows = rows or {}


def _in_parts(
    rows: Rows, index: np.ndarray, ask: Callable[[Rows], dict[str, np.ndarray]]
) -> list[Answers]:
    """Asks for all rows; if some are refused, asks again without them.

    The rows that are known to be refused are left out, and the two halves of the rest are asked
    separately.
    """
    if not len(index):
        return []
    try:
        return [Answers(index, ask(rows.take(index)), {})]
    except _Refused as refused:
        bad = {int(index[row]): reason for row, reason in refused.rows.items()}
        if not bad and len(index) == 1:
            bad = {int(index[0]): refused.reason}
        rest = np.setdiff1d(index, list(bad), assume_unique=True)
        middle = (len(rest) + 1) // 2
        halves = [rest[:middle], rest[middle:]]
        return [
            Answers(rest[:0], {}, bad),
            *(part for half in halves for part in _in_parts(rows, half, ask)),
        ]


def _joined(parts: list[list[Answers]]) -> Answers:
    flat = [answers for part in parts for answers in part]
    refusals = {row: reason for answers in flat for row, reason in answers.refusals.items()}
    answered = [answers for answers in flat if answers.values]
    if not answered:
        return Answers(np.empty(0, dtype=np.int64), {}, refusals)
    names = answered[0].values
    values = {name: _stacked([answers.values[name] for answers in answered]) for name in names}
    return Answers(np.concatenate([answers.index for answers in answered]), values, refusals)


def _stacked(arrays: list[np.ndarray]) -> np.ndarray:
    if len({array.dtype.kind for array in arrays}) > 1:
        arrays = [array.astype(str) for array in arrays]
    return np.concatenate(arrays)
