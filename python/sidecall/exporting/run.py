"""sidecall.export and sidecall.check: writes a model as a file after checking its answers."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import artifact, golden, reserved
from .columns import Column
from .data import Data, read_data
from .decision import find_decision
from .domain import find_domains, input_ranges
from .engine import Session, declare_shapes
from .errors import DataError, FileError, ModelError, ParityError, StepError
from .locate_mismatch import locate_mismatch
from .original import Original
from .parity import Measure, Parity
from .probe import probe
from .progress import Progress
from .refusals import Refusals
from .report import WEAK_ROWS, CheckReport, Report, StepRow
from .rules import find_rules
from .schema import Schema, infer
from .synthetic import Generator
from .synthetic_data import synthetic_data

Golden = Literal["synthetic", "real", "none"]
Precision = Literal["original", "float32"]
_SAMPLE_ROWS = 1000
_SYNTHETIC_ROWS = 500


def export(
    model: Any,
    path: str | os.PathLike[str],
    data: Any = None,
    *,
    name: str | None = None,
    version: str = "",
    metadata: Mapping[str, Any] | None = None,
    golden: Golden = "synthetic",
    ranges: bool = True,
    dtype: str | Mapping[str, str] | None = None,
    precision: Precision = "original",
    feature_names: Sequence[str] | None = None,
    progress: bool | Callable[[int, int], None] | None = None,
) -> Report:
    """Writes a fitted model as an ONNX file with its contract.

    Checks that the file and the model give the same answers.

    model          a fitted scikit-learn estimator or pipeline, xgboost or lightgbm model
    path           where to write the file; it is written whole or not at all
    data           representative rows in the types that the model was trained on: a DataFrame (of
                   pandas, polars or pyarrow), an array or a list of text. They decide the types of
                   the features, and parity is measured on them: the more rows, the better. Without
                   data, synthetic numbers are tried, which works only for a model of plain numbers.
    name, version  for people and logs; by default the name is the file's stem
    metadata       a JSON object of your own
    golden         which rows are verified on every open: "synthetic", "real" (rows of `data` are
                   then stored in the file) or "none"
    ranges         False leaves minimum, maximum and categories seen out of the file
    dtype          "float32" or "float64" for numbers, for all or by feature name, instead of the
                   type in `data`: the number that a caller passes is rounded to it once
    precision      "original": each step computes in the type of the model's own step. "float32":
                   inputs and arithmetic are float32, for a smaller file and shorter calls; the
                   report says how many rows get another answer
    feature_names  names for the columns of an array; otherwise `x0`, `x1`, ...
    progress       True or False for a bar, or a function (rows done, rows in all); by default a bar
                   if the export takes long and runs on a terminal

    Raises ExportError: DataError (names the column), ModelError, StepError (names the step that
    cannot be converted), ParityError (a StepError: the numbers differ), FileError.

    >>> from sklearn.linear_model import LogisticRegression
    >>> model = LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])
    >>> report = sidecall.export(model, "tiny.onnx", [[0.0], [1.0]])
    >>> print(report)  # doctest: +SKIP
    """
    target = Path(path)
    described = about(name if name is not None else target.stem, version, metadata)
    job = Job(model, data, feature_names, dtype, ranges, golden, precision)
    with Progress(progress, job.data.rows) as bar:
        report, graph = job.convert(bar.advance)
    report.contract["model"] = described | {"task": job.original.task}
    content = artifact.seal(graph, report.contract)
    artifact.write(target, content)
    report.path, report.size_bytes, report.seconds = (
        target,
        len(content),
        time.monotonic() - job.started,
    )
    return report


def check(
    model: Any, data: Any = None, *, feature_names: Sequence[str] | None = None
) -> CheckReport:
    """Says which steps of a fitted model can be converted, and why the others cannot.

    With data, it also says whether the numbers agree. If the model cannot be converted, or no
    contract can describe the data, it does not raise: `ok` is False and `str(report)` says why.
    Writes no file.
    """
    from sidecall.convert import explain

    Original(model)  # raises ModelError if the object is not a model
    result = CheckReport([StepRow(*row) for row in explain(model)])
    if data is None:
        return result
    try:
        job = Job(model, data, feature_names, None, True, "synthetic")
        report, graph = job.convert(lambda rows: None)
        report.contract["model"] = about(type(model).__name__, "", None) | {
            "task": job.original.task
        }
        artifact.seal(graph, report.contract)
        result.report = report
    except (StepError, DataError, ModelError) as error:
        result.refusal = str(error)
    return result


class Job:
    """One model and its data, on the way to a file or to a server that runs the model itself.

    It holds everything that is found out about them.
    """

    def __init__(
        self,
        model: Any,
        data: Any,
        feature_names: Sequence[str] | None,
        dtype: Any,
        ranges: bool,
        golden_source: str,
        precision: str = "original",
    ) -> None:
        self.started = time.monotonic()
        if precision not in ("original", "float32"):
            raise DataError(f"precision: expected 'original' or 'float32', got '{precision}'")
        if precision == "float32" and dtype is not None:
            raise DataError(
                "dtype: expected none with precision 'float32', whose inputs are float32"
            )
        self.precision = precision
        if golden_source not in ("synthetic", "real", "none"):
            raise DataError(
                f"golden: expected 'synthetic', 'real' or 'none', got '{golden_source}'"
            )
        if golden_source == "real" and data is None:
            raise DataError("golden: expected data for 'real' rows, got none")
        self.model = model
        self.golden_source = golden_source
        self.refusing: list[dict[str, str]] = []  # the checks in the graph that can refuse a row
        self.notes: list[str] = []  # what converters say about their steps
        self.refusals: Refusals | None = None
        self.ranges = ranges and data is not None
        self.is_synthetic = data is None
        self.original = Original(model)
        self.data: Data = (
            synthetic_data(self.original, feature_names)
            if data is None
            else read_data(data, model, feature_names)
        )
        self.original.describe(self.data.original(slice(0, _SAMPLE_ROWS)))
        if precision == "float32":
            for output in self.original.outputs:
                output.computed_in = "float32"
        self.accepts, base = probe(self.data, self.original)
        self.schema: Schema = infer(
            self.data,
            self.accepts,
            dtype="float32" if precision == "float32" else dtype,
            ranges=self.ranges,
        )
        self.rules = find_rules(self.original.steps.given)
        find_domains(self.data, self.original, self.schema, self.accepts, base, self.rules)
        self.generator = Generator(self.data, self.accepts, self.original)
        self.golden_rows = Generator(
            self.data, self.accepts, self.original, seed=1, exact=ranges
        ).golden(golden.ROWS)
        self._decide()

    def serve(self, session: Any) -> Report:
        """Returns the report of a model that is served without conversion.

        `session` answers tensors as the server's callers will see the answers.
        """
        measure = Measure(self.data, self.schema, self.original, session)
        if len(self.golden_rows[0]):
            golden.mark_random(self.golden_rows, measure)
        rows = np.unique(np.linspace(0, self.data.rows - 1, _SAMPLE_ROWS).astype(int))
        of_golden = self._held(measure.of_columns(self.golden_rows), "synthetic rows")
        of_probes = self._held(
            measure.of_columns(self.generator.probe_rows(_SYNTHETIC_ROWS)), "synthetic rows"
        )
        of_data = self._held(
            measure.of_columns([column.take(rows) for column in self.data.columns]), "the data"
        )
        return self._report("original", "not converted", measure, of_data, of_probes, of_golden)

    def convert(self, on_rows: Callable[[int], None]) -> tuple[Report, Any]:
        """Returns a report on how far the graph's answers are from the model's, and the graph.

        Raises StepError.
        """
        probe_rows = self.generator.probe_rows(_SYNTHETIC_ROWS)
        try:
            graph, measure = self._graph()
            of_data, of_probes, of_golden = self._measure(graph, measure, probe_rows, on_rows)
        except ParityError as error:
            raise self._located(error, probe_rows) from error
        if self.precision == "float32":
            return self._report(
                "float32", "as asked for", measure, of_data, of_probes, of_golden
            ), graph
        if self.original.steps.any_float32:
            return self._report(
                "by step",
                "each step computes in the type of the model's own",
                measure,
                of_data,
                of_probes,
                of_golden,
            ), graph
        return self._report(
            "float64", "that of the model", measure, of_data, of_probes, of_golden
        ), graph

    def _located(self, error: ParityError, probe_rows: list[Column]) -> ParityError:
        """Returns the same error with the step that causes it."""
        near = np.arange(error.row, min(error.row + _SAMPLE_ROWS, self.data.rows))
        batches = [
            self.golden_rows,
            probe_rows,
            [column.take(near) for column in self.data.columns],
        ]
        precision = "float32" if self.precision == "float32" else "float64"
        step, hint = locate_mismatch(
            self.model, self.data, self.schema, batches, self.original.steps.of, precision
        )
        return ParityError(
            step, error.reason + hint, output=error.output, row=error.row, largest=error.largest
        )

    def _graph(self) -> tuple[Any, Measure]:
        from sidecall.convert import NotConvertible, to_graph
        from sidecall.convert.checks import REFUSED, Checks

        step = type(self.model).__name__
        # What the number in a float32 input of a float32 graph stands for: for itself if the data
        # holds nothing wider than float32, else for a rounded float64.
        narrow = all(column.narrow or column.kind != "float" for column in self.data.columns)
        values = reserved.values(self.schema)
        inputs = [
            (name, "float64" if name in values else dtype, width)
            for name, dtype, width in self.schema.inputs
        ]
        rows = "float32" if narrow or self.precision == "original" else "float64"
        try:
            precision = "float32" if self.precision == "float32" else "float64"
            steps, unused = self.original.steps.of, self.data.left_out
            checks = Checks(self.rules, input_ranges(self.schema))
            graph = to_graph(
                self.model,
                inputs,
                precision=precision,
                rows=rows,
                steps=steps,
                unused=unused,
                checks=checks,
            )
        except NotConvertible as error:
            raise StepError(error.step or step, error.reason) from error
        reserved.prepend(graph, values)
        session = Session(graph, step)
        self.refusing, self.notes = checks.steps, checks.notes
        wanted = [output.name for output in self.original.outputs] + [REFUSED] * bool(self.refusing)
        if session.names != wanted:
            raise StepError(
                step,
                f"expected a graph with outputs {', '.join(wanted)}, got {', '.join(session.names)}",
            )
        for output in self.original.outputs:
            if not output.is_label:
                output.type = session.types[output.name]
        return graph, Measure(
            self.data, self.schema, self.original, session, rounds=self.precision == "float32"
        )

    def _measure(
        self, graph: Any, measure: Measure, probe_rows: list[Column], on_rows: Callable[[int], None]
    ) -> tuple[Parity, Parity, Parity]:
        if len(self.golden_rows[0]):
            declare_shapes(graph, measure.session, measure.schema.tensors(self.golden_rows))
            golden.mark_random(self.golden_rows, measure)
        # Take the cheap measurements first: synthetic rows usually reveal a wrong conversion.
        of_golden = self._held(measure.of_columns(self.golden_rows), "synthetic rows")
        of_probes = self._held(measure.of_columns(probe_rows), "synthetic rows")
        of_data = self._held(
            measure.of_data(on_rows), "synthetic rows" if self.is_synthetic else "the data"
        )
        self.refusals = Refusals(measure, self.refusing)
        self.refusals.judge(self.generator.extremes(self.schema), self.generator.refused())
        if self.refusals.lenient:
            reason = f"the model refuses {self.refusals.lenient} of {self.refusals.rows} rows with extremes, which the converted graph answers"
            raise StepError(type(self.model).__name__, reason)
        return of_data, of_probes, of_golden

    def _held(self, parity: Parity, where: str) -> Parity:
        if parity.refused:
            step, expected = self.refusing[parity.refusing - 1].values()
            reason = f"the converted graph expects {expected} there and refuses {parity.refused} of {parity.rows} rows of {where}"
            raise StepError(step, reason + ", which the model answers")
        if parity.holds:
            return parity
        worst = parity.worst()
        reason = parity.describe(where)
        raise ParityError(
            type(self.model).__name__,
            reason,
            output=worst.name,
            row=worst.first_bad or 0,
            largest=worst.worst_bad,
        )

    def _decide(self) -> None:
        label = next((output for output in self.original.outputs if output.is_label), None)
        if label is None:
            return
        sample = self.original.ask(self.data.original(slice(0, _SAMPLE_ROWS)))
        made_up = (
            self.original.ask(self.data.build(self.golden_rows)) if len(self.golden_rows[0]) else {}
        )
        answers = {
            name: np.concatenate([answer, made_up[name]]) if made_up else answer
            for name, answer in sample.items()
        }
        label.decision = find_decision(self.original, answers)

    def _report(
        self,
        precision: str,
        why: str,
        measure: Measure,
        of_data: Parity,
        of_probes: Parity,
        of_golden: Parity,
    ) -> Report:
        largest = {
            name: max(p.outputs[name].largest for p in (of_data, of_probes, of_golden))
            for name in of_data.outputs
        }
        columns = self.golden_rows
        if self.golden_source == "real":
            rows = np.unique(np.linspace(0, self.data.rows - 1, golden.ROWS).astype(int))
            columns = [column.take(rows) for column in self.data.columns]
        part = (
            golden.none()
            if self.golden_source == "none"
            else golden.verification(self.golden_source, columns, measure, largest)
        )
        parity: dict[str, Any] = {
            "rows": of_data.rows,
            "weak": self.is_synthetic or of_data.rows < WEAK_ROWS,
        }
        parity["outputs"] = [output.as_json() for output in of_data.outputs.values()]
        parity |= {
            "precision": precision,
            "source": "synthetic" if self.is_synthetic else "data",
            "synthetic_rows": of_probes.rows + of_golden.rows,
        }
        for word in ("rounded", "unstable"):
            if (
                count := getattr(of_data, word)
                + getattr(of_probes, word)
                + getattr(of_golden, word)
            ):
                parity[word] = count
        contract = {
            "format": 2,
            "model": {},
            "features": [feature.as_json() for feature in self.schema.features],
            "outputs": [output.as_json() for output in self.original.outputs],
            **({"refused": {"output": "refused", "steps": self.refusing}} if self.refusing else {}),
            "verification": part,
            "parity": parity,
            "versions": artifact.versions(self.model),
        }
        notes = self.data.notes + self.notes
        if self.refusals is not None and self.refusals.strict:
            notes.append(
                f"{self.refusals.strict} rows at the very ends of what the model takes are refused by the file alone: the last digits differ there"
            )
        return Report(None, contract, precision, why, notes=notes)


def about(name: str, version: str, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    created = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about: dict[str, Any] = {
        "name": name,
        "version": version,
        "created": created,
        "task": "",
        "id": "",
    }
    if metadata is not None:
        about["metadata"] = _json_object(metadata)
    return about


def _json_object(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise FileError(f"metadata: expected a JSON object, got {type(metadata).__name__}")
    try:
        golden.dumps(dict(metadata))
    except (TypeError, ValueError) as error:
        raise FileError(
            "metadata: expected a JSON object, got a value that JSON does not hold"
        ) from error
    return dict(metadata)
