"""Memory does not grow when models are opened, run and closed, or when errors occur."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sidecall
from sidecall import errors
from vector_files import MODELS

Load = Callable[..., sidecall.Model]
PAGE_KIB = os.sysconf("SC_PAGESIZE") // 1024


def resident_kib() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_KIB


def growth_kib(action: Callable[[], object], times: int) -> int:
    for _ in range(times // 10):  # pools and arenas fill up first
        action()
    before = resident_kib()
    for _ in range(times):
        action()
    return resident_kib() - before


def open_and_close(content: bytes, backend: str) -> None:
    with sidecall.open(content, backend=backend) as model:
        model.run({"X": np.ones((1, 4), dtype=np.float32)})


@pytest.mark.parametrize(("backend", "times"), [("native", 10_000), ("cffi", 2_000)])
def test_opening_and_closing_leak_no_memory(backend: str, times: int) -> None:
    content = (MODELS / "matrix.onnx").read_bytes()
    assert growth_kib(lambda: open_and_close(content, backend), times) < 2048


def test_errors_leak_no_memory(matrix: sidecall.Model, backend: str) -> None:
    good, big = np.ones((1, 4), dtype=np.float32), np.ones((5000, 4), dtype=np.float32)

    def fail() -> None:
        for wrong in (
            lambda: matrix.run({"X": good.astype(bool)}),
            lambda: matrix.run({"X": big, "Y": big}),
            lambda: matrix.run({"X": big}, outputs=["nope"]),
            lambda: matrix.run({"X": [[1, "a"]]}),
            lambda: matrix.predict([{"a": "x"}] * 9),
            lambda: matrix.predict([{"a": 1}, 3]),
            lambda: matrix.call(0),
            lambda: sidecall.open(b"junk", backend=backend),
        ):
            with pytest.raises(errors.Error):
                wrong()

    assert growth_kib(fail, 1000 if backend == "native" else 300) < 2048


def test_calls_and_views_leak_no_memory(matrix: sidecall.Model, backend: str) -> None:
    def use() -> None:
        call = matrix.call(rows=50)
        views = [call.inputs["X"][i] for i in range(10)]
        for view in views:
            view[:] = 1
        call.inputs["X"][:] = 1
        call.run()
        call.outputs["prediction"].sum()
        call.resize(60)
        call.inputs["X"][:] = 1
        call.run()

    assert growth_kib(use, 3000) < 2048


def test_runs_leave_reference_counts_unchanged(load: Load) -> None:
    model = load("strings.onnx")
    word, none = "a word of its own" * 2, sys.getrefcount(None)
    array = np.array([word], dtype=object)
    before = sys.getrefcount(word), sys.getrefcount(array), sys.getrefcount(np.dtype(object))
    for _ in range(200):
        model.run({"first": array, "second": array})
        with pytest.raises(errors.Error):
            model.run({"first": array, "second": array[:0]})
    gc.collect()
    after = sys.getrefcount(word), sys.getrefcount(array), sys.getrefcount(np.dtype(object))
    assert [late - early for early, late in zip(before, after, strict=True)] == pytest.approx(
        [0, 0, 0], abs=5
    )
    assert abs(sys.getrefcount(None) - none) < 150


def test_a_model_is_freed_although_a_view_of_its_call_remains(load: Load) -> None:
    import weakref

    model = load("matrix.onnx")
    gone = weakref.ref(model)
    call = model.call()
    view = call.inputs["X"]
    del model, call
    gc.collect()
    assert gone() is None
    view[:] = 1


def test_a_forked_child_can_use_the_model(matrix: sidecall.Model, backend: str) -> None:
    record = {"a": 1, "b": 2, "c": True, "d": 0.5}
    call = matrix.call()
    assert matrix.predict(record) == {"prediction": 621}
    child = os.fork()
    if child == 0:
        try:
            good = matrix.predict(record) == {"prediction": 621}
            call.inputs["X"][:] = 1
            call.run()
            os._exit(0 if good and call.outputs["prediction"][0, 0] == 1111 else 1)
        except BaseException:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert matrix.predict(record) == {"prediction": 621}
