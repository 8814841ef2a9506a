"""sidecall.compare: compares the answers of two models for any number of rows.

Reads the rows in pieces, so that memory is bounded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sidecall import errors
from sidecall._model import Model
from sidecall._model import open as open_model
from sidecall.exporting.errors import DataError
from sidecall.exporting.model.original import Original
from sidecall.exporting.reports.progress import Progress

from .differences import HELD, MOVED, UNSTABLE, Difference, Histogram, Worst, amounts, differences
from .locate import locate
from .report import Begin, Bin, Comparison, OutputComparison, WorstRow
from .rows import Rows, Shaper, concatenate
from .sides import Answers, ModelSide, OriginalSide, outputs_of
from .sources import open_source
from .stability import unstable

_LOCATE_ROWS = 50


def compare(
    original: Any,
    model: str | os.PathLike[str] | Model,
    data: Any,
    *,
    absolute: float | None = None,
    relative: float | None = None,
    dtypes: str | Mapping[str, str] | None = None,
    worst: int = 10,
    chunk: int = 10_000,
    stability: int | None = 500,
    trust_pickle: bool = False,
    progress: bool | Callable[[int, int], None] | None = None,
) -> Comparison:
    """Compares the answers of the original and of the exported model for the same rows.

    Reports how many answers moved, by how much, and in which step the difference begins.

    original            the fitted model that the file was made from
    model               an .onnx file with a contract, a URI such as "shm:fraud", or an open
                        `sidecall.Model`
    data                rows in the form that the model was trained on: a DataFrame, an array [rows,
                        features], a list of text; an iterator of these; or the path of a .csv,
                        .tsv, .jsonl, .parquet, .npy or .txt file, which is read in pieces
    absolute, relative  a number has moved if |got - expected| > absolute + relative x |expected|.
                        By default both are 1e-8, or 1e-5 for an output that the original itself
                        computes in float32
    dtypes              the types that fit saw, if `data` has other types: a type for each feature
                        name, or one type for all numbers. The original gets the rows in these types
    worst               how many of the worst rows the report keeps, for each of refusals, labels
                        and values
    chunk               how many rows are read and held at a time; the original is always asked in
                        batches of 1 000
    stability           how many of the rows that differ are asked again in batches of 1 and 7, to
                        find those for which the original itself gives several answers. In each
                        chunk, the rows that differ most come first. None checks every row, which is
                        slow
    trust_pickle        True lets `data` be the path of a .joblib or .pkl file; loading such a file
                        can run any code of its author
    progress            True or False for a bar on stderr, or a function that gets the number of
                        rows done and the number of all rows (0 if it is not known); by default a
                        bar if the comparison takes long and runs on a terminal

    Rows are numbered from 0 over all pieces. A row has also moved if the labels differ, or if one
    side refuses it and the other answers.

    Raises DataError (no rows, or other columns than the model's), ModelError (the original is not a
    fitted model, or not the one that the file was made from), ValueError for a file that cannot be
    read, NoContract, and the errors of `sidecall.open`. Rows that a side refuses are counted and
    raise no error.

    >>> import sidecall
    >>> from sklearn.linear_model import LinearRegression
    >>> model, path = LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), getfixture("tmp_path") / "line.onnx"
    >>> report = sidecall.export(model, path, [[0.0], [1.0]])
    >>> comparison = sidecall.compare(model, path, [[0.5], [0.25]])
    >>> comparison.rows, comparison.moved, comparison.outputs[0].largest < 1e-6
    (2, 0, True)
    """
    for name, value, least in (
        ("worst", worst, 0),
        ("chunk", chunk, 1),
        ("stability", stability, 0),
    ):
        if value is not None and value < least:
            raise DataError(f"{name}: expected a number of at least {least}, got {value}")
    for name, tolerance in (("absolute", absolute), ("relative", relative)):
        if tolerance is not None and not (np.isfinite(tolerance) and tolerance >= 0):
            raise DataError(f"{name}: expected a tolerance of at least 0, got {tolerance}")
    started = time.monotonic()
    reference = Original(original)
    opened = model if isinstance(model, Model) else open_model(model, verify="warn")
    label = model.name if isinstance(model, Model) else os.fspath(model)
    try:
        contract = opened.contract
        if contract is None:
            raise errors.NoContract("compare: expected a model with a contract, got one without")
        outputs = outputs_of(reference, contract, opened.columns, absolute, relative)
        run = _Run(OriginalSide(reference, outputs), ModelSide(opened, outputs), worst, stability)
        shaper = Shaper(original, contract["features"], dtypes)
        source = open_source(data, contract["features"], chunk, trusted=trust_pickle)
        with Progress(progress, source.total, "compare") as bar:
            for piece in source.pieces:
                for rows in shaper.slices(piece, chunk):
                    run.add(rows)
                    bar.advance(len(rows))
        if run.rows == 0:
            raise DataError("expected at least one row of data, got none")
        begin = run.locate(reference, contract)
        return run.report(
            label,
            type(original).__name__,
            contract,
            begin,
            _notes(shaper, opened, contract),
            time.monotonic() - started,
        )
    finally:
        if opened is not model:
            opened.close()


def _notes(shaper: Shaper, model: Model, contract: dict[str, Any]) -> list[str]:
    notes = list(shaper.notes)
    if model.warning is not None:
        notes.append(
            f"the golden rows of the file fail verification on this machine: {model.warning}"
        )
    random = [
        output["name"] for output in contract["outputs"] if not output.get("deterministic", True)
    ]
    if random:
        notes.append("not compared, because two runs give different answers: " + ", ".join(random))
    return notes


class _Run:
    """The results for all rows so far. Their size does not grow with the number of rows."""

    def __init__(
        self, original: OriginalSide, model: ModelSide, worst: int, stability: int | None
    ) -> None:
        self.original, self.model, self.outputs = original, model, original.outputs
        self.stability = stability
        self.rows = self.moved = self.unstable = self.checked = self.unchecked = 0
        self.refused_by_original = self.refused_by_model = self.refused_by_both = 0
        self.found = {
            output.name: OutputComparison(output.name, output.is_number) for output in self.outputs
        }
        self.histogram = Histogram()
        self.worst = {kind: Worst(worst) for kind in ("refusal", "label", "value")}
        self.samples = Worst(_LOCATE_ROWS)

    def add(self, rows: Rows) -> None:
        expected, got = self.original.ask(rows), self.model.ask(rows)
        self._count_refusals(expected, got)
        both = np.intersect1d(expected.index, got.index)
        if len(both):
            self._compare(rows, both, expected, got)
        self.rows += len(rows)

    def _count_refusals(self, expected: Answers, got: Answers) -> None:
        by_both = expected.refusals.keys() & got.refusals.keys()
        self.refused_by_both += len(by_both)
        for row in sorted((expected.refusals.keys() | got.refusals.keys()) - by_both):
            is_originals = row in expected.refusals
            self.refused_by_original += is_originals
            self.refused_by_model += not is_originals
            self.moved += 1
            sides = (
                (expected.refusals[row], "answered")
                if is_originals
                else ("answered", got.refusals[row])
            )
            number = self.rows + row
            self.worst["refusal"].add(
                0.0, number, WorstRow(number, "refusal", "refused", *sides, None)
            )

    def _compare(self, rows: Rows, both: np.ndarray, expected: Answers, got: Answers) -> None:
        want, have = expected.at(both), got.at(both)
        found = differences(self.outputs, want, have)
        bad = (
            np.any([difference.is_bad for difference in found], axis=0)
            if found
            else np.zeros(len(both), bool)
        )
        numbers = [difference.scaled for difference in found if difference.output.is_number]
        scaled = (
            np.max(numbers, axis=0)
            if numbers
            else np.max([d.scaled for d in found], axis=0)
            if found
            else np.zeros(len(both))
        )
        verdict = np.where(bad, MOVED, HELD)
        verdict[self._unstable(rows, both, expected, bad, scaled)] = UNSTABLE
        self.moved += int((verdict == MOVED).sum())
        self.unstable += int((verdict == UNSTABLE).sum())
        self.histogram.add(scaled, verdict)
        for difference in found:
            self._count(difference, verdict, both)
        self._keep_worst(rows, both, found, scaled, verdict, want, have)

    def _unstable(
        self, rows: Rows, both: np.ndarray, expected: Answers, bad: np.ndarray, scaled: np.ndarray
    ) -> np.ndarray:
        """Checks some of the rows, and returns the positions in `both` of the unstable ones.

        A row is unstable if the original gives other answers for it in other batches.
        """
        if self.stability is None:
            places = np.arange(len(both))
        else:
            differ = np.flatnonzero(bad)
            places = np.sort(
                differ[np.argsort(-scaled[differ], kind="stable")][
                    : max(0, self.stability - self.checked)
                ]
            )
            self.unchecked += len(differ) - len(places)
        self.checked += len(places)
        if not len(places):
            return places
        return np.searchsorted(both, unstable(self.original, rows, expected, both[places]))

    def _count(self, difference: Difference, verdict: np.ndarray, both: np.ndarray) -> None:
        found = self.found[difference.output.name]
        stable = np.flatnonzero(verdict != UNSTABLE)
        found.rows += len(stable)
        found.moved += int(difference.is_bad[stable].sum())
        if not difference.output.is_number or not len(stable):
            return
        place = stable[difference.amount[stable].argmax()]
        if found.largest is None or difference.amount[place] > found.largest:
            found.largest, found.largest_row = (
                float(difference.amount[place]),
                int(both[place]) + self.rows,
            )

    def _keep_worst(
        self,
        rows: Rows,
        both: np.ndarray,
        found: list[Difference],
        scaled: np.ndarray,
        verdict: np.ndarray,
        want: dict[str, np.ndarray],
        have: dict[str, np.ndarray],
    ) -> None:
        exact = np.any(
            [np.zeros(len(both), bool), *(d.is_bad for d in found if not d.output.is_number)],
            axis=0,
        )
        moved = verdict == MOVED
        for kind, chosen in (("label", moved & exact), ("value", moved & ~exact)):
            places = np.flatnonzero(chosen)
            for place in places[self.worst[kind].wants(scaled[places])]:
                row = int(both[place]) + self.rows
                self.worst[kind].add(
                    float(scaled[place]), row, _worst_row(row, kind, place, found, want, have)
                )
        places = np.flatnonzero(moved)
        for place in places[self.samples.wants(scaled[places])]:
            self.samples.add(
                float(scaled[place]),
                int(both[place]) + self.rows,
                rows.take(both[place : place + 1]),
            )

    def locate(self, original: Original, contract: dict[str, Any]) -> Begin | None:
        if not self.moved:
            return None
        if not self.samples.entries:
            return Begin("", "none of the rows that both models answered has moved")
        return locate(
            original,
            self.original,
            self.model,
            contract,
            concatenate([rows for _, _, rows in self.samples.entries]),
        )

    def report(
        self,
        model: str,
        original: str,
        contract: dict[str, Any],
        begin: Begin | None,
        notes: list[str],
        seconds: float,
    ) -> Comparison:
        for output in self.outputs:
            self.found[output.name].absolute, self.found[output.name].relative = (
                output.absolute,
                output.relative,
            )
        if self.refused_by_both == self.rows or not self.histogram.counts:
            notes = [*notes, "no row was answered by both models, so nothing was compared"]
        return Comparison(
            model=model,
            original=original,
            rows=self.rows,
            moved=self.moved,
            refused_by_original=self.refused_by_original,
            refused_by_model=self.refused_by_model,
            refused_by_both=self.refused_by_both,
            unstable=self.unstable,
            checked=self.checked,
            unchecked=self.unchecked,
            outputs=list(self.found.values()),
            bins=[Bin(low, high, *counts) for low, high, counts in self.histogram.bins()]
            if self.histogram.counts
            else [],
            worst=[entry for kind in self.worst.values() for _, _, entry in kind.entries],
            begin=begin,
            precision=str(
                contract.get("parity", {}).get(
                    "precision", "a precision that its contract does not state"
                )
            ),
            seconds=seconds,
            notes=notes,
        )


def _worst_row(
    row: int,
    kind: str,
    place: int,
    found: list[Difference],
    want: dict[str, np.ndarray],
    have: dict[str, np.ndarray],
) -> WorstRow:
    """Describes a row by the column that differs most, in the output that differs most."""
    candidates = [d for d in found if d.is_bad[place] and d.output.is_number == (kind == "value")]
    output = max(candidates, key=lambda d: d.scaled[place]).output
    expected, got = want[output.name][place], have[output.name][place]
    if kind == "label":
        column = int(np.argmax(expected.astype(str) != got.astype(str)))
        return WorstRow(
            row, kind, output.columns[column], expected[column].item(), got[column].item(), None
        )
    off = amounts(expected, got)
    column = int(np.argmax(off))
    return WorstRow(
        row,
        kind,
        output.columns[column],
        float(expected[column]),
        float(got[column]),
        float(off[column]),
    )
