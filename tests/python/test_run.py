"""Tensors in, tensors out: what `run` accepts without a copy, what it converts, what it refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import sidecall
from sidecall import errors

ROW = np.array([[1, 2, 1, 0.5]], dtype=np.float32)
Load = Callable[..., sidecall.Model]


def test_a_dict_an_array_and_a_list_give_the_same_answer(
    matrix: sidecall.Model, backend: str
) -> None:
    for inputs in ({"X": ROW}, ROW, {"X": ROW.tolist()}, {"X": ((1, 2, 1, 0.5),)}):
        assert matrix.run(inputs)["prediction"].tolist() == [[621.0]]


@pytest.mark.parametrize("rows", [1, 2, 100, 5000])
def test_the_number_of_rows_may_change_from_run_to_run(
    matrix: sidecall.Model, backend: str, rows: int
) -> None:
    for count in (rows, 1, rows):
        x = np.arange(count * 4, dtype=np.float32).reshape(count, 4) % 7
        expected = x @ np.array([1, 10, 100, 1000], dtype=np.float32)
        np.testing.assert_array_equal(matrix.run({"X": x})["prediction"].ravel(), expected)


def test_arrays_in_an_unsuitable_layout_are_copied(matrix: sidecall.Model, backend: str) -> None:
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


def test_only_the_requested_outputs_are_returned(matrix: sidecall.Model, backend: str) -> None:
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
def test_invalid_inputs_are_refused_and_the_model_stays_usable(
    matrix: sidecall.Model, backend: str, inputs: object, kind: type[errors.Error], words: str
) -> None:
    with pytest.raises(kind, match=words.replace("[", r"\[")):
        matrix.run(inputs)
    assert matrix.run({"X": ROW})["prediction"][0, 0] == 621  # the model stays usable


def test_lists_are_converted_to_the_input_type_only_without_loss(load: Load) -> None:
    int64 = load("identity_int64.onnx")
    assert int64.run([1, 2])["y"].tolist() == [1, 2]
    with pytest.raises(errors.DtypeMismatch, match="expected int64, got float64"):
        int64.run([1.5])
    uint8 = load("identity_uint8.onnx")
    assert uint8.run([0, 255])["y"].dtype == np.uint8
    with pytest.raises(errors.DtypeMismatch, match="expected uint8, got int64"):
        uint8.run([256])


def test_float16_is_a_numpy_float16_and_bfloat16_is_raw_uint16(load: Load) -> None:
    assert (
        load("identity_float16.onnx").run(np.array([0.5], dtype=np.float16))["y"].dtype
        == np.float16
    )
    assert load("identity_bfloat16.onnx").run(np.array([0x3F80], dtype=np.uint16))[
        "y"
    ].tolist() == [0x3F80]


def test_strings_are_accepted_in_every_form(load: Load) -> None:
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
def test_invalid_strings_are_refused(load: Load, value: object, kind: type[errors.Error]) -> None:
    with pytest.raises(kind, match="input 'x'"):
        load("identity_string.onnx").run({"x": np.array(["good", value], dtype=object)})


LIMITS = {
    "X": np.array([[0.5, 1]], dtype=np.float32),
    "level": [[0.2]],
    "ratio": [[0.5]],
    "step": [[2.0]],
    "years": [[2000.0]],
    "count": [[5]],
    "word": [["a"]],
    "note": ["b"],
}


def masked(values: list[object], mask: list[object], dtype: object = object) -> object:
    return np.ma.array(values, mask=mask, dtype=dtype)


@pytest.mark.parametrize(
    "note",
    [
        [None],
        (float("nan"),),
        np.array([None], dtype=object),
        np.array([np.nan], dtype=object),
        np.empty(1, dtype=object),
        pd.Series([None], dtype=object),
        pd.Series([None], dtype="string"),
        pd.Series([pd.NA], dtype=object),
        pd.Categorical([None], categories=["b"]),
        masked(["b"], [True]),
        masked(["b"], [True], "U1"),
        ["\ufdd0"],
    ],
    ids=lambda note: type(note).__name__,
)
def test_a_missing_string_in_a_tensor_is_a_missing_value(load: Load, note: object) -> None:
    model = load("limits.onnx")
    assert model.run({**LIMITS, "note": note})["transformed"][0, 8] == -1
    for value in ("b", ""):  # an empty string is a value
        assert model.run({**LIMITS, "note": [value]})["transformed"][0, 8] == 1


@pytest.mark.parametrize("word", [None, float("nan"), pd.NA])
def test_a_missing_string_is_refused_unless_the_feature_is_nullable(
    load: Load, word: object
) -> None:
    model = load("limits.onnx")
    with pytest.raises(errors.MissingValue, match="feature 'word': expected string") as caught:
        model.run({**LIMITS, "word": [[word]]})
    assert (caught.value.name, caught.value.row) == ("word", 0)
    record = {"share": 0.5, "speed": 1, "level": 0.2, "ratio": 0.5, "step": 2, "count": 5}
    with pytest.raises(errors.MissingValue, match="feature 'word': expected string"):
        model.predict({**record, "year": 2000, "word": "\ufdd0", "note": "b"})


def test_none_in_the_strings_of_a_call_is_a_missing_value(load: Load) -> None:
    with load("limits.onnx").call() as call:
        for name, value in LIMITS.items():
            call.inputs[name] = value
        for note in ([None], masked(["b"], [True])):
            call.inputs["note"] = note
            call.run()
            assert call.outputs["transformed"][0, 8] == -1
        call.inputs["word"] = [None]
        with pytest.raises(errors.MissingValue, match="feature 'word'"):
            call.run()
        call.inputs["word"], call.inputs["note"] = ["a"], ["b"]
        call.run()
        assert call.outputs["transformed"][0, 8] == 1


def test_masked_numbers_are_missing_values(load: Load) -> None:
    model = load("limits.onnx")
    for dtype in (np.float32, np.float64, np.int64):
        share = masked([[7, 1]], [[True, False]], dtype)  # 7 is beyond the domain
        for _ in range(2):  # the second run finds a workspace of the same shapes
            answer = model.run({**LIMITS, "X": share})["transformed"][0]
            assert np.isnan(answer[0])
            assert answer[1] == 1
    whole = masked([[0.5, 1]], [[False, False]], np.float32)
    assert model.run({**LIMITS, "X": whole})["transformed"][0, 0] == 0.5
    with pytest.raises(errors.MissingValue, match="feature 'level'"):
        model.run({**LIMITS, "level": masked([[0.2]], [[True]], np.float64)})
    with pytest.raises(errors.DtypeMismatch, match="input 'count': expected int64, got a masked"):
        model.run({**LIMITS, "count": masked([[5]], [[True]], np.int64)})
    with model.call() as call:
        call.inputs["X"] = masked([[0.5, 1]], [[True, False]], np.float64)
        np.testing.assert_array_equal(call.inputs["X"], [[np.nan, 1]])
        with pytest.raises(errors.DtypeMismatch, match="expected int64, got a masked array"):
            call.inputs["count"] = masked([[5]], [[True]], np.int64)


def test_a_missing_value_in_a_tensor_is_refused_with_its_feature(
    matrix: sidecall.Model, backend: str
) -> None:
    with pytest.raises(errors.MissingValue, match="feature 'd'"):
        matrix.run({"X": np.array([[1, 2, 1, np.nan]], dtype=np.float32)})


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_invalid_timeouts_are_refused(matrix: sidecall.Model, backend: str, timeout: float) -> None:
    with pytest.raises(errors.InvalidArgument):
        matrix.run({"X": ROW}, timeout=timeout)


def test_a_run_ends_at_its_deadline_and_the_model_stays_usable(load: Load) -> None:
    model = load("slow.onnx", timeout=0.05)
    endless = {"x": np.ones(2, dtype=np.float32), "n": np.array(1 << 40, dtype=np.int64)}
    with pytest.raises(errors.Timeout) as caught:
        model.run(endless)
    assert caught.value.retryable
    assert model.run({"x": endless["x"], "n": np.array(0, dtype=np.int64)}, timeout=float("inf"))[
        "y"
    ].tolist() == [1, 1]


def test_a_run_releases_the_gil(load: Load) -> None:
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


def test_concurrent_threads_get_their_own_answers(matrix: sidecall.Model, backend: str) -> None:
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
