"""A Python server for clients of `shm:`; without an address, the child of a client of `exec:`.

It serves a function with the ONNX session of the other Python servers here, or the scikit-learn
model.
"""

import argparse
import json

import models
import numpy as np
import sidecall


def serve_onnx(name: str, at: str | None) -> None:
    model = models.model_of(name)
    given, taken = model.described["input"], model.described["outputs"]
    inputs = {given["name"]: _text("float32", given["dims"])}
    sidecall.serve(
        lambda rows: tuple(model.answer(rows)),
        at,
        inputs=inputs,
        outputs={one["name"]: _text(one["dtype"], one["dims"]) for one in taken},
    )


def _text(dtype: str, dims: list[int]) -> str:
    return f"{dtype}[{','.join(['N', *map(str, dims)])}]"


def serve_sklearn(name: str, at: str | None) -> None:
    import joblib

    folder = models.FOLDER / name
    described = json.loads((folder / "workload.json").read_text(encoding="utf-8"))
    if described["kind"] == "record":
        import pandas as pd

        data = pd.read_json(folder / "records.jsonl", lines=True)
    else:
        data = np.fromfile(folder / "input.f32", np.float32).reshape(
            -1, *described["input"]["dims"]
        )[: described["ring"]]
    sidecall.serve(joblib.load(folder / "model.joblib"), at, data=data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload")
    parser.add_argument("engine", choices=["onnxruntime", "scikit-learn"])
    parser.add_argument("--at", help="shm:ADDRESS")
    options = parser.parse_args()
    (serve_onnx if options.engine == "onnxruntime" else serve_sklearn)(options.workload, options.at)
