"""Calls: arrays that are the memory of the engine, and values that are accessed by name."""

from __future__ import annotations

import gc
import pickle
import threading
from collections.abc import Callable

import numpy as np
import pytest
import sidecall
from sidecall import errors

Load = Callable[..., sidecall.Model]


def test_arrays_of_a_call_are_the_memory_of_the_engine(
    matrix: sidecall.Model, backend: str
) -> None:
    call = matrix.call()
    x = call.inputs["X"]
    assert call.inputs["X"] is x
    x[:] = [[1, 2, 1, 0.5]]
    call.run()
    y = call.outputs["prediction"]
    assert y[0, 0] == 621
    x[0, 3] = 1
    call.run()
    assert y[0, 0] == 1121  # y is the same memory, not a new array


def test_a_view_stays_valid_after_its_call_and_model_are_gone(load: Load) -> None:
    model = load("matrix.onnx")
    call = model.call()
    call.inputs["X"][:] = 1
    call.run()
    x, y = call.inputs["X"], call.outputs["prediction"]
    slices = y[0], x[:, 1:3]
    first = y[0, 0]
    call.close()
    model.close()
    del call, model
    gc.collect()
    other = load("matrix.onnx")
    with other.call() as second:  # would overwrite the memory if it had been freed
        second.inputs["X"][:] = 7
        second.run()
    assert y[0, 0] == first
    assert slices[0][0] == first
    x[:] = 3
    assert slices[1].tolist() == [[3, 3]]


def test_views_stay_valid_after_resize_and_reshape(load: Load) -> None:
    with load("tile.onnx").call(rows=2) as call:
        held = []
        for width in (1, 2, 5, 3):
            call.reshape("x", (2, width))
            x = call.inputs["x"]
            assert x.shape == (2, width)
            x[:] = width
            call.run()
            held.append((width, x, call.outputs["y"]))
        for width, x, y in held:
            assert (x == width).all()
            assert (y == width).all()
            assert y.shape == (2, 2 * width)
    with load("matrix.onnx").call(rows=1) as call:
        old = call.inputs["X"]
        old[:] = 1
        call.resize(1000)
        assert call.rows == 1000
        call.inputs["X"][:] = 2
        call.run()
        assert (call.outputs["prediction"] == 2222).all()
        assert old.tolist() == [[1, 1, 1, 1]]


def test_inputs_keep_their_values_when_another_input_is_reshaped(load: Load) -> None:
    with load("matmul.onnx").call(rows=1) as call:
        call.reshape("a", (1, 2))
        call.reshape("b", (2, 1))
        a = call.inputs["a"]
        a[:] = [[3, 4]]
        call.reshape("b", (2, 2))
        call.inputs["b"][:] = [[1, 0], [0, 1]]
        call.run()
        assert call.outputs["y"].tolist() == [[3, 4]]


def test_outputs_whose_shape_depends_on_the_run_are_copies(load: Load) -> None:
    model = load("nonzero.onnx")
    name, output = model.inputs[0].name, model.outputs[0].name
    expected = model.run({name: np.array([1, 0, 1])})[output]
    with model.call(rows=3) as call:
        call.inputs[name][:] = [1, 0, 1]
        call.run()
        first = call.outputs[output]
        np.testing.assert_array_equal(first, expected)
        call.inputs[name][:] = [1, 1, 1]
        call.run()
        assert call.outputs[output].shape != first.shape
        np.testing.assert_array_equal(first, expected)


def test_strings_are_assigned_and_checked(load: Load) -> None:
    with load("strings.onnx").call(rows=2) as call:
        call.inputs["first"] = ["a", "b"]
        call.inputs["second"] = np.array(["x", "🐧"])
        call.run()
        assert call.outputs["joined"].tolist() == ["ax", "b🐧"]
        with pytest.raises(errors.ShapeMismatch, match="first"):
            call.inputs["first"] = ["a"]
        with pytest.raises(errors.DtypeMismatch, match="input 'first': expected string, got int"):
            call.inputs["first"] = ["a", 3]
        with pytest.raises(errors.InvalidString, match="first"):
            call.inputs["first"] = ["a", "b\0"]
        with pytest.raises(errors.InvalidArgument, match="first"):
            _ = call.inputs["first"]


