"""Compares a converted graph with the original, row by row on both engines.

The graph is built as export builds it, but without a contract. So it takes less time than an
export, and every refusal must be a check in the graph.
"""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np
import onnxruntime
import sidecall
from sidecall.convert import to_graph
from sidecall.convert.checks import Checks
from sidecall.convert.dates import type_of_dates
from sidecall.exporting.data.dates import column_of_dates
from sidecall.exporting.inputs.rules import find_rules
from sidecall.exporting.model.original import Original

MISSING = "\ufdd0"


def tensors(rows: Any) -> dict[str, np.ndarray]:
    result = {}
    for name in rows.columns:
        column = rows[name]
        if type_of_dates(column.dtype) is not None:
            result[str(name)] = column_of_dates(str(name), column).values.reshape(-1, 1)
        elif getattr(column.dtype, "kind", "O") in "fib":
            result[str(name)] = column.to_numpy().reshape(-1, 1)
        else:
            texts = [MISSING if value is None or value != value else value for value in column]
            result[str(name)] = np.array(texts, dtype=object).reshape(-1, 1)
    return result


def graph_of(model: Any, data: Any) -> Any:
    """The graph of a fitted model; `data` holds rows that the model accepts."""
    original = Original(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original.describe(data)
        steps = original.steps
        categories = original.categories(lambda rows: data.iloc[rows], len(data))
        dates = {str(name): type_of_dates(dtype) for name, dtype in data.dtypes.items()}
        return to_graph(
            model,
            [
                (name, "string" if values.dtype == object else str(values.dtype), 1)
                for name, values in tensors(data).items()
            ],
            steps=steps.of,
            checks=Checks(find_rules(steps.given), {}),
            examples=steps.examples(),
            categories=categories,
            dates={name: kind for name, kind in dates.items() if kind is not None},
        )


def answers_of(graph: Any, rows: Any) -> list[dict[str, np.ndarray]]:
    """The outputs of the graph on each engine that runs it, ONNX Runtime first."""
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [o.name for o in session.get_outputs()]
    feeds = tensors(rows)
    answers = [dict(zip(names, session.run(None, feeds), strict=True))]
    with (
        contextlib.suppress(sidecall.errors.Unsupported),
        sidecall.open(graph.SerializeToString(), engine="native", verify="off") as opened,
    ):
        answers.append({name: np.array(a) for name, a in opened.run(feeds).items()})
    return answers


def check_rows(model: Any, data: Any, rows: Any, tolerance: float = 1e-9) -> int:
    """Returns how many rows the original refuses; the graph must refuse them, and no others."""
    answers = answers_of(graph_of(model, data), rows)
    output = "probabilities" if "probabilities" in answers[0] else "transformed"
    method = model.predict_proba if output == "probabilities" else model.transform
    expected = _asked(method, rows)
    for got in answers:
        refused = got.get("refused", np.zeros(len(rows)))
        for k, row in enumerate(expected):
            assert (row is None) == bool(refused[k]), f"row {k}: {rows.iloc[k].to_dict()}"
            if row is None:
                continue
            values = got[output].reshape(len(rows), -1)[k]
            if values.dtype == object or values.dtype.kind in "UT":
                want = [MISSING if v is None or v != v else str(v) for v in row]
                assert [str(v) for v in values] == want
            else:
                np.testing.assert_allclose(
                    values, row.astype("float64"), rtol=tolerance, atol=tolerance, err_msg=str(k)
                )
    return sum(row is None for row in expected)


def _asked(method: Any, rows: Any) -> list[Any]:
    """The answer for each row, or None if the original refuses it. Halves what it refuses."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            answer = method(rows)
        except (ValueError, TypeError):
            middle = len(rows) // 2
            if middle == 0:
                return [None]
            return _asked(method, rows.iloc[:middle]) + _asked(method, rows.iloc[middle:])
    return list(np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer))
