"""What a model takes and returns, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph.

    A free dimension is None. `dim_names` has "" for a dimension that the graph does not name.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    dim_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Feature:
    """One key of a record. Its values fill the column `column` of the input `input`.

    A feature of type "datetime" has a `unit` ("s", "ms", "us", "ns"), which its input counts since
    1970. Its `zone` is None if its values have no time zone. Its `epoch` is the unit of plain
    numbers in records; None if they are refused.
    """

    name: str
    dtype: str
    nullable: bool
    input: str
    column: int
    unit: str | None = None
    zone: str | None = None
    epoch: str | None = None

    @property
    def type_text(self) -> str:
        """The dtype; that of a datetime with its unit and zone: "datetime[ms, Europe/Berlin]"."""
        if self.unit is None:
            return self.dtype
        zone = "" if self.zone is None else f", {self.zone}"
        return f"{self.dtype}[{self.unit}{zone}]"


@dataclass(frozen=True, slots=True)
class Column:
    """One flat column of the outputs.

    `key` is the class in `probabilities.fraud`, the number in `prediction.0`, and "" for a scalar.
    """

    name: str
    key: str
    dtype: str
    output: str
    column: int


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs for `run`, features and columns for `predict`.

    Without a contract in the file, there are no features and columns.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    features: tuple[Feature, ...]
    columns: tuple[Column, ...]


def signature_of(about: dict[str, Any]) -> Signature:
    """Makes the signature from the answer of a backend's Model.describe."""
    return Signature(
        inputs=tuple(_tensor(*fields) for fields in about["inputs"]),
        outputs=tuple(_tensor(*fields) for fields in about["outputs"]),
        features=tuple(Feature(*fields) for fields in about["features"]),
        columns=tuple(Column(*fields) for fields in about["columns"]),
    )


def _tensor(name: str, dtype: str, dims: tuple[int, ...], dim_names: tuple[str, ...]) -> Tensor:
    return Tensor(name, dtype, tuple(None if dim < 0 else dim for dim in dims), dim_names)
