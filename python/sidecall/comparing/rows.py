"""Rows in the two forms that a comparison needs.

The original takes the kind of container that it was trained on; the exported model takes a
DataFrame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sidecall.exporting.data.containers import fitted_names
from sidecall.exporting.data.missing import as_fitted, to_pandas
from sidecall.exporting.errors import DataError


@dataclass
class Rows:
    """The same rows in two forms.

    `original` is a DataFrame, an array or a list of text. `frame` has the names of the contract's
    features.
    """

    original: Any
    frame: pd.DataFrame

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, index: Any) -> Rows:
        """Returns some of the rows, by an array of positions or a slice."""
        if isinstance(self.original, list):
            chosen: Any = (
                self.original[index]
                if isinstance(index, slice)
                else [self.original[i] for i in index]
            )
        else:
            chosen = (
                self.original.iloc[index]
                if hasattr(self.original, "iloc")
                else self.original[index]
            )
        return Rows(chosen, self.frame.iloc[index])


def concatenate(parts: list[Rows]) -> Rows:
    first = parts[0].original
    if isinstance(first, list):
        original: Any = [text for part in parts for text in part.original]
    elif hasattr(first, "iloc"):
        original = pd.concat([part.original for part in parts], ignore_index=True)
    else:
        original = np.concatenate([part.original for part in parts])
    return Rows(original, pd.concat([part.frame for part in parts], ignore_index=True))


class Shaper:
    """Turns frames, arrays and lists of text into Rows.

    `notes` says which columns were left out, in which columns missing values were changed, and
    whether float32 columns were passed unchanged.
    """

    def __init__(
        self, model: Any, features: list[dict[str, Any]], dtypes: str | Mapping[str, str] | None
    ) -> None:
        """`features` are the features of the contract."""
        self.model = model
        self.features = [feature["name"] for feature in features]
        self.dates = {
            feature["name"]: feature for feature in features if feature["type"] == "datetime"
        }
        self.fitted = fitted_names(model)
        self.is_text = (
            self.fitted is None
            and len(self.features) == 1
            and hasattr(model, "fit")
            and not hasattr(model, "n_features_in_")
        )
        self.dtypes = dtypes
        self.notes: dict[str, None] = {}
        if isinstance(dtypes, Mapping):
            unknown = [name for name in dtypes if name not in self.features]
            if unknown:
                raise DataError(
                    f"dtypes: expected names of features, got '{unknown[0]}'", unknown[0]
                )

    def slices(self, piece: Any, size: int) -> Iterator[Rows]:
        """Yields `piece` in parts of at most `size` rows.

        Raises DataError for a container or columns that the model was not trained on.
        """
        piece, is_converted = to_pandas(piece)
        total = piece.shape[0] if hasattr(piece, "shape") else len(piece)
        for start in range(0, total, size):
            part = (
                piece.iloc[start : start + size]
                if hasattr(piece, "iloc")
                else piece[start : start + size]
            )
            yield self._rows(part, is_converted)

    def _rows(self, part: Any, is_converted: bool) -> Rows:
        if hasattr(part, "iloc") and hasattr(part, "columns"):
            return self._of_frame(part, is_converted)
        if isinstance(part, list) and isinstance(part[0], dict):
            raise DataError("expected a DataFrame, an array or a list of text, got a list of dict")
        is_flat = isinstance(part, list) and not hasattr(part[0], "__len__")
        if (
            hasattr(part, "iloc")
            or getattr(part, "ndim", 2) == 1
            or is_flat
            or (isinstance(part, list) and isinstance(part[0], str))
        ):
            return self._of_text(list(part))
        return self._of_array(part)

    def _of_frame(self, frame: pd.DataFrame, is_converted: bool) -> Rows:
        if not frame.columns.is_unique:
            raise DataError("expected each column once, got one twice")
        if set(self.features) <= set(frame.columns):
            ignored = [str(name) for name in frame.columns if name not in set(self.features)]
            if ignored:
                self.notes["columns that are not features were left out: " + ", ".join(ignored)] = (
                    None
                )
            # In the order in which fit saw the columns: scikit-learn refuses any other order.
            ordered = (
                self.fitted
                if self.fitted is not None and set(self.fitted) == set(self.features)
                else self.features
            )
            chosen, named = frame[ordered], frame[self.features]
        elif frame.shape[1] == len(self.features) and self.fitted is None:
            chosen, named = frame, frame.set_axis(self.features, axis=1)
        else:
            absent = ", ".join(
                f"'{name}'" for name in self.features if name not in set(frame.columns)
            )
            raise DataError(
                f"expected the columns that the model was trained on, got data without {absent}"
            )
        if self.is_text:
            return Rows(chosen.iloc[:, 0].tolist(), named)
        chosen, changed = as_fitted(chosen, self.model, is_converted=is_converted)
        if changed:
            self.notes[
                "missing values were passed to the original in the form that fit saw: "
                + ", ".join(changed)
            ] = None
        chosen = self._with_dates(chosen)
        if isinstance(self.dtypes, str):
            numbers = [name for name in chosen.columns if chosen[name].dtype.kind in "fiu"]
            chosen = chosen.astype(dict.fromkeys(numbers, self.dtypes))
        elif self.dtypes:
            chosen = chosen.astype(dict(self.dtypes))
        elif any(dtype == np.float32 for dtype in chosen.dtypes):
            self._note_float32()
        return Rows(chosen, named)

    def _with_dates(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Gives columns of dates, and of their texts, the unit and the zone that fit saw."""
        named = self.dtypes if isinstance(self.dtypes, Mapping) else {}
        changed = {
            name: _as_dates(frame[name], feature)
            for name, feature in self.dates.items()
            if name in frame.columns and name not in named
        }
        if changed:
            frame = frame.copy()
        for name, column in changed.items():  # assign() takes no column named "self"
            frame[name] = column
        return frame

    def _of_text(self, texts: list[Any]) -> Rows:
        if len(self.features) != 1:
            raise DataError(f"expected rows of {len(self.features)} features, got a flat list")
        return Rows(texts, pd.DataFrame({self.features[0]: pd.Series(texts, dtype=object)}))

    def _of_array(self, part: Any) -> Rows:
        array = part.toarray() if hasattr(part, "toarray") else np.asarray(part)
        if array.ndim != 2 or array.shape[1] != len(self.features):
            shape = "x".join(str(size) for size in array.shape)
            raise DataError(
                f"expected rows of {len(self.features)} features, got an array of shape {shape}"
            )
        frame = pd.DataFrame(array, columns=self.features)
        if isinstance(self.dtypes, str):
            array = array.astype(self.dtypes)
        elif self.dtypes:
            raise DataError("dtypes: expected one type for an array, got a type for each feature")
        elif array.dtype == np.float32:
            self._note_float32()
        return Rows(array, frame)

    def _note_float32(self) -> None:
        self.notes[
            "float32 columns were passed to the original unchanged; pass dtypes='float64' if fit saw float64"
        ] = None


def _as_dates(column: pd.Series, feature: dict[str, Any]) -> pd.Series:
    """Returns the same dates in the unit and zone of the feature, or the column if it has others.

    An instant is the same in every zone. Dates without a zone stay without one.
    """
    zone = feature.get("zone")
    dates = column
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        try:
            dates = pd.to_datetime(column, format="ISO8601", utc=zone is not None)
        except (ValueError, TypeError):
            return column
    if not pd.api.types.is_datetime64_any_dtype(dates.dtype):
        return column
    if (dates.dt.tz is None) != (zone is None):
        return column
    result = dates.dt.as_unit(feature["unit"])
    if not (result.isna() | (result == dates)).all():
        return column
    return result if zone is None else result.dt.tz_convert(zone)