def test_features_are_set_and_columns_read_by_name(matrix: sidecall.Model, backend: str) -> None:
    with matrix.call(rows=2) as call:
        for row, values in enumerate(
            (
                {"a": 1, "b": 2, "c": True, "d": 0.5},
                {"a": None, "b": np.int32(0), "c": False, "d": 1},
            )
        ):
            for name, value in values.items():
                call.set(row, name, value)
        call.run()
        assert call.get(0, "prediction") == 621
        assert type(call.get(1, "prediction")) is float
        with pytest.raises(errors.DtypeMismatch, match="feature 'c': expected bool, got int64"):
            call.set(0, "c", 1)
        with pytest.raises(errors.DtypeMismatch):
            call.run()  # fails until the feature gets a value that is accepted
        call.set(0, "c", False)
        call.run()
        assert call.get(0, "prediction") == 521
        call.clear()
        with pytest.raises(errors.MissingValue):
            call.run()


def test_invalid_rows_names_and_shapes_are_refused(matrix: sidecall.Model, backend: str) -> None:
    for rows in (0, -1):
        with pytest.raises(errors.InvalidArgument):
            matrix.call(rows=rows)
    call = matrix.call()
    with pytest.raises(errors.NotRun):
        _ = call.outputs["prediction"]
    with pytest.raises(errors.NotRun):
        call.get(0, "prediction")
    for wrong in (
        lambda: call.inputs["nope"],
        lambda: call.outputs["nope"],
        lambda: call.set(0, "nope", 1),
        lambda: call.get(0, "nope"),
    ):
        with pytest.raises(errors.UnknownName, match="nope"):
            wrong()
    with pytest.raises(errors.ShapeMismatch):
        call.reshape("X", (1, 5))
    with pytest.raises(errors.InvalidArgument):
        call.set(1, "a", 1)
    with pytest.raises(errors.InvalidArgument):
        call.run(timeout=0)
    assert "X" in call.inputs
    assert list(call.inputs) == ["X"]
    assert len(call.outputs) == 1


def test_outputs_cannot_be_read_after_a_failed_run(matrix: sidecall.Model, backend: str) -> None:
    with matrix.call() as call:
        call.inputs["X"][:] = 1
        call.run()
        assert call.outputs["prediction"][0, 0] == 1111
        call.inputs["X"][0, 3] = np.nan
        with pytest.raises(errors.MissingValue):
            call.run()
        with pytest.raises(errors.NotRun):
            _ = call.outputs["prediction"]


def test_a_closed_call_refuses_every_use_but_close_and_cancel(
    matrix: sidecall.Model, backend: str
) -> None:
    call = matrix.call()
    call.close()
    call.close()
    for use in (
        call.run,
        lambda: call.inputs["X"],
        lambda: call.rows,
        lambda: call.set(0, "a", 1),
        lambda: call.resize(2),
        call.clear,
    ):
        with pytest.raises(errors.InvalidArgument, match="the call is closed"):
            use()
    call.cancel()


def test_a_call_still_runs_after_its_model_is_closed(load: Load) -> None:
    model = load("matrix.onnx")
    call = model.call()
    model.close()
    call.inputs["X"] = [[1, 2, 1, 0.5]]
    call.run()
    assert call.outputs["prediction"][0, 0] == 621
    for use in (
        lambda: model.run({"X": np.ones((1, 4), np.float32)}),
        lambda: model.predict({}),
        model.call,
        model.verify,
        lambda: model.id,
    ):
        with pytest.raises(errors.InvalidArgument, match="closed"):
            use()


def test_a_run_is_cancelled_from_another_thread(load: Load) -> None:
    call = load("slow.onnx").call(rows=2)
    call.inputs["x"][:] = 1
    call.inputs["n"][...] = 1 << 40
    timer = threading.Timer(0.1, call.cancel)
    timer.start()
    with pytest.raises(errors.Cancelled):
        call.run(timeout=30)
    timer.join()
    call.inputs["n"][...] = 0
    call.run()


def test_pickling_a_call_is_refused(matrix: sidecall.Model, backend: str) -> None:
    with pytest.raises(TypeError, match="a Call cannot be pickled"):
        pickle.dumps(matrix.call())
