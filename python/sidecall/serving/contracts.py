"""Makes the contract of an estimator that is served without conversion.

The contract is made as at export; the answers of its golden rows come from the estimator itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sidecall.exporting.data.columns import Column
from sidecall.exporting.data.containers import Data
from sidecall.exporting.describe import PROBE_ROWS, SAMPLE_ROWS, Description, about
from sidecall.exporting.inputs.schema import Feature, Schema
from sidecall.exporting.parity.golden import mark_random
from sidecall.exporting.parity.measure import Measure, Parity
from sidecall.exporting.reports.report import Report

from . import rows
from .estimators import Answer, Estimator
from .service import Service


def service_of(
    model: Any,
    data: Any,
    *,
    name: str,
    version: str = "",
    metadata: Mapping[str, Any] | None = None,
    golden: str = "synthetic",
    ranges: bool = True,
    dtype: Any = None,
    feature_names: Sequence[str] | None = None,
) -> Service:
    """Makes the service.

    Raises the errors of `sidecall.export`, except those about steps that cannot be converted.
    """
    described = Description(model, data, feature_names, dtype, ranges, golden)
    sample = described.original.ask(described.data.original(slice(0, 100)))
    for output in described.original.outputs:
        if not output.is_label:
            output.type = _type_of(sample[output.name])
    served = _Served(described)
    report = _report(described, served)
    contract = report.contract
    contract["model"] = about(name, version, metadata) | {"task": described.original.task}
    contract["model"]["id"] = _identity(model, contract)
    return Service(
        served.estimator,
        signature_text(described.schema, served.estimator.answers),
        json.dumps(contract, ensure_ascii=False),
        is_repeatable=True,
    )


def _report(described: Description, served: _Served) -> Report:
    """Compares what callers will get with what the model answers. Raises ParityError."""
    measure = Measure(described.data, described.schema, described.original, served)
    if len(described.golden_rows[0]):
        mark_random(described.golden_rows, measure)
    rows = np.unique(np.linspace(0, described.data.rows - 1, SAMPLE_ROWS).astype(int))

    def parity(columns: list[Column], where: str) -> Parity:
        return described.require_parity(measure.of_columns(columns), where)

    of_golden = parity(described.golden_rows, "synthetic rows")
    of_probes = parity(described.generator.probe_rows(PROBE_ROWS), "synthetic rows")
    of_data = parity([column.take(rows) for column in described.data.columns], "the data")
    return described.report("original", "not converted", measure, (of_data, of_probes, of_golden))


class _Served:
    """Takes the place of export's Session: for the same tensors, it answers as the server will."""

    def __init__(self, described: Description) -> None:
        answers = [_answer(output) for output in described.original.outputs]
        label = described.original.outputs[0]
        if label.decision == {
            "rule": "argmax",
            "output": "probabilities",
        } and _decides_by_probability(described.model):
            answers[0].classes = label.classes
        self.estimator = Estimator(
            described.model, row_builder(described.data, described.schema), answers
        )
        self.inputs = [name for name, _, _ in described.schema.inputs]

    def run(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        from sidecall.exporting.model.original import quiet

        with quiet():
            results = self.estimator(*(tensors[name] for name in self.inputs))
        return {
            answer.name: result[:, 0] if result.ndim == 2 and result.shape[1] == 1 else result
            for answer, result in zip(self.estimator.answers, results, strict=True)
        }


def row_builder(data: Data, schema: Schema) -> Any:
    """Returns a callable that makes rows of the kind used in training from a request's tensors."""
    inputs = [name for name, _, _ in schema.inputs]
    places = [_place(feature, inputs) for feature in schema.features]
    if data.layout == "text":
        return rows.Text(places[0], data.sentinels[0])
    if data.layout == "frame":
        from .frames import Frame

        return Frame(places, data.original(slice(0, 0)), list(data.sentinels))
    array: Any = data.original(slice(0, 0))
    if array.dtype.kind in "fiub":
        return rows.Matrix(array.dtype)
    return rows.Objects(places, list(data.sentinels))


def _place(feature: Feature, inputs: list[str]) -> rows.Place:
    missing = feature.missing if feature.nullable else None
    reserved = missing["value"] if isinstance(missing, dict) else None
    entry = feature.as_json()
    return rows.Place(
        feature.name,
        feature.kind,
        inputs.index(feature.input),
        feature.column,
        reserved,
        entry.get("unit", ""),
        entry.get("zone"),
    )


def _answer(output: Any) -> Answer:
    by_class = output.name != "label" and output.classes is not None
    width = len(output.classes) if by_class else output.width
    return Answer(output.name, output.method, output.type, width)


# Classifiers whose `predict` returns the class of the largest probability. Others, such as SVC, may
# decide differently in rows that no sample contains.
_BY_PROBABILITY = {
    "sklearn": {
        "DecisionTreeClassifier",
        "ExtraTreeClassifier",
        "ExtraTreesClassifier",
        "GaussianNB",
        "GradientBoostingClassifier",
        "HistGradientBoostingClassifier",
        "KNeighborsClassifier",
        "LogisticRegression",
        "LogisticRegressionCV",
        "MLPClassifier",
        "RandomForestClassifier",
    },
    "lightgbm": {"LGBMClassifier"},
    "xgboost": {"XGBClassifier"},
}


def _decides_by_probability(model: Any) -> bool:
    while type(model).__module__.startswith(("sklearn.", "imblearn.")):
        if type(model).__name__ == "Pipeline":
            model = model.steps[-1][1]
        elif type(model).__name__ in ("GridSearchCV", "RandomizedSearchCV"):
            model = model.best_estimator_
        else:
            break
    return type(model).__name__ in _BY_PROBABILITY.get(type(model).__module__.split(".")[0], ())


def _type_of(answer: np.ndarray) -> str:
    kind = answer.dtype.kind
    if kind == "f":
        return "float32" if answer.dtype.itemsize <= 4 else "float64"
    return {"i": "int64", "u": "int64", "b": "bool"}.get(kind, "string")


def signature_text(schema: Schema, answers: list[Answer]) -> str:
    """Returns the tensors as JSON for the first line of a signature: see shm/PROTOCOL.md."""
    inputs = [
        {"name": name, "dtype": dtype, "dims": [-1, width], "dim_names": ["N", ""]}
        for name, dtype, width in schema.inputs
    ]
    outputs = [
        {
            "name": answer.name,
            "dtype": answer.dtype,
            "dims": [-1] if answer.width is None else [-1, answer.width],
            "dim_names": ["N"] if answer.width is None else ["N", ""],
        }
        for answer in answers
    ]
    return json.dumps({"inputs": inputs, "outputs": outputs}, ensure_ascii=False)


def _identity(model: Any, contract: dict[str, Any]) -> str:
    """Returns the id: the SHA-256 of the pickled model.

    If the model cannot be pickled, the id is the SHA-256 of the features, the outputs and the
    golden rows in the contract.
    """
    import pickle

    try:
        content = pickle.dumps(model)
    except Exception:  # an object may raise any exception when it is pickled
        content = json.dumps(
            [contract["features"], contract["outputs"], contract["verification"]], sort_keys=True
        ).encode()
    return hashlib.sha256(content).hexdigest()
