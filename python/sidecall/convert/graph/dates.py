"""A column of dates in a graph: an int64 tensor whose counts have a unit and perhaps a zone."""

from __future__ import annotations

import datetime

from ..checks import Range
from ..dates import DateType
from .builder import Tensor
from .promotion import DATES


class Dates(Tensor):
    """[N, 1]. Steps cannot compute with it as a number; calendar.py reads its parts.

    `counts` are its numbers. The smallest int64 means a missing date.
    """

    __slots__ = ("kind",)

    def __init__(self, source: Tensor, kind: DateType) -> None:
        super().__init__(source.graph, source.name, DATES, 1)
        self.kind = kind

    @classmethod
    def of(cls, counts: Tensor, kind: DateType, known: Range | None = None) -> Dates:
        result = cls(counts, kind)
        result.range = known
        return result

    @property
    def unit(self) -> str:
        return self.kind.unit

    @property
    def zone(self) -> datetime.tzinfo | None:
        return self.kind.zone

    @property
    def key(self) -> str:
        return f"{self.name} as {self.kind}"

    @property
    def counts(self) -> Tensor:
        return Tensor(self.graph, self.name, "int64", 1)
