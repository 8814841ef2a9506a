"""Runs a converted graph and compares it with the original model. Used by all tests of
sidecall.convert.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnxruntime
import sidecall
from sidecall._methods import method_of
from sidecall.convert import to_graph

MISSING = "\ufdd0"

onnxruntime.set_default_logger_severity(3)


def case_name(value: object) -> str:
    """A short name for a parametrized case. It contains no memory address, so it is the
    same in every process.
    """
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))[:60]


def session(graph: Any) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def layout(rows: Any) -> tuple[list[tuple[str, str, int]], dict[str, np.ndarray]]:
    """The inputs and their tensors, laid out as export does.

    A frame has one input per column, a matrix the input X, and a list of texts the input `text`.
    """
    if hasattr(rows, "columns"):
        feeds = {str(name): column_tensor(rows[name]) for name in rows.columns}
        return [(name, dtype_name(t), 1) for name, t in feeds.items()], feeds
    rows = np.asarray(rows)
    if rows.ndim == 1:
        return [("text", "string", 1)], {"text": rows.astype(object).reshape(-1, 1)}
    if rows.dtype == object or rows.dtype.kind == "U":
        tensor = np.array(
            [[MISSING if is_missing(v) else v for v in row] for row in rows], dtype=object
        )
        return [("X", "string", rows.shape[1])], {"X": tensor}
    return [("X", dtype_name(rows), rows.shape[1])], {"X": rows}


def is_missing(value: Any) -> bool:
    return value is None or value != value


def dtype_name(tensor: np.ndarray) -> str:
    return "string" if tensor.dtype == object else str(tensor.dtype)


def column_tensor(column: Any) -> np.ndarray:
    if getattr(column.dtype, "kind", "O") in "fib" and isinstance(column.dtype, np.dtype):
        return column.to_numpy().reshape(-1, 1)
    return np.array([MISSING if is_missing(v) else str(v) for v in column], dtype=object).reshape(
        -1, 1
    )


def run(
    model: Any, table: Any, precision: str = "float32", **options: Any
) -> dict[str, np.ndarray]:
    inputs, feeds = layout(table)
    return run_graph(to_graph(model, inputs, precision=precision, **options), feeds)


def run_graph(graph: Any, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    loaded = session(graph)
    names = [o.name for o in loaded.get_outputs()]
    return dict(zip(names, loaded.run(None, feeds), strict=True))


def run_graph_natively(graph: Any, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As run_graph, on the native engine, which raises errors.Unsupported for some graphs."""
    with sidecall.open(graph.SerializeToString(), engine="native", verify="off") as opened:
        return {name: np.array(answer) for name, answer in opened.run(feeds).items()}


def truth(model: Any, table: Any, output: str) -> np.ndarray:
    """The original's answer, computed in float64, for exactly the numbers that the graph got."""
    if isinstance(table, np.ndarray) and table.dtype == np.float32:
        table = table.astype("float64")
    methods = {
        "label": ["predict"],
        "probabilities": ["predict_proba"],
        "prediction": ["predict"],
        "transformed": ["transform"],
        "scores": ["decision_function", "transform", "score_samples"],
        "distances": ["kneighbors.0"],
        "indices": ["kneighbors.1"],
    }[output]
    for method in methods:
        if hasattr(model, method.partition(".")[0]):
            answer = method_of(model, method)(table)
            return np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)
    raise AssertionError(f"the model has none of {methods}")


def differences(
    model: Any, table: Any, precision: str = "float32", **options: Any
) -> dict[str, float]:
    """The largest difference per output, relative to 1 + |expected|.

    For labels and strings, the number of values that differ.
    """
    return differences_of(model, table, run(model, table, precision, **options))


def differences_of(model: Any, table: Any, answers: dict[str, np.ndarray]) -> dict[str, float]:
    """The largest difference of each of the answers to `table`, as `differences` gives it."""
    found = {}
    for name, got in answers.items():
        if name == "refused":
            assert not got.any(), "rows are refused"
            continue
        expected = truth(model, table, name)
        if got.dtype == object or name in ("label", "indices"):
            assert got.shape == expected.shape, (name, got.shape, expected.shape)
            found[name] = float((got != expected).sum())
            continue
        expected = expected.astype("float64").reshape(got.shape)
        assert np.array_equal(np.isnan(got), np.isnan(expected)), f"{name}: missing answers differ"
        with np.errstate(invalid="ignore"):
            delta = np.where(
                got == expected, 0.0, np.abs(got - expected) / (1.0 + np.abs(expected))
            )
        found[name] = float(np.nanmax(delta)) if delta.size and not np.isnan(delta).all() else 0.0
    return found


def assert_agrees(
    model: Any, table: Any, tolerance: float = 1e-5, exact: float = 1e-9, **options: Any
) -> None:
    """Checks the agreement in both precisions: `tolerance` for float32, `exact` for float64."""
    for precision, limit in (("float32", tolerance), ("float64", exact)):
        found = differences(model, table, precision, **options)
        assert all(value <= (0 if name == "label" else limit) for name, value in found.items()), (
            precision,
            found,
        )
