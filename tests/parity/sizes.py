"""What an export of very many categories takes: time, memory, and the size of the file.

Each export runs in a process of its own, so that its peak of memory is known. Used by run.py.
"""

from __future__ import annotations

import multiprocessing
import pickle
import re
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sidecall
from common import Bar
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

_LEVELS = (5_000, 24_000)
_ROWS = 60_000
_MODELS: dict[str, Any] = {
    "linear": LogisticRegression(max_iter=50),
    "forest": RandomForestClassifier(20, max_depth=12, random_state=0),
}


def export_categories() -> list[dict[str, Any]]:
    """Exports a one-hot encoder with each number of categories before each kind of model."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, max_tasks_per_child=1) as pool:
        tasks = [pool.submit(_export, n, model) for n in _LEVELS for model in _MODELS]
        return [task.result() for task in tasks]


def bars(found: list[dict[str, Any]]) -> list[Bar]:
    largest = [each for each in found if each["levels"] == max(_LEVELS)]
    return [
        Bar("onehot_file_vs_pickle", max(each["file"] / each["pickle"] for each in found), 3),
        Bar("onehot_export_s", max(each["seconds"] for each in largest), 30),
        Bar("onehot_export_gb", max(each["peak_bytes"] for each in largest) / 1e9, 1),
    ]


def _export(levels: int, kind: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    names = np.array([f"merchant-{i:06d}" for i in range(levels)], dtype=object)
    codes = np.concatenate([np.arange(levels), rng.integers(0, levels, _ROWS - levels)])
    frame = pd.DataFrame({"merchant": names[codes], "amount": rng.normal(size=_ROWS)})
    target = rng.normal(size=levels)[codes] + frame["amount"] > 0
    encoder = OneHotEncoder(handle_unknown="ignore")
    columns = make_column_transformer((encoder, ["merchant"]), (StandardScaler(), ["amount"]))
    model = make_pipeline(columns, _MODELS[kind]).fit(frame, target)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        begin = time.monotonic()
        sidecall.export(model, path, frame)
        seconds = time.monotonic() - begin
        return {
            "levels": levels,
            "model": kind,
            "seconds": seconds,
            "peak_bytes": _peak_bytes(),
            "file": path.stat().st_size,
            "pickle": len(pickle.dumps(model)),
        }


def _peak_bytes() -> int:
    """The peak of memory of this process, with its packages, the data and the fit.

    ru_maxrss would also count the process that started this one.
    """
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024
