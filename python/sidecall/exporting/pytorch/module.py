"""The module as the reference: what it takes, its outputs, its answers."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch

from ..errors import DataError, ModelError
from ..inputs.schema import OUTPUT_NAMES
from ..model.original import Original, Output
from .checks import computes_in_float32, message, require_module, word
from .example import Input, Rows, TorchData

_BATCH = 1000  # rows that the module answers at once
_OTHER_BATCHES = (1, 2, 3, 7)
_MOST_COLUMNS = 2**20  # a limit of the contract, for all outputs together
# The rows of probabilities sum to 1 up to this.
_SUM = 1e-4
_RESERVED = OUTPUT_NAMES - {"scores", "prediction", "transformed", "distances", "indices"}


class TorchOutput(Output):
    """An output whose name may differ from its role. `shape` is that of one row in the module."""

    given_role: str = "prediction"
    shape: tuple[int, ...] = ()

    @property
    def role(self) -> str:
        return self.given_role


class Calculation:
    """What the export asks about the steps of a model. A module is one step."""

    def __init__(self, any_float32: bool) -> None:
        self.any_float32 = any_float32
        self.holds_xgboost = False
        self.of: dict[int, str] = {}
        self.given: dict[int, Any] = {}
        self.categories: dict[int, Any] = {}

    def examples(self) -> dict[int, Any]:
        return {}

    def bools_of_functions(self) -> set[str]:
        return set()


class TorchOriginal(Original):
    """A module of PyTorch in evaluation mode.

    `classes` are the labels of the columns of its only output, or None. The module then has the
    output `label` as well: the class with the largest score, the first one if several are equal.
    """

    def __init__(self, module: Any, data: TorchData, classes: Sequence[Any] | None) -> None:
        require_module(module)
        self.model = module
        self.data = data
        self.labels = None if classes is None else list(classes)
        self.task = "regression" if classes is None else "classification"
        self.outputs: list[Any] = []
        self.results: list[TorchOutput] = []  # the outputs that the module itself computes
        sample = data.original(slice(0, _BATCH))
        self.steps: Any = Calculation(computes_in_float32(module, sample.tensors))
        self._state = _versions_of(module)

    def call(self, tensors: Sequence[Any]) -> Any:
        """Calls the module itself."""
        return call(self.model, self.data.inputs, tensors)

    def describe(self, rows: Rows) -> None:
        """Finds the outputs. Raises ModelError if the module cannot be exported."""
        answers = self._first(rows)
        self.results = [_output(name, answer, len(rows)) for name, answer in answers.items()]
        if sum(output.width or 1 for output in self.results) > _MOST_COLUMNS:
            raise ModelError(f"expected at most {_MOST_COLUMNS} numbers for a row in all outputs")
        self.outputs = list(self.results)
        for output in self.outputs:
            output.computed_in = "float32" if self.steps.any_float32 else "float64"
        if self.labels is not None:
            self._add_label(self._ask_once(rows))
        self._require_free_batch(rows)
        self._note_finite(rows)

    def _first(self, rows: Rows) -> dict[str, Any]:
        try:
            return self._named(self.call(rows.tensors))
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"the module fails on the example: {message(error)}") from error

    def _named(self, answer: Any) -> dict[str, Any]:
        """Returns the tensors of the module's answer, with the names of the outputs."""
        named = _parts(answer)
        for name, part in named.items():
            if not isinstance(part, torch.Tensor):
                raise ModelError(
                    f"expected a module that returns tensors, got {type(part).__name__} in "
                    f"output '{name}'"
                )
            if part.is_complex() or part.is_quantized or part.layout != torch.strided:
                kind = word(part.dtype if part.layout == torch.strided else part.layout)
                raise ModelError(f"output '{name}': expected a plain tensor, got {kind}")
        return named

    def _add_label(self, answers: dict[str, np.ndarray]) -> None:
        labels = self.labels or []
        types = {type(label) for label in labels}
        if len(set(labels)) != len(labels) or len(types) != 1 or types - {str, int, bool}:
            raise DataError(
                "classes: expected different labels that are all strings, integers or booleans"
            )
        widths = [output.width for output in self.results]
        if widths != [len(labels)] or self.results[0].type not in ("float32", "float64"):
            shown = ", ".join(f"[N, {width}]" if width else "[N]" for width in widths)
            raise DataError(
                f"classes: expected a module with one output of floats [N, {len(labels)}], "
                f"a score for each class, got {shown}"
            )
        (scores,) = self.results
        numbers = answers[scores.name].astype(np.float64)
        sums_to_1 = np.abs(numbers.sum(axis=1) - 1) < _SUM
        scores.name = "probabilities" if (numbers >= 0).all() and sums_to_1.all() else "scores"
        scores.given_role, scores.classes, scores.width = scores.name, labels, None
        label = TorchOutput("label", "forward", classes=labels)
        label.given_role = "label"
        label.type = {str: "string", int: "int64", bool: "bool"}[types.pop()]
        label.decision = {"rule": "argmax", "output": scores.name}
        self.outputs = [label, scores]

    def _require_free_batch(self, rows: Rows) -> None:
        """Raises ModelError if a row's answer changes between calls, or with its batch."""
        first, again = self._ask_once(rows), self._ask_once(rows)
        if _differ(first, again):
            raise ModelError(
                "the module's answers change from one call to the next, "
                "so nothing can show that a file is right"
            )
        few = rows[: max(_OTHER_BATCHES) * 2]
        for size in _OTHER_BATCHES:
            try:
                parts = [self._ask_once(few[k : k + size]) for k in range(0, len(few), size)]
            except ModelError as error:
                raise ModelError(
                    f"the module answers a batch of {len(rows)} rows and fails on batches of "
                    f"{size}: its first dimension must be free ({_reason(error)})"
                ) from error
            joined = {name: np.concatenate([part[name] for part in parts]) for name in first}
            if _differ({name: answer[: len(few)] for name, answer in first.items()}, joined, 1e-3):
                raise ModelError(
                    "the module's answer to a row depends on the other rows of its batch"
                )
        if self._state != _versions_of(self.model):
            raise ModelError(
                "the module changes its own parameters or buffers when it is called, "
                "and a file cannot"
            )

    def _note_finite(self, rows: Rows) -> None:
        """An answer that is not finite counts as no answer, if the example has finite ones only."""
        answers = self.ask(self.data.original(slice(None)))
        for output in self.outputs:
            numbers = answers[output.name]
            output.finite = numbers.dtype.kind == "f" and bool(np.isfinite(numbers).all())

    def refusal(self, rows: Rows) -> Exception | None:
        accepted = self.accepted(rows, len(rows))
        is_answered = accepted is not None and bool(accepted.all())
        return None if is_answered else ModelError("the module does not answer")

    def accepted(self, rows: Rows, count: int) -> np.ndarray | None:
        """Returns which rows the module answers; None if it raises an error for the whole batch.

        A row with an infinity or NaN counts as refused if the answer has one too. A row of finite
        numbers counts as answered even if a sum overflows: the export judges the largest numbers
        later, all features together.
        """
        try:
            answered: np.ndarray = rows.finite() | self.finite_answers(self.ask(rows))
        except ModelError:
            return None
        return answered

    def finite_answers(self, answers: Mapping[str, np.ndarray]) -> np.ndarray:
        """Which rows have finite numbers in all outputs that are finite on the example."""
        result = np.ones(len(next(iter(answers.values()))), dtype=bool)
        for output in self.outputs:
            if output.finite:
                numbers = answers[output.name].reshape(len(result), -1)
                result &= np.isfinite(numbers).all(axis=1)
        return result

    def ask(self, rows: Rows) -> dict[str, np.ndarray]:
        parts = [
            self._ask_once(rows[start : start + _BATCH]) for start in range(0, len(rows), _BATCH)
        ] or [self._ask_once(rows)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _ask_once(self, rows: Rows) -> dict[str, np.ndarray]:
        if rows.impossible.any():
            raise ModelError("a tensor of integers cannot hold a missing value")
        try:
            tensors = list(self._named(self.call(rows.tensors)).values())
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(f"the module fails on the data: {message(error)}") from error
        result = {}
        for output, tensor in zip(self.results, tensors, strict=True):
            if tuple(tensor.shape) != (len(rows), *output.shape):
                raise ModelError(
                    f"the shape of output '{output.name}' changes with the rows: {_shape(tensor)}"
                )
            result[output.name] = _as_answer(tensor, output)
        if self.outputs and self.outputs[0].is_label:
            chosen = np.argmax(result[self.results[0].name], axis=1)
            result = {"label": np.asarray(self.labels)[chosen], **result}
        return result

    def classes(self, answers: dict[str, np.ndarray] | None = None) -> list[Any] | None:
        return self.labels


def call(module: Any, inputs: Sequence[Input], tensors: Sequence[Any]) -> Any:
    """Calls the module with the tensors, by position or by name."""
    with quiet():
        if inputs[0].is_keyword:
            named = {item.argument: x for item, x in zip(inputs, tensors, strict=True)}
            return module(**named)
        return module(*tensors)


@contextmanager
def quiet() -> Iterator[None]:
    """Computes without gradients, and hides warnings and log lines of torch."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _parts(answer: Any) -> dict[str, Any]:
    """The parts of an answer by name: those of a dict, a named tuple or a dataclass."""
    if isinstance(answer, Mapping):
        parts = {str(name): part for name, part in answer.items()}
    elif hasattr(answer, "_fields"):
        parts = dict(zip(answer._fields, answer, strict=True))
    elif isinstance(answer, (tuple, list)) and len(answer) != 1:
        parts = {f"prediction{k}": part for k, part in enumerate(answer)}
    elif dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        parts = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    else:
        parts = {"prediction": answer[0] if isinstance(answer, (tuple, list)) else answer}
    if not parts:
        raise ModelError("expected a module that returns tensors, got one that returns nothing")
    return {name + "_output" * (name in _RESERVED): part for name, part in parts.items()}


def ordered_tensors(answer: Any) -> list[Any]:
    return list(_parts(answer).values())


def _output(name: str, tensor: Any, rows: int) -> TorchOutput:
    if not name or "\0" in name:
        raise ModelError("expected outputs with names that are not empty and contain no NUL")
    if tensor.ndim == 0 or tensor.shape[0] != rows or tensor.numel() == 0:
        raise ModelError(
            f"output '{name}': expected a tensor with one entry for each of the {rows} rows, "
            f"got shape {_shape(tensor)}"
        )
    output = TorchOutput(name, "forward")
    output.shape = tuple(tensor.shape[1:])
    output.type = type_of_output(tensor.dtype)
    width = tensor.numel() // rows
    output.width = width if width > 1 else None
    return output


def type_of_output(dtype: Any) -> str:
    """The type in the contract: float16 and bfloat16 become float32, integers become int64."""
    if dtype == torch.bool:
        return "bool"
    if dtype.is_floating_point:
        return "float64" if dtype == torch.float64 else "float32"
    return "int64"


def _as_answer(tensor: Any, output: TorchOutput) -> np.ndarray:
    matrix = tensor.detach().to(getattr(torch, output.type)).reshape(len(tensor), -1)
    array: np.ndarray = matrix.cpu().numpy()
    return array[:, 0] if array.shape[1] == 1 else array


def _differ(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], relative: float = 0) -> bool:
    """Whether answers differ by more than the order of additions explains."""
    for name, want in a.items():
        have = b[name]
        if want.dtype.kind != "f":
            if relative == 0 and not np.array_equal(want, have):
                return True
            continue
        finite = np.abs(want[np.isfinite(want)])
        scale = relative * float(finite.max(initial=0))
        if not np.allclose(want, have, rtol=relative, atol=scale, equal_nan=True):
            return True
    return False


def _versions_of(module: Any) -> dict[str, int]:
    """Counters of the changes of each parameter and buffer."""
    found = {}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        with suppress(RuntimeError):  # tensors of inference mode have no counter
            found[name] = tensor._version
    return found


def _shape(tensor: Any) -> str:
    return f"[{', '.join(map(str, tensor.shape))}]"


def _reason(error: Exception) -> str:
    return str(error).partition(": ")[2] or str(error)
