"""scikit-learn in process: model.joblib, `predict_proba` of one array or of a one-row DataFrame.

All threads share the estimator.
"""

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

            records = self.folder.ready_rows
            dtypes = {
                name: object if any(isinstance(one[name], str) for one in records) else float
                for name in records[0]
            }

            def call_record(record: dict[str, Any]) -> dict[str, Any]:
                # Build the DataFrame as in training: a missing value is NaN, also in text columns.
                cells = {
                    name: math.nan if value is None else value for name, value in record.items()
                }
                probabilities = predict_proba(pd.DataFrame([cells]).astype(dtypes))[0]
                return {
                    "label": classes[probabilities.argmax()],
                    "probabilities": dict(zip(classes, probabilities, strict=True)),
                }

            return Connection(call_record)

        def call(rows: Any) -> dict[str, Any]:
            probabilities = predict_proba(rows)
            return {"label": classes[probabilities.argmax(axis=1)], "probabilities": probabilities}

        return Connection(call)
