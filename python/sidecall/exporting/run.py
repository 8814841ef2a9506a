"""`sidecall.export` writes a model as a file if the answers agree; `sidecall.check` only checks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import artifact, reserved
from .data.columns import Column
from .describe import PROBE_ROWS, SAMPLE_ROWS, Description, about
from .errors import DataError, ModelError, ParityError, StepError
from .inputs.domain import input_ranges
from .layouts import Layout, LayoutFolder
from .model.original import Original
from .parity import golden
from .parity.compare import compare
from .parity.engine import Session, declare_shapes
from .parity.golden import dumps
from .parity.locate_mismatch import locate_mismatch
from .parity.measure import Measure, Parity
from .parity.proof import NativeProof
from .parity.refusals import Refusals
from .pytorch import is_of_torch
from .reports.progress import Progress
from .reports.report import CheckReport, Report, StepRow

_CLASS_HINT = (
    "; register a converter of its class_index too if its predict is not the class with the "
    "largest "
    "score"
)

Golden = Literal["synthetic", "real", "none"]
Precision = Literal["original", "float32"]


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
    classes: Sequence[Any] | None = None,
    epoch: str | Mapping[str, str] | None = None,
    layout: Layout | None = None,
    progress: bool | Callable[[int, int], None] | None = None,
) -> Report:
    """Writes a fitted model as an ONNX file with its contract.

    Checks that the file and the model give the same answers.

    model          a fitted scikit-learn estimator or pipeline, xgboost, lightgbm or catboost model,
                   or a PyTorch module in evaluation mode
    path           where to write the file; it is written whole or not at all. With a layout, the
                   folder to write
    data           representative rows in the types that the model was trained on: a DataFrame (of
                   pandas, polars or pyarrow), an array or a list of text. They decide the types of
                   the features, and parity is measured on them: the more rows, the better. Without
                   data, synthetic numbers are tried, which works only for a model of plain numbers.
                   For a PyTorch module: a tensor, an array or a DataFrame; a tuple of these for
                   several arguments; or a dict of them by the names of the arguments. The first
                   dimension of each is the rows
    name, version  for people and logs; by default the name is the file's stem, or the folder's name
    metadata       a JSON object to store in the contract
    golden         which rows each process verifies when it first opens the file: "synthetic",
                   "real" (rows of `data` are then stored in the file) or "none"
    ranges         False leaves the minimum, maximum and categories of the data out of the file
    dtype          "float32" or "float64", to be used for numbers instead of the type in `data`: one
                   type for all features, or a type for each feature name. A number that a caller
                   passes is rounded once, to this type
    precision      "original": each step computes in the type of the model's own step. "float32":
                   inputs and arithmetic are float32, for a smaller file and shorter calls; the
                   report says how many rows get another answer
    feature_names  names for the columns of an array; otherwise `x0`, `x1`, ...
    classes        only for a PyTorch module with one output [N, classes]: what its columns stand
                   for. The file then has the output `label` as well, the class with the largest
                   number
    epoch          lets records have plain numbers for dates with a time zone, and says what these
                   numbers count since 1970 in UTC: "s", "ms", "us" or "ns", for all such features
                   or by feature name. Without it numbers are refused
    layout         "triton": writes the folder of a model in a model repository of NVIDIA's Triton.
                   For the path "models/fraud" these are models/fraud/config.pbtxt and
                   models/fraud/1/model.onnx. `export_layout` does this with a file that exists
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
    folder = None if layout is None else LayoutFolder(path, layout)
    by_default = target.stem if folder is None else target.name
    identity = about(name if name is not None else by_default, version, metadata)
    if is_of_torch(model):
        from .pytorch.run import refuse_options

        refuse_options({"dtype": (dtype, None), "precision": (precision, "original")})
    elif classes is not None:
        raise DataError("classes: expected None, because the model is not a PyTorch module")
    conversion = _conversion(model, data, feature_names, classes, dtype, ranges, golden, precision)
    described = conversion.described
    if epoch is not None:
        described.schema.set_epoch(epoch)
    with Progress(progress, described.data.rows) as bar:
        report, graph = conversion.convert(bar.advance)
    report.contract["model"] = identity | {"task": described.original.task}
    content, report.id = artifact.seal(graph, dumps(report.contract))
    if folder is None:
        artifact.write(target, content)
    else:
        target = folder.write(content, graph.graph)
    report.path, report.size_bytes, report.seconds = (
        target,
        len(content),
        time.monotonic() - described.started,
    )
    return report


