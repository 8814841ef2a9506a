"""What the logger `sidecall` says."""

from __future__ import annotations

import logging

import pytest
import sidecall
from vector_files import MODELS


def test_opening_a_model_is_logged_with_its_engine(caplog: pytest.LogCaptureFixture) -> None:
    path = str(MODELS / "matrix.onnx")
    with caplog.at_level(logging.INFO, "sidecall"):
        model = sidecall.open(path, engine="native")
        sidecall.open((MODELS / "matrix.onnx").read_bytes())
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith(f"opened {path!r} on {model.engine}: ")
    assert second.startswith("opened bytes on ")


def test_a_failed_verification_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    model = sidecall.open(MODELS / "verification/first_row.onnx", verify="warn")
    (record,) = (each for each in caplog.records if each.name == "sidecall")
    assert record.levelno == logging.WARNING
    assert str(model.warning) in record.getMessage()
