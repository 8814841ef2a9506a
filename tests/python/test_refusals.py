"""Refusals of a model by its contract, from Python with both backends.

Records, frames and tensors give the same faults, in process and over shm:.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pytest
import sidecall
from sidecall import errors
from vector_servers import Servers

ROWS = [{"a": 6, "b": 2}, {"a": 101, "b": 2}, {"a": 6, "b": 2}, {"a": -5, "b": 0}, {"a": 1, "b": 0}]
STEP_FAULTS = [
    (1, "pca", "finite numbers"),
    (3, "log", "numbers above 0"),
    (4, "prediction", "finite numbers"),
]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    started = Servers()
    yield started
    started.close()


@pytest.fixture(params=["file", "shm"])
def opened(
    request: pytest.FixtureRequest,
    backend: str,
    load: Callable[..., sidecall.Model],
    servers: Servers,
) -> Callable[[str], sidecall.Model]:
    if request.param == "file":
        return load
    return lambda name: sidecall.open(servers.address(name), backend=backend, wait=30)


def faults_of(error: errors.Error) -> list[tuple[int | None, str | None, str | None]]:
    return [(fault.row, fault.name, fault.expected) for fault in error.faults]


def test_refused_is_a_value_error_of_the_data_family() -> None:
    assert issubclass(errors.Refused, ValueError)
    assert (errors.Refused.status, errors.Refused.code, errors.Refused.family) == (
        49,
        "REFUSED",
        40,
    )


@pytest.mark.parametrize("form", ["records", "frame", "tensor", "started"])
def test_every_row_that_a_step_refuses_is_a_fault(
    opened: Callable[[str], sidecall.Model], form: str
) -> None:
    with opened("steps.onnx") as model:
        frame = pd.DataFrame(ROWS)
        tensors = {"X": frame.to_numpy(np.float32)}
        calls: dict[str, Callable[[], object]] = {
            "records": lambda: model.predict(ROWS),
            "frame": lambda: model.predict(frame),
            "tensor": lambda: model.run(tensors),
            "started": lambda: asyncio.run(model.arun(tensors)),
        }
        with pytest.raises(errors.Refused) as caught:
            calls[form]()
        assert faults_of(caught.value) == STEP_FAULTS
        assert not caught.value.retryable
        assert [fault.message.split(" ")[0] for fault in caught.value.faults] == [
            "step",
            "step",
            "output",
        ]
        assert str(caught.value).startswith(
            "step 'pca': expected finite numbers, got others (row 1); step 'log'"
        )
        assert model.predict(ROWS[0]) == {"prediction": 3}


def test_the_first_refused_rows_of_thousands_are_named(
    opened: Callable[[str], sidecall.Model],
) -> None:
    x = np.ones((3000, 2), np.float32)
    x[::2, 0] = -1
    with opened("steps.onnx") as model, pytest.raises(errors.Refused) as caught:
        model.run({"X": x})
    rows = [fault.row for fault in caught.value.faults]
    assert rows == list(range(0, 2 * len(rows), 2))
    assert len(rows) >= 256  # at most 1000 are kept, and over shm: as many as fit in a slot
    assert "and 1497 more" in str(caught.value)


def test_an_infinity_is_refused_by_the_domain_of_its_feature_or_by_the_output(
    opened: Callable[[str], sidecall.Model],
) -> None:
    # The features of the model accept every number, but its answer must be finite.
    with (
        opened("steps.onnx") as model,
        pytest.raises(errors.Refused),
    ):
        model.predict({"a": float("inf"), "b": 1})
    good = {
        "share": 0.5,
        "speed": 1,
        "level": 0.2,
        "ratio": 0.5,
        "step": 2,
        "count": 5,
        "year": 2000,
        "word": "a",
        "note": "b",
    }
    with opened("limits.onnx") as model:
        with pytest.raises(errors.OutOfRange) as caught:
            model.predict(
                [
                    good,
                    {**good, "speed": float("inf")},
                    {**good, "share": float("-inf"), "word": ""},
                ]
            )
        assert faults_of(caught.value) == [
            (1, "speed", "a finite number"),
            (2, "share", "a number from 0 to 1"),
            (2, "word", "a string that is not empty"),
        ]
        assert caught.value.faults[0].got == "an infinite one"
        assert model.predict({**good, "ratio": float("-inf")})["transformed"][3] == float("-inf")


def test_an_answer_that_is_not_finite_names_its_column(
    opened: Callable[[str], sidecall.Model],
) -> None:
    with opened("finite.onnx") as model, pytest.raises(errors.Refused) as caught:
        model.predict([{"x0": 1, "x1": 0, "x2": 0}, {"x0": 0, "x1": float("inf"), "x2": 0}])
    assert faults_of(caught.value) == [(1, "probabilities.yes", "finite numbers")]


def test_the_output_that_marks_refused_rows_is_hidden(
    opened: Callable[[str], sidecall.Model],
) -> None:
    with opened("steps.onnx") as model:
        assert [output.name for output in model.signature.outputs] == ["prediction"]
        assert list(model.run({"X": np.array([[6, 2]], np.float32)})) == ["prediction"]
