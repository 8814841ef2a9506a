"""A number gets the same answer in .npy files of float32 and float64, in JSON Lines and in CSV."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MODELS = Path(__file__).parents[2] / "vectors" / "models"
NUMBERS = [0.1, 7.315, 1e-45, 5e-324, 16777217.5, 3.4e38, -0.0]


def held(value: float, model_dtype: str) -> float:
    """The value that a tensor of that type holds for a double."""
    return float(np.dtype(model_dtype).type(value))


@pytest.mark.parametrize("given", ["float32", "float64"])
@pytest.mark.parametrize("model", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 5000])
def test_files_of_float32_and_float64_are_converted_to_the_input_type(
    sidecall: Any, tmp_path: Path, model: str, given: str, rows: int
) -> None:
    x = np.tile(np.array(NUMBERS)[:, None], (rows, 2)).astype(given)
    x[:, 1] = 1
    np.save(tmp_path / "x.npy", x)
    done = sidecall(
        "run",
        str(MODELS / f"floats_{model}.onnx"),
        "--tensor",
        "X=@x.npy",
        "--out",
        "transformed=@y.npy",
    )
    assert (done.code, done.err) == (0, "")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), x.astype(model).astype(np.float64))


def test_a_file_of_float64_from_a_pipe_is_converted(sidecall: Any) -> None:
    file = io.BytesIO()
    np.save(file, np.array([0.1, 7.315]))
    with (sidecall.cwd / "y.npy").open("wb") as out:
        done = sidecall(
            "run",
            str(MODELS / "identity_float32.onnx"),
            "--tensor",
            "x=@-",
            stdin=file.getvalue(),
            stdout=out,
        )
    assert (done.code, done.err) == (0, "")
    np.testing.assert_array_equal(
        np.load(sidecall.cwd / "y.npy"), np.array([0.1, 7.315], np.float32)
    )


def test_a_number_beyond_float32_is_refused_with_its_feature_and_row(
    sidecall: Any, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", np.array([[0.5, 1], [1e39, 2]]))
    done = sidecall(
        "run",
        str(MODELS / "floats_finite.onnx"),
        "--tensor",
        "X=@x.npy",
        "--out",
        "transformed=@y.npy",
    )
    assert (done.code, done.out) == (2, "")
    assert "feature 'x': expected float32, got a number beyond its range (row 1)" in done.err
    assert not (tmp_path / "y.npy").exists()


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float16", "bool", "U3"])
@pytest.mark.parametrize("model", ["float32", "float64"])
def test_files_of_other_types_are_not_converted(
    sidecall: Any, tmp_path: Path, model: str, dtype: str
) -> None:
    np.save(tmp_path / "x.npy", np.array([1]).astype(dtype))
    done = sidecall(
        "run", str(MODELS / f"identity_{model}.onnx"), "--tensor", "x=@x.npy", "--out", "y=@y.npy"
    )
    assert (done.code, done.out) == (2, "")
    assert f"input 'x': expected {model}, got {'string' if dtype == 'U3' else dtype}" in done.err


@pytest.mark.parametrize("model", ["float32", "float64"])
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_row_gives_the_same_answer_as_json_and_csv(sidecall: Any, model: str, form: str) -> None:
    if form == "csv":
        text = "x,n\n" + "".join(f"{value!r},1\n" for value in NUMBERS)
    else:
        text = "".join(json.dumps({"x": value, "n": 1}) + "\n" for value in NUMBERS)
    done = sidecall(
        "predict",
        str(MODELS / f"floats_{model}.onnx"),
        f"--from={form}",
        "--to=jsonl",
        stdin=text.encode(),
    )
    assert (done.code, done.err) == (0, "")
    answers = [json.loads(line)["transformed"][0] for line in done.lines()]
    assert answers == [held(value, model) for value in NUMBERS]
