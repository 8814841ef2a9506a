"""Trains and exports the workloads of the benchmarks, and writes folders that every client reads.

Used by run.py.
"""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import sidecall
from sidecall.exporting import artifact
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from rounds import Contender

RING = 1024  # distinct rows that calls cycle through: BENCH_RING of inproc/native/bench.h
TOLERANCE = 1e-8  # the accuracy that an exported file promises, here for probabilities


@dataclass(frozen=True)
class Workload:
    """A folder with model.onnx, model.pickle, features.f64, records.jsonl and shape.txt.

    The folder of gbm also holds the LightGBM twin.
    """

    name: str
    folder: Path
    expected: np.ndarray  # [rows, classes] probabilities of the original model, for every row
    twin: np.ndarray | None  # the same for the LightGBM twin
    tolerance: float = TOLERANCE

    def checker(
        self, rows: int, report_fault: Callable[[str], None]
    ) -> Callable[["Contender", int, np.ndarray], None]:
        """The `check` of `run_rounds`, for calls with `rows` rows.

        It passes a text about each wrong answer to `report_fault`.
        """

        def check(contender: "Contender", first_call: int, answers: np.ndarray) -> None:
            fault = self.check(
                contender.approach,
                first_call,
                rows,
                answers.reshape(-1, rows, 1 + self.expected.shape[1]),
            )
            if fault:
                report_fault(f"{contender.client.name}: {fault}")

        return check

    def check(self, approach: str, first_call: int, rows: int, answers: np.ndarray) -> str | None:
        """Says what is wrong with the answers of consecutive calls, [calls, rows, 1 + classes].

        Returns None if they agree.
        """
        reference = self.twin if approach in ("lightgbm_single_row", "m2cgen") else self.expected
        calls = len(answers)
        first_rows = (first_call + np.arange(calls)) % RING
        expected = reference[first_rows[:, None] + np.arange(rows)]
        where = f"{self.name}, {approach}, {rows} rows"
        far = is_far(answers[..., 1:], expected, self.tolerance)
        if far.any():
            return (
                f"{where}: {int(far.sum())} answers of {calls * rows} are not those of the "
                "original model"
            )
        if is_other_label(answers[..., 0], expected, self.tolerance).any():
            return f"{where}: a label is not that of the original model"
        return None


def is_far(probabilities: np.ndarray, expected: np.ndarray, tolerance: float) -> np.ndarray:
    """The rows with a probability that differs by more than `tolerance`, or is NaN."""
    return ~(np.abs(probabilities - expected) <= tolerance).all(axis=-1)


def is_other_label(labels: np.ndarray, expected: np.ndarray, tolerance: float) -> np.ndarray:
    """The rows whose label (-1: none) is not that of the largest probability.

    If the two largest probabilities are nearly equal, every label is right.
    """
    best = np.sort(expected, axis=-1)
    is_tie = best[..., -1] - best[..., -2] <= 2 * tolerance
    return ~((labels == -1) | (labels == expected.argmax(axis=-1)) | is_tie)


def draw_rows(data: np.ndarray, count: int) -> np.ndarray:
    """Distinct float64 rows that look like the data.

    They are real rows with each value moved by about one percent and written with seven digits.
    """
    rng = np.random.default_rng(0)
    picked = data[rng.integers(0, len(data), count)]
    moved = picked * (1 + 0.01 * rng.standard_normal(picked.shape))
    return np.array([float(f"{value:.7g}") for value in moved.ravel()]).reshape(moved.shape)


def write_twin(folder: Path, data: np.ndarray, target: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Writes LightGBM's own twin of the GBM (100 trees of depth 3).

    It is written as LightGBM's text file, as C code compiled with -O2, and as JavaScript. Returns
    its probabilities.
    """
    import lightgbm
    import m2cgen

    twin = lightgbm.LGBMClassifier(
        n_estimators=100,
        max_depth=3,
        num_leaves=8,
        learning_rate=0.1,
        random_state=0,
        n_jobs=1,
        verbose=-1,
    )
    twin.fit(data, target)
    twin.booster_.save_model(folder / "twin.txt")
    (folder / "twin.c").write_text(m2cgen.export_to_c(twin), encoding="utf-8")
    (folder / "twin.js").write_text(
        m2cgen.export_to_javascript(twin) + "\nmodule.exports = score;\n", encoding="utf-8"
    )
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "-o", folder / "twin.so", folder / "twin.c", "-lm"],
        check=True,
    )
    return twin.booster_.predict(rows, num_threads=1)[:, None] @ [[-1, 1]] + [1, 0]


def write_workload(
    folder: Path,
    name: str,
    model: ClassifierMixin,
    data: np.ndarray,
    names: list[str],
    target: np.ndarray,
    max_rows: int,
) -> Workload:
    folder.mkdir()
    model.fit(data, target)
    sidecall.export(model, folder / "model.onnx", data, feature_names=names)
    (folder / "model.pickle").write_bytes(pickle.dumps(model))
    rows = draw_rows(data, RING + max_rows)
    rows.tofile(folder / "features.f64")
    lines = (
        "{"
        + ", ".join(
            f"{json.dumps(key)}: {value!r}" for key, value in zip(names, row.tolist(), strict=True)
        )
        + "}"
        for row in rows
    )
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    expected = model.predict_proba(rows)
    (folder / "shape.txt").write_text(
        f"{len(rows)} {rows.shape[1]} {expected.shape[1]}\n", encoding="utf-8"
    )
    twin = write_twin(folder, data, target, rows) if name == "gbm" else None
    return Workload(name, folder, expected, twin)


def write_workloads(folder: Path, max_rows: int, only: list[str]) -> list[Workload]:
    cancer, digits = load_breast_cancer(), load_digits()
    cancer_names, pixels = (
        [str(name) for name in cancer.feature_names],
        [f"pixel{i}" for i in range(digits.data.shape[1])],
    )
    models = {
        "gbm": (
            GradientBoostingClassifier(n_estimators=100, random_state=0),
            cancer.data,
            cancer_names,
            cancer.target,
        ),
        "logistic": (
            make_pipeline(StandardScaler(), LogisticRegression()),
            cancer.data,
            cancer_names,
            cancer.target,
        ),
        "mlp": (
            make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=500, random_state=0)),
            cancer.data,
            cancer_names,
            cancer.target,
        ),
        "forest": (
            RandomForestClassifier(n_estimators=64, random_state=0),
            digits.data,
            pixels,
            digits.target,
        ),
    }
    workloads = []
    for name, (model, data, names, target) in models.items():
        if name in only:
            print(f"training and exporting {name}", file=sys.stderr)
            workloads.append(
                write_workload(folder / name, name, model, data, names, target, max_rows)
            )
    return workloads


def write_variants(folder: Path, model: Path, count: int) -> None:
    """Writes `count` + 1 copies of a model with different versions in the contract, so that each
    copy is verified again.
    """
    import onnx

    folder.mkdir()
    proto = onnx.load(model)
    contract = next(prop for prop in proto.metadata_props if prop.key == "sidecall.contract")
    parsed = json.loads(contract.value)
    if parsed["verification"]["rows"] == 0:
        raise ValueError("opening: expected a model with golden rows, got none")
    for i in range(count + 1):
        parsed["model"]["version"] = str(i)
        content, _ = artifact.seal(proto, json.dumps(parsed))
        (folder / f"variant-{i}.onnx").write_bytes(content)
