"""100 trees of gradient boosting on 30 features; every table shows this model."""

from pathlib import Path

import models
import numpy as np
import sidecall
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from workload import Material, Tensor, Workload


class Gbm(Workload):
    name = "gbm"
    title = "100-tree gradient boosting, 30 features"
    rows = (1, 100, 10_000)

    def make(self, folder: Path) -> Material:
        data, target = load_breast_cancer(return_X_y=True)
        model = GradientBoostingClassifier(n_estimators=100, random_state=0).fit(
            data.astype(np.float32), target
        )
        sidecall.export(model, folder / "model.onnx", data.astype(np.float32), precision="float32")
        rows = models.draw_rows(data, self.ring + max(self.rows))
        # Generated code needs a model of another library: a LightGBM model of the same size.
        models.write_twin(folder, data.astype(np.float32), target, rows).tofile(folder / "twin.f64")
        outputs = [Tensor("label", "int64", ()), Tensor("probabilities", "float32", (2,))]
        return Material(
            outputs,
            model.predict_proba(rows),
            Tensor("X", "float32", (30,)),
            rows,
            classes=[0, 1],
            original=model,
        )
