"""A record of strings and numbers, some of them missing, as web backends send it.

The model is a pipeline that includes the preprocessing.
"""

from pathlib import Path

import numpy as np
import sidecall
from palmerpenguins import load_penguins
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from workload import Material, Tensor, Workload


class Penguins(Workload):
    name = "penguins"
    title = "penguins record: strings, numbers, missing values"
    kind = "record"
    ring = 256

    def make(self, folder: Path) -> Material:
        data = load_penguins().drop(columns="year")
        features, species = data.drop(columns="species"), data["species"]
        encode = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["island", "sex"]), remainder=SimpleImputer()
        )
        model = make_pipeline(encode, LogisticRegression(max_iter=5000)).fit(features, species)
        sidecall.export(model, folder / "model.onnx", features, precision="float32")
        asked = features.iloc[np.random.default_rng(0).permutation(len(features))[: self.ring + 1]]
        records = [
            {key: None if value != value else value for key, value in record.items()}
            for record in asked.to_dict("records")
        ]
        classes = [str(name) for name in model.classes_]
        outputs = [
            Tensor("label", "string", ()),
            Tensor("probabilities", "float32", (len(classes),)),
        ]
        return Material(
            outputs, model.predict_proba(asked), records=records, classes=classes, original=model
        )
