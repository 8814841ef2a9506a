"""Which engine runs a file: the option, the query of the path, and the environment variable."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import sidecall
from sidecall import errors
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
    assert engine_of(MATRIX, engine="native") == "native 1"
    assert engine_of(Path(MATRIX).read_bytes(), engine="native") == "native 1"
    for engine in ("auto", "onnxruntime"):
        assert engine_of(MATRIX, engine=engine).startswith("onnxruntime ")


def test_the_query_overrides_the_option_and_the_variable_overrides_both(
    engine_of, monkeypatch
) -> None:
    assert engine_of(f"{MATRIX}?engine=native") == "native 1"
    assert engine_of(f"file://{MATRIX}?engine=native", engine="onnxruntime") == "native 1"
    assert engine_of(f"{MATRIX}?engine=auto", engine="native").startswith("onnxruntime ")
    monkeypatch.setenv("SIDECALL_ENGINE", "native")
    assert engine_of(f"{MATRIX}?engine=onnxruntime", engine="onnxruntime") == "native 1"


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
        assert engine_of(file, engine="native") == "native 1"
    with pytest.raises(errors.FileNotFound):
        engine_of(tmp_path / "none.onnx?engine=native")


def test_the_native_engine_refuses_a_graph_that_it_cannot_run(backend) -> None:
    with pytest.raises(errors.Unsupported, match="NonZero"):
        sidecall.open(MODELS / "nonzero.onnx", engine="native", backend=backend)
