"""200 trees that stay in scikit-learn: the cost of a route when Python computes."""

from pathlib import Path

import models
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from workload import Material, Tensor, Workload


class Forest(Workload):
    name = "forest"
    title = "200-tree random forest, in scikit-learn"

    def make(self, folder: Path) -> Material:
        data, target = load_digits(return_X_y=True)
        model = RandomForestClassifier(n_estimators=200, random_state=0).fit(
            data.astype(np.float32), target
        )
        rows = models.draw_rows(data, self.ring + 1)
        outputs = [Tensor("label", "int64", ()), Tensor("probabilities", "float64", (10,))]
        classes = [int(value) for value in model.classes_]
        return Material(
            outputs,
            model.predict_proba(rows),
            Tensor("X", "float32", (64,)),
            rows,
            classes=classes,
            original=model,
        )
