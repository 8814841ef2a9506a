"""The model of images.py and lambda.py: a pipeline with strings and a forest of 100 trees."""

import pandas as pd
from palmerpenguins import load_penguins
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder


def fit() -> tuple[Pipeline, pd.DataFrame]:
    """A forest that tells the species of a penguin, and the rows that it was fitted with."""
    data = load_penguins().drop(columns="year")
    rows, species = data.drop(columns="species"), data["species"]
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["island", "sex"]), remainder=SimpleImputer()
    )
    forest = RandomForestClassifier(100, random_state=0, n_jobs=1)
    return make_pipeline(encode, forest).fit(rows, species), rows
