"""Functions as services: over one record, over many records, or over arrays.

The inputs and outputs follow from type hints, from data, from a contract, or from shapes that the
caller of `serve` passes, such as "float32[N,30]".
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sidecall import errors
from sidecall._file_contract import FORMAT

from .estimators import Answer, converted
from .hints import (
    Answers,
    Features,
    answers_of_hints,
    defaults_of,
    features_of_hints,
    first_hint,
    is_over_arrays,
    is_over_many,
    scalar_of,
)
from .rows import Records, places_of
from .samples import answers_of_sample, features_of_records, golden_rows, is_missing
from .service import Service

_TENSOR = re.compile(r"(?P<dtype>\w+)\[(?P<dims>[^\]]*)\]")


class RecordFunction:
    """A function over records, called with tensors."""

    def __init__(
        self,
        function: Callable[..., Any],
        form: str,
        features: list[dict[str, Any]],
        outputs: list[dict[str, Any]],
    ) -> None:
        self.function, self.form = function, form
        self.columns = [Column(output, only=len(outputs) == 1) for output in outputs]
        self.rows = Records(places_of(features, input_names(features)))
        self.defaults = _defaults(function, features)

    def __call__(self, *tensors: np.ndarray) -> tuple[np.ndarray, ...]:
        return self.answer(self.rows(tensors))

    def answer(self, records: list[dict[str, Any]]) -> tuple[np.ndarray, ...]:
        records = _filled(records, self.defaults)
        if self.form == "many":
            answers = list(self.function(records))
            if len(answers) != len(records):
                raise errors.Engine(
                    f"the served function: expected one answer for each of {len(records)} records, got {len(answers)}"
                )
        elif self.form == "keywords":
            answers = [self.function(**record) for record in records]
        else:
            answers = [self.function(record) for record in records]
        return tuple([column(answers) for column in self.columns])


class ArrayFunction:
    """A function over arrays, for which the caller of `serve` passed types and shapes.

    The function may return a dict with the outputs by name.
    """

    def __init__(self, function: Callable[..., Any], outputs: dict[str, str]) -> None:
        self.function = function
        self.outputs = [Answer(name, "", dtype, None) for name, dtype in outputs.items()]

    def __call__(self, *tensors: np.ndarray) -> tuple[Any, ...]:
        answer: Any = self.function(*tensors)
        if type(answer) is not tuple:
            answer = self._in_order(answer)
        if len(answer) != len(self.outputs):
            raise errors.Engine(
                f"the served function: expected {len(self.outputs)} outputs, got {len(answer)}"
            )
        return tuple(
            [_cast(value, output) for value, output in zip(answer, self.outputs, strict=True)]
        )

    def _in_order(self, answer: Any) -> tuple[Any, ...]:
        if not isinstance(answer, Mapping):
            return answer if isinstance(answer, tuple) else (answer,)
        absent = [output.name for output in self.outputs if output.name not in answer]
        if absent:
            raise errors.Engine(
                f"output '{absent[0]}': expected an array in the returned dict, got a dict without it"
            )
        return tuple(answer[output.name] for output in self.outputs)


def service_of_function(
    function: Callable[..., Any],
    *,
    data: Any = None,
    contract: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    about: Mapping[str, Any],
) -> Service:
    """Makes the service of a function.

    Raises sidecall.errors.ContractInvalid if the inputs or the outputs cannot be determined.
    """
    if inputs is not None or outputs is not None:
        return _over_arrays(function, inputs, outputs)
    if is_over_arrays(function):
        raise errors.ContractInvalid(
            'inputs, outputs: expected the tensors of a function over arrays, such as inputs={"X": "float32[N,30]"}, outputs={"y": "float32[N]"}, got None'
        )
    if contract is not None:
        return Service(
            RecordFunction(function, _form(function), contract["features"], contract["outputs"]),
            None,
            json.dumps(contract),
        )
    records = None if data is None else records_of(data)
    hinted = features_of_hints(function)
    features = hinted if hinted is not None else features_of_records(records)
    form = _form(function)
    answers: Answers | None = answers_of_hints(function)
    if answers is None:
        sample = None if records is None else _filled(records, _defaults(function, features))
        answers = answers_of_sample(function, form, sample)
    for name in {feature["input"] for feature in features} & {output["name"] for output in answers}:
        _rename_input(features, name, answers)
    served = RecordFunction(function, form, features, answers)
    made = {"format": FORMAT, "model": dict(about), "features": features, "outputs": answers}
    if records is not None:
        made["verification"] = golden_rows(served, features, answers, records)
    return Service(served, None, json.dumps(made, ensure_ascii=False, allow_nan=False))


def input_names(features: list[dict[str, Any]]) -> list[str]:
    """Returns the names of the tensors, in the order in which the features mention them."""
    return list(dict.fromkeys(feature["input"] for feature in features))


def records_of(data: Any) -> list[dict[str, Any]]:
    """Converts a list of dicts or a DataFrame to a list of dicts with None for missing values."""
    if hasattr(data, "to_dict") and hasattr(data, "columns"):
        data = data.to_dict("records")
    if isinstance(data, Sequence) and data and all(isinstance(record, Mapping) for record in data):
        return [
            {name: None if is_missing(value) else value for name, value in record.items()}
            for record in data
        ]
    raise errors.ContractInvalid(
        f"data: expected records (dicts) or a DataFrame for a function over records, got {type(data).__name__}"
    )


def _defaults(function: Callable[..., Any], features: Features) -> dict[str, Any]:
    names = {feature["name"] for feature in features}
    return {name: value for name, value in defaults_of(function).items() if name in names}


def _filled(records: list[dict[str, Any]], defaults: dict[str, Any]) -> list[dict[str, Any]]:
    """Replaces missing values by defaults."""
    if not defaults:
        return records
    return [
        record | {name: value for name, value in defaults.items() if is_missing(record.get(name))}
        for record in records
    ]


def _form(function: Callable[..., Any]) -> str:
    if is_over_many(function):
        return "many"
    parameters = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    needed = [p for p in parameters if p.default is p.empty]
    return (
        "one"
        if len(needed) == 1 and len(parameters) == 1 and scalar_of(first_hint(function)) is None
        else "keywords"
    )


def _rename_input(features: Features, name: str, answers: Answers) -> None:
    taken = {feature["name"] for feature in features} | {output["name"] for output in answers}
    fresh = name + "_input"
    while fresh in taken:
        fresh += "_"
    for feature in features:
        if feature["input"] == name:
            feature["input"] = fresh


def _over_arrays(
    function: Callable[..., Any],
    inputs: Mapping[str, str] | None,
    outputs: Mapping[str, str] | None,
) -> Service:
    if not inputs or not outputs:
        raise errors.ContractInvalid(
            "inputs, outputs: expected at least one tensor in each, got none in one of them"
        )
    signature = {
        "inputs": [_tensor(name, text) for name, text in inputs.items()],
        "outputs": [_tensor(name, text) for name, text in outputs.items()],
    }
    dtypes = {entry["name"]: entry["dtype"] for entry in signature["outputs"]}
    return Service(ArrayFunction(function, dtypes), json.dumps(signature, ensure_ascii=False), None)


def _tensor(name: str, text: str) -> dict[str, Any]:
    """Parses "float32[N,30]". A free dimension is a name or "?"."""
    match = _TENSOR.fullmatch(text.replace(" ", ""))
    if match is None:
        raise errors.ContractInvalid(
            f"tensor '{name}': expected a type and dimensions such as float32[N,30], got '{text}'"
        )
    parts = [part for part in match["dims"].split(",") if part]
    dims = [int(part) if part.isdigit() else -1 for part in parts]
    names = ["" if part.isdigit() or part == "?" else part for part in parts]
    return {"name": name, "dtype": match["dtype"], "dims": dims, "dim_names": names}


class Column:
    """Makes the tensor of one output from the answers of a function over records."""

    def __init__(self, output: dict[str, Any], only: bool) -> None:
        self.tensor, self.only = Answer(output["name"], "", output["type"], None), only
        self.keys = output.get("classes") if output["role"] != "label" else None

    def __call__(self, answers: list[Any]) -> np.ndarray:
        values = [self._member(answer) for answer in answers]
        if self.keys is not None:
            values = [[self._entry(value, key) for key in self.keys] for value in values]
        return _cast(
            np.array(values, dtype=object if self.tensor.dtype == "string" else None), self.tensor
        )

    def _member(self, answer: Any) -> Any:
        name = self.tensor.name
        if isinstance(answer, Mapping):
            if name in answer:
                return answer[name]
        elif hasattr(answer, "__dataclass_fields__") or hasattr(answer, "_fields"):
            return getattr(answer, name)
        elif self.only:
            return answer
        raise errors.Engine(
            f"output '{name}': expected a value in every answer, got an answer without it"
        )

    def _entry(self, value: Any, key: Any) -> Any:
        if isinstance(value, Mapping) and key in value:
            return value[key]
        raise errors.Engine(
            f"output '{self.tensor.name}': expected a value for each class, got an answer without a value for one of them"
        )


def _cast(value: Any, output: Answer) -> np.ndarray:
    array = value if type(value) is np.ndarray else np.asarray(value)
    if output.dtype == "string":
        bad = next((item for item in array.reshape(-1).tolist() if not isinstance(item, str)), None)
        if bad is not None:
            raise errors.Engine(
                f"output '{output.name}': expected string, got {type(bad).__name__}"
            )
        return array.astype(object)
    return array if array.dtype == output.numpy else converted(array, output)
