"""Which engine runs a file: the option, the query of the path, and the environment variable."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import sidecall
from sidecall import errors
from sidecall.exporting import artifact
from vector_files import MODELS

MATRIX = str(MODELS / "matrix.onnx")
RECORD = {"a": 1, "b": 2, "c": True, "d": 0.5}


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIDECALL_ENGINE", raising=False)


@pytest.fixture
def engine_of(backend: str) -> Callable[..., str]:
    """Opens a model, predicts with it, and returns the engine that ran it."""

    def find(path: object, **options: object) -> str:
        with sidecall.open(path, backend=backend, **options) as model:
            assert model.predict(RECORD) == {"prediction": 621.0}
            return str(model.verify()["engine"])

    return find


def test_the_option_chooses_the_engine(engine_of) -> None:
    assert engine_of(MATRIX, engine="native") == "native 2"
    assert engine_of(Path(MATRIX).read_bytes(), engine="native") == "native 2"
    for engine in ("auto", "onnxruntime"):
        assert engine_of(MATRIX, engine=engine).startswith("onnxruntime ")


def test_the_query_overrides_the_option_and_the_variable_overrides_both(
    engine_of, monkeypatch
) -> None:
    assert engine_of(f"{MATRIX}?engine=native") == "native 2"
    assert engine_of(f"file://{MATRIX}?engine=native", engine="onnxruntime") == "native 2"
    assert engine_of(f"{MATRIX}?engine=auto", engine="native").startswith("onnxruntime ")
    monkeypatch.setenv("SIDECALL_ENGINE", "native")
    assert engine_of(f"{MATRIX}?engine=onnxruntime", engine="onnxruntime") == "native 2"


def test_a_wrong_engine_is_refused(backend, monkeypatch) -> None:
    expected = "engine: expected 'auto', 'native' or 'onnxruntime', got 'fast'"
    with pytest.raises(errors.InvalidArgument, match=re.escape(expected)):
        sidecall.open(MATRIX, engine="fast", backend=backend)
    with pytest.raises(errors.InvalidArgument, match=re.escape(f"uri '{MATRIX}?engine=fast'")):
        sidecall.open(f"{MATRIX}?engine=fast", backend=backend)
    monkeypatch.setenv("SIDECALL_ENGINE", "fast")
    with pytest.raises(errors.InvalidArgument, match=r"SIDECALL_ENGINE: .* got 'fast'"):
        sidecall.open(MATRIX, backend=backend)


def test_a_path_object_has_no_query(engine_of, tmp_path) -> None:
    for name in ("m.onnx?engine=onnxruntime", "m 1%.onnx?engine=fast", "m?.onnx"):
        file = Path(shutil.copy(MATRIX, tmp_path / name))
        assert engine_of(file, engine="native") == "native 2"
    with pytest.raises(errors.FileNotFound):
        engine_of(tmp_path / "none.onnx?engine=native")


def test_the_native_engine_refuses_a_graph_that_it_cannot_run(backend) -> None:
    with pytest.raises(errors.Unsupported, match="NonZero"):
        sidecall.open(MODELS / "nonzero.onnx", engine="native", backend=backend)


def with_engines(engines: object) -> bytes:
    """The bytes of the matrix model, whose contract has this member `engines`."""
    model = onnx.load(MATRIX)
    [entry] = [entry for entry in model.metadata_props if entry.key == "sidecall.contract"]
    contract = json.loads(entry.value) | {"engines": engines}
    return artifact.seal(model, json.dumps(contract))[0]


def chosen(source: object, **options: object) -> tuple[str, str]:
    with sidecall.open(source, **options) as model:
        assert model.predict(RECORD) == {"prediction": 621.0}
        return model.engine.split()[0], model.engine_reason


def test_auto_takes_the_native_engine_where_the_export_proved_the_file(backend) -> None:
    proven = with_engines({"onnxruntime": "1.32.0", "native": "2"})
    assert chosen(proven, backend=backend) == ("native", "the export proved the file on it")
    assert chosen(proven, engine="onnxruntime") == ("onnxruntime", "the caller named it")
    # Also if the library that is named cannot be used, because it is not needed.
    assert chosen(proven, onnxruntime="/no/libonnxruntime.so")[0] == "native"


@pytest.mark.parametrize(
    ("engines", "reason"),
    [
        ({"onnxruntime": "1.32.0"}, "the export did not prove the file on the native engine"),
        ({}, "the export did not prove the file on the native engine"),
        (
            {"native": "1"},
            "the export proved the file on version 1 of the native engine, and this is version 2",
        ),
        (
            {"native": "2 "},
            "the export proved the file on version 2  of the native engine, and this is version 2",
        ),
    ],
)
def test_auto_takes_onnxruntime_without_the_proof(engines, reason) -> None:
    assert chosen(with_engines(engines)) == ("onnxruntime", reason)


def test_a_reason_that_repeats_the_file_is_cut() -> None:
    _, reason = chosen(with_engines({"native": "é" * 1_000_000}))
    assert reason.startswith("the export proved the file on version éé")
    assert reason.endswith("é...") and 400 < len(reason.encode()) < 510


def test_a_file_without_a_contract_is_not_proven() -> None:
    with sidecall.open(MODELS / "add.onnx") as model:
        assert model.engine.startswith("onnxruntime ")
        assert (
            model.engine_reason
            == "the file has no contract, which could prove it on the native engine"
        )


@pytest.mark.parametrize("engines", [[], "native", 1, {"native": 1}, {"native": True}])
def test_engines_of_another_type_are_refused(engines) -> None:
    with pytest.raises(errors.ContractInvalid, match="engines"):
        sidecall.open(with_engines(engines))


def test_onnxruntime_runs_a_proven_file_that_the_native_engine_refuses() -> None:
    model = onnx.load_from_string(with_engines({"native": "2"}))
    [output] = model.graph.output
    model.graph.node[-1].output[0] = "before"
    model.graph.node.add(
        op_type="Einsum",
        input=["before"],
        output=[output.name],
        attribute=[onnx.helper.make_attribute("equation", "ij->ij")],
    )
    contract = next(each.value for each in model.metadata_props if each.key == "sidecall.contract")
    engine, reason = chosen(artifact.seal(model, contract)[0])
    assert engine == "onnxruntime"
    assert "the native engine refuses the file: " in reason and "(Einsum)" in reason


def test_a_named_library_that_cannot_be_used_is_an_error_without_the_proof() -> None:
    with pytest.raises(errors.EngineNotFound, match="/no/libonnxruntime"):
        sidecall.open(MATRIX, onnxruntime="/no/libonnxruntime.so")
