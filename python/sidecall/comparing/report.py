"""The result of a comparison: counts, differences, the worst rows.

It can be shown as text, as JSON, and as a page in a notebook.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass
class OutputComparison:
    """One output over the rows that both sides answered and that are stable.

    `largest` is the largest absolute difference in the output's own unit. It is inf if one side
    gave NaN or an infinity and the other side gave another number. `largest_row` is the row
    with this difference, counted from 0. Both are None for labels and other exact answers, and if
    no row was compared.
    `moved` counts rows. A number may differ by `absolute` + `relative` x |expected|.
    """

    name: str
    is_number: bool
    rows: int = 0
    moved: int = 0
    largest: float | None = None
    largest_row: int | None = None
    absolute: float = 0.0
    relative: float = 0.0


@dataclass
class WorstRow:
    """One row that moved. `row` counts from 0 over all rows.

    `kind` is "label", "value" or "refusal". `expected` is the original's answer, `got` the exported
    model's, and `output` the column that differs most. `difference` is the absolute difference; it
    is None unless `kind` is "value". For a refusal, `output` is "refused"; `expected` and `got` are
    "answered" for the side that answered, and the class of the error for the other side.
    """

    row: int
    kind: str
    output: str
    expected: Any
    got: Any
    difference: float | None


@dataclass
class Bin:
    """Rows whose largest |got - expected| / (1 + |expected|) is in [low, high).

    The bin with low = high = 0 holds the rows without any difference.
    """

    low: float
    high: float
    held: int
    moved: int
    unstable: int


@dataclass
class Stage:
    """One step of the pipeline.

    `largest` is the largest |got - expected| / (1 + |expected|) after the step, over the worst
    rows; None if it is not known.
    """

    step: str
    largest: float | None


@dataclass
class Begin:
    """Where the difference begins.

    `step` is "input", the path of a step with its class, or "" if it could not be determined;
    `reason` says why. `stages` follow the pipeline as far as its steps could be compared.
    """

    step: str
    reason: str
    stages: list[Stage] = field(default_factory=list)


@dataclass
class Comparison:
    """The result of `sidecall.compare`.

    `str()` gives text, `as_json()` plain data, and a notebook shows it with a picture.

    rows                 all rows that were read
    moved                rows that differ: a number differs by more than the tolerance, the label
                         differs, or only one side refuses the row
    refused_by_original  rows that only the original refuses; part of `moved`
    refused_by_model     rows that only the exported model refuses; part of `moved`
    refused_by_both      rows that both sides refuse; not part of `moved`
    unstable             rows for which the original gives other answers in other batches; not part
                         of `moved`
    checked              rows whose stability was checked
    unchecked            rows that differ and were not checked; they count as moved
    outputs              the differences of each output
    bins                 how many rows differ by how much
    worst                the worst rows of each kind: refusals, labels, values
    begin                the step where the difference begins, or None if no row moved
    precision            the precision of the exported model, according to its contract
    notes                what was left out or assumed
    """

    model: str
    original: str
    rows: int
    moved: int
    refused_by_original: int
    refused_by_model: int
    refused_by_both: int
    unstable: int
    checked: int
    unchecked: int
    outputs: list[OutputComparison]
    bins: list[Bin]
    worst: list[WorstRow]
    begin: Begin | None
    precision: str
    seconds: float
    notes: list[str] = field(default_factory=list)

    @property
    def compared(self) -> int:
        """Rows that both sides answered."""
        return self.rows - self.refused_by_original - self.refused_by_model - self.refused_by_both

    @property
    def holds(self) -> bool:
        """Whether no row moved."""
        return self.moved == 0

    def as_json(self) -> dict[str, Any]:
        """Returns plain data for json.dumps: the attributes by name.

        JSON has no NaN and no infinities; "nan", "inf" and "-inf" stand for them.
        """
        result: dict[str, Any] = _plain(asdict(self))
        return result | {"compared": self.compared, "holds": self.holds}

    def __str__(self) -> str:
        from .text import page

        return page(self)

    def _repr_html_(self) -> str:
        from .html import page

        return page(self)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return "nan" if value != value else "inf" if value > 0 else "-inf"
    return value
