"""Derives features and graph inputs from the data and from what the model accepts.

See docs/contract.md, features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sidecall.convert.dates import MISSING_DATE, UNITS, DateType

from ..data.columns import MISSING_STRING, Column
from ..data.containers import Data
from ..data.dates import contract_type, text_of
from ..errors import DataError
from .probe import Acceptance

_EXACT_FLOAT64 = 2**53
OUTPUT_NAMES = frozenset(
    {
        "label",
        "probabilities",
        "prediction",
        "scores",
        "transformed",
        "distances",
        "indices",
        "refused",
    }
)
_MAX_SEEN_CATEGORIES = 100
_TYPES = {"int": "int64", "bool": "bool", "string": "string", "datetime": "datetime"}


@dataclass
class Feature:
    """One key of a record and its place in the graph. `tensor` is the element type of its input."""

    name: str
    kind: str
    type: str
    tensor: str
    input: str
    column: int
    nullable: bool
    missing: Any
    allowed: list[Any] | None
    seen: dict[str, Any] | None
    domain: list[tuple[Any, Any]] | None = None
    takes_empty: bool = True
    dates: DateType | None = None
    epoch: str | None = None  # what a plain number of a record counts

    def as_json(self) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            **({} if self.dates is None else contract_type(self.dates)),
            **({} if self.epoch is None else {"epoch": self.epoch}),
            "nullable": self.nullable,
            "input": self.input,
            "column": self.column,
        }
        if self.nullable:
            entry["missing"] = self.missing
        if self.allowed is not None:
            entry["allowed"] = self.allowed
        if self.domain is not None:
            entry["domain"] = [[_end(low), _end(high)] for low, high in self.domain]
        if not self.takes_empty:
            entry["empty"] = False
        if self.seen is not None:
            entry["seen"] = self.seen
        return entry


@dataclass
class Schema:
    features: list[Feature]
    inputs: list[tuple[str, str, int]]

    @property
    def dates(self) -> dict[str, DateType]:
        """The unit and the zone of the inputs that hold dates, by the name of the input."""
        return {f.input: f.dates for f in self.features if f.dates is not None}

    def restrict(self, widths: Mapping[tuple[str, int], tuple[int, int]]) -> None:
        """Limits the domain of each feature to its range in `widths`.

        The keys of `widths` are the name of an input and the position of a column.
        """
        for feature in self.features:
            if (limits := widths.get((feature.input, feature.column))) is not None:
                low, high = limits
                known = [(low, high)] if feature.domain is None else feature.domain
                feature.domain = [
                    (max(a, low), min(b, high)) for a, b in known if a <= high and b >= low
                ]

    def set_epoch(self, epoch: str | Mapping[str, str]) -> None:
        """Sets what plain numbers count, for all features that are dates with a zone or by name.

        Raises DataError.
        """
        zoned = {f.name: f for f in self.features if f.dates is not None and f.dates.zone}
        if not zoned:
            raise DataError(
                "epoch: expected None for a model without datetime features that have a zone"
            )
        named = epoch if isinstance(epoch, Mapping) else dict.fromkeys(zoned, epoch)
        for name, unit in named.items():
            if name not in zoned:
                raise DataError(
                    f"epoch: expected names of datetime features with a zone, got '{name}'", name
                )
            if unit not in UNITS:
                raise DataError(
                    f"epoch of '{name}': expected {', '.join(UNITS)}, got '{unit}'", name
                )
            zoned[name].epoch = unit

    def tensors(self, columns: list[Column]) -> dict[str, np.ndarray]:
        """Returns the inputs of the graph; missing values are encoded as the contract says."""
        parts: dict[str, list[np.ndarray]] = {name: [] for name, _, _ in self.inputs}
        for feature, column in zip(self.features, columns, strict=True):
            parts[feature.input].append(_encode(column, feature))
        return {
            name: np.ascontiguousarray(np.column_stack(parts[name]))
            if len(parts[name]) > 1
            else parts[name][0].reshape(-1, 1)
            for name in parts
        }

    def rounds(self, columns: list[Column]) -> list[Column]:
        """Returns the columns as the graph sees them: rounded if the input is float32."""
        result = []
        for feature, column in zip(self.features, columns, strict=True):
            if feature.kind == "float" and feature.tensor == "float32" and not column.narrow:
                column = replace(column, values=as_float32(column.values))
            result.append(column)
        return result


def as_float32(values: np.ndarray) -> np.ndarray:
    """Rounds float64 values to the values that float32 can hold."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32).astype(np.float64)


