"""Encoders of the package category_encoders in exported pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import category_encoders
import numpy as np
import pandas as pd
import pytest
import sidecall
from export_data import payments
from sidecall.convert.families.category_encoders import ENCODERS
from sidecall.exporting.errors import StepError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

FRAME, FRAUD = payments(500)
COLUMNS = ["country", "amount", "card type", "hour"]
FRAME = FRAME[COLUMNS]
FRESH = payments(200, seed=1)[0][COLUMNS]
FRESH.loc[:9, "country"] = "XX"
FRESH.loc[5:14, "card type"] = None


def export(encoder: Any, path: Path, rows: pd.DataFrame = FRAME) -> Any:
    model = make_pipeline(encoder, LogisticRegression(max_iter=500)).fit(rows, FRAUD)
    sidecall.export(model, path, rows, progress=False)
    return model


def check(model: Any, path: Path, rows: pd.DataFrame) -> None:
    answers = sidecall.open(path).predict(rows)
    np.testing.assert_allclose(
        answers[["probabilities.0", "probabilities.1"]], model.predict_proba(rows), atol=1e-9
    )


QUICK = ("BinaryEncoder", "CatBoostEncoder", "CountEncoder", "OneHotEncoder", "TargetEncoder")
CASES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.long)
    for name in ENCODERS.split()
]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore")
def test_the_file_answers_as_the_model(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = export(getattr(category_encoders, name)(), path)
    check(model, path, FRESH)


@pytest.mark.filterwarnings("ignore")
def test_a_column_of_numbers_can_be_encoded(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = export(
        category_encoders.TargetEncoder(cols=["hour", "country"]),
        path,
        FRAME[["hour", "country", "amount"]],
    )
    check(model, path, FRESH[["hour", "country", "amount"]].assign(hour=FRESH["hour"] + 12))


@pytest.mark.filterwarnings("ignore")
def test_values_that_an_encoder_refuses_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    encoder = category_encoders.TargetEncoder(handle_unknown="error", handle_missing="error")
    rows = FRAME.assign(country=FRAME["country"].fillna("none"))
    model = export(encoder, path, rows)
    check(model, path, rows)
    opened = sidecall.open(path)
    record = rows.iloc[0].to_dict()
    for wrong in ({"country": "XX"}, {"country": None}):
        with pytest.raises(sidecall.errors.Error) as caught:
            opened.predict(record | wrong)
        assert caught.value.code in ("UNKNOWN_CATEGORY", "MISSING_VALUE", "REFUSED")


@pytest.mark.filterwarnings("ignore")
def test_an_encoder_that_hashes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="hash of each value"):
        export(category_encoders.HashingEncoder(), tmp_path / "model.onnx")
