"""A workload's folder as described in clients/README.md: rows to send, answers to expect.

Used by client.py and transports/.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np


class WorkloadFolder:
    """The rows and expected answers of a workload.

    `row(i)` is the input of call i: an array of `rows` rows, or a record. `is_right(i, answer)`
    checks the answer. An answer is a mapping: outputs by name, or {"label": ..., "probabilities":
    {class: p}} for a record.
    """

    def __init__(self, path: str, rows: int):
        self.path = Path(path)
        document = json.loads((self.path / "workload.json").read_text(encoding="utf-8"))
        if not 1 <= rows <= document["max_rows"]:
            raise ValueError(f"rows: expected 1 to {document['max_rows']}, got {rows}")
        self.name: str = document["name"]
        self.is_record: bool = document["kind"] == "record"
        self.ring: int = document["ring"]
        self.rows = rows
        self.outputs: list[dict[str, Any]] = document["outputs"]
        self.classes: list[Any] = document["classes"]
        self._tolerance: float = document["tolerance"]
        self._labels = np.fromfile(self.path / "labels.i64", np.int64)
        self._expected = np.fromfile(self.path / "expected.f64", np.float64).reshape(
            len(self._labels), -1
        )
        if self.is_record:
            lines = (self.path / "records.jsonl").read_text(encoding="utf-8").splitlines()
            self.ready_rows: list[Any] = [json.loads(line) for line in lines]
        else:
            self.input_name: str = document["input"]["name"]
            everything = np.fromfile(self.path / "input.f32", np.float32).reshape(
                -1, *document["input"]["dims"]
            )
            # Make the views before the clock runs, because a caller has its row already.
            self.ready_rows = [everything[i : i + rows] for i in range(self.ring)]

    def row(self, call: int) -> Any:
        return self.ready_rows[call % self.ring]

    @property
    def answer_bytes(self) -> int:
        """Approximate size of a kept answer in its largest form: lists of Python floats."""
        return 32 * self.rows * (self._expected.shape[1] + 1) + 300

    def is_right(self, call: int, answer: Any) -> bool:
        first = call % self.ring
        try:
            labels, numbers = self._parts(answer)
        except (KeyError, TypeError, ValueError, IndexError):
            return False
        expected = self._expected[first : first + self.rows]
        if (
            numbers.size != expected.size
            or not (np.abs(numbers.reshape(expected.shape) - expected) <= self._tolerance).all()
        ):  # NaN counts as beyond the tolerance
            return False
        wanted = self._labels[first : first + self.rows]
        if (wanted < 0).all():
            return True
        return len(labels) == len(wanted) and all(
            index < 0 or self.classes[index] == label
            for index, label in zip(wanted, labels, strict=True)
        )

    def _parts(self, answer: Any) -> tuple[list[Any], np.ndarray]:
        """Labels (empty if the model has none) and numbers."""
        if self.is_record:
            probabilities = answer["probabilities"]
            return [answer["label"]], np.array(
                [probabilities[str(name)] for name in self.classes], np.float64
            )
        *labelled, numbers = [np.asarray(answer[output["name"]]) for output in self.outputs]
        return (labelled[0].reshape(-1).tolist() if labelled else []), numbers.astype(np.float64)