def infer(
    data: Data,
    accepts: list[Acceptance],
    *,
    dtype: str | Mapping[str, str] | None = None,
    ranges: bool = True,
) -> Schema:
    """Makes the schema. Raises DataError, which names the column that no input type can hold."""
    hints = _hints(data, dtype)
    matrix = _is_matrix(data, hints)
    wanted = [
        _tensor_type(column, a.nullable, hints[column.name], matrix)
        for column, a in zip(data.columns, accepts, strict=True)
    ]
    features = []
    for i, (column, acceptance, tensor) in enumerate(
        zip(data.columns, accepts, wanted, strict=True)
    ):
        place = (
            ("X", i)
            if matrix
            else ("text" if data.layout == "text" else _input_name(column.name, data.names), 0)
        )
        features.append(
            Feature(
                name=column.name,
                kind=column.kind,
                type=tensor if column.kind == "float" else _TYPES[column.kind],
                tensor=tensor,
                input=place[0],
                column=place[1],
                nullable=acceptance.nullable,
                missing=missing_value(column, tensor),
                allowed=acceptance.allowed,
                seen=seen_values(column) if ranges else None,
                dates=column.dates,
            )
        )
    inputs = (
        [("X", wanted[0], len(features))] if matrix else [(f.input, f.tensor, 1) for f in features]
    )
    return Schema(features, inputs)


def _end(value: float | int) -> float | int | str:
    """Returns the end of an interval for JSON, which has no infinities."""
    return value if np.isfinite(value) else "inf" if value > 0 else "-inf"


def missing_value(column: Column, tensor: str) -> Any:
    if tensor == "string":
        return {"value": MISSING_STRING}
    if tensor != "int64":
        return "nan"
    if column.kind == "datetime":
        return {"value": MISSING_DATE}
    limits = np.iinfo(np.int64)
    return {"value": limits.max if limits.min in column.present() else limits.min}


def _input_name(name: str, taken: list[str]) -> str:
    """Returns the feature's name, extended if an output has it: tensor names must be unique."""
    while name in OUTPUT_NAMES:
        name += "_input"
        while name in taken:
            name += "_"
    return name


def _is_matrix(data: Data, hints: Mapping[str, str | None]) -> bool:
    """Whether one tensor holds all features.

    This is so for numbers that are all float32 or all float64, and for an array of text.
    """
    kinds = {column.kind for column in data.columns}
    types = {hints[column.name] or column.dtype for column in data.columns}
    if data.layout == "array" and kinds == {"string"}:
        return True
    is_numeric = kinds.isdisjoint({"string", "datetime"})
    return data.layout != "text" and not data.left_out and is_numeric and len(types) == 1


def _hints(data: Data, dtype: str | Mapping[str, str] | None) -> dict[str, str | None]:
    hints: dict[str, str | None] = dict.fromkeys(
        data.names, dtype if isinstance(dtype, str) else None
    )
    if isinstance(dtype, Mapping):
        unknown = [name for name in dtype if name not in hints]
        if unknown:
            raise DataError(f"dtype: expected names of features, got '{unknown[0]}'", unknown[0])
        hints.update(dtype)
    for name, hint in hints.items():
        if hint not in (None, "float32", "float64"):
            raise DataError(
                f"dtype of '{name}': expected 'float32' or 'float64', got '{hint}'", name
            )
    return hints


def _tensor_type(column: Column, nullable: bool, hint: str | None, matrix: bool) -> str:
    if column.kind == "string":
        return "string"
    if column.kind == "datetime":
        return "int64"
    if column.kind == "bool":
        return "bool" if not nullable and not matrix else hint or column.dtype
    if column.kind == "int":
        if not nullable and not matrix:
            return "int64"
        if (
            len(column)
            and np.abs(column.present().astype(np.float64)).max(initial=0) > _EXACT_FLOAT64
        ):
            if not matrix:
                return "int64"  # a missing value is then a reserved integer
            raise DataError(
                f"column '{column.name}': expected integers up to 2^53, which float64 represents "
                "exactly, got larger ones; drop the column, or convert it to text",
                column.name,
            )
    return hint or column.dtype


def _encode(column: Column, feature: Feature) -> np.ndarray:
    if feature.tensor == "string":
        return column.as_objects(MISSING_STRING)
    if feature.kind == "datetime":
        return np.where(column.missing, MISSING_DATE, column.values)
    if feature.tensor == "int64" and feature.nullable:
        return np.where(column.missing, feature.missing["value"], column.values)
    if feature.tensor in ("int64", "bool"):
        return column.values
    with np.errstate(over="ignore"):
        return column.as_float().astype(feature.tensor)


def seen_values(column: Column) -> dict[str, Any] | None:
    present = column.present()
    if column.dates is not None:
        if len(present) == 0:
            return None
        low, high = (text_of(end, column.dates) for end in (present.min(), present.max()))
        return {"min": low, "max": high}
    if column.kind in ("string", "bool"):
        categories = sorted(set(present.tolist()))
        # A column of free text has no list of categories, and its texts must not get into the file.
        return {"categories": categories} if 0 < len(categories) <= _MAX_SEEN_CATEGORIES else None
    present = present[np.isfinite(present)]
    return {"min": present.min().item(), "max": present.max().item()} if len(present) else None
