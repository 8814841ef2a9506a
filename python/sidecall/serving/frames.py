"""Makes DataFrames from the tensors of a request, with the columns and dtypes of training.

Requests often have one row, so making a DataFrame must be as fast as pandas allows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .rows import Place, Tensors


class Frame:
    """Makes DataFrames. `template` is an empty frame with the wanted columns and dtypes."""

    def __init__(self, places: list[Place], template: Any, sentinels: list[object]) -> None:
        self.places, self.template, self.sentinels = places, template, sentinels
        self.columns = template.columns
        dtypes = list(template.dtypes)
        self.dtypes = dtypes
        same = all(
            isinstance(dtype, np.dtype) and dtype == dtypes[0] and dtype.kind == "f"
            for dtype in dtypes
        )
        in_order = all(place.input == 0 and place.column == i for i, place in enumerate(places))
        self.is_matrix = same and in_order and all(place.reserved is None for place in places)

    def __call__(self, tensors: Tensors) -> Any:
        import pandas

        if self.is_matrix:
            return pandas.DataFrame(
                tensors[0].astype(self.dtypes[0], copy=False), columns=self.columns, copy=False
            )
        series = [
            self._column(place, dtype, sentinel, tensors)
            for place, dtype, sentinel in zip(self.places, self.dtypes, self.sentinels, strict=True)
        ]
        frame = pandas.DataFrame(dict(enumerate(series)), copy=False)
        frame.columns = self.columns
        return frame

    def _column(self, place: Place, dtype: Any, sentinel: object, tensors: Tensors) -> Any:
        if place.kind == "datetime":
            return self._dates(place, dtype, tensors)
        if not isinstance(dtype, np.dtype):
            return self._extension(place, dtype, tensors)
        if dtype.kind == "O":
            import pandas

            values = np.empty(len(tensors[0]), dtype=object)
            values[:] = place.objects(tensors, sentinel)
            # From an array, pandas would make a column of its own text type, which holds only one
            # kind of missing value.
            return pandas.Series(values, dtype=object, copy=False)
        values, missing = place.values(tensors)
        if dtype.kind == "f" or missing is not None:
            # As in pandas, a numpy column of integers or booleans becomes float64 if a value is
            # missing.
            wide = values.astype(np.float64)
            if missing is not None and place.reserved is not None:
                wide[missing] = np.nan
            return wide.astype(dtype, copy=False) if dtype.kind == "f" else wide
        return values.astype(dtype, copy=False)

    def _dates(self, place: Place, dtype: Any, tensors: Tensors) -> Any:
        import pandas

        dates = place.instants(tensors)
        if place.zone is None:
            return dates.astype(dtype, copy=False)
        return pandas.Series(pandas.DatetimeIndex(dates, tz="UTC").tz_convert(dtype.tz))

    def _extension(self, place: Place, dtype: Any, tensors: Tensors) -> Any:
        import pandas

        items = place.objects(tensors, None)
        if isinstance(dtype, pandas.CategoricalDtype):
            # Without new categories, an unknown value would silently become missing.
            new = [
                value
                for value in dict.fromkeys(items)
                if value is not None and value not in set(dtype.categories)
            ]
            if new:
                return pandas.Categorical(items, categories=[*dtype.categories, *new])
            return pandas.Categorical(items, dtype=dtype)
        return pandas.array(items, dtype=dtype)


def template(features: list[dict[str, Any]]) -> Any:
    """Returns an empty frame for a contract's features: the widest dtypes, objects for text."""
    import pandas

    dtypes = {
        "float32": "float64",
        "float64": "float64",
        "int64": "int64",
        "bool": "bool",
        "string": "object",
    }

    def dtype_of(feature: dict[str, Any]) -> str:
        if feature["type"] != "datetime":
            return dtypes[feature["type"]]
        zone = f", {feature['zone']}" if "zone" in feature else ""
        return f"datetime64[{feature['unit']}{zone}]"

    return pandas.DataFrame(
        {feature["name"]: pandas.Series(dtype=dtype_of(feature)) for feature in features}
    )
