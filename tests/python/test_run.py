"""Tensors in, tensors out: what `run` accepts without a copy, what it converts, what it refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
import sidecall
from sidecall import errors

ROW = np.array([[1, 2, 1, 0.5]], dtype=np.float32)
Load = Callable[..., sidecall.Model]


def test_dict_array_and_list_give_the_same(matrix: sidecall.Model, backend: str) -> None:
    for inputs in ({"X": ROW}, ROW, {"X": ROW.tolist()}, {"X": ((1, 2, 1, 0.5),)}):
        assert matrix.run(inputs)["prediction"].tolist() == [[621.0]]


@pytest.mark.parametrize("rows", [1, 2, 100, 5000])
def test_rows_of_any_number_and_back(matrix: sidecall.Model, backend: str, rows: int) -> None:
    for count in (rows, 1, rows):
        x = np.arange(count * 4, dtype=np.float32).reshape(count, 4) % 7
        expected = x @ np.array([1, 10, 100, 1000], dtype=np.float32)
        np.testing.assert_array_equal(matrix.run({"X": x})["prediction"].ravel(), expected)


def test_other_layouts_are_copied(matrix: sidecall.Model, backend: str) -> None:
    wide = np.zeros((1, 8), dtype=np.float32)
    wide[:, ::2] = ROW
    unaligned = (
        np.frombuffer(b"\0" + ROW.tobytes(), dtype=np.uint8)[1:].view(np.float32).reshape(1, 4)
    )
    for x in (wide[:, ::2], np.asfortranarray(np.vstack([ROW, ROW])), ROW.astype(">f4"), unaligned):
        assert matrix.run({"X": x})["prediction"].ravel()[0] == 621


def test_results_do_not_share_memory_with_later_runs(matrix: sidecall.Model, backend: str) -> None:
    first = matrix.run({"X": ROW})["prediction"]
    matrix.run({"X": ROW * 2})
    assert first[0, 0] == 621


def test_large_results_outlive_the_model(load: Load) -> None:
    with load("add.onnx") as model:
        x = np.ones((100_000, 2), dtype=np.float32)
        y = model.run({"x": x})["y"]
        expected = y.copy()
        model.run({"x": x * 2})
    np.testing.assert_array_equal(y, expected)


def test_large_inputs_are_released_after_the_run(load: Load) -> None:
    import sys

    model = load("add.onnx")
    x = np.ones((100_000, 2), dtype=np.float32)
    before = sys.getrefcount(x)
    model.run({"x": x})
    assert sys.getrefcount(x) == before


def test_wanted_outputs(matrix: sidecall.Model, backend: str) -> None:
    assert list(matrix.run({"X": ROW}, outputs=["prediction"])) == ["prediction"]
    assert matrix.run({"X": ROW}, outputs=[]) == {}
    with pytest.raises(errors.UnknownName, match="output 'nope'"):
        matrix.run({"X": ROW}, outputs=["nope"])


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        (
            {"X": ROW.astype(np.bool_)},
            errors.DtypeMismatch,
            "input 'X': expected float32, got bool",
        ),
        (
            {"X": ROW.astype(np.complex64)},
            errors.DtypeMismatch,
            "input 'X': expected float32, got complex64",
        ),
        ({"X": ROW.astype("datetime64[s]")}, errors.DtypeMismatch, "got datetime64"),
        ({"X": [["1", "2", "3", "4"]]}, errors.DtypeMismatch, "expected float32, got string"),
        ({"X": [[True, False, True, True]]}, errors.DtypeMismatch, "expected float32, got bool"),
        ({"X": [[1, 2], [3]]}, errors.DtypeMismatch, "input 'X'"),
        ({"X": ROW[0]}, errors.ShapeMismatch, "input 'X'"),
        ({"X": ROW[:, :3]}, errors.ShapeMismatch, "input 'X'"),
        ({"X": ROW[:0]}, errors.ShapeMismatch, "0 rows"),
        ({"Y": ROW}, errors.UnknownName, "input 'Y'"),
        ({"X": ROW, "a\0b": ROW}, errors.UnknownName, "input"),
        ({3: ROW}, errors.UnknownName, "input '3'"),
        ({}, errors.MissingInput, "input 'X'"),
    ],
)
def test_refused(
    matrix: sidecall.Model, backend: str, inputs: object, kind: type[errors.Error], words: str
) -> None:
    with pytest.raises(kind, match=words.replace("[", r"\[")):
        matrix.run(inputs)
    assert matrix.run({"X": ROW})["prediction"][0, 0] == 621  # the model stays usable


def test_lists_take_the_inputs_type_only_without_loss(load: Load) -> None:
    int64 = load("identity_int64.onnx")
    assert int64.run([1, 2])["y"].tolist() == [1, 2]
    with pytest.raises(errors.DtypeMismatch, match="expected int64, got float64"):
        int64.run([1.5])
    uint8 = load("identity_uint8.onnx")
    assert uint8.run([0, 255])["y"].dtype == np.uint8
    with pytest.raises(errors.DtypeMismatch, match="expected uint8, got int64"):
        uint8.run([256])


def test_float16_is_numpys_and_bfloat16_is_raw(load: Load) -> None:
    assert (
        load("identity_float16.onnx").run(np.array([0.5], dtype=np.float16))["y"].dtype
        == np.float16
    )
    assert load("identity_bfloat16.onnx").run(np.array([0x3F80], dtype=np.uint16))[
        "y"
    ].tolist() == [0x3F80]


def test_strings_in_every_form(load: Load) -> None:
    model = load("identity_string.onnx")
    words = ["a", "", "Größe", "🐧"]
    for x in (
        words,
        np.array(words),
        np.array(words, dtype=object),
        tuple(words),
        np.array([word.encode() for word in words], dtype=object),
    ):
        assert model.run({"x": x})["y"].tolist() == words
    assert model.run({"x": words})["y"].dtype == object


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("a\0b", errors.InvalidString),
        ("\ud800", errors.InvalidString),
        (3, errors.DtypeMismatch),
        (None, errors.DtypeMismatch),
    ],
)
def test_strings_refused(load: Load, value: object, kind: type[errors.Error]) -> None:
    with pytest.raises(kind, match="input 'x'"):
        load("identity_string.onnx").run({"x": np.array(["good", value], dtype=object)})


def test_missing_value_in_a_tensor(matrix: sidecall.Model, backend: str) -> None:
    with pytest.raises(errors.MissingValue, match="feature 'd'"):
        matrix.run({"X": np.array([[1, 2, 1, np.nan]], dtype=np.float32)})


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_deadlines_that_make_no_sense(matrix: sidecall.Model, backend: str, timeout: float) -> None:
    with pytest.raises(errors.InvalidArgument):
        matrix.run({"X": ROW}, timeout=timeout)


def test_deadline(load: Load) -> None:
    model = load("slow.onnx", timeout=0.05)
    endless = {"x": np.ones(2, dtype=np.float32), "n": np.array(1 << 40, dtype=np.int64)}
    with pytest.raises(errors.Timeout) as caught:
        model.run(endless)
    assert caught.value.retryable
    assert model.run({"x": endless["x"], "n": np.array(0, dtype=np.int64)}, timeout=float("inf"))[
        "y"
    ].tolist() == [1, 1]


def test_the_gil_is_released(load: Load) -> None:
    """A second thread counts while the engine runs."""
    model = load("slow.onnx")
    turns = 0
    running = threading.Event()
    over = threading.Event()

    def count() -> None:
        nonlocal turns
        running.wait()
        while not over.is_set():
            turns += 1

    counter = threading.Thread(target=count)
    counter.start()
    running.set()
    with pytest.raises(errors.Timeout):
        model.run(
            {"x": np.ones(2, dtype=np.float32), "n": np.array(1 << 40, dtype=np.int64)}, timeout=0.3
        )
    over.set()
    counter.join()
    assert turns > 1000  # with the GIL held there would be almost none


def test_threads_do_not_mix(matrix: sidecall.Model, backend: str) -> None:
    wrong: list[object] = []

    def work(seed: int) -> None:
        for i in range(300):
            rows = 1 + (seed + i) % 3
            x = np.full((rows, 4), seed, dtype=np.float32)
            if not (matrix.run({"X": x})["prediction"] == 1111 * seed).all():
                wrong.append(seed)
            if (
                matrix.predict({"a": seed, "b": seed, "c": True, "d": seed})["prediction"]
                != 1011 * seed + 100
            ):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
