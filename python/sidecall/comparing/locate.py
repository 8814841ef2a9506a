"""Finds the step of a pipeline where the exported model's answers begin to differ.

Two experiments use the rows that moved most. First, the original is asked for changed rows, whose
values round to the same float32 inputs of the file: if most of the difference is then gone, the
difference begins in the inputs. Otherwise, each prefix of the pipeline is converted again in the
file's precision and compared. This comparison is used only if the whole pipeline, converted in the
same way, gives the file's own answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from sidecall.exporting.data.columns import Column
from sidecall.exporting.data.containers import Data, read_data
from sidecall.exporting.inputs.schema import Feature, Schema, as_float32
from sidecall.exporting.model.original import Original
from sidecall.exporting.parity.engine import Session
from sidecall.exporting.parity.locate_mismatch import flat_steps

from .differences import amounts, differences
from .report import Begin, Stage
from .rows import Rows
from .sides import ModelSide, OriginalSide, words
from .text import number

# The inputs explain the difference of a row if changed inputs leave at most this fraction of it.
_EXPLAINED = 0.1
_FAR_LESS = 1e-3
_SAME_FILE = 1e-6
_STEP_TOLERANCE = 1e-8
_KINDS = {
    "float32": "float",
    "float64": "float",
    "int64": "int",
    "bool": "bool",
    "string": "string",
    "datetime": "datetime",
}


class _NotComparableError(Exception):
    """The steps cannot be compared; the message says why."""


def locate(
    original: Original,
    original_side: OriginalSide,
    model: ModelSide,
    contract: dict[str, Any],
    rows: Rows,
) -> Begin:
    """Finds where the difference begins. `rows` are moved rows that both sides answer."""
    got = model.ask(rows).values
    tensors = {tensor.name: tensor.dtype for tensor in model.model.inputs}
    narrow = [
        feature["name"]
        for feature in contract["features"]
        if tensors.get(feature["input"]) == "float32"
    ]
    rounded, changed = _replaced(rows, narrow, _rounded)
    written, _ = _replaced(rows, narrow, _shortest_decimals)
    if changed:
        before = _scaled(original_side, original_side.ask(rows).values, got)
        after = np.minimum(
            _distance(original_side, rounded, got), _distance(original_side, written, got)
        )
        # Only the large differences have to be explained, not the float32 noise in rows that moved
        # far less.
        most = before >= _FAR_LESS * before.max()
        explained = int((np.isfinite(after) & (after <= _EXPLAINED * before))[most].sum())
        if explained >= 0.5 * most.sum():
            reason = f"the file takes float32: if values of {_listed(changed)} are replaced by others that round to the same float32, the original gives the "
            return Begin(
                "input",
                reason + f"file's answers in {explained} of the {most.sum()} rows that moved most",
            )
    try:
        return _in_steps(original, original_side, model, contract, tensors, rounded, got)
    except _NotComparableError as error:
        return Begin("", str(error))


def _rounded(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return as_float32(values)


def _shortest_decimals(values: np.ndarray) -> np.ndarray:
    """Returns the shortest decimals of the float32 values: 1.97 for 1.9700000286102295."""
    with np.errstate(over="ignore"):
        return np.array([float(str(value)) for value in values.astype(np.float32)])


def _replaced(
    rows: Rows, narrow: list[str], by: Callable[[np.ndarray], np.ndarray]
) -> tuple[Rows, list[str]]:
    """Returns rows with changed values that round to the same float32, and the changed features.

    The types stay the same.
    """
    frame, changed = rows.frame.copy(), []
    for name in narrow:
        series = frame[name]
        if series.dtype.kind not in "fiu" or series.dtype == np.float32:
            continue
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        there = by(values)
        if np.array_equal(values, there, equal_nan=True):
            continue
        changed.append(name)
        frame[name] = pd.Series(there, index=series.index).astype(series.dtype)
    return Rows(_in_container(rows, frame, changed), frame), changed


def _distance(original_side: OriginalSide, rows: Rows, got: dict[str, np.ndarray]) -> np.ndarray:
    """Returns how far the original's answers for these rows are from the file's answers `got`.

    The distance is inf for all rows if the original refuses one of them.
    """
    answers = original_side.ask(rows)
    if len(answers.index) < len(rows):
        return np.full(len(rows), np.inf)
    return _scaled(original_side, answers.values, got)


def _in_container(rows: Rows, frame: pd.DataFrame, changed: list[str]) -> Any:
    original = rows.original
    if not changed or isinstance(original, list):
        return original
    if not hasattr(original, "iloc"):
        return frame.to_numpy(dtype=original.dtype)
    by_position = list(original.columns) if set(frame.columns) != set(original.columns) else None
    result = original.copy()
    for name in changed:
        column = by_position[list(frame.columns).index(name)] if by_position is not None else name
        result[column] = frame[name].set_axis(original.index).astype(original[column].dtype)
    return result


def _scaled(
    original_side: OriginalSide, want: dict[str, np.ndarray], have: dict[str, np.ndarray]
) -> np.ndarray:
    found = differences(original_side.outputs, want, have)
    numbers = [difference.scaled for difference in found if difference.output.is_number]
    result: np.ndarray = np.max(numbers or [difference.scaled for difference in found], axis=0)
    return result


def _in_steps(
    original: Original,
    original_side: OriginalSide,
    model: ModelSide,
    contract: dict[str, Any],
    tensors: dict[str, str],
    rows: Rows,
    got: dict[str, np.ndarray],
) -> Begin:
    precision = contract.get("parity", {}).get("precision")
    if precision not in ("float32", "float64", "by step"):
        raise _NotComparableError(
            "the model is served without conversion, so it has no graph with steps to compare"
        )
    steps = flat_steps(original.model)
    name = type(steps[-1][1]).__name__
    if len(steps) == 1:
        return Begin(name, "the model has no other step")
    comparer = _PrefixComparer(original, contract, tensors, rows, precision)
    comparer.find_represented_type(original_side, got)
    stages = []
    begin = None
    for k, (path, step) in enumerate(steps[:-1]):
        if step is None or step == "passthrough":
            continue
        label = f"{path} ({type(step).__name__})"
        found = comparer.difference_after(steps[: k + 1])
        stages.append(Stage(label, None if found is None else float(found.max(initial=0.0))))
        if found is not None and begin is None and found.max(initial=0.0) > _STEP_TOLERANCE:
            branches = _branches(step, path, found)
            by = f"its answers differ by up to {number(float(found.max()))} x (1 + |expected|)"
            begin = Begin(branches or label, f"{by}, in a file that computes in {precision}")
    answers = original_side.ask(rows)
    if not len(answers.index):
        raise _NotComparableError(
            "the original refuses the rows after their values are rounded to the types of the file's inputs"
        )
    last = _scaled(
        original_side, answers.values, {key: value[answers.index] for key, value in got.items()}
    )
    stages.append(Stage(f"{steps[-1][0]} ({name})", float(last.max(initial=0.0))))
    if begin is None and last.max() <= _STEP_TOLERANCE:
        begin = Begin(
            "input",
            "after the values are rounded to the types of the file's inputs, all steps agree",
        )
    elif begin is None:
        known = all(stage.largest is not None for stage in stages)
        if not known:
            raise _NotComparableError("a step before the last one cannot be compared separately")
        begin = Begin(stages[-1].step, "all steps before it agree")
    begin.stages = stages
    return begin


def _branches(step: Any, path: str, found: np.ndarray) -> str:
    """Returns those transformers of a ColumnTransformer that make the columns that differ."""
    slices = getattr(step, "output_indices_", None)
    if not isinstance(slices, dict):
        return ""
    bad = found.max(axis=0, initial=0.0) > _STEP_TOLERANCE
    names = [name for name, part in slices.items() if bad[part].any()]
    return f"{path} > {' and '.join(names)} ({type(step).__name__})" if names else ""


class _PrefixComparer:
    """Converts prefixes of the pipeline in the way in which the file was made, and runs them."""

    def __init__(
        self,
        original: Original,
        contract: dict[str, Any],
        tensors: dict[str, str],
        rows: Rows,
        precision: str,
    ) -> None:
        self.original, self.rows, self.precision = original, rows, precision
        with original.steps.watching():
            original.refusal(rows.original)
        self.schema = _schema(contract, tensors)
        names = (
            None
            if hasattr(rows.original, "columns")
            else [feature.name for feature in self.schema.features]
        )
        source = rows.frame if names is None else rows.original
        data: Data = read_data(source, original.model, names)
        self.left_out = data.left_out
        order = {name: k for k, name in enumerate(data.names)}
        columns = [data.columns[order[feature.name]] for feature in self.schema.features]
        for feature, column in zip(self.schema.features, columns, strict=True):
            feature.dates = column.dates
        self.inputs = self.schema.tensors(
            [_as_kind(c, f.kind) for c, f in zip(columns, self.schema.features, strict=True)]
        )
        self.represented_type = ""

    def find_represented_type(
        self, original_side: OriginalSide, got: dict[str, np.ndarray]
    ) -> None:
        """Finds which type the numbers had before they became float32 inputs (`rows` of to_graph).

        Raises _NotComparableError if the model, converted again, does not give the answers of the
        file.
        """
        for represented_type in ("float64", "float32"):
            answers = self._ask(self.original.model, represented_type)
            if answers is None:
                continue
            names = [
                output.name
                for output in original_side.outputs
                if output.is_number and output.name in answers
            ]
            numbers = [
                answers[name].reshape(len(self.rows), -1).astype(np.float64) for name in names
            ]
            if all(
                (_relative(got[name], values) <= _SAME_FILE).all()
                for name, values in zip(names, numbers, strict=True)
            ):
                self.represented_type = represented_type
                return
        raise _NotComparableError(
            "the model, converted again, does not give the answers of the file, so its steps cannot be compared"
        )

    def difference_after(self, steps: list[tuple[str, Any]]) -> np.ndarray | None:
        """Returns |got - expected| / (1 + |expected|) after these steps, [rows, columns].

        Returns None if the numbers after these steps cannot be compared.
        """
        from sklearn.pipeline import Pipeline

        from sidecall.exporting.model.original import quiet

        pipeline_prefix = Pipeline([(f"step{k}", step) for k, (_, step) in enumerate(steps)])
        answers = self._ask(pipeline_prefix, self.represented_type)
        try:
            with quiet():
                expected = pipeline_prefix.transform(self.rows.original)
        except Exception:
            return None
        if answers is None or "transformed" not in answers:
            return None
        want = np.asarray(expected.toarray() if hasattr(expected, "toarray") else expected).reshape(
            len(self.rows), -1
        )
        have = np.asarray(answers["transformed"]).reshape(len(self.rows), -1)
        if want.shape != have.shape:
            return None
        if want.dtype.kind not in "fiub" or have.dtype.kind not in "fiub":
            return np.where(words(want).astype(str) != words(have).astype(str), np.inf, 0.0)
        return _relative(want.astype(np.float64), have.astype(np.float64))

    def _ask(self, model: Any, represented_type: str) -> dict[str, np.ndarray] | None:
        from sidecall.convert import to_graph

        try:
            precision = "float32" if self.precision == "float32" else "float64"
            steps, unused = self.original.steps.of, self.left_out
            graph = to_graph(
                model,
                list(self.schema.inputs),
                precision=precision,
                rows=represented_type,
                steps=steps,
                unused=unused,
                examples=self.original.steps.examples(),
                dates=self.schema.dates,
            )
            return Session(graph, type(model).__name__).run(self.inputs)
        except Exception:
            # A step that cannot be converted on its own cannot be compared; the report says so.
            return None


def _relative(want: np.ndarray, have: np.ndarray) -> np.ndarray:
    off = amounts(want, have)
    with np.errstate(all="ignore"):
        return np.where(np.isinf(off), np.inf, np.where(off == 0, 0.0, off / (1.0 + np.abs(want))))


def _schema(contract: dict[str, Any], tensors: dict[str, str]) -> Schema:
    features = [
        Feature(
            name=entry["name"],
            kind=_KINDS[entry["type"]],
            type=entry["type"],
            tensor=tensors[entry["input"]],
            input=entry["input"],
            column=entry["column"],
            nullable=entry["nullable"],
            missing=entry.get("missing"),
            allowed=None,
            seen=None,
        )
        for entry in contract["features"]
    ]
    features.sort(key=lambda feature: feature.column)
    widths: dict[str, int] = {}
    for entry in contract["features"]:
        widths[entry["input"]] = widths.get(entry["input"], 0) + 1
    return Schema(features, [(name, tensors[name], width) for name, width in widths.items()])


def _as_kind(column: Column, kind: str) -> Column:
    """Converts a column to the contract's kind.

    Whole numbers that became floats because of a missing value become integers again.
    """
    if kind == "int" and column.kind == "float":
        return Column(
            column.name,
            "int",
            np.where(column.missing, 0, column.values).astype(np.int64),
            column.missing,
        )
    return column


def _listed(names: list[str], limit: int = 6) -> str:
    quoted = ", ".join(f"'{name}'" for name in names[:limit])
    return quoted if len(names) <= limit else f"{quoted} and {len(names) - limit} others"
