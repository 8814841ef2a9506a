"""Checks that records get the same answers as a DataFrame from the same file. Used by judge.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import sidecall
from sidecall.comparing.rows import Rows


def differing_routes(model: sidecall.Model, rows: Rows) -> int:
    """The number of rows that get different answers as records. The file must answer all rows."""
    frame = rows.frame.reset_index(drop=True)
    expected = [
        [_plain(value) for value in row] for row in model.predict(frame).itertuples(index=False)
    ]
    columns = model.columns
    order = {(column.output, column.column): k for k, column in enumerate(columns)}
    answers = model.predict([_record(row) for row in frame.to_dict("records")])
    wrong = 0
    for want, answer in zip(expected, answers, strict=True):
        got: list[Any] = [None] * len(columns)
        for output, value in answer.items():
            parts = list(value.values()) if isinstance(value, dict) else value
            for k, part in enumerate(parts if isinstance(parts, list) else [parts]):
                got[order[output, k]] = _plain(part)
        wrong += not all(_same(a, b) for a, b in zip(want, got, strict=True))
    return wrong


def _record(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """The value as JSON represents it; None for missing."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if value is None or value is pd.NA or value != value else value


def _same(left: Any, right: Any) -> bool:
    return (bool(left == right) and type(left) is type(right)) or left is right
