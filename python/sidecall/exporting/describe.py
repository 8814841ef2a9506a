"""Describes a fitted model and its data.

Used both to export a model and to serve it unchanged.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sidecall._file_contract import FORMAT

from . import artifact
from .data.containers import Data, read_data
from .data.synthetic_data import synthetic_data
from .errors import DataError, FileError, ParityError
from .inputs.domain import find_domains
from .inputs.probe import probe
from .inputs.rules import find_rules
from .inputs.schema import Schema, infer
from .inputs.synthetic import Generator
from .model.original import Original
from .parity import golden
from .parity.decision import find_decision
from .parity.measure import Measure, Parity
from .reports.report import WEAK_ROWS, Report

SAMPLE_ROWS = 1000
PROBE_ROWS = 500


class Description:
    """Everything that is found out about a model and its data before anything is converted.

    data, schema   the rows, and the features and input tensors that they make
    original       the model: its outputs and its answers
    generator      makes rows that the model accepts
    golden_rows    the rows that a process verifies when it first opens the file
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
                "dtype: expected None with precision 'float32', which makes all inputs float32"
            )
        self.precision = precision
        self._take_golden(golden_source, data)
        self.model = model
        self.ranges = ranges and data is not None
        self.is_synthetic = data is None
        self.original = Original(model)
        self.data: Data = (
            synthetic_data(self.original, feature_names)
            if data is None
            else read_data(data, model, feature_names)
        )
        self.original.describe(self.data.original(slice(0, SAMPLE_ROWS)))
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

    def _take_golden(self, source: str, data: Any) -> None:
        if source not in ("synthetic", "real", "none"):
            raise DataError(f"golden: expected 'synthetic', 'real' or 'none', got '{source}'")
        if source == "real" and data is None:
            raise DataError("golden: expected data for 'real' rows, got data=None")
        self.golden_source = source

    def require_parity(self, parity: Parity, where: str) -> Parity:
        """Returns `parity` if the answers agree. Raises ParityError otherwise."""
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
        sample = self.original.ask(self.data.original(slice(0, SAMPLE_ROWS)))
        golden_answers = (
            self.original.ask_columns(self.data, self.golden_rows)
            if len(self.golden_rows[0])
            else {}
        )
        answers = {
            name: np.concatenate([answer, golden_answers[name]]) if golden_answers else answer
            for name, answer in sample.items()
        }
        label.decision = find_decision(self.original, answers)

    def report(
        self,
        precision: str,
        why: str,
        measure: Measure,
        parities: tuple[Parity, Parity, Parity],
        *,
        refusing: Sequence[dict[str, str]] = (),
        notes: Sequence[str] = (),
    ) -> Report:
        """Returns the report. Its contract lacks only the part `model`, which the caller adds.

        parities   of the data, of probe rows and of the golden rows
        refusing   the checks in the graph that can refuse a row
        """
        of_data, of_probes, of_golden = parities
        proof = measure.proof
        largest = {
            name: max(
                0.0 if proof is None else proof.largest(name),
                *(p.outputs[name].largest for p in (of_data, of_probes, of_golden)),
            )
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
        versions = artifact.versions(self.model)
        contract = {
            "format": FORMAT,
            "model": {},
            "features": [feature.as_json() for feature in self.schema.features],
            "outputs": [output.as_json() for output in self.original.outputs],
            **({"refused": {"output": "refused", "steps": list(refusing)}} if refusing else {}),
            "verification": part,
            "parity": parity,
            "versions": versions,
        }
        if proof is not None:
            engines = {"onnxruntime": versions["onnxruntime"]}
            if proof.failure is None:
                engines["native"] = proof.version
            contract["engines"] = engines
        not_native = None if proof is None else proof.failure
        all_notes = [*self.data.notes, *notes]
        return Report(None, contract, precision, why, not_native=not_native, notes=all_notes)


def about(name: str, version: str, metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    created = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about: dict[str, Any] = {
        "name": name,
        "version": version,
        "created": created,
        "task": "",
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
            "metadata: expected a JSON object, got a value that JSON cannot represent"
        ) from error
    return dict(metadata)
