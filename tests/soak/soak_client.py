"""soak_client.py URI FIRST SEED WAIT: the client of the soak in Python; soak_call.py describes what
a client writes.

Numbers its calls from FIRST + 1 on, and waits up to WAIT seconds for a server that restarts.
"""

import asyncio
import sys
from contextlib import suppress

import numpy as np
import sidecall
from soak_call import DEADLINE, SHORT_DEADLINE, Caller, Line, Request

USUAL = ["run", "call", "arun", "several", "predict", "apredict"]
RARE = ["large", "one-shot", "late", "wrong", "open"]
# If the model has no contract, calls of these kinds become "run".
WITH_RECORDS = ["predict", "apredict", "wrong"]


class Client:
    def __init__(self, uri: str, first: int, seed: int, wait: float):
        self._uri, self._wait = uri, wait
        self._loop = asyncio.new_event_loop()
        self._model: sidecall.Model | None = None
        self._is_outdated = False
        self._caller = Caller(first, seed, USUAL, RARE)

    def call_until_stdin_ends(self) -> None:
        self._caller.call_until_stdin_ends(self._call)
        self._close()
        self._loop.close()

    def _open(self) -> sidecall.Model | None:
        """Opens the model. This counts as a call, too."""
        line = Line(self._caller.next_number(), "open", 0, 30 + self._wait)
        try:
            model = sidecall.open(self._uri, timeout=DEADLINE, wait=self._wait, allow_exec=True)
        except sidecall.Error as error:
            line.write(error.code, 0, str(error))
            return None
        line.write("OK")
        return model

    def _reopen(self) -> None:
        self._close()
        self._model = self._open()
        if self._model is None:
            return
        self._width = self._model.inputs[0].shape[1]
        self._names = [feature.name for feature in self._model.features[: self._width]]
        self._has_more = len(self._model.outputs) > 1
        self._kept: sidecall.Call | None = None
        self._is_outdated = False

    def _close(self) -> None:
        if self._model is not None:
            if self._kept is not None:
                self._kept.close()
            self._model.close()
        self._model = self._kept = None

    def _call(self, kind: str) -> None:
        if self._model is None or self._is_outdated:
            self._reopen()
            return
        if kind == "open":  # another handle
            model = self._open()
            if model is not None:
                model.close()
            return
        if not self._names and kind in WITH_RECORDS:
            kind = "run"
        if kind == "several":
            self._loop.run_until_complete(self._several())
            return
        request = self._caller.request(kind)
        deadline = SHORT_DEADLINE if kind == "late" else DEADLINE
        line = Line(request.number, kind, self._width, deadline)
        try:
            self._write(line, request, *self._answer(kind, request))
        except sidecall.Error as error:
            self._fail(line, error)

    def _write(self, line: Line, request: Request, y: np.ndarray, more: np.ndarray | None) -> None:
        answer = y.ravel().tolist(), None if more is None else more.tolist()
        model = request.answerer(*answer, self._width)
        line.write("OK" if model else "WRONG", model)

    def _fail(self, line: Line, error: sidecall.Error) -> None:
        line.write(error.code, 0, str(error))
        self._is_outdated |= error.code == "CONTRACT_CHANGED"

    def _answer(self, kind: str, request: Request) -> tuple[np.ndarray, np.ndarray | None]:
        if kind in WITH_RECORDS:
            record = request.record(self._names)
            if kind == "wrong":
                del record["a"]
            if kind == "apredict":
                answer = self._loop.run_until_complete(self._model.apredict(record))
            else:
                answer = self._model.predict(record)
            return np.array(answer["y"]), None
        inputs = self._inputs(request)
        if kind == "call":
            outputs = self._outputs_of_kept_call(inputs)
        elif kind == "arun":
            outputs = self._loop.run_until_complete(self._model.arun(inputs))
        else:
            outputs = self._model.run(
                inputs, timeout=SHORT_DEADLINE if kind == "late" else DEADLINE
            )
        return outputs["y"], outputs["more"] if self._has_more else None

    def _outputs_of_kept_call(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self._kept is None:
            self._kept = self._model.call()
        for name, array in inputs.items():
            self._kept.inputs[name] = array
        self._kept.run()
        return {name: self._kept.outputs[name] for name in self._kept.outputs}

    def _inputs(self, request: Request) -> dict[str, np.ndarray]:
        rows = [request.row(self._width, row) for row in range(request.rows)]
        pieces = np.zeros((request.rows, 1), np.int64)
        pieces[0] = request.pieces
        rounds = np.full((request.rows, 1), request.rounds)
        return {"x": np.array(rows), "pieces": pieces, "rounds": rounds}

    async def _several(self) -> None:
        """Four calls at the same time."""

        async def one(request: Request) -> None:
            line = Line(request.number, "several", self._width)
            try:
                outputs = await model.arun(self._inputs(request))
                self._write(
                    line, request, outputs["y"], outputs["more"] if self._has_more else None
                )
            except sidecall.Error as error:
                self._fail(line, error)

        model = self._model
        await asyncio.gather(*(one(self._caller.request("several")) for _ in range(4)))


if __name__ == "__main__":
    uri, first, seed, wait = sys.argv[1:]
    with suppress(BrokenPipeError):
        Client(uri, int(first), int(seed), float(wait)).call_until_stdin_ends()
