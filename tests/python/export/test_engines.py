"""Which engines a contract names: those on which the export found all answers right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import sidecall
from sidecall.exporting.parity.proof import NativeProof
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler

MODELS = Path(__file__).parents[2] / "vectors/models"
ROWS = np.random.default_rng(0).normal(size=(200, 3))
BOTH = {"onnxruntime": onnxruntime.__version__, "native": "2"}


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIDECALL_ENGINE", raising=False)


def fitted(*steps: Any) -> Any:
    return make_pipeline(*steps, GradientBoostingClassifier(n_estimators=3)).fit(
        ROWS, ROWS[:, 0] > 0
    )


def exported(folder: Path, model: Any = None) -> tuple[sidecall.Model, Any]:
    report = sidecall.export(model or fitted(StandardScaler()), folder / "m.onnx", ROWS)
    return sidecall.open(folder / "m.onnx"), report


def test_a_file_that_is_right_on_both_engines_opens_with_the_native_one(tmp_path: Path) -> None:
    model, report = exported(tmp_path)
    assert report.not_native is None
    assert report.contract["engines"] == BOTH
    assert model.contract["engines"] == BOTH
    assert model.engine == "native 2"
    assert f"engines      onnxruntime {onnxruntime.__version__}, native 2\n" in str(report)
    assert model.verify()["rows"] == 32


def test_a_float32_file_is_proven_too(tmp_path: Path) -> None:
    rows = pd.DataFrame(ROWS.astype("f4"), columns=list("abc"))
    model = GradientBoostingClassifier(n_estimators=3).fit(rows, ROWS[:, 0] > 0)
    report = sidecall.export(model, tmp_path / "m.onnx", rows, precision="float32")
    assert report.contract["engines"] == BOTH


def test_a_file_that_refuses_rows_is_proven_too(tmp_path: Path) -> None:
    model = fitted(FunctionTransformer(np.exp), StandardScaler())
    _, report = exported(tmp_path, model)
    assert report.contract["refused"]["steps"]
    assert report.contract["engines"] == BOTH


def assert_not_proven(folder: Path, reason: str) -> None:
    model, report = exported(folder)
    assert list(report.contract["engines"]) == ["onnxruntime"]
    assert model.engine.startswith("onnxruntime ")
    assert model.engine_reason == "the export did not prove the file on the native engine"
    assert reason in report.not_native
    assert f"; not native: {report.not_native}" in str(report)


def test_answers_that_differ_are_no_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = NativeProof.run

    def wrong(self: NativeProof, tensors: Any) -> Any:
        answers = run(self, tensors)
        if answers is not None:
            answers["probabilities"] = answers["probabilities"] + 1e-6
        return answers

    monkeypatch.setattr(NativeProof, "run", wrong)
    assert_not_proven(tmp_path, "probabilities differ by up to 1e-06")


def test_a_failed_run_is_no_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: NativeProof, tensors: Any) -> None:
        self.failure = "node 'x' (Gather): index 3 is out of range"

    monkeypatch.setattr(NativeProof, "run", fail)
    assert_not_proven(tmp_path, "node 'x' (Gather)")


def gather() -> onnx.ModelProto:
    """A graph that fails for each index beyond its table."""
    node = onnx.helper.make_node("Gather", ["table", "x"], ["y"])
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "gather",
        [info("x", onnx.TensorProto.INT64, ["N"])],
        [info("y", onnx.TensorProto.DOUBLE, ["N"])],
        [onnx.numpy_helper.from_array(np.array([1.5, 2.5]), "table")],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_a_graph_that_the_native_engine_refuses_is_not_proven() -> None:
    refused = NativeProof(onnx.load(MODELS / "nonzero.onnx"))
    assert "(NonZero)" in refused.failure and refused.run({}) is None


def test_a_run_that_fails_only_natively_is_no_proof() -> None:
    proof = NativeProof(gather())
    assert proof.run({"x": np.array([0, 1])})["y"].tolist() == [1.5, 2.5]
    assert proof.run({"x": np.array([0, 2])}) is None
    assert "(Gather)" in proof.failure


def test_a_row_that_fails_with_onnxruntime_must_fail_natively() -> None:
    proof = NativeProof(gather())
    proof.expect_error({"x": np.array([2])})
    assert proof.failure is None
    proof.expect_error({"x": np.array([1])})
    assert proof.failure == "it answers a row on which the graph fails with ONNX Runtime"


def test_the_environment_can_keep_the_export_from_the_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDECALL_ENGINE", "onnxruntime")
    report = sidecall.export(fitted(), tmp_path / "m.onnx", ROWS)
    assert report.not_native == "not tried: SIDECALL_ENGINE names it"
    assert list(report.contract["engines"]) == ["onnxruntime"]


def test_refusing_other_rows_than_onnxruntime_is_no_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = NativeProof.run

    def answers_all(self: NativeProof, tensors: Any) -> Any:
        answers = run(self, tensors)
        if answers is not None and "refused" in answers:
            answers["refused"] = np.zeros_like(answers["refused"])
        return answers

    monkeypatch.setattr(NativeProof, "run", answers_all)
    report = sidecall.export(
        fitted(PolynomialFeatures(2), StandardScaler()), tmp_path / "m.onnx", ROWS
    )
    assert "it refuses other rows with extreme values than ONNX Runtime" in report.not_native


def test_a_contract_without_a_graph_names_no_engine() -> None:
    from sidecall.serving.contracts import service_of

    service = service_of(fitted(), ROWS, name="m")
    assert '"engines"' not in service.contract
