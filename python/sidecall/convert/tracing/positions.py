"""The accessors .iloc and .loc of DataFrames in traced functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import Untraceable

if TYPE_CHECKING:
    from .placeholders import Table


class Positions:
    """DataFrame.iloc with all rows."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __getitem__(self, key: Any) -> Any:
        if not (isinstance(key, tuple) and len(key) == 2 and key[0] == slice(None)):
            raise Untraceable("it chooses rows")
        names = np.array(self.table.columns, dtype=object)[key[1]]
        return self.table[names if isinstance(names, str) else list(names)]


class Labels:
    """DataFrame.loc with all rows."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __getitem__(self, key: Any) -> Any:
        if not (isinstance(key, tuple) and len(key) == 2 and key[0] == slice(None)):
            raise Untraceable("it chooses rows")
        return self.table[key[1]]

    def __setitem__(self, key: Any, value: Any) -> None:
        if not (isinstance(key, tuple) and len(key) == 2 and key[0] == slice(None)):
            raise Untraceable("it chooses rows")
        self.table[key[1]] = value
