"""Fits and converts the estimators of other packages, and compares them, on both engines.

walk_estimators.py writes the results into docs/coverage.md.
"""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))

from graph_rows import MISSING, answers_of, graph_of
from other_estimators import FRESH, ROWS, Recipe, recipes
from refused_parameters import cases
from sidecall.convert import NotConvertible
from sidecall.exporting.model.original import Original

# The largest difference, relative to 1 + |expected|: of a model that computes in float64, and of
# one that computes in float32 in some of its steps.
LIMIT, FLOAT32_LIMIT = 1e-8, 1e-5


@dataclass
class Row:
    """An estimator of a package; `value` is a parameter that it was fitted with, if any."""

    package: str
    name: str
    value: str
    converts: bool
    agrees: bool = False
    difference: float = 0.0
    reason: str = ""


def walk() -> list[Row]:
    """Every estimator of the other packages, with parameters that fit quickly."""
    return [examine(package, name, "", recipe) for package, name, recipe in recipes()]


def walk_parameters() -> list[Row]:
    """The parameters with which an estimator is refused."""
    return [examine(*case) for case in cases()]


def examine(package: str, name: str, value: str, recipe: Recipe) -> Row:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model = recipe.fitted()
        try:
            graph = graph_of(model, recipe.rows(ROWS))
        except NotConvertible as error:
            return Row(package, name, value, False, reason=str(error))
        off, limit = difference(model, graph, recipe.rows(FRESH))
        return Row(package, name, value, True, off <= limit, off)


def difference(model: Any, graph: Any, rows: Any) -> tuple[float, float]:
    """The largest difference on any engine, inf if a text or a label differs, and its limit."""
    original, found = Original(model), [0.0]
    original.describe(rows)
    expected = original.ask(rows)
    for answers in answers_of(graph, rows):
        assert not answers.pop("refused", np.zeros(1)).any(), "rows are refused"
        assert answers.keys() == expected.keys()
        found += [_off(name, expected[name], got) for name, got in answers.items()]
    return max(found), FLOAT32_LIMIT if original.steps.any_float32 else LIMIT


def _off(output: str, want: np.ndarray, got: np.ndarray) -> float:
    want, got = want.reshape(len(want), -1), got.reshape(len(got), -1)
    if got.dtype.kind in "OUT" or want.dtype.kind in "OU":
        texts = [MISSING if v is None or v != v else str(v) for v in want.ravel()]
        return 0.0 if [str(v) for v in got.ravel()] == texts else np.inf
    want = want.astype("float64")
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    if output == "label":
        return 0.0 if same.all() else np.inf
    off = np.where(same, 0.0, np.abs(got - want) / (1.0 + np.abs(want)))
    return float(np.nan_to_num(off, nan=np.inf).max())


def magnitude(off: float) -> str:
    return f"at most 1e{int(np.ceil(np.log10(off)))}" if off > 0 else "0"


def lines(walked: list[Row], parameters: list[Row]) -> list[str]:
    """The part of docs/coverage.md about other packages and about parameters."""
    found = [
        "## Other packages",
        "",
        "These are the estimators of the other packages that have converters, as the same command",
        "fits them on a small table (`tests/python/convert/other_estimators.py`). Each one is",
        "converted with the default precision and compared with the original for new rows, on both",
        f"engines. Every estimator that converts agrees within {LIMIT:g}, or within {FLOAT32_LIMIT:g} if the",
        "original computes in float32, and no label and no text differs. skrub's transformers of",
        "one column are inside ApplyToCols, imbalanced-learn's samplers in a pipeline, and the",
        "models of statsmodels are named by the class that was fitted. Classes that ask a language",
        "model, or need a cluster of machines, are not listed.",
        "",
    ]
    for package in dict.fromkeys(row.package for row in walked):
        found += [f"### {package}", "", "| estimator | outcome | largest difference | reason |"]
        found += ["|---|---|---|---|"]
        found += [_line(row) for row in walked if row.package == package] + [""]
    found += [
        "## Parameters that are refused",
        "",
        "These estimators convert, but not with these values of their parameters. Each line is a",
        "model that was fitted with this value (`tests/python/convert/refused_parameters.py`).",
        "",
        "| estimator | value | package | reason |",
        "|---|---|---|---|",
    ]
    for row in parameters:
        cells = (row.name, f"`{row.value}`", row.package, _cell(row.reason))
        found.append(f"| {' | '.join(cells)} |")
    return [*found, ""]


def _line(row: Row) -> str:
    outcome = "converts" if row.converts else "refused"
    off = magnitude(row.difference) if row.converts else ""
    return f"| {row.name} | {outcome} | {off} | {_cell(row.reason)} |"


def _cell(text: str) -> str:
    return text.replace("|", "/")
