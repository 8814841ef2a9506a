"""sidecall.export and sidecall.check: from a fitted model and its data to a file that is known to give the same answers."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import artifact, golden, restore
from .blame import blame
from .columns import Column
from .data import Data, read_data
from .decision import find_decision
from .engine import Session, declare_shapes
from .errors import DataError, FileError, ParityError, StepError
from .invent import invent
from .original import Original
from .parity import Measure, Parity
from .probe import Acceptance, probe
from .progress import Progress
from .report import WEAK_ROWS, CheckReport, Report, StepRow
from .schema import Schema, infer
from .synthetic import Generator

Golden = Literal["synthetic", "real", "none"]
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
    feature_names: Sequence[str] | None = None,
    progress: bool | Callable[[int, int], None] | None = None,
) -> Report:
    """Writes a fitted model as an ONNX file that carries its contract, and measures that both give the same answers.

    model          a fitted scikit-learn estimator or pipeline, xgboost or lightgbm model
    path           where the file goes; written whole or not at all
    data           representative rows as the model was trained on (DataFrame, array, list of text): the more the better. They decide types,
                   precision and parity. Without them synthetic numbers are tried, which only a model of plain numbers allows.
    name, version  for people and logs; the name is the file's stem unless given
    metadata       a JSON object of your own
    golden         where the rows come from that are verified on every open: "synthetic", "real" (rows of `data` then
                   stand in the file) or "none"
    ranges         False leaves minimum, maximum and categories seen out of the file
    dtype          "float32" or "float64", for all or by feature name, where the values themselves do not tell
    feature_names  names for the columns of an array; `x0`, `x1`, ... otherwise
    progress       True or False for a bar; a function (rows done, rows in all); by default a bar where it takes long on a terminal

    Raises ExportError: DataError (names the column), ModelError, StepError (names the step that does not convert),
    ParityError (a StepError: the numbers differ), FileError.

    >>> from sklearn.linear_model import LogisticRegression
    >>> model = LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"])
    >>> report = sidecall.export(model, "tiny.onnx", [[0.0], [1.0]])
    >>> print(report)  # doctest: +SKIP
    """
    target = Path(path)
    described = about(name if name is not None else target.stem, version, metadata)
    job = Job(model, data, feature_names, dtype, ranges, golden)
    with Progress(progress, job.data.rows) as bar:
        report, graph = job.convert(bar.advance)
    report.contract["model"] = described | {"task": job.original.task}
    content = artifact.seal(graph, report.contract)
    artifact.write(target, content)
    report.path, report.size_bytes, report.seconds = target, len(content), time.monotonic() - job.started
    return report


def check(model: Any, data: Any = None, *, feature_names: Sequence[str] | None = None) -> CheckReport:
    """Says which steps of a fitted model convert and which do not, and why; with data also whether the numbers agree.

    Never raises for a model that does not convert: `ok` is False and `str(report)` says why. Writes nothing.
    """
    from sidecall.convert import explain

    Original(model)  # raises ModelError for what is no model at all
    result = CheckReport([StepRow(*row) for row in explain(model)])
    if data is None:
        return result
    try:
        job = Job(model, data, feature_names, None, True, "synthetic")
        report, graph = job.convert(lambda rows: None)
        report.contract["model"] = about(type(model).__name__, "", None) | {"task": job.original.task}
        artifact.seal(graph, report.contract)
        result.report = report
    except StepError as error:
        result.refusal = str(error)
    return result


class Job:
    """Everything that is known of one model and its data on the way to a file, or to a server that keeps the model as it is."""

    def __init__(self, model: Any, data: Any, feature_names: Sequence[str] | None, dtype: Any, ranges: bool, golden_source: str) -> None:
        self.started = time.monotonic()
        if golden_source not in ("synthetic", "real", "none"):
            raise DataError(f"golden: expected 'synthetic', 'real' or 'none', got '{golden_source}'")
        if golden_source == "real" and data is None:
            raise DataError("golden: expected data for 'real' rows, got none")
        self.model = model
        self.golden_source = golden_source
        self.ranges = ranges and data is not None
        self.invented = data is None
        self.original = Original(model)
        self.data: Data = invent(self.original, feature_names) if data is None else read_data(data, model, feature_names)
        self.original.describe(self.data.original(slice(0, _SAMPLE_ROWS)))
        self.accepts: list[Acceptance] = probe(self.data, self.original)
        self.schema: Schema
        self.infer(dtype)
        self.generator = Generator(self.data, self.accepts, self.original)
        self.few = Generator(self.data, self.accepts, self.original, seed=1, exact=ranges).golden(golden.ROWS)
        self._decide()

    def infer(self, dtype: Any) -> None:
        """Features and inputs; `dtype` where the values do not tell."""
        self.schema = infer(self.data, self.accepts, dtype=dtype, ranges=self.ranges)

    def serve(self, session: Any) -> Report:
        """The report of a model that is served as it is; `session` answers tensors as its callers will see it. Raises ParityError where what
        float32 inputs lose changes answers."""
        measure = Measure(self.data, self.schema, self.original, session)
        if len(self.few[0]):
            golden.mark_random(self.few, measure)
        rows = np.unique(np.linspace(0, self.data.rows - 1, _SAMPLE_ROWS).astype(int))
        of_few = self._held(measure.of_columns(self.few), "synthetic rows")
        of_many = self._held(measure.of_columns(self.generator.many(_SYNTHETIC_ROWS)), "synthetic rows")
        of_data = self._held(measure.of_columns([column.take(rows) for column in self.data.columns]), "the data")
        return self._report("original", "not converted", measure, of_data, of_many, of_few)

    def convert(self, on_rows: Callable[[int], None]) -> tuple[Report, Any]:
        """The graph of the lowest precision at which parity holds. Raises StepError."""
        refusal: StepError | None = None
        why = "parity holds"
        many = self.generator.many(_SYNTHETIC_ROWS)
        restorable = restore.places(self.schema)
        attempts: list[tuple[str, dict[str, list[int | None]]]] = [("float32", {}), ("float64", {})]
        if restorable:
            attempts.append(("float64", restorable))
        for precision, places in attempts:
            try:
                graph, measure = self._graph(precision, places)
                of_data, of_many, of_few = self._measure(graph, measure, many, on_rows)
            except StepError as error:
                # The reason at the lower precision is the one to act on, unless the higher one gets further.
                refusal = refusal if refusal is not None and not isinstance(error, ParityError) else error
                why = f"float32 is not enough: {error.reason}" if precision == "float32" else why
                continue
            if places:
                why += "; the decimals of float32 inputs are restored inside"
            return self._report(precision, why, measure, of_data, of_many, of_few), graph
        assert refusal is not None
        raise self._blamed(refusal, many) if isinstance(refusal, ParityError) else refusal

    def _blamed(self, error: ParityError, many: list[Column]) -> ParityError:
        """The same refusal, of the step that it comes from."""
        near = np.arange(error.row, min(error.row + _SAMPLE_ROWS, self.data.rows))
        batches = [self.few, many, [column.take(near) for column in self.data.columns]]
        step, hint = blame(self.model, self.data, self.schema, batches)
        return ParityError(step, error.reason + hint, output=error.output, row=error.row, largest=error.largest)

    def _graph(self, precision: str, places: dict[str, list[int | None]]) -> tuple[Any, Measure]:
        from sidecall.convert import NotConvertible, to_graph

        step = type(self.model).__name__
        # What a float32 input stands for: itself where the data holds nothing finer, else the rounding of a float64.
        narrow = all(column.narrow or column.kind != "float" for column in self.data.columns)
        reserved = restore.reserved(self.schema)
        inputs = [(name, "float64" if name in places or name in reserved else dtype, width) for name, dtype, width in self.schema.inputs]
        try:
            graph = to_graph(self.model, inputs, precision=precision, rows="float32" if narrow else "float64")
        except NotConvertible as error:
            raise StepError(error.step or step, error.reason) from error
        restore.prepend(graph, places, reserved)
        session = Session(graph, step)
        wanted = [output.name for output in self.original.outputs]
        if session.names != wanted:
            raise StepError(step, f"expected a graph with outputs {', '.join(wanted)}, got {', '.join(session.names)}")
        for output in self.original.outputs:
            if not output.is_label:
                output.type = session.types[output.name]
        return graph, Measure(self.data, self.schema, self.original, session)

    def _measure(self, graph: Any, measure: Measure, many: list[Column], on_rows: Callable[[int], None]) -> tuple[Parity, Parity, Parity]:
        if len(self.few[0]):
            declare_shapes(graph, measure.session, measure.schema.tensors(self.few))
            golden.mark_random(self.few, measure)
        # What is cheap first: a wrong conversion is mostly wrong on made-up rows already.
        of_few = self._held(measure.of_columns(self.few), "synthetic rows")
        of_many = self._held(measure.of_columns(many), "synthetic rows")
        of_data = self._held(measure.of_data(on_rows), "synthetic rows" if self.invented else "the data")
        return of_data, of_many, of_few

    def _held(self, parity: Parity, where: str) -> Parity:
        if parity.holds:
            return parity
        worst = parity.worst()
        reason = parity.describe(where)
        if parity.rounded and any(feature.tensor == "float32" for feature in self.schema.features):
            reason += '; dtype="float64" gives the model inputs that hold these values'
        raise ParityError(type(self.model).__name__, reason, output=worst.name, row=worst.first_bad or 0, largest=worst.worst_bad)

    def _decide(self) -> None:
        label = next((output for output in self.original.outputs if output.is_label), None)
        if label is None:
            return
        sample = self.original.ask(self.data.original(slice(0, _SAMPLE_ROWS)))
        made_up = self.original.ask(self.data.build(self.few)) if len(self.few[0]) else {}
        answers = {name: np.concatenate([answer, made_up[name]]) if made_up else answer for name, answer in sample.items()}
        label.decision = find_decision(self.original, answers)

    def _report(self, precision: str, why: str, measure: Measure, of_data: Parity, of_many: Parity, of_few: Parity) -> Report:
        largest = {name: max(p.outputs[name].largest for p in (of_data, of_many, of_few)) for name in of_data.outputs}
        columns = self.few
        if self.golden_source == "real":
            rows = np.unique(np.linspace(0, self.data.rows - 1, golden.ROWS).astype(int))
            columns = [column.take(rows) for column in self.data.columns]
        part = golden.none() if self.golden_source == "none" else golden.verification(self.golden_source, columns, measure, largest)
        parity: dict[str, Any] = {"rows": of_data.rows, "weak": self.invented or of_data.rows < WEAK_ROWS}
        parity["outputs"] = [output.as_json() for output in of_data.outputs.values()]
        parity |= {"precision": precision, "source": "synthetic" if self.invented else "data", "synthetic_rows": of_many.rows + of_few.rows}
        if of_data.rounded:
            parity["rounded"] = of_data.rounded
        contract = {
            "format": 1,
            "model": {},
            "features": [feature.as_json() for feature in self.schema.features],
            "outputs": [output.as_json() for output in self.original.outputs],
            "verification": part,
            "parity": parity,
            "versions": artifact.versions(self.model),
        }
        return Report(None, contract, precision, why, notes=list(self.data.notes))


def about(name: str, version: str, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    created = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about: dict[str, Any] = {"name": name, "version": version, "created": created, "task": "", "id": ""}
    if metadata is not None:
        about["metadata"] = _json_object(metadata)
    return about


def _json_object(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise FileError(f"metadata: expected a JSON object, got {type(metadata).__name__}")
    try:
        golden.dumps(dict(metadata))
    except (TypeError, ValueError) as error:
        raise FileError("metadata: expected a JSON object, got a value that JSON does not hold") from error
    return dict(metadata)
