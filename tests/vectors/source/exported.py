"""Real pipelines through sidecall.export; the expected answers are those of the Python model
itself.

Used by ../generate.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import sidecall
from palmerpenguins import load_penguins
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from .build import MODELS, Cases, tensor

TOLERANCE = 1e-5
STRINGS = ["island", "sex"]
NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "year"]


def answers(model: Any, frame: Any) -> list[dict[str, Any]]:
    """The answers of the Python model, as records."""
    labels, probabilities = model.predict(frame), model.predict_proba(frame)
    classes = [c.item() if isinstance(c, np.generic) else c for c in model.classes_]
    return [
        {
            "label": label.item() if isinstance(label, np.generic) else label,
            "probabilities": {str(c): float(p) for c, p in zip(classes, row, strict=False)},
        }
        for label, row in zip(labels, probabilities, strict=False)
    ]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as records with plain values, null if missing."""
    return [
        {
            k: None if pd.isna(v) else v.item() if isinstance(v, np.generic) else v
            for k, v in row.items()
        }
        for row in frame.to_dict("records")
    ]


def penguins(c: Cases) -> None:
    frame = load_penguins()
    x, y = frame[STRINGS + NUMBERS], frame["species"]
    model = make_pipeline(
        make_column_transformer(
            (
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
                ),
                STRINGS,
            ),
            (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
        ),
        LogisticRegression(max_iter=1000),
    ).fit(x, y)
    sidecall.export(
        model,
        MODELS / "penguins.onnx",
        x,
        name="penguins",
        version="1",
        metadata={"owner": "vectors"},
    )
    some = x.iloc[[0, 3, 8, 150, 200, 276, 300, 343]]
    rows, results = records(some), answers(model, some)
    c.ok("penguins", "penguins.onnx", record=rows[0], result=results[0], tolerance=TOLERANCE)
    c.ok("penguins_rows", "penguins.onnx", record=rows, result=results, tolerance=TOLERANCE)
    c.ok(
        "penguins_bytes",
        "penguins.onnx",
        open={"as": "bytes"},
        record=rows[3],
        result=results[3],
        tolerance=TOLERANCE,
    )
    new = some.head(1).assign(island="Atlantis")
    c.ok(
        "penguins_unknown_category",
        "penguins.onnx",
        record=records(new)[0],
        result=answers(model, new)[0],
        tolerance=TOLERANCE,
    )
    empty = pd.DataFrame({k: [np.nan] for k in STRINGS + NUMBERS}).astype(
        dict.fromkeys(STRINGS, object)
    )
    gone = empty.assign(year=2008)
    c.ok(
        "penguins_mostly_missing",
        "penguins.onnx",
        record={"year": 2008},
        result=answers(model, gone)[0],
        tolerance=TOLERANCE,
    )
    c.bad("penguins_text_for_number", "penguins.onnx", "DTYPE_MISMATCH", {"name": "bill_length_mm", "got": "string", "row": 0, "num_faults": 1},
          record={**rows[0], "bill_length_mm": "39.1"}, after="penguins")  # fmt: skip
    c.bad(
        "penguins_number_for_text",
        "penguins.onnx",
        "DTYPE_MISMATCH",
        {"name": "island", "expected": "string", "got": "int64", "row": 0},
        record={**rows[0], "island": 3},
        after="penguins",
    )
    c.bad(
        "penguins_species_given",
        "penguins.onnx",
        "UNKNOWN_NAME",
        {"name": "species", "row": 0},
        record={**rows[0], "species": "Adelie"},
        after="penguins",
    )
    c.bad(
        "penguins_second_row_wrong",
        "penguins.onnx",
        "DTYPE_MISMATCH",
        {"name": "sex", "row": 1, "num_faults": 1},
        record=[rows[0], {**rows[0], "sex": True}],
        after="penguins",
    )


def boosting(c: Cases) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    x = x.astype(np.float32)
    model = GradientBoostingClassifier(n_estimators=100, random_state=7).fit(x, y)
    sidecall.export(model, MODELS / "gbm.onnx", x, name="gbm", version="1")
    some = x[[0, 19, 300, 568]]
    rows = [{f"x{i}": float(value) for i, value in enumerate(row)} for row in some]
    results = answers(model, some)
    c.ok("gbm", "gbm.onnx", record=rows[0], result=results[0], tolerance=TOLERANCE)
    c.ok("gbm_rows", "gbm.onnx", record=rows, result=results, tolerance=TOLERANCE)
    given = tensor("float32", [4, 30], [float(v) for v in some.ravel()])
    expected = {
        "label": tensor("int64", [4], [r["label"] for r in results]),
        "probabilities": tensor(
            "float32", [4, 2], [p for r in results for p in r["probabilities"].values()]
        ),
    }
    c.ok("gbm_tensor", "gbm.onnx", inputs={"X": given}, outputs=expected, tolerance=TOLERANCE)
    c.bad("gbm_missing_feature", "gbm.onnx", "MISSING_VALUE", {"name": "x29", "expected": "float32", "row": 0, "num_faults": 1},
          record={k: v for k, v in rows[0].items() if k != "x29"}, after="gbm")  # fmt: skip
    c.bad(
        "gbm_narrow",
        "gbm.onnx",
        "SHAPE_MISMATCH",
        {"name": "X", "got": "float32[1,29]"},
        inputs={"X": tensor("float32", [1, 29], [0.0] * 29)},
        after="gbm_tensor",
    )
    doubles = tensor("float64", [4, 30], given["data"])
    c.ok("gbm_float64", "gbm.onnx", inputs={"X": doubles}, outputs=expected, tolerance=TOLERANCE)


def words(c: Cases) -> None:
    texts = [
        "free money now",
        "win a prize now",
        "meeting at noon",
        "lunch tomorrow?",
        "free lunch",
        "prize money",
        "notes of the meeting",
        "see you at noon",
    ]
    labels = ["spam", "spam", "ham", "ham", "ham", "spam", "ham", "ham"]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, labels)
    sidecall.export(model, MODELS / "spam.onnx", texts, name="spam", version="1")
    new = ["free prize", "Größe, noon!", "", "nothing of the kind"]
    c.ok(
        "text",
        "spam.onnx",
        record=[{"text": t} for t in new],
        result=answers(model, new),
        tolerance=TOLERANCE,
    )
    c.bad(
        "text_missing",
        "spam.onnx",
        "MISSING_VALUE",
        {"name": "text", "expected": "string", "row": 0},
        record={},
        after="text",
    )
    c.bad(
        "text_nul",
        "spam.onnx",
        "INVALID_STRING",
        {"name": "text", "row": 0},
        record={"text": "a\u0000b"},
        after="text",
    )


def exported() -> Cases:
    c = Cases("exported")
    penguins(c)
    boosting(c)
    words(c)
    return c
