"""Exports one pipeline and compares the file with the original on adversarial rows.

Used by run.py and by tests. The comparison is that of sidecall.compare, with its sides, tolerances
and rule of stability. This file adds the family of each row, and compares the output of trees bit
by bit. The original is asked once for each batch, and its answers are compared with those of every
engine.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sidecall
from sidecall.comparing.differences import differences
from sidecall.comparing.locate import locate
from sidecall.comparing.report import Begin
from sidecall.comparing.rows import Rows, concatenate
from sidecall.comparing.sides import Answers, ModelSide, OriginalSide, outputs_of
from sidecall.comparing.sides import _stacked as stacked
from sidecall.comparing.stability import _Range as Range
from sidecall.comparing.stability import unstable
from sidecall.exporting.data.columns import Column
from sidecall.exporting.data.containers import Data, read_data
from sidecall.exporting.data.dates import values_of_dates
from sidecall.exporting.model.original import Original, quiet
from threadpoolctl import threadpool_limits

from ..drawing.pipelines import Drawn
from . import cpus, orders
from .adversary import Adversary, Batch
from .edges import held_edges
from .engines import Engines, OneEngine, defect
from .exactness import gives_float32, jumps_are_fixed, raw_tree_output
from .findings import Counts, Matrices, Wrong
from .routes import differing_routes

# Number of agreeing rows of each batch that are checked again, to estimate how many are unstable.
_SAMPLE = 5
# _FIRST_LOOK differing rows are checked again. If some of these are unstable, more differing rows
# are checked, at most _MOST_LOOKS in total.
_FIRST_LOOK, _MOST_LOOKS = 100, 2000
# Number of wrong rows that are followed to the step where they begin to differ.
_LOCATED = 50
# Number of rows of each batch that are also sent to the file by other routes.
_ROUTED = 8


_LAST_TEXT = "\x7f\x7f\x7f"  # the last in XGBoost's order, which reads bytes as signed


@dataclass
class BuiltRows(Rows):
    """Rows as fit saw them; `pool` is the frame that fit saw.

    The type of a column of categories lists the categories of all rows, and XGBoost refuses every
    row because of one unknown category of the list. So rows that have none of the unknown
    categories do not list them when they are taken. The lists of other rows have _LAST_TEXT:
    XGBoost answers a row as if it had another category if no unknown category of the list is above
    all others, and its file refuses the row. It stands first, because XGBoost cuts the texts behind
    one that is not ASCII in wrong places, and would not find it there.
    """

    pool: pd.DataFrame

    def __post_init__(self) -> None:
        for name in self._words():
            categories = self.original[name].cat.categories
            if len(categories) > len(self.pool[name].cat.categories) and isinstance(
                categories[0], str
            ):
                listed = pd.Index([_LAST_TEXT, *categories]).drop_duplicates()
                column = self.original[name].cat.set_categories(listed)
                self.original = _with_column(self.original, name, column)

    def _words(self) -> list[Any]:
        is_frame = hasattr(self.original, "columns")
        return list(self.pool.select_dtypes("category")) if is_frame else []

    def take(self, index: Any) -> Rows:
        taken = super().take(index)
        original = taken.original
        for name in self._words():
            known, column = self.pool[name].cat.categories, original[name]
            if len(column.cat.categories) > len(known) and column.dropna().isin(known).all():
                original = _with_column(original, name, column.cat.set_categories(known))
        return BuiltRows(original, taken.frame, self.pool)


def _with_column(frame: pd.DataFrame, name: str, column: Any) -> pd.DataFrame:
    """DataFrame.assign, which takes no column named "self"."""
    result = frame.copy()
    result[name] = column
    return result


class Judge:
    """Compares the file of a pipeline with its original, on every engine that runs the file."""

    def __init__(self, drawn: Drawn, engines: Engines) -> None:
        self.drawn, self.engines = drawn, engines
        self.data: Data = read_data(drawn.contained(drawn.pool), drawn.model)
        opened = engines.models["onnxruntime"]
        contract = opened.contract
        assert contract is not None
        self.contract = contract
        self.reference = Original(drawn.model)
        self.outputs = outputs_of(self.reference, contract, opened.columns)
        with quiet():
            few = drawn.contained(drawn.pool.iloc[drawn.train[:20]])
            is_float32 = gives_float32(drawn.model, few)
        for output in self.outputs:
            output.is_float32 = output.is_number and (output.is_float32 or is_float32)
        self.original = OriginalSide(self.reference, self.outputs)
        self.sides = {
            name: OneEngine(model, ModelSide(model, self.outputs))
            for name, model in engines.models.items()
        }
        self.tree_output = raw_tree_output(drawn.model)
        has_numbers = any(output.is_number for output in self.outputs)
        self.has_jumps = has_numbers and jumps_are_fixed(drawn.model)
        self.dtypes = [
            np.dtype(np.float32 if column.narrow else np.float64) for column in self.data.columns
        ]

    def compare(self, rows: int, odd: int, folder: Path) -> dict[str, Counts]:
        """Compares about `rows` rows and at most `odd` odd ones; `folder` holds temporary files.

        Returns what was counted, by the name of the engine.
        """
        edges = held_edges(self.drawn.model, self.data.names)
        rng = np.random.default_rng([self.drawn.seed, self.drawn.number, 2**20])
        adversary = Adversary(self.data.columns, self.dtypes, edges, self._numbers, rng)
        for number, batch in enumerate(adversary.batches(rows, odd, with_jumps=self.has_jumps)):
            self._add(self.rows_of(batch), batch.families, number)
        for side in self.sides.values():
            self._ask_others(side, folder)
            for wrong in side.wrong:
                side.counts.add_wrong(differences(self.outputs, wrong.want, wrong.have), wrong)
        return {name: side.counts for name, side in self.sides.items()}

    def rows_of(self, batch: Batch) -> Rows:
        return BuiltRows(self._built(batch.columns), self._sent(batch), self.drawn.pool)

    def _built(self, columns: list[Column]) -> Any:
        """The rows as fit saw them. A number beyond float32 becomes an infinity in float32."""
        with quiet():
            return self.data.build(columns)

    def _sent(self, batch: Batch) -> pd.DataFrame:
        """The frame that a caller sends: floats as wide as in fit, or of the other width."""
        series = {}
        for feature, column, dtype in zip(
            self.contract["features"], batch.columns, self.dtypes, strict=True
        ):
            if column.kind == "float":
                narrow = (dtype == np.float32) != batch.swapped
                with np.errstate(over="ignore"):
                    series[feature["name"]] = pd.Series(
                        column.as_float().astype(np.float32 if narrow else np.float64)
                    )
            elif column.dates is not None:
                series[feature["name"]] = pd.Series(values_of_dates(column))
            elif column.kind == "string" or column.missing.any():
                series[feature["name"]] = pd.Series(column.as_objects(), dtype=object)
            else:
                series[feature["name"]] = pd.Series(column.values)
        return pd.DataFrame(series)

    def _numbers(self, columns: list[Column]) -> np.ndarray:
        """The original's numbers, NaN for a row that it refuses.

        Labels are left out: if two scores are nearly equal, rounding decides the label.
        """
        sent = pd.DataFrame(index=range(len(columns[0])))
        rows = BuiltRows(self._built(columns), sent, self.drawn.pool)
        answers = self.original.ask(rows)
        parts = [
            answers.values[output.name]
            for output in self.outputs
            if output.is_number and answers.values
        ]
        result = np.full((len(rows), sum(part.shape[1] for part in parts) + 1), np.nan)
        result[answers.index] = np.nan_to_num(
            np.concatenate([np.zeros((len(answers.index), 1)), *parts], axis=1), nan=-7.0
        )
        return result

    def _add(self, rows: Rows, families: np.ndarray, number: int) -> None:
        expected = self.original.ask(rows)
        # Whether rows are unstable, as far as this is known; the engines share it.
        known: dict[int, bool] = {}
        for name, side in list(self.sides.items()):
            # Seeded by the batch, so that every engine samples the same rows, however many numbers
            # the adversary drew before.
            rng = np.random.default_rng([self.drawn.seed, self.drawn.number, 2**21, number])
            try:
                self._add_answers(side, rows, families, expected, known, rng)
            except Exception as error:
                self.engines.fail(name, error)
                del self.sides[name]

    def _add_answers(
        self,
        side: OneEngine,
        rows: Rows,
        families: np.ndarray,
        expected: Answers,
        known: dict[int, bool],
        rng: np.random.Generator,
    ) -> None:
        got, counts = side.file.ask(rows), side.counts
        counts.rows += len(rows)
        counts.add_families(families, wrong=False)
        counts.add_refusals(expected, got, families)
        both = np.intersect1d(expected.index, got.index)
        counts.compared += len(both)
        if not len(both):
            return
        want, have = expected.at(both), got.at(both)
        bad = np.any([found.is_bad for found in differences(self.outputs, want, have)], axis=0)
        stable = np.ones(len(both), dtype=bool)
        again = _Again(self.original, rows, expected, known)
        stable[_find_unstable(again, both, bad, counts, rng)] = False
        self._count_bits(counts, want, have, stable)
        counts.routes += differing_routes(side.opened, rows.take(rng.choice(both, _ROUTED)))
        places = np.flatnonzero(bad & stable)
        if len(places):
            chosen = both[places]
            answers = expected.at(chosen), got.at(chosen)
            side.wrong.append(Wrong(rows.take(chosen), families[chosen], *answers))

    def _ask_others(self, side: OneEngine, folder: Path) -> None:
        """Removes rows from `wrong` for which the original's answer depends on the CPU, or on the
        order of the rows that it was fitted on.

        If very many rows differ, neither is the reason, and nothing is checked.
        """
        total = sum(len(wrong.families) for wrong in side.wrong)
        if not 0 < total <= _MOST_LOOKS:
            return
        rows = concatenate([wrong.rows for wrong in side.wrong])
        families = np.concatenate([wrong.families for wrong in side.wrong])
        want, have = (
            {o.name: stacked([getattr(w, of)[o.name] for w in side.wrong]) for o in self.outputs}
            for of in ("want", "have")
        )
        ranges = [Range(output, want[output.name]) for output in self.outputs]
        is_unstable = np.zeros(total, dtype=bool)
        model = self.drawn.model
        others = (
            cpus.ask(model, self.outputs, rows, folder),
            orders.ask(model, self.outputs, rows),
        )
        for answers in itertools.chain(*others):
            is_unstable[list(answers.refusals)] = True
            for found in ranges if len(answers.index) else []:
                found.add(answers.index, answers.values[found.output.name])
        is_unstable |= np.any([found.is_wide() for found in ranges], axis=0)
        side.counts.unstable += int(is_unstable.sum())
        kept = np.flatnonzero(~is_unstable)
        answers_kept = ({k: v[kept] for k, v in each.items()} for each in (want, have))
        side.wrong = [Wrong(rows.take(kept), families[kept], *answers_kept)] if len(kept) else []

    def _count_bits(
        self, counts: Counts, want: Matrices, have: Matrices, stable: np.ndarray
    ) -> None:
        if self.tree_output is None or self.tree_output not in want:
            return
        left, right = want[self.tree_output], have[self.tree_output]
        differs = (left.view(np.int64) != right.view(np.int64)) & ~(
            np.isnan(left) & np.isnan(right)
        )
        counts.tree_rows += int(stable.sum())
        counts.tree_bits += int((differs.any(axis=1) & stable).sum())

    def begin(self) -> Begin | None:
        """The step in which the difference begins, as sidecall.compare finds it."""
        side = self.sides["onnxruntime"]
        if not side.wrong:
            return None
        rows = concatenate([wrong.rows.take(slice(0, _LOCATED)) for wrong in side.wrong[:_LOCATED]])
        few = rows.take(slice(0, _LOCATED))
        assert isinstance(side.file, ModelSide)
        return locate(self.reference, self.original, side.file, self.contract, few)


@dataclass
class _Again:
    """Asks the original again for rows of a batch, and keeps in `known` which are unstable."""

    original: OriginalSide
    rows: Rows
    expected: Answers
    known: dict[int, bool]

    def unstable(self, wanted: np.ndarray) -> np.ndarray:
        """The rows of `wanted` that are unstable; `wanted` are ascending positions."""
        new = np.array([row for row in wanted.tolist() if row not in self.known], dtype=np.int64)
        if len(new):
            found = unstable(self.original, self.rows, self.expected, new)
            self.known.update(zip(new.tolist(), np.isin(new, found).tolist(), strict=True))
        return wanted[[self.known[row] for row in wanted.tolist()]]


def _find_unstable(
    again: _Again, both: np.ndarray, bad: np.ndarray, counts: Counts, rng: np.random.Generator
) -> np.ndarray:
    """Positions in `both` of rows that differ and are unstable in the original.

    Also counts unstable rows in a sample of the rows that agree.
    """
    sample = np.sort(rng.permutation(np.flatnonzero(~bad))[:_SAMPLE])
    counts.sampled += len(sample)
    counts.sampled_unstable += len(again.unstable(both[sample])) if len(sample) else 0
    differ, found = rng.permutation(np.flatnonzero(bad)), [np.zeros(0, dtype=np.int64)]
    for most in (_FIRST_LOOK, _MOST_LOOKS):
        looked, differ = np.split(differ, [max(0, most - counts.looked)])
        if len(looked):
            counts.looked += len(looked)
            rows = again.unstable(both[np.sort(looked)])
            found.append(np.searchsorted(both, rows))
            counts.unstable += len(rows)
        if not counts.unstable:
            break
    return np.concatenate(found)


def judge(drawn: Drawn, folder: Path, rows: int, odd: int) -> dict[str, Any]:
    """Returns plain data about one pipeline.

    "outcome" is "compared", "refused" (export says why) or "defect" (any other failure).
    """
    # Use one thread: sums over several threads change in their last bits. The calls are short, so
    # more threads would not make them faster.
    with threadpool_limits(limits=1):
        return _judge(drawn, folder, rows, odd)


def _judge(drawn: Drawn, folder: Path, rows: int, odd: int) -> dict[str, Any]:
    about: dict[str, Any] = {
        "seed": drawn.seed,
        "number": drawn.number,
        "table": drawn.table,
        "container": drawn.container,
        "task": drawn.task,
        "steps": drawn.steps,
        "dtypes": dict(Counter(str(dtype) for dtype in drawn.pool.dtypes)),
    }
    path = folder / f"{drawn.seed}-{drawn.number}.onnx"
    started = time.monotonic()
    where = "export"
    try:
        sidecall.export(drawn.model, path, drawn.training_data(), progress=False)
        about["export_s"] = round(time.monotonic() - started, 2)
        where = "open"
        with Engines(path) as engines:
            where = "compare"
            judging = Judge(drawn, engines)
            counts = judging.compare(rows, odd, folder)
            about |= {
                "precision": judging.contract.get("parity", {}).get("precision", ""),
                "float32": any(output.is_float32 for output in judging.outputs),
            }
            about |= counts["onnxruntime"].as_json()
            about["native"] = engines.failed.get("native") or {
                "outcome": "compared",
                **counts["native"].as_json(),
            }
            where = "locate"
            begin = judging.begin()
            if begin is not None:
                about["begin"] = {"step": begin.step, "reason": begin.reason}
    except sidecall.ExportError as error:
        step, reason = getattr(error, "step", ""), getattr(error, "reason", str(error))
        reason = f"{type(error).__name__}: {reason}".splitlines()[0][:300]
        return about | {"outcome": "refused", "step": step, "reason": reason}
    except Exception as error:
        return about | defect(error, where)
    about["seconds"] = round(time.monotonic() - started, 2)
    return about | {"outcome": "compared"}
