"""Exported models and their rows."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import sidecall
from export_data import payments
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def fraud(folder):
    """A pipeline of numbers and text, its file and its rows.

    Both the original and the file refuse unknown text.
    """
    frame, target = payments(1200)
    frame = frame[["amount", "country", "hour"]].assign(country=frame["country"].fillna("none"))
    first = make_column_transformer(
        (StandardScaler(), ["amount", "hour"]), (OneHotEncoder(), ["country"])
    )
    model = make_pipeline(first, LogisticRegression(max_iter=500)).fit(frame, target)
    sidecall.export(model, folder / "fraud.onnx", frame, precision="float32")
    return model, folder / "fraud.onnx", frame


@pytest.fixture(scope="module")
def steps(folder):
    """A tree over one column of integers, its file and its rows.

    Its answers are exact in any precision. Values between two integers fall into other leaves.
    """
    data = np.arange(400.0).reshape(-1, 1)
    model = DecisionTreeRegressor(random_state=0).fit(data, np.floor(data[:, 0] / 2))
    sidecall.export(model, folder / "steps.onnx", data)
    return model, folder / "steps.onnx", data