def _conversion(
    model: Any,
    data: Any,
    feature_names: Sequence[str] | None,
    classes: Sequence[Any] | None = None,
    dtype: str | Mapping[str, str] | None = None,
    ranges: bool = True,
    golden: Golden = "synthetic",
    precision: Precision = "original",
) -> Conversion:
    if is_of_torch(model):
        from .pytorch.run import TorchConversion, TorchDescription

        return TorchConversion(
            TorchDescription(model, data, feature_names, ranges, golden, classes)
        )
    return Conversion(Description(model, data, feature_names, dtype, ranges, golden, precision))


def check(
    model: Any,
    data: Any = None,
    *,
    feature_names: Sequence[str] | None = None,
    classes: Sequence[Any] | None = None,
) -> CheckReport:
    """Says which steps of a fitted model can be converted, and why the others cannot.

    With data, the report also says whether the numbers agree. If the model cannot be converted, or
    no contract can describe the data, `check` does not raise an error: `ok` is False and
    `str(report)` says why. Writes no file.
    """
    from sidecall.convert import explain

    is_module = is_of_torch(model)
    original: Any = None if is_module else Original(model)  # raises ModelError for other objects
    result = CheckReport([])
    if data is not None or is_module:
        try:
            conversion = _conversion(model, data, feature_names, classes)
            original = conversion.original
            report, graph = conversion.convert(lambda rows: None)
            report.contract["model"] = about(type(model).__name__, "", None) | {
                "task": original.task
            }
            _, report.id = artifact.seal(graph, dumps(report.contract))
            result.report = report
        except (StepError, DataError, ModelError) as error:
            result.refusal = str(error)
    if is_module:
        kind, refused = type(model).__name__, result.refusal or ""
        result.steps = [StepRow(kind, kind, result.refusal is None, refused.partition("\n")[0])]
        return result
    steps = original.steps
    result.steps = [StepRow(*row) for row in explain(model, steps.examples(), steps.categories)]
    if result.report is not None:  # explain guesses the types of some columns
        result.steps = [StepRow(row.step, row.kind, True, "") for row in result.steps]
    return result


