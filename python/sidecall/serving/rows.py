"""Turns the tensors of a request into rows as the served object takes them.

The rows are arrays, DataFrames, text or records. Only DataFrames need more than numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Tensors = Sequence[np.ndarray]

_KINDS = {
    "float32": "float",
    "float64": "float",
    "int64": "int",
    "bool": "bool",
    "string": "string",
    "datetime": "datetime",
}


@dataclass
class Place:
    """The place of one feature in the tensors, and how a missing value is written there."""

    name: str
    kind: str  # float, int, bool, string, datetime
    input: int
    column: int
    reserved: Any = None  # the value that means missing, if that is not NaN
    unit: str = ""  # of a datetime: what the tensor counts
    zone: str | None = None  # of a datetime

    def values(self, tensors: Tensors) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the values and a mask of the missing ones; the mask is None if none are."""
        tensor = tensors[self.input]
        values = tensor[:, self.column] if tensor.ndim == 2 else tensor
        if values.dtype.kind == "f":
            missing = np.isnan(values)
        elif self.reserved is None:
            return values, None
        else:
            missing = values == self.reserved
        return values, missing if missing.any() else None

    def objects(self, tensors: Tensors, missing_value: object) -> list[Any]:
        """Returns Python values of the feature's own type; `missing_value` for missing ones."""
        if self.kind == "datetime":
            return self._timestamps(tensors, missing_value)
        values, missing = self.values(tensors)
        items: list[Any] = values.tolist()
        if missing is not None:
            items = [
                missing_value if is_missing else item
                for item, is_missing in zip(items, missing.tolist(), strict=True)
            ]
        if (
            self.kind in ("int", "bool")
            and values.dtype.kind in "fi"
            and (values.dtype.kind == "f" or self.kind == "bool")
        ):
            exact = int if self.kind == "int" else bool
            items = [item if item is missing_value else exact(item) for item in items]
        return items

    def instants(self, tensors: Tensors) -> np.ndarray:
        """Returns the values of a datetime as datetime64, with NaT for missing ones."""
        tensor = tensors[self.input]
        counts = tensor[:, self.column] if tensor.ndim == 2 else tensor
        return np.array(counts).view(f"M8[{self.unit}]")

    def _timestamps(self, tensors: Tensors, missing_value: object) -> list[Any]:
        import pandas

        dates = pandas.DatetimeIndex(self.instants(tensors))
        if self.zone is not None:
            dates = dates.tz_localize("UTC").tz_convert(self.zone)
        return [missing_value if date is pandas.NaT else date for date in dates]


def places_of(features: list[dict[str, Any]], inputs: list[str]) -> list[Place]:
    """Returns the places of a contract's features. `inputs` are the tensor names in order."""
    result = []
    for feature in features:
        missing = feature.get("missing") if feature["nullable"] else None
        reserved = missing["value"] if isinstance(missing, dict) else None
        result.append(
            Place(
                feature["name"],
                _KINDS[feature["type"]],
                inputs.index(feature["input"]),
                feature["column"],
                reserved,
                feature.get("unit", ""),
                feature.get("zone"),
            )
        )
    return result


class Matrix:
    """Makes an array of the type that the object was trained on, from one tensor."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype

    def __call__(self, tensors: Tensors) -> np.ndarray:
        tensor = tensors[0]
        if self.dtype.kind in "iub" and tensor.dtype.kind == "f" and np.isnan(tensor).any():
            return tensor.astype(np.float64)
        return tensor.astype(self.dtype, copy=False)


class Objects:
    """Makes an array of Python objects.

    Such an array holds text together with numbers, or missing values that are not NaN.
    """

    def __init__(self, places: list[Place], sentinels: list[object]) -> None:
        self.places, self.sentinels = places, sentinels

    def __call__(self, tensors: Tensors) -> np.ndarray:
        result = np.empty((len(tensors[0]), len(self.places)), dtype=object)
        for i, (place, sentinel) in enumerate(zip(self.places, self.sentinels, strict=True)):
            result[:, i] = place.objects(tensors, sentinel)
        return result


class Text:
    """Makes a list of strings, as vectorizers take it."""

    def __init__(self, place: Place, sentinel: object) -> None:
        self.place, self.sentinel = place, sentinel

    def __call__(self, tensors: Tensors) -> list[Any]:
        return self.place.objects(tensors, self.sentinel)


class Records:
    """Makes a list of dicts by feature name, with None for missing values."""

    def __init__(self, places: list[Place]) -> None:
        self.places = places

    def __call__(self, tensors: Tensors) -> list[dict[str, Any]]:
        names = [place.name for place in self.places]
        columns = [place.objects(tensors, None) for place in self.places]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
