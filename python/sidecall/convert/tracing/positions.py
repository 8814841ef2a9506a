"""The accessors .iloc and .loc of DataFrames in traced functions, with all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import Untraceable

if TYPE_CHECKING:
    from .placeholders import Table


class _Accessor:
    def __init__(self, table: Table) -> None:
        self.table = table

    @staticmethod
    def _columns_of(key: Any) -> Any:
        """The second part of an index, whose first part must be all rows."""
        if not (isinstance(key, tuple) and len(key) == 2 and key[0] == slice(None)):
            raise Untraceable("it chooses rows")
        return key[1]


class Positions(_Accessor):
    """DataFrame.iloc."""

    def __getitem__(self, key: Any) -> Any:
        names = np.array(self.table.columns, dtype=object)[self._columns_of(key)]
        return self.table[names if isinstance(names, str) else list(names)]


class Labels(_Accessor):
    """DataFrame.loc."""

    def __getitem__(self, key: Any) -> Any:
        return self.table[self._columns_of(key)]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.table[self._columns_of(key)] = value
