"""Proves a converted graph on the native engine; the contract then says so.

Parity itself is measured with ONNX Runtime. A graph that the native engine cannot run, or answers
differently, is exported without the proof, and callers get ONNX Runtime.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from .engine import flat

if TYPE_CHECKING:
    from .measure import Parity


class NativeProof:
    """Runs the rows that parity measures. `failure` says why the graph is not proven."""

    def __init__(self, graph: Any) -> None:
        import sidecall

        self.failure: str | None = None
        self.version = ""
        self.parities: list[Parity] = []
        try:
            self._model = sidecall.open(graph.SerializeToString(), engine="native", verify="off")
        except sidecall.Error as error:
            self.failure = str(error).removeprefix("file 'bytes': ")
            return
        name, _, self.version = self._model.engine.partition(" ")
        if name != "native":
            self.failure = f"not tried: {self._model.engine_reason}"

    def run(self, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """Returns the answers as Session.run does, or None if the graph is not proven."""
        from sidecall import Error

        if self.failure is not None:
            return None
        try:
            answers = self._model.run(tensors)
        except Error as error:
            self.failure = str(error)
            return None
        return {name: flat(answer) for name, answer in answers.items()}

    def expect_error(self, tensors: dict[str, np.ndarray]) -> None:
        """Runs a row on which the graph fails with ONNX Runtime: it must fail here too."""
        from sidecall import Error

        if self.failure is not None:
            return
        with suppress(Error):
            self._model.run(tensors)
            self.failure = "it answers a row on which the graph fails with ONNX Runtime"

    def judge(self, parity: Parity, refused: int, where: str) -> None:
        """Judges the answers to some rows, of which ONNX Runtime refuses `refused`."""
        if self.failure is None and parity.refused != refused:
            self.failure = f"it refuses {parity.refused} of {parity.rows} rows of {where}, and ONNX Runtime {refused}"
        if self.failure is None and not parity.holds:
            self.failure = parity.describe(where)
        self.parities.append(parity)

    def largest(self, output: str) -> float:
        """The largest difference of an output, over all rows; 0 if the graph is not proven."""
        found = [parity.outputs[output].largest for parity in self.parities]
        return max(found, default=0.0) if self.failure is None else 0.0
