"""The sidecar: serves a penguins pipeline with a custom step that no converter knows.

The address is in the folder that both containers mount.

python served.py shm:/run/app/penguins.sock
"""

import sys

import sidecall
from palmerpenguins import load_penguins
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler


def with_ratio(birds):
    """The step that cannot be converted: plain pandas code."""
    return birds.assign(ratio=birds["bill_length_mm"] / birds["bill_depth_mm"])


data = load_penguins().drop(columns="year")
X, y = data.drop(columns="species"), data["species"]
encode = make_column_transformer(
    (OneHotEncoder(handle_unknown="ignore"), ["island", "sex"]),
    remainder=make_pipeline(SimpleImputer(), StandardScaler()),
)
pipeline = make_pipeline(FunctionTransformer(with_ratio), encode, LogisticRegression()).fit(X, y)

if __name__ == "__main__":
    sidecall.serve(pipeline, sys.argv[1], data=X, name="penguins", version="1")
