"""How long a batch of texts with very many terms takes, beside scikit-learn. Used by run.py."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import sidecall
from common import Bar
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

_ROWS = 1000
_REPETITIONS = 7


def measure_batches() -> list[dict[str, Any]]:
    """The time of `predict_proba` of 1 000 texts of 35 words on each engine and in scikit-learn.

    The words are drawn from 5 000 by Zipf's law, and the terms are one or two words. The three are
    measured in turns, with one thread each.
    """
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["w" + "".join(rng.choice(letters, rng.integers(2, 9))) for _ in range(5000)]
    shares = 1 / np.arange(1, len(words) + 1)
    shares /= shares.sum()
    texts = [" ".join(rng.choice(words, 35, p=shares)) for _ in range(3 * _ROWS)]
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression())
    model.fit(texts, rng.integers(0, 2, len(texts)))
    batch = texts[:_ROWS]
    calls: dict[str, Callable[[], Any]] = {"scikit-learn": lambda: model.predict_proba(batch)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.onnx"
        sidecall.export(model, path, batch)
        for engine in ("onnxruntime", "native"):
            opened = sidecall.open(path, engine=engine)
            calls[engine] = partial(opened.run, np.array(batch, dtype=object).reshape(-1, 1))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for name, call in [*calls.items()] * _REPETITIONS:
        begin = time.perf_counter()
        call()
        times[name].append(time.perf_counter() - begin)
    terms = len(model[0].vocabulary_)
    return [
        {"approach": name, "rows": _ROWS, "terms": terms, "p50_ms": 1e3 * statistics.median(found)}
        for name, found in times.items()
    ]


def bars(found: list[dict[str, Any]]) -> list[Bar]:
    times = {each["approach"]: each["p50_ms"] for each in found}
    original = times["scikit-learn"]
    return [
        Bar("text_batch_vs_sklearn", times["onnxruntime"] / original, 3),
        Bar("text_batch_native_vs_sklearn", times["native"] / original, 1),
    ]