class Conversion:
    """Converts one described model to a graph that gives the same answers."""

    def __init__(self, described: Description) -> None:
        self.described = described
        self.model, self.precision = described.model, described.precision
        self.data, self.schema = described.data, described.schema
        self.original, self.generator = described.original, described.generator
        self.golden_rows = described.golden_rows
        self.refusing: list[dict[str, str]] = []  # the checks in the graph that can refuse a row
        self.notes: list[str] = []  # what converters say about their steps
        self.unproven: list[str] = []  # steps that only the comparison shows to be right

    def convert(self, on_rows: Callable[[int], None]) -> tuple[Report, Any]:
        """Returns a report on how far the graph's answers are from the model's, and the graph.

        Raises StepError.
        """
        probe_rows = self.generator.probe_rows(PROBE_ROWS)
        try:
            graph, measure = self._graph()
            parities = self._measure(measure, probe_rows, on_rows)
        except ParityError as error:
            raise self._located(error, probe_rows) from error
        if self.precision == "float32":
            precision, why = "float32", "as requested"
        elif self.original.steps.any_float32:
            precision, why = "by step", "each step computes in the same type as in the model"
        else:
            precision, why = "float64", "the same as in the model"
        report = self.described.report(
            precision,
            why,
            measure,
            parities,
            refusing=self.refusing,
            notes=self.notes,
        )
        return report, graph

    def _located(self, error: ParityError, probe_rows: list[Column]) -> ParityError:
        """Returns the same error with the step that causes it."""
        from sidecall.convert.output import final_step
        from sidecall.convert.registered import lacks_class_index

        near = np.arange(error.row, min(error.row + SAMPLE_ROWS, self.data.rows))
        batches = [
            self.golden_rows,
            probe_rows,
            [column.take(near) for column in self.data.columns],
        ]
        precision = "float32" if self.precision == "float32" else "float64"
        steps = self.original.steps
        step, hint = locate_mismatch(
            self.model,
            self.data,
            self.schema,
            batches,
            steps.of,
            steps.examples(),
            steps.halves,
            precision,
        )
        if error.output == "label" and lacks_class_index(final_step(self.model)):
            hint += _CLASS_HINT
        return ParityError(
            step, error.reason + hint, output=error.output, row=error.row, largest=error.largest
        )

    def _graph(self) -> tuple[Any, Measure]:
        from sidecall.convert import NotConvertible, to_graph
        from sidecall.convert.checks import REFUSED, Checks

        step = type(self.model).__name__
        # In a float32 graph, an input number is exact if the data has no type wider than float32.
        # Otherwise it is a float64 that was rounded.
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
            checks = Checks(self.described.rules, input_ranges(self.schema))
            row = self.data.original(slice(0, 1))
            examples = {id(self.model): row, **self.original.steps.examples()}
            categories = self.original.categories(self.data.original, self.data.rows)
            graph = to_graph(
                self.model,
                inputs,
                precision=precision,
                rows=rows,
                steps=steps,
                unused=unused,
                checks=checks,
                examples=examples,
                categories=categories,
                dates=self.schema.dates,
            )
        except NotConvertible as error:
            raise StepError(error.step or step, error.reason) from error
        self.schema.restrict(checks.widths)
        reserved.prepend(graph, values)
        session = Session(graph, step)
        self.refusing, self.notes, self.unproven = checks.steps, checks.notes, checks.unproven
        wanted = [output.name for output in self.original.outputs] + [REFUSED] * bool(self.refusing)
        if session.names != wanted:
            raise StepError(
                step,
                f"expected a graph with outputs {', '.join(wanted)}, got "
                f"{', '.join(session.names)}",
            )
        for output in self.original.outputs:
            if not output.is_label:
                output.type = session.types[output.name]
        if len(self.golden_rows[0]):
            declare_shapes(graph, session, self.schema.tensors(self.golden_rows))
        return graph, Measure(
            self.data,
            self.schema,
            self.original,
            session,
            rounds=self.precision == "float32",
            proof=NativeProof(graph),
        )

    def _measure(
        self, measure: Measure, probe_rows: list[Column], on_rows: Callable[[int], None]
    ) -> tuple[Parity, Parity, Parity]:
        if len(self.golden_rows[0]):
            golden.mark_random(self.golden_rows, measure)
            if self.unproven:
                self._require_comparable(measure)
        # Take the cheap measurements first: synthetic rows usually reveal a wrong conversion.
        of_golden = self._held(measure.of_columns(self.golden_rows), "synthetic rows")
        of_probes = self._held(measure.of_columns(probe_rows), "synthetic rows")
        of_data = self._held(
            measure.of_data(on_rows),
            "synthetic rows" if self.described.is_synthetic else "the data",
        )
        refusals = Refusals(measure, self.refusing)
        refusals.judge(self.generator.extremes(self.schema), self.generator.refused())
        if refusals.lenient:
            reason = (
                f"the model refuses {refusals.lenient} of {refusals.rows} rows with extreme "
                "values, which the converted graph answers"
            )
            raise StepError(type(self.model).__name__, reason)
        if refusals.strict:
            why = "the last digits differ there"
            if any(column.dates for column in self.data.columns):
                why += ", or the file does not know the calendar of their dates"
            self.notes.append(
                f"{refusals.strict} rows at the very limits of what the model accepts are refused "
                f"only by the file, because {why}"
            )
        return of_data, of_probes, of_golden

    def _require_comparable(self, measure: Measure) -> None:
        """Refuses steps that the comparison cannot show to be right."""
        for output in self.original.outputs:
            if not output.deterministic:
                raise StepError(
                    self.unproven[0],
                    f"{output.name} changes from one call to the next, "
                    "so nothing shows that the converted step is right",
                )
        tensors = self.schema.tensors(self.golden_rows)
        together = measure.session.run(tensors)
        for row in range(min(len(self.golden_rows[0]), 4)):
            alone = measure.session.run({name: x[row : row + 1] for name, x in tensors.items()})
            of_row = {name: answer[row : row + 1] for name, answer in together.items()}
            if any(found.bad.any() for found in compare(self.original.outputs, of_row, alone)):
                raise StepError(
                    self.unproven[0],
                    "the converted graph computes the answer to a row from other rows of its batch",
                )

    def _held(self, parity: Parity, where: str) -> Parity:
        from sidecall.convert.tracing.columns import ADVICE, NARROW_WORDS

        if parity.refused:
            step, expected = self.refusing[parity.refusing - 1].values()
            reason = (
                f"in this step the converted graph expects {expected} and refuses {parity.refused} "
                f"of {parity.rows} rows of {where}"
            )
            reason += ", which the model answers"
            if expected.startswith(NARROW_WORDS):
                reason += "; its function computes in this type; " + ADVICE
            raise StepError(step, reason)
        return self.described.require_parity(parity, where)
