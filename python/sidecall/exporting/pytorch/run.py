"""Describes and converts a module of PyTorch, in place of a pipeline (describe.py, run.py)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.columns import Column
from ..describe import PROBE_ROWS, Description
from ..errors import DataError, ModelError, ParityError, StepError
from ..inputs.domain import find_domains
from ..inputs.intervals import holds
from ..inputs.probe import probe
from ..inputs.schema import Feature, Schema, missing_value, seen_values
from ..inputs.synthetic import Generator
from ..parity import golden
from ..parity.compare import compare
from ..parity.engine import Session
from ..parity.measure import Measure, Parity
from ..parity.proof import NativeProof
from ..reports.report import Report
from ..run import Conversion
from .checks import require_module, require_packages
from .example import TorchData, read_example
from .graph import to_graph
from .module import TorchOriginal

_SAMPLE = 24  # the features of a wide input whose domains are searched
# Bounds for floats, if the module's own sums overflow beyond them.
_BOUNDS = tuple(float(f"1e{power}") for power in (300, 150, 75, 37, 30, 24, 18, 12, 9, 6))
_MARGIN = 10.0


class TorchDescription(Description):
    original: TorchOriginal
    data: TorchData

    def __init__(
        self,
        module: Any,
        example: Any,
        feature_names: Sequence[str] | None,
        ranges: bool,
        golden_source: str,
        classes: Sequence[Any] | None,
    ) -> None:
        require_packages()
        self.started = time.monotonic()
        self.precision = "original"
        self._take_golden(golden_source, example)
        self.model = module
        self.ranges = ranges
        self.is_synthetic = False
        require_module(module)
        self.data = read_example(example, module, feature_names)
        self.original = TorchOriginal(module, self.data, classes)
        self.original.describe(self.data.original(slice(0, 1000)))
        self.accepts, base = probe(self.data, self.original)
        for acceptance, column in zip(self.accepts, self.data.columns, strict=True):
            acceptance.nullable |= bool(column.missing.any())
        self.schema = _schema(self.data, [a.nullable for a in self.accepts], ranges)
        self.rules = {}
        self._find_domains(base)
        self.generator = Generator(self.data, self.accepts, self.original)
        self.golden_rows = Generator(
            self.data, self.accepts, self.original, seed=1, exact=ranges
        ).golden(golden.ROWS)

    def _find_domains(self, base: list[Column]) -> None:
        """Searches the domains of some features of each input, and gives the others the same."""
        start = 0
        for item in self.data.inputs:
            places = range(start, start + item.width)
            start += item.width
            few = [
                places[k] for k in np.unique(np.linspace(0, item.width - 1, _SAMPLE).astype(int))
            ]
            sample = list(places) if item.width <= 2 * _SAMPLE else few
            find_domains(self.data, self.original, self.schema, self.accepts, base, {}, only=sample)
            if len(sample) < item.width:
                common = _narrowest([self.accepts[i].domain for i in sample])
                for i in places:
                    self.accepts[i].domain = common
            for i in places:
                if self.accepts[i].domain is None and item.limits is not None:
                    self.accepts[i].domain = [item.limits]
                self._set_domain(i, self.accepts[i].domain)

    def _set_domain(self, i: int, domain: Any) -> None:
        """A domain that would leave out a number of the example is not used."""
        if domain is not None and not holds(domain, self.data.columns[i].present()).all():
            domain = None
        self.accepts[i].domain = self.schema.features[i].domain = domain

    def bound(self, limit: float) -> bool:
        """Leaves out floats beyond ±limit. False if the example has such numbers."""
        places = [
            i
            for i, feature in enumerate(self.schema.features)
            if feature.tensor.startswith("float")
        ]
        present = [np.abs(self.data.columns[i].present()).max(initial=0) for i in places]
        if not places or max(present) * _MARGIN > limit:
            return False
        for i in places:
            old = self.accepts[i].domain or [(-np.inf, np.inf)]
            cut = [(max(low, -limit), min(high, limit)) for low, high in old]
            self._set_domain(i, [(low, high) for low, high in cut if low <= high] or old)
        return True


class TorchConversion(Conversion):
    described: TorchDescription

    def convert(self, on_rows: Callable[[int], None]) -> tuple[Report, Any]:
        graph, measure = self._graph()
        probe_rows = self.generator.probe_rows(PROBE_ROWS)
        parities = self._measure(measure, probe_rows, on_rows)
        single = self.original.steps.any_float32
        report = self.described.report(
            "float32" if single else "float64",
            "the same as in the module",
            measure,
            parities,
            notes=self.notes,
        )
        report.contract["versions"] |= _versions()
        if shapes := self._shapes():
            report.contract["shapes"] = shapes
        return report, graph

    def _graph(self) -> tuple[Any, Measure]:
        step = type(self.model).__name__
        graph = to_graph(self.described.original, self.described.data)
        session = Session(graph, step)
        wanted = [(output.name, output.type) for output in self.original.outputs]
        found = [(name, session.types[name]) for name in session.names]
        if found != wanted:
            raise StepError(step, f"expected a graph with outputs {wanted}, got {found}")
        proof = NativeProof(graph)
        return graph, Measure(self.data, self.schema, self.original, session, proof=proof)

    def _measure(
        self, measure: Measure, probe_rows: list[Column], on_rows: Callable[[int], None]
    ) -> tuple[Parity, Parity, Parity]:
        if len(self.golden_rows[0]):
            self._require_free_batch(measure)
        kept = [self._answered(columns) for columns in (self.golden_rows, probe_rows)]
        self.described.golden_rows = kept[0]
        of_golden = self._held(measure.of_columns(kept[0]), "synthetic rows")
        of_probes = self._held(measure.of_columns(kept[1]), "synthetic rows")
        of_data = self._held(measure.of_data(on_rows), "the example")
        self._judge_extremes(measure)
        return of_data, of_probes, of_golden

    def _answered(self, columns: list[Column]) -> list[Column]:
        """Leaves out rows whose answer is not finite, which the file refuses."""
        original = self.described.original
        good = original.finite_answers(original.ask(self.described.data.build(columns)))
        return [column.take(good) for column in columns]

    def _require_free_batch(self, measure: Measure) -> None:
        """The file answers a row alone as in a batch."""
        tensors = self.schema.tensors(self.golden_rows)
        together = measure.session.run(tensors)
        rows = len(self.golden_rows[0])
        for size in (1, 3):
            for start in range(0, min(rows, 4 * size), size):
                part = slice(start, min(start + size, rows))
                alone = measure.session.run({name: x[part] for name, x in tensors.items()})
                same = {name: answer[part] for name, answer in together.items()}
                if any(found.bad.any() for found in compare(self.original.outputs, same, alone)):
                    raise StepError(
                        type(self.model).__name__,
                        "the converted graph computes the answer to a row from other rows of its "
                        "batch",
                    )

    def _judge_extremes(self, measure: Measure) -> None:
        """The file must refuse what the module refuses, also for the largest numbers.

        Sums that overflow in the module may not overflow in the file, which adds in another order
        and has merged some layers. The file then takes only numbers for which no sum overflows.
        """
        rows = _Extremes(self.described, measure)
        bounded = None
        for limit in (None, *_BOUNDS):
            if limit is not None and not self.described.bound(limit):
                continue
            bounded = limit
            found, of_native = rows.judge()
            if found.agrees and of_native.agrees:
                break
        if not found.agrees:
            raise StepError(type(self.model).__name__, found.reason())
        if measure.proof is not None and measure.proof.failure is None and not of_native.agrees:
            measure.proof.failure = of_native.reason()
        if bounded is not None:
            self.notes.append(
                f"numbers beyond ±{bounded:g} are refused, because sums may overflow beyond them"
            )
        if found.strict:
            self.notes.append(
                f"{found.strict} rows with extreme values are refused only by the file"
            )

    def _shapes(self) -> dict[str, list[int]]:
        inputs = {item.name: item.shape for item in self.described.data.inputs}
        outputs = {output.name: output.shape for output in self.described.original.results}
        both = inputs | outputs
        return {name: list(shape) for name, shape in both.items() if len(shape) > 1}

    def _located(self, error: ParityError, probe_rows: list[Column]) -> ParityError:
        return error


@dataclass
class _Found:
    rows: int = 0
    lenient: int = 0  # answered by the file only
    strict: int = 0  # answered by the module only
    wrong: int = 0  # answered by both, but differently

    @property
    def agrees(self) -> bool:
        return not self.lenient and not self.wrong

    def reason(self) -> str:
        if self.lenient:
            return (
                f"the module has no finite answer to {self.lenient} of {self.rows} rows with "
                "extreme values, which the converted graph answers"
            )
        return f"the answers to {self.wrong} of {self.rows} rows with extreme values differ"

    def count(self, original: TorchOriginal, want: Any, got: Any) -> None:
        """Adds a row: the answers of the module and of the file; None is a refusal."""
        answers = got is not None and bool(original.finite_answers(got)[0])
        self.rows += 1
        if want is None:
            self.lenient += answers
        elif not answers:
            self.strict += 1
        else:
            differences = compare(original.outputs, want, got)
            self.wrong += any(bool(item.bad.any()) for item in differences)


class _Extremes:
    """Rows with the ends of what the features take, in one feature or in several."""

    def __init__(self, described: TorchDescription, measure: Measure) -> None:
        self.described, self.measure = described, measure

    def judge(self) -> tuple[_Found, _Found]:
        """Returns what ONNX Runtime and what the native engine answer."""
        described, measure = self.described, self.measure
        columns = described.generator.extremes(described.schema)
        rows = described.data.build(columns)
        tensors = described.schema.tensors(columns)
        found, of_native = _Found(), _Found()
        for row in np.flatnonzero(self._admitted(columns)):
            part = slice(int(row), int(row) + 1)
            one = {name: x[part] for name, x in tensors.items()}
            want, got = _answer(described.original, rows[part]), None
            try:
                got = measure.session.run(one)
            except StepError:  # an index beyond the end of a table
                if measure.proof is not None:
                    measure.proof.expect_error(one)
            found.count(described.original, want, got)
            native = None if measure.proof is None or got is None else measure.proof.run(one)
            if native is not None:
                of_native.count(described.original, want, native)
        return found, of_native

    def _admitted(self, columns: list[Column]) -> np.ndarray:
        """Which rows the features admit; readers refuse the others before the graph runs."""
        result = np.ones(len(columns[0]), dtype=bool)
        for feature, column in zip(self.described.schema.features, columns, strict=True):
            result &= ~column.missing | feature.nullable
            if feature.domain is not None:
                result &= column.missing | holds(feature.domain, column.values)
        return result


def _answer(original: TorchOriginal, row: Any) -> dict[str, np.ndarray] | None:
    try:
        answers = original.ask(row)
    except ModelError:
        return None
    return answers if original.finite_answers(answers).all() else None


def _narrowest(domains: list[Any]) -> Any:
    """The numbers that all of the domains hold, if each of them is one interval."""
    known = [domain for domain in domains if domain is not None]
    if not known:
        return None
    low, high = max(domain[0][0] for domain in known), min(domain[-1][1] for domain in known)
    return [(low, high)] if low <= high and all(len(d) == 1 for d in known) else known[0]


def _schema(data: TorchData, nullable: list[bool], ranges: bool) -> Schema:
    features, position = [], 0
    for item in data.inputs:
        for place, column in enumerate(item.columns):
            features.append(
                Feature(
                    name=column.name,
                    kind=column.kind,
                    type=item.tensor
                    if column.kind == "float"
                    else {"int": "int64", "bool": "bool"}[column.kind],
                    tensor=item.tensor,
                    input=item.name,
                    column=place,
                    nullable=nullable[position],
                    missing=missing_value(column, item.tensor),
                    allowed=None,
                    seen=seen_values(column) if ranges else None,
                )
            )
            position += 1
    return Schema(features, [(item.name, item.tensor, item.width) for item in data.inputs])


def _versions() -> dict[str, str]:
    import importlib.metadata

    return {name: importlib.metadata.version(name) for name in ("torch", "onnxscript")}


def refuse_options(options: dict[str, tuple[Any, Any]]) -> None:
    """Raises DataError for an option that a module does not have; holds value and default."""
    for name, (value, default) in options.items():
        if value != default:
            raise DataError(f"{name}: expected {default!r} for a PyTorch module, got {value!r}")
