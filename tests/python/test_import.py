"""Importing and calling sidecall loads only what it needs. Each test has its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from vector_files import BACKENDS, MODELS

HEAVY = (
    "onnxruntime",
    "sklearn",
    "pandas",
    "asyncio",
    "onnx",
    "skl2onnx",
    "json",
    "cffi",
    "lightgbm",
    "xgboost",
    "mlflow",
)


def run(code: str, **environment: str) -> str:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SIDECALL_", "ORT_"))
    }
    child = subprocess.run(
        [sys.executable, "-c", code],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert child.returncode == 0, child.stderr
    assert child.stderr == ""
    return child.stdout


def test_import_loads_no_heavy_package() -> None:
    code = f"import numpy, sys; before = set(sys.modules); import sidecall; print([m for m in {HEAVY!r} if m in set(sys.modules) - before])"
    assert run(code).strip() == "[]"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_call_does_not_import_the_onnxruntime_package(backend: str) -> None:
    code = f"""
import sys, sidecall
model = sidecall.open({str(MODELS / "matrix.onnx")!r})
assert model.predict({{"a": 1, "b": 2, "c": True, "d": 0.5}}) == {{"prediction": 621}}
assert type(model._native).__module__.endswith({"_" + backend!r}), type(model._native)
print([m for m in ("onnxruntime", "sklearn", "pandas", "asyncio", "onnx") if m in sys.modules])
"""
    assert run(code, SIDECALL_PYTHON_BACKEND=backend).strip() == "[]"


def test_telemetry_is_off_unless_the_variable_is_set() -> None:
    code = "import os, sidecall; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert run(code).strip() == "1"
    assert run(code, ORT_DISABLE_TELEMETRY="0").strip() == "0"


def test_engine_reports_which_onnxruntime_is_used() -> None:
    code = "import json, sidecall; print(json.dumps(sidecall.engine()))"
    found = json.loads(run(code))
    assert "onnxruntime/capi" in found["path"]
    assert (
        json.loads(run(code, SIDECALL_ONNXRUNTIME=found["path"]))["found_by"]
        == "SIDECALL_ONNXRUNTIME"
    )
    resident = f"import ctypes; ctypes.CDLL({found['path']!r}); {code}"
    assert (
        "resident" in json.loads(run(resident))["found_by"]
        or json.loads(run(resident))["path"] == found["path"]
    )


def test_a_missing_onnxruntime_raises_engine_not_found(tmp_path) -> None:
    code = f"""
import sidecall
try:
    sidecall.open({str(MODELS / "matrix.onnx")!r}, onnxruntime={str(tmp_path / "none.so")!r})
except ImportError as error:
    print(type(error).__name__, "none.so" in str(error))
"""
    assert run(code).strip() == "EngineNotFound True"


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_native_engine_needs_no_onnxruntime(backend: str) -> None:
    code = f"""
import sidecall
model = sidecall.open({str(MODELS / "matrix.onnx")!r}, engine="native", onnxruntime="/no/such.so")
print(model.predict({{"a": 1, "b": 2, "c": True, "d": 0.5}}))
print("libonnxruntime" in open("/proc/self/maps").read())
"""
    assert run(code, SIDECALL_PYTHON_BACKEND=backend) == "{'prediction': 621.0}\nFalse\n"


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_native_engine_never_maps_onnxruntime(backend: str) -> None:
    """Although ONNX Runtime is installed, and also if the native engine refuses a file."""
    code = f"""
import sidecall
def is_mapped(): return "onnxruntime" in open("/proc/self/maps").read()
for name in ("gbm.onnx", "penguins.onnx", "matrix.onnx"):
    model = sidecall.open({str(MODELS)!r} + "/" + name, engine="native", verify="error")
    assert model.verify()["engine"].startswith("native")
print(is_mapped(), model.predict({{"a": 1, "b": 2, "c": True, "d": 0.5}}), is_mapped())
for name in ("nonzero.onnx", "graphs/cycle.onnx", "graphs/unknown_op.onnx"):
    try:
        sidecall.open({str(MODELS)!r} + "/" + name, engine="native")
    except sidecall.errors.Error as error:
        print(error.code, is_mapped())
sidecall.open({str(MODELS / "matrix.onnx")!r}, engine="onnxruntime")
print(is_mapped())
"""
    assert run(code, SIDECALL_PYTHON_BACKEND=backend).splitlines() == [
        "False {'prediction': 621.0} False",
        "UNSUPPORTED False",
        "FILE_INVALID False",
        "UNSUPPORTED False",
        "True",
    ]


def test_lazy_names_load_and_unknown_names_raise() -> None:
    code = """
import sidecall
for name in sidecall.__all__: assert name in dir(sidecall)
for name in ("Call", "Signature", "Tensor", "engine"): getattr(sidecall, name)
try: sidecall.nothing
except AttributeError as error: print(error)
"""
    assert run(code).strip() == "module 'sidecall' has no attribute 'nothing'"


def test_records_are_answered_without_pandas() -> None:
    code = f"""
import sys
sys.modules["pandas"] = None
import sidecall
print(sidecall.open({str(MODELS / "matrix.onnx")!r}).predict([{{"a": 1, "b": 2, "c": True, "d": 0.5}}]))
"""
    assert run(code).strip() == "[{'prediction': 621.0}]"
