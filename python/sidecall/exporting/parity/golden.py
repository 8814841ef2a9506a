"""The golden rows: a few rows with the model's own answers.

A process checks them when it first opens the file. See docs/contract.md, verification.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ..data.columns import Column
from ..data.dates import text_of
from ..model.original import Output, labels_as_json
from .compare import as_matrix, compare
from .measure import Measure

MAX_BYTES = 64 * 1024
ROWS = 32
_FLOORS = {"float32": (1e-6, 1e-5), "float64": (1e-12, 1e-9)}


def verification(
    source: str, columns: list[Column], measure: Measure, largest: dict[str, float]
) -> dict[str, Any]:
    """Returns the verification part of the contract: the first rows that fit in the size limit.

    `largest` is the largest difference that parity measured for each output.
    """
    kept = _reproducible(columns, measure)
    columns = [column.take(kept) for column in columns]
    expected = measure.ask(columns) if len(kept) else {}
    count = len(kept)
    while True:
        result = _as_json(source, columns, expected, measure.original.outputs, largest, count)
        size = len(dumps(result).encode())
        if size <= MAX_BYTES or count == 0:
            return result
        count = min(count - 1, int(count * MAX_BYTES / size))


def none() -> dict[str, Any]:
    return {"source": "none", "rows": 0, "features": [], "outputs": {}, "tolerance": {}}


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def mark_random(columns: list[Column], measure: Measure) -> None:
    """Marks the random outputs as not deterministic, so that they are not verified.

    Runs the model twice and the graph twice: an output is marked if two runs differ by more than
    parity tolerates. The last bits of a sum over threads may differ, and that is tolerated.
    """
    tensors = measure.schema.tensors(columns)
    pairs = (
        (measure.ask(columns), measure.ask(columns)),
        (measure.session.run(tensors), measure.session.run(tensors)),
    )
    random = {
        difference.output.name
        for first, second in pairs
        for difference in compare(measure.original.outputs, first, second)
        if difference.bad.any()
    }
    for output in measure.original.outputs:
        output.deterministic = output.deterministic and output.name not in random


def _reproducible(columns: list[Column], measure: Measure) -> np.ndarray:
    """Returns the rows on which graph and model agree, on each engine that runs the graph.

    The other rows are left out, because two correct engines may give different answers for them:
    their answers change with rounding to float32 or with the batch.
    """
    if len(columns[0]) == 0:
        return np.arange(0)
    tensors = measure.schema.tensors(columns)
    expected = measure.ask(columns)
    of_native = None if measure.proof is None else measure.proof.run(tensors)
    differences = [
        difference
        for got in (measure.session.run(tensors), of_native)
        if got is not None
        for difference in compare(measure.original.outputs, expected, got)
    ]
    bad = (
        np.any([d.bad for d in differences], axis=0)
        if differences
        else np.zeros(len(columns[0]), dtype=bool)
    )
    return np.flatnonzero(~bad)


def _as_json(
    source: str,
    columns: list[Column],
    expected: dict[str, np.ndarray],
    outputs: list[Output],
    largest: dict[str, float],
    count: int,
) -> dict[str, Any]:
    if count == 0:
        return none()
    verified = [output for output in outputs if output.deterministic]
    return {
        "source": source,
        "rows": count,
        "features": [
            [
                None if m else _number(v) if c.dates is None else text_of(v, c.dates)
                for v, m in zip(c.values[:count].tolist(), c.missing, strict=False)
            ]
            for c in columns
        ],
        "outputs": {
            output.name: _answers(output, expected[output.name][:count]) for output in verified
        },
        "tolerance": {
            output.name: _tolerance(output, largest)
            for output in verified
            if output.type in _FLOORS
        },
    }


def _tolerance(output: Output, largest: dict[str, float]) -> dict[str, float]:
    absolute, relative = _FLOORS[output.type]
    return {"absolute": max(absolute, 4 * largest.get(output.name, 0.0)), "relative": relative}


def _answers(output: Output, answer: np.ndarray) -> list[Any]:
    if output.is_label:
        return labels_as_json(answer)
    if output.type == "string":
        return list(answer.astype(str).tolist())
    if output.type in ("int64", "bool"):
        return list(answer.astype(output.type).tolist())
    several = (
        output.width is not None or output.role == "probabilities" or output.classes is not None
    )
    rows = as_matrix(answer) if several else answer
    if rows.dtype == bool:  # a transformer that answers true and false; the graph has numbers
        rows = rows.astype(output.type)
    if output.type == "float32":
        return [[_short(v) for v in row] for row in rows] if several else [_short(v) for v in rows]
    return (
        [[_number(v) for v in row] for row in rows.tolist()]
        if several
        else [_number(v) for v in rows.tolist()]
    )


def _short(value: Any) -> Any:
    with np.errstate(over="ignore"):
        return _number(float(str(np.float32(value))))


def _number(value: Any) -> Any:
    """Returns the value for JSON, which has no NaN and no infinities."""
    if isinstance(value, float) and not np.isfinite(value):
        return "nan" if value != value else "inf" if value > 0 else "-inf"
    return value
