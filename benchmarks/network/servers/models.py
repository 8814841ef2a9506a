"""The models of every Python server of this folder.

All servers load them in the same way: with one ONNX Runtime thread, or with scikit-learn if no ONNX
file exists. A model is loaded at its first call, so that a server holds only the models that it
needs. BENCH_WORKLOADS is the folder that holds the workloads' folders.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

FOLDER = Path(os.environ["BENCH_WORKLOADS"])


class Model:
    """One workload's model: arrays in and out by name, or a record in and out."""

    def __init__(self, name: str):
        self.folder = FOLDER / name
        self.described = json.loads((self.folder / "workload.json").read_text(encoding="utf-8"))
        self.is_record = self.described["kind"] == "record"
        self.outputs = [output["name"] for output in self.described["outputs"]]
        if self.is_record:
            self._open_records()
            return
        self.input = self.described["input"]["name"]
        self.shape = (-1, *self.described["input"]["dims"])
        if (self.folder / "model.onnx").exists():
            self._open_onnx()
        else:
            self._open_joblib()

    def _open_records(self) -> None:
        import sidecall

        # Every server that uses this class scores records with sidecall, which also encodes the
        # strings and the missing values. So the servers differ only in how a record reaches them.
        # This is fair, because none of them has a faster way to score a record.
        self.answer_record = sidecall.open(self.folder / "model.onnx").predict

    def _open_onnx(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        run = onnxruntime.InferenceSession(
            str(self.folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        ).run
        name, outputs = self.input, self.outputs
        self.answer = lambda rows: run(outputs, {name: rows})

    def _open_joblib(self) -> None:
        import joblib

        model = joblib.load(self.folder / "model.joblib")

        def answer(rows: np.ndarray) -> list[np.ndarray]:
            scores = model.predict_proba(rows)
            return [
                model.classes_[scores.argmax(axis=1)],
                scores,
            ]  # `predict` would evaluate the trees a second time

        self.answer = answer


model_of = cache(Model)


def answer_tensors(name: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    model = model_of(name)
    return dict(zip(model.outputs, model.answer(rows), strict=True))


def answer_record(name: str, record: dict[str, Any]) -> dict[str, Any]:
    return model_of(name).answer_record(record)


def answer_json(name: str, body: bytes) -> bytes:
    """Answers a JSON body (clients/README.md) with a JSON body."""
    model, asked = model_of(name), orjson.loads(body)
    if model.is_record:
        return orjson.dumps(model.answer_record(asked))
    answers = model.answer(np.array(asked[model.input], np.float32))
    return orjson.dumps(
        dict(zip(model.outputs, answers, strict=True)), option=orjson.OPT_SERIALIZE_NUMPY
    )


def answer_binary(name: str, body: bytes) -> bytes:
    """Takes float32 rows; returns the outputs' values, one output after the other."""
    model = model_of(name)
    return b"".join(
        [
            values.tobytes()
            for values in model.answer(np.frombuffer(body, np.float32).reshape(model.shape))
        ]
    )


def answer_body(name: str, body: bytes) -> bytes:
    """Answers a body for brokers, which carry bytes: records are JSON, tensors binary."""
    return answer_json(name, body) if model_of(name).is_record else answer_binary(name, body)


def all_names() -> list[str]:
    return sorted(folder.name for folder in FOLDER.iterdir() if (folder / "workload.json").exists())
