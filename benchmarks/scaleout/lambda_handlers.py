"""The functions in Python that lambda.py compares with; awslambdaric imports this module.

MODEL in the environment is the file. What a function loads, it loads in its initialisation, which
is how such functions are written.
"""

import os

if os.environ["MODEL"].endswith(".joblib"):
    import joblib
    import pandas as pd

    pipeline = joblib.load(os.environ["MODEL"])
    columns = list(pipeline.feature_names_in_)

    def handle(event, context):
        row = pd.DataFrame([event], columns=columns)
        probabilities = pipeline.predict_proba(row)[0].tolist()
        return {
            "label": pipeline.predict(row)[0],
            "probabilities": dict(zip(pipeline.classes_, probabilities, strict=True)),
        }

else:
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(os.environ["MODEL"], options, ["CPUExecutionProvider"])
    types = {"tensor(double)": np.float64, "tensor(float)": np.float32, "tensor(string)": object}
    inputs = {each.name: types[each.type] for each in session.get_inputs()}

    def handle(event, context):
        feeds = {name: np.array([[event[name]]], dtype) for name, dtype in inputs.items()}
        label, probabilities = session.run(None, feeds)
        return {"label": label[0], "probabilities": probabilities[0].tolist()}
