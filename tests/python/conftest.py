"""Fixtures of the Python tests: the models of tests/vectors, and a backend for every test that
needs one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sidecall
from vector_files import BACKENDS, MODELS


@pytest.fixture
def models() -> Path:
    return MODELS


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def load(backend: str) -> Callable[..., sidecall.Model]:
    """Opens a model of tests/vectors with the backend under test."""
    return lambda name, **options: sidecall.open(MODELS / name, backend=backend, **options)


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> Iterator[sidecall.Model]:
    """A model with prediction = a + 10 b + 100 c + 1000 d and one float32 input X.

    The features a and b are nullable; b is an int64 and c a bool.
    """
    chosen = request.getfixturevalue("backend") if "backend" in request.fixturenames else None
    with sidecall.open(MODELS / "matrix.onnx", backend=chosen) as model:
        yield model
