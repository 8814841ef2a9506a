"""The columns of a step of feature_engine, by name, which it selects, replaces and appends."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...checks import Range, Rule
from ...graph.builder import Tensor
from ...graph.frame import Frame
from ...registry import Conversion
from ...tracing import type_name
from ...tracing.columns import NARROW
from ..encoders import is_missing

LARGEST = float(np.finfo(np.float64).max)
TINY = float(np.finfo(np.float64).smallest_subnormal)
FINITE = Rule(-LARGEST, LARGEST, False)
ABOVE_ZERO = Rule(TINY, LARGEST, False)


class NamedColumns:
    """The columns of `frame` are in the order in which `fit` got them; so are `names`.

    The transformers sort the columns that they get into this order.
    """

    def __init__(self, g: Conversion, model: Any, x: Frame) -> None:
        self.g, self.model = g, model
        self.names = list(model.feature_names_in_)
        given = g.column_names(model)
        expected = [str(name) for name in self.names]
        if given is not None and given != expected and set(given) == set(expected):
            x = x.select([given.index(name) for name in expected])
        elif x.width != len(expected):
            raise g.refuse(
                f"expected {len(expected)} columns, as in fit, got {x.width}; pass `data` with the "
                "columns that fit got"
            )
        self.frame = x

    def places(self, variables: Iterable[Any]) -> list[int]:
        return [self.names.index(name) for name in variables]

    def select(self, variables: Iterable[Any]) -> Frame:
        return self.frame.select(self.places(variables))

    def column(self, name: Any) -> Tensor:
        return self.frame.column(self.names.index(name))

    def numbers(self, variables: Sequence[Any], widens: bool = False) -> Tensor:
        """These columns as one matrix of float64, in which their transformer computes.

        `widens`: it converts columns of float32 by itself. If it does not, it rounds the results
        in such columns, but not in others.
        """
        g, chosen = self.g, self.select(variables)
        if (
            g.steps is not None
            and not widens
            and g.real == "float64"
            and "float32" in chosen.dtypes
        ):
            raise g.refuse(
                "it computes in float32 in some of its columns and in float64 in others; convert "
                "all columns of numbers to float64 before fit"
            )
        result = chosen.matrix("float64")
        result.range = chosen.range
        return result

    def narrow(self, variables: Iterable[Any]) -> set[str]:
        """Those types of these columns that are integers of less than 64 bits, or uint64."""
        dtypes = self.example().dtypes
        types = {str(type_name(dtypes.iloc[self.example_place(name)])) for name in variables}
        return types & set(NARROW)

    def example(self) -> Any:
        """One row as the original step got it, as a DataFrame."""
        import pandas as pd

        example = self.g.examples.get(id(self.model))
        if hasattr(example, "columns"):
            return example
        known = getattr(self.model, "encoder_dict_", {})
        first = {name: next(iter(known.get(name, ())), 0.5) for name in self.names}
        return pd.DataFrame({name: [value] for name, value in first.items()})

    def example_place(self, name: Any) -> int:
        return [str(column) for column in self.example().columns].index(str(name))

    def ask(self, name: Any, values: Any) -> list[Any]:
        """What the fitted transformer makes of these values of a column; other columns are fixed.

        `values` is a list, which gets the type of the column, or a series.
        """
        import pandas as pd

        frame, place = self.example(), self.example_place(name)
        if not isinstance(values, pd.Series):
            values = pd.Series(values, dtype=_extended(frame.dtypes.iloc[place], values))
        frame = frame.iloc[np.zeros(len(values), dtype=int)].reset_index(drop=True)
        frame.isetitem(place, values)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = self.model.transform(frame)
        return list(answer.iloc[:, [str(column) for column in answer.columns].index(str(name))])

    def require(self, variables: Sequence[Any], rule: Rule) -> None:
        """Refuses the rows in which a number of these columns breaks the rule."""
        # In float32, the smallest number above zero would be zero.
        parts = self.select(variables).parts
        self.g.require(Frame(self.g, [self.g.cast(part, "float64") for part in parts]), rule)

    def replaced(self, variables: Sequence[Any], values: Tensor | Frame) -> Frame:
        """All columns, with new ones in the places of `variables`."""
        new = values.parts if isinstance(values, Frame) else [values]
        places = self.places(variables)
        order = [
            len(self.names) + places.index(k) if k in places else k for k in range(len(self.names))
        ]
        return Frame(self.g, [*self.frame.parts, *new]).select(order)

    def appended(self, new: Sequence[Tensor], dropped: Iterable[Any] = ()) -> Frame:
        """All columns except `dropped`, and then the new ones."""
        gone = set(dropped)
        kept = self.select(name for name in self.names if name not in gone)
        return Frame(self.g, [*kept.parts, *new])


def _extended(dtype: Any, values: list[Any]) -> Any:
    """A type of categories with those of the values that it lacks; other types unchanged.

    pandas makes a value missing that its type does not list, and the model gets it unchanged.
    """
    import pandas as pd

    if not isinstance(dtype, pd.CategoricalDtype):
        return dtype
    known = list(dtype.categories)
    new = [v for v in dict.fromkeys(values) if not is_missing(v) and v not in known]
    return pd.CategoricalDtype([*known, *new]) if new else dtype


def through(known: Range | None, function: Any) -> Range | None:
    """The range after a monotone function, computed in double."""
    return None if known is None else known.through(function, "float64")


def is_input(g: Conversion, x: Tensor) -> bool:
    """Whether callers send this tensor, so that the contract says what it may hold."""
    return x.name in g.reserved
