"""Every operator of the native engine answers as ONNX Runtime does, in every version that ONNX
distinguishes, or refuses with a status and a text that names the node.

SIDECALL_LONG=1 runs all cases, and not a sample of each operator and version.
"""

from __future__ import annotations

import os
import re

import cases  # noqa: F401
import numpy as np
import pytest
import sidecall
from judging import Answer, judge
from onnx import ModelProto, TensorProto
from operator_cases import CASES, TABLES, Case, Entry, table_entries, versions_of
from refusals import Refusal
from refusals_trees import REFUSALS
from sidecall import errors
from two_engines import (
    MICROSOFT,
    ML,
    NODE,
    OPSET,
    OPSET_MICROSOFT,
    OPSET_ML,
    Native,
    OnnxRuntime,
    Refused,
    model_of,
)

ENTRIES = table_entries()
RUNS = [
    pytest.param(entry, version, id=f"{entry.op}-{version}")
    for entry in ENTRIES
    for version in versions_of(entry)
]
SAMPLE = None if os.environ.get("SIDECALL_LONG") == "1" else 40


def compare(case: Case, version: int) -> list[str] | None:
    """What is wrong with the answer; None if ONNX Runtime refuses the case."""
    model = case.model(version).SerializeToString()
    feeds = case.feeds()
    try:
        other = OnnxRuntime(model, is_optimised=False).run(feeds)
    except Refused:
        return None
    try:
        native = Native(model).run(feeds)
    except sidecall.errors.Error as error:
        return [f"refused: {error}"]
    return judge(Answer(case.node(), version, case.arrays(), native, other))


@pytest.mark.parametrize(("entry", "version"), RUNS)
def test_the_answers_are_those_of_onnxruntime(entry: Entry, version: int) -> None:
    rng = np.random.default_rng(version)
    drawn = list(CASES[entry.op](entry.op, version, rng))
    wrong, compared = [], 0
    for number in rng.permutation(len(drawn))[:SAMPLE]:
        found = compare(drawn[number], version)
        compared += found is not None
        wrong += [f"{drawn[number].describe()}: {text}" for text in found or ()]
    assert wrong == []
    assert compared >= 5


@pytest.mark.parametrize(
    "refusal", REFUSALS, ids=[f"{each.case.op}-{each.words}"[:60] for each in REFUSALS]
)
def test_what_is_refused_has_a_status_and_a_text(refusal: Refusal) -> None:
    model = refusal.case.model(refusal.version).SerializeToString()
    feeds = refusal.case.feeds()
    opened: Native | None = None
    with pytest.raises(errors.Error) as caught:
        opened = Native(model)
        opened.run(feeds)
    assert type(caught.value) is refusal.status
    assert refusal.words in str(caught.value)
    assert NODE in str(caught.value)
    assert (opened is not None) == refusal.at_run
    if refusal.other_answers is None:
        return
    try:
        OnnxRuntime(model, is_optimised=False).run(feeds)
        other_answers = True
    except Refused:
        other_answers = False
    assert other_answers == refusal.other_answers


# ---- All operators of the tables ----


def test_the_tables_are_read_completely() -> None:
    lines = sum(
        len(re.findall(r"^ +\{(?:\"|kDomain)", path.read_text(encoding="utf-8"), re.MULTILINE))
        for path in TABLES.glob("*.cpp")
    )
    assert len(ENTRIES) == lines >= 100


def test_every_operator_has_cases_and_refusals() -> None:
    ops = {entry.op for entry in ENTRIES}
    assert ops - CASES.keys() == set()
    # Any value has an identity, a shape and a size.
    assert ops - {refusal.case.op for refusal in REFUSALS} == {"Identity", "Shape", "Size"}


def nothing_to(op: str, domain: str, version: int) -> ModelProto:
    """A node without inputs."""
    case = Case(op, [], types=[TensorProto.FLOAT], domain=domain)
    return case.model(version)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.op}-{entry.first}")
def test_inputs_that_are_missing_are_refused(entry: Entry) -> None:
    with pytest.raises((errors.FileInvalid, errors.Unsupported)) as caught:
        Native(nothing_to(entry.op, entry.domain, entry.last).SerializeToString())
    assert NODE in str(caught.value)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.op}-{entry.first}")
def test_versions_outside_of_the_table_are_unsupported(entry: Entry) -> None:
    same = [each for each in ENTRIES if (each.domain, each.op) == (entry.domain, entry.op)]
    newest = {"": OPSET, ML: OPSET_ML, MICROSOFT: OPSET_MICROSOFT}[entry.domain]
    for version in (entry.first - 1, entry.last + 1):
        if version < 1 or version > newest:
            continue
        if any(each.first <= version <= each.last for each in same):
            continue
        with pytest.raises(errors.Unsupported) as caught:
            Native(nothing_to(entry.op, entry.domain, version).SerializeToString())
        assert NODE in str(caught.value)
        assert str(version) in str(caught.value)


@pytest.mark.parametrize("kind", ["FLOAT16", "UINT8", "INT8", "UINT64", "BFLOAT16", "INT16"])
def test_types_that_the_engine_does_not_have_are_unsupported(kind: str) -> None:
    number = TensorProto.DataType.Value(kind)
    node = Case("Identity", [np.ones((2, 3), np.float32)]).node()
    model = model_of([node], {"x0": (number, ["rows", 3])}, {"y0": number})
    with pytest.raises(errors.Unsupported) as caught:
        Native(model.SerializeToString())
    assert "x0" in str(caught.value)
