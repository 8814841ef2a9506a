"""The accessors .iloc and .loc of DataFrames in traced functions, with all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .refusals import Recorded, Untraceable

if TYPE_CHECKING:
    from .placeholders import Table


class _Accessor(Recorded):
    def __init__(self, table: Table) -> None:
        self.table = table

    @staticmethod
    def _columns_of(key: Any) -> Any:
        """The second part of an index, whose first part must be all rows."""
        if not (isinstance(key, tuple) and len(key) == 2 and _is_everything(key[0])):
            raise Untraceable(
                "it chooses rows (to change some rows, write d['c'] = np.where(condition, new, d['c']))"
            )
        return key[1]


def _is_everything(rows: Any) -> bool:
    return isinstance(rows, slice) and rows == slice(None)


class Positions(_Accessor):
    """DataFrame.iloc."""

    stands_for = type(pd.DataFrame().iloc)

    def __getitem__(self, key: Any) -> Any:
        names = np.array(self.table.columns, dtype=object)[self._columns_of(key)]
        return self.table[names if isinstance(names, str) else list(names)]


class Labels(_Accessor):
    """DataFrame.loc."""

    stands_for = type(pd.DataFrame().loc)

    def __getitem__(self, key: Any) -> Any:
        return self.table[self._columns_of(key)]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.table[self._columns_of(key)] = value
