"""Pipelines and ensembles of imbalanced-learn, whose samplers only change what fit gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sidecall
from export_data import payments
from imblearn.combine import SMOTEENN
from imblearn.ensemble import (
    BalancedBaggingClassifier,
    BalancedRandomForestClassifier,
    EasyEnsembleClassifier,
    RUSBoostClassifier,
)
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import make_pipeline
from imblearn.under_sampling import RandomUnderSampler
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline as plain_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

FRAME, FRAUD = payments(600)
NUMBERS = ["amount", "age", "hour"]


def preprocess() -> Any:
    return make_column_transformer(
        (plain_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
        (OneHotEncoder(handle_unknown="ignore"), ["country", "card type"]),
    )


def search() -> GridSearchCV:
    steps = make_pipeline(preprocess(), RandomOverSampler(random_state=0), LogisticRegression())
    return GridSearchCV(steps, {"logisticregression__C": [0.1, 1]}, cv=2)


MODELS = {
    "smote": lambda: make_pipeline(preprocess(), SMOTE(random_state=0), LogisticRegression()),
    "sampler first": lambda: make_pipeline(
        RandomUnderSampler(random_state=0), preprocess(), HistGradientBoostingClassifier(max_iter=9)
    ),
    "combined": lambda: make_pipeline(
        preprocess(), SMOTEENN(random_state=0), StandardScaler(), LogisticRegression()
    ),
    "inside": lambda: VotingClassifier(
        [("a", MODELS["smote"]()), ("b", MODELS["sampler first"]())], voting="soft"
    ),
    "search": search,
    "forest": lambda: make_pipeline(
        preprocess(),
        BalancedRandomForestClassifier(
            10, random_state=0, sampling_strategy="all", replacement=True
        ),
    ),
    "bagging": lambda: make_pipeline(
        preprocess(), BalancedBaggingClassifier(n_estimators=4, random_state=0)
    ),
    "easy": lambda: make_pipeline(preprocess(), EasyEnsembleClassifier(3, random_state=0)),
    "boosting": lambda: make_pipeline(
        preprocess(), RUSBoostClassifier(n_estimators=6, random_state=0)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_file_answers_as_the_model(name: str, tmp_path: Path) -> None:
    model = MODELS[name]().fit(FRAME, FRAUD)
    path = tmp_path / "model.onnx"
    sidecall.export(model, path, FRAME, progress=False)
    fresh = payments(200, seed=1)[0]
    answers = sidecall.open(path).predict(fresh)
    assert np.array_equal(answers["label"], model.predict(fresh))
    columns = [f"probabilities.{name}" for name in model.classes_]
    np.testing.assert_allclose(answers[columns], model.predict_proba(fresh), rtol=0, atol=1e-9)


def test_check_has_no_row_for_a_sampler() -> None:
    model = MODELS["smote"]().fit(FRAME, FRAUD)
    kinds = [row.kind for row in sidecall.check(model, FRAME).steps]
    assert kinds[-1] == "LogisticRegression"
    assert "SMOTE" not in kinds
