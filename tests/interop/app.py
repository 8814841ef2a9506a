"""The real Python server for these tests: it serves a model file, or the toy server's function.

python tests/interop/app.py shm:/path [model.onnx]
"""

import sys

import numpy as np
import sidecall
from sidecall import errors

INPUTS = {"x": "float32[N,2]", "text": "string[N]"}
OUTPUTS = {"sum": "float32[N]", "text": "string[N]"}


def add(x: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(text) != len(x):
        raise errors.ShapeMismatch("the inputs do not fit each other")
    return x.sum(axis=1, dtype=np.float32), text


if __name__ == "__main__":
    at, *model = sys.argv[1:]
    if model:
        sidecall.serve(model[0], at)
    else:
        sidecall.serve(add, at, inputs=INPUTS, outputs=OUTPUTS)
