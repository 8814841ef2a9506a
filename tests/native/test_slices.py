"""Large batches, which the native engine runs in slices of rows, answer as on ONNX Runtime.

engines/native/operators/row_rules.cpp has a rule for each operator, which says when its rows are
independent. A wrong rule gives wrong answers here. SIDECALL_LONG=1 takes larger samples.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cases  # noqa: F401
import numpy as np
import pytest
import sidecall
from judging import Answer, judge
from operator_cases import CASES, Case, Entry, table_entries, versions_of
from random_graphs import Comparison, draw
from sidecall import errors
from two_engines import Native, OnnxRuntime, Refused

# A slice has at most 1024 rows. The last one is shorter, or longer.
FEW, MANY = 1041, 1100
IS_LONG = os.environ.get("SIDECALL_LONG") == "1"
SAMPLE = 40 if IS_LONG else 2
GRAPHS = range(400) if IS_LONG else range(24)


def enlarged(case: Case, rows: int) -> Case | None:
    """The case with at least so many rows in each input; None if its inputs have no common rows."""
    given = [x for x in case.inputs if isinstance(x, np.ndarray)]
    sizes = {x.shape[:1] for x in given}
    if len(sizes) != 1 or sizes <= {(), (0,)}:
        return None
    times = -(-rows // len(given[0]))
    has_pairs = case.op == "CDist" and len(given) == 2  # the distances of all pairs of rows
    if has_pairs or sum(x.size for x in given) * times > 12_000:
        return None
    inputs = [np.concatenate([x] * times) if isinstance(x, np.ndarray) else x for x in case.inputs]
    return replace(case, inputs=inputs, is_free=True)


def compare(case: Case, version: int) -> list[str] | None:
    """What is wrong with the answer; None if ONNX Runtime refuses the case."""
    model = case.model(version).SerializeToString()
    try:
        other = OnnxRuntime(model, is_optimised=False).run(case.feeds())
    except Refused:
        return None
    native = Native(model).run(case.feeds())
    return judge(Answer(case.node(), version, case.arrays(), native, other))


# These have no inputs but constants.
WITHOUT_ROWS = {"Constant", "ConstantOfShape", "Range"}
ENTRIES = [entry for entry in table_entries() if entry.op not in WITHOUT_ROWS]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.op}-{entry.first}")
def test_operators_answer_large_batches_as_onnxruntime_does(entry: Entry) -> None:
    version = versions_of(entry)[-1]
    rng = np.random.default_rng(version)
    drawn = list(CASES[entry.op](entry.op, version, rng))
    wrong: list[str] = []
    compared = 0
    for number in rng.permutation(len(drawn)):
        case = enlarged(drawn[number], FEW if compared % 2 else MANY)
        found = None if case is None else compare(case, version)
        if case is None or found is None:
            continue
        wrong += [f"{case.describe()}: {text}" for text in found]
        compared += 1
        if compared == SAMPLE:
            break
    assert wrong == []
    assert compared >= 2


@pytest.mark.parametrize("number", GRAPHS)
def test_random_graphs_answer_large_batches_as_onnxruntime_does(number: int) -> None:
    rng = np.random.default_rng([8, number])
    drawn = draw(rng)
    with np.errstate(all="ignore"):
        assert Comparison(drawn).compare(drawn.rows(rng, MANY)) in ([], None)


def test_rows_that_a_model_refuses_are_named_in_every_slice() -> None:
    path = Path(__file__).resolve().parents[1] / "vectors/models/steps.onnx"
    rows = np.tile(np.array([[6, 2]], np.float32), (2 * MANY, 1))
    with sidecall.open(path, engine="native") as model:
        assert len(model.run({"X": rows})) > 0
        rows[[3, MANY, 2 * MANY - 1]] = [[101, 2], [-5, 0], [101, 2]]
        with pytest.raises(errors.Refused) as caught:
            model.run({"X": rows})
    faults = [(fault.row, fault.name) for fault in caught.value.faults]
    assert faults == [(3, "pca"), (MANY, "log"), (2 * MANY - 1, "pca")]
