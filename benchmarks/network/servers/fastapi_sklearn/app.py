"""FastAPI with joblib and scikit-learn, as most teams use it.

It has pydantic models for input and output, a `def` endpoint, and the pipeline that was trained.
"""

import math
import os
from functools import cache
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel

FOLDER = Path(os.environ["BENCH_WORKLOADS"])

app = FastAPI()


class Rows(BaseModel):
    X: list[list[float]]


class Answers(BaseModel):
    label: list[int]
    probabilities: list[list[float]]


class Penguin(BaseModel):
    island: str | None = None
    bill_length_mm: float | None = None
    bill_depth_mm: float | None = None
    flipper_length_mm: float | None = None
    body_mass_g: float | None = None
    sex: str | None = None


class Species(BaseModel):
    label: str
    probabilities: dict[str, float]


@cache
def load(name: str) -> Any:
    return joblib.load(FOLDER / name / "model.joblib")


@app.post("/penguins")
def predict_penguin(penguin: Penguin) -> Species:
    model = load("penguins")
    row = (
        pd.DataFrame([penguin.model_dump()]).fillna(math.nan).astype(ROW)
    )  # as in training: a missing value is NaN, also in text columns
    probabilities = model.predict_proba(row)[0]
    return Species(
        label=model.predict(row)[0],
        probabilities=dict(zip(model.classes_, probabilities, strict=True)),
    )


@app.post("/{name}")
def predict(name: str, rows: Rows) -> Answers:
    model = load(name)
    return Answers(
        label=model.predict(rows.X).tolist(), probabilities=model.predict_proba(rows.X).tolist()
    )


ROW = {
    "bill_length_mm": float,
    "bill_depth_mm": float,
    "flipper_length_mm": float,
    "body_mass_g": float,
}  # these columns are float even if all their values are missing
