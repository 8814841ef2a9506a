"""TableVectorizer, tabular_pipeline and other transformers of skrub in exported pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sidecall
import skrub
from export_data import payments
from graph_rows import check_rows, graph_of
from sidecall.convert import NotConvertible
from sidecall.exporting.errors import StepError
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

WORDS = ["alpha", "Beta corp", "gamma-ray", "Ångström AB", "müller & söhne", "x", "N/A"]


def shops(rows: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [f"{a} {b} {k}" for k, (a, b) in enumerate(rng.choice(WORDS, (rows, 2)))]


FRAME, FRAUD = payments(150)
FRAME = FRAME[["country", "amount", "card type", "hour", "age", "vip"]].assign(
    shop=shops(150, 0), flat=1.5
)
STRANGE = payments(26, seed=1)[0][["country", "amount", "card type", "hour", "age", "vip"]].assign(
    shop=shops(26, 1), flat=2.5
)
for _row, (_name, _value) in enumerate(
    [
        ("country", "XX"),
        ("country", ""),
        ("country", " \t"),
        ("country", "\u2003\n"),
        ("country", "NA"),
        ("country", np.nan),
        ("card type", "?"),
        ("card type", " debit"),
        ("card type", np.nan),
        ("shop", ""),
        ("shop", " "),
        ("shop", "null"),
        ("shop", "Ångström \r\n  zeta"),
        ("shop", np.nan),
        ("amount", np.nan),
        ("amount", 1e300),
        ("amount", -np.inf),
        ("amount", 16777217.0),
        ("age", -0.0),
        ("age", np.inf),
        ("hour", 2**53 + 1),
        ("shop", "X"),
    ]
):
    STRANGE.loc[_row, _name] = _value

forest = RandomForestClassifier(5, max_depth=4, random_state=0)
by_number = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
one_hot = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
linear = LogisticRegression(max_iter=300)
short = skrub.StringEncoder(n_components=4)

# A model, how many of the rows it refuses, and how far its answers may be away: it computes in
# float32 where the tolerance is wide.
MODELS: dict[str, Any] = {
    "a linear model": (
        [skrub.TableVectorizer(high_cardinality=short), SimpleImputer(), StandardScaler(), linear],
        3,
        1e-5,
    ),
    "a forest": (
        [skrub.TableVectorizer(low_cardinality=by_number, high_cardinality=short), forest],
        3,
        1e-9,
    ),
    "dropped columns": (
        [
            skrub.TableVectorizer(high_cardinality="drop", drop_if_constant=True),
            SimpleImputer(),
            linear,
        ],
        3,
        1e-5,
    ),
    "columns by name": (
        [
            skrub.Cleaner(),
            skrub.ApplyToCols(one_hot, cols=["country", "card type"]),
            skrub.ApplyToCols(short, cols=["shop"], keep_original=True),
            skrub.DropCols(["shop"]),
            SimpleImputer(),
            linear,
        ],
        2,
        1e-6,
    ),
    "chosen numbers": (
        [
            skrub.SelectCols(["age", "amount", "flat"]),
            skrub.SquashingScaler(),
            SimpleImputer(),
            linear,
        ],
        0,
        1e-9,
    ),
}


QUICK = ("dropped columns", "chosen numbers")


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.long) for n in MODELS]
)
@pytest.mark.filterwarnings("ignore")
def test_each_row_has_the_answer_or_refusal_of_the_original(name: str) -> None:
    steps, refused, tolerance = MODELS[name]
    model = make_pipeline(*(clone(step) for step in steps)).fit(FRAME, FRAUD)
    assert check_rows(model, FRAME, STRANGE, tolerance) == refused


@pytest.mark.filterwarnings("ignore")
def test_a_squashing_scaler_uses_each_of_its_three_scalers() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.normal(size=60), "b": [0.0] * 50 + [1.0] * 10, "c": [7.0] * 60})
    model = skrub.SquashingScaler(max_absolute_value=5.0).fit(rows)
    strange = pd.DataFrame(
        {
            "a": [0.5, np.inf, -np.inf, np.nan, 1e308, -0.0],
            "b": [0.5, np.inf, -np.inf, np.nan, 1e308, 1.0],
            "c": [7.0, 8.0, -np.inf, np.nan, np.inf, 1e308],
        }
    )
    assert check_rows(model, rows, strange) == 0


@pytest.mark.parametrize(
    "estimator",
    [linear, *(pytest.param(e, marks=pytest.mark.long) for e in (forest, "classifier"))],
)
@pytest.mark.filterwarnings("ignore")
def test_a_tabular_pipeline_agrees_with_the_original(estimator: Any) -> None:
    model = skrub.tabular_pipeline(
        clone(estimator) if not isinstance(estimator, str) else estimator
    )
    rows = FRAME.drop(columns="vip")
    model.fit(rows, FRAUD)
    assert check_rows(model, rows, STRANGE.drop(columns="vip"), 1e-5) == (
        0 if isinstance(estimator, str) else 3
    )


@pytest.mark.filterwarnings("ignore")
def test_a_table_vectorizer_is_exported(tmp_path: Path) -> None:
    rows = FRAME[["card type", "amount"]]
    model = make_pipeline(skrub.TableVectorizer(), StandardScaler(), linear).fit(rows, FRAUD)
    path = tmp_path / "model.onnx"
    report = sidecall.export(model, path, rows, progress=False)
    assert set(report.contract["engines"]) == {"native", "onnxruntime"}
    opened = sidecall.open(path)
    np.testing.assert_allclose(
        opened.predict(rows)["probabilities.1"], model.predict_proba(rows)[:, 1], atol=1e-6
    )
    for wrong in ({"amount": None}, {"amount": 1e300}):
        with pytest.raises(sidecall.Error):
            opened.predict({"card type": "debit", "amount": 1.0} | wrong)
    unknown = [opened.predict({"card type": text, "amount": 1.0}) for text in ("XX", "NULL", None)]
    assert unknown[0] == unknown[1] == unknown[2]


REFUSED = {
    "computes hashes of each text": skrub.MinHashEncoder(),
    "optimises for each text": skrub.GapEncoder(n_components=3, max_iter=1),
}


@pytest.mark.parametrize("reason", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_encoders_without_an_exact_graph_are_refused(reason: str) -> None:
    model = skrub.TableVectorizer(high_cardinality=REFUSED[reason]).fit(FRAME)
    with pytest.raises(NotConvertible, match=f"shop .*{reason}"):
        graph_of(make_pipeline(model, SimpleImputer(), linear).fit(FRAME, FRAUD), FRAME)


@pytest.mark.filterwarnings("ignore")
def test_texts_that_stand_for_dates_or_numbers_are_refused(tmp_path: Path) -> None:
    for column, reason in (
        ([f"2024-01-{k % 28 + 1:02d}" for k in range(150)], "reads dates from texts"),
        ([f"{k / 4}" for k in range(150)], "reads numbers from texts"),
    ):
        rows = FRAME[["amount"]].assign(text=column)
        model = make_pipeline(skrub.TableVectorizer(), SimpleImputer(), linear).fit(rows, FRAUD)
        with pytest.raises(StepError, match=reason):
            sidecall.export(model, tmp_path / "model.onnx", rows, progress=False)


@pytest.mark.filterwarnings("ignore")
def test_check_finds_out_without_data_that_a_table_vectorizer_converts() -> None:
    model = skrub.TableVectorizer(high_cardinality=short).fit(FRAME)
    assert all(row.converts for row in sidecall.check(model).steps)
