"""scikit-learn in process: model.joblib, `predict_proba` of one array or of a one-row DataFrame. The estimator is shared by all threads."""

import math
from typing import Any

import joblib
from workload_folder import WorkloadFolder

from transports import BaseTransport, Connection


class Transport(BaseTransport):
    def __init__(self, folder: WorkloadFolder, body: str, at: dict[str, Any]):
        super().__init__(folder, body, at)
        self._model = joblib.load(folder.path / "model.joblib")

    def connect(self, crowded: bool = False) -> Connection:
        predict_proba, classes = self._model.predict_proba, self._model.classes_
        if self.folder.is_record:
            import pandas as pd

            def call_record(record: dict[str, Any]) -> dict[str, Any]:
                # The pipeline was trained on a DataFrame, where what is missing is NaN.
                row = pd.DataFrame([{name: math.nan if value is None else value for name, value in record.items()}])
                probabilities = predict_proba(row)[0]
                return {"label": classes[probabilities.argmax()], "probabilities": dict(zip(classes, probabilities, strict=True))}

            return Connection(call_record)

        def call(rows: Any) -> dict[str, Any]:
            probabilities = predict_proba(rows)
            return {"label": classes[probabilities.argmax(axis=1)], "probabilities": probabilities}

        return Connection(call)
