"""Runs a converted graph as its users do: with ONNX Runtime, on one thread.

Used for parity and for golden rows.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..errors import StepError


class Session:
    """`run` returns one array per output; [N, 1] becomes [N], as in Original.ask."""

    def __init__(self, graph: Any, step: str) -> None:
        # Official builds send telemetry unless this variable is set before the library is loaded.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        self._step = step
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(
                graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise StepError(
                step, f"onnxruntime does not load the converted graph: {_first_line(error)}"
            ) from error
        self.names = [output.name for output in self._session.get_outputs()]
        self.types = {
            output.name: _WORDS.get(output.type, output.type)
            for output in self._session.get_outputs()
        }
        self.inputs = [
            (spec.name, _WORDS.get(spec.type, spec.type)) for spec in self._session.get_inputs()
        ]

    def shape(self, name: str, tensors: dict[str, np.ndarray]) -> tuple[int, ...]:
        return tuple(np.shape(self._answers(tensors)[self.names.index(name)]))

    def run(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        answers = self._answers(tensors)
        return {name: flat(answer) for name, answer in zip(self.names, answers, strict=True)}

    def _answers(self, tensors: dict[str, np.ndarray]) -> list[Any]:
        try:
            return list(self._session.run(self.names, tensors))
        except Exception as error:
            raise StepError(
                self._step, f"the converted graph fails in a run ({type(error).__name__})"
            ) from error


def declare_shapes(graph: Any, session: Session, tensors: dict[str, np.ndarray]) -> None:
    """Writes the shape of each output into the graph if a run shows more than the graph declares.

    Programs that read the file rely on the rank and the width.
    """
    for output in graph.graph.output:
        shape = session.shape(output.name, tensors)
        dims = output.type.tensor_type.shape.dim
        if len(dims) == len(shape) and all(
            dim.dim_value == size for dim, size in zip(dims[1:], shape[1:], strict=True)
        ):
            continue
        del dims[:]
        dims.add().dim_param = "N"
        for size in shape[1:]:
            dims.add().dim_value = size


_WORDS = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
}


def flat(answer: Any) -> np.ndarray:
    """Returns [N] for an answer of shape [N, 1], and other answers as they are."""
    array = np.asarray(answer)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
