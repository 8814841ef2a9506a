"""Exports the real pipelines of tests/python/real_pipelines and judges them as random ones.

Used by run.py and by a test.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import Bar
from threadpoolctl import threadpool_limits

from .drawing.pipelines import Drawn, described
from .judging.judge import judge
from .ledger import ROOT

CONVERTED = 110
_KEYS = ("name", "library", "title", "address", "steps", "outcome", "step", "reason", "where")

Result = dict[str, Any]


def examples() -> list[Any]:
    """The list, in its own order."""
    folder = str(ROOT / "tests/python")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    found: list[Any] = importlib.import_module("real_pipelines").examples()
    return found


def drawn_of(example: Any, number: int) -> Drawn:
    """Fits an example. The judge gets all rows that it was fitted on."""
    with warnings.catch_warnings(), np.errstate(all="ignore"), threadpool_limits(limits=1):
        warnings.simplefilter("ignore")
        model, rows = example.build()
    if isinstance(rows, pd.DataFrame):
        container, pool = "frame", rows
    elif isinstance(rows, np.ndarray):
        container, pool = (
            "array",
            pd.DataFrame(rows, columns=[f"x{k}" for k in range(rows.shape[1])]),
        )
    else:
        container, pool = "text", pd.DataFrame({"text": pd.Series(rows, dtype=object)})
    everything = np.arange(len(pool))
    return Drawn(0, number, example.name, "", container, model, pool, everything, described(model))


def judge_example(example: Any, number: int, folder: Path, rows: int, odd: int) -> Result:
    """What judge() returns, with the library, title and address of the page."""
    about = {key: getattr(example, key) for key in ("name", "library", "title", "address")}
    drawn = drawn_of(example, number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = about | judge(drawn, folder, rows, odd)
    (folder / f"{drawn.seed}-{number}.onnx").unlink(missing_ok=True)
    return result


def judge_all(folder: Path, rows: int, odd: int) -> Iterator[Result]:
    for number, example in enumerate(examples()):
        yield judge_example(example, number, folder, rows, odd)


def wrong(result: Result) -> dict[str, int]:
    """The number of wrong rows on each engine that ran the file."""
    if result["outcome"] != "compared":
        return {}
    native = result["native"]
    found = {"onnxruntime": result["wrong"]}
    return found | ({"native": native["wrong"]} if native["outcome"] == "compared" else {})


def table(results: list[Result]) -> list[Result]:
    """One row for each pipeline, for results/fidelity.json."""
    rows = []
    for result in results:
        row = {key: result[key] for key in _KEYS if result.get(key)}
        if result["outcome"] == "compared":
            row |= {"rows": result["rows"], "wrong": wrong(result)}
        rows.append(row)
    return rows


def bars(results: list[Result]) -> list[Bar]:
    converted = sum(result["outcome"] == "compared" for result in results)
    total = sum(sum(wrong(result).values()) for result in results)
    return [
        Bar("real_pipelines_converted", converted, CONVERTED, at_least=True),
        Bar("real_pipelines_wrong", total, 0),
        Bar("real_pipelines_defects", sum(r["outcome"] == "defect" for r in results), 0),
    ]


def shown(result: Result) -> str:
    """One line about a result."""
    if result["outcome"] != "compared":
        said = re.sub(r"\s+", " ", result["reason"])
        step = result.get("step") or result.get("where", "")
        return f"{result['name']}: {result['outcome']}: {step}: {said}"
    counts = ", ".join(f"{number} wrong on {name}" for name, number in wrong(result).items())
    worst = [result["worst"], result["native"].get("worst", [])]
    examples = "; ".join(str(examples[0]) for examples in worst if examples)
    return f"{result['name']}: {result['rows']} rows, {counts}" + (examples and f": {examples}")
