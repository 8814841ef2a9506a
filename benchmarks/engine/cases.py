"""The workloads of benchmarks/engine: models, files, rows and right answers; used by run.py."""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import sidecall
import trees
from models import RING, Workload, draw_rows
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

# XGBoost computes in float32.
FLOAT32_TOLERANCE = 1e-6
# More rows than this repeat the first ones: LightGBM's 500 trees take half a minute for a million.
MAX_DISTINCT = 100_000
JUDGED = 10_000  # rows of which half lie beside thresholds
LIGHTGBM = ["lightgbm_single_row", "lightgbm_batch", "m2cgen", "tl2cgen", "lleaves"]


@dataclass(frozen=True)
class Case(Workload):
    """A workload with the other engines that can take its model.

    `engines` are approaches of bench-engine, `peers` those of peers_client.py. `judged` has the
    same model with the rows in which wrong engines differ.
    """

    engines: list[str] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    is_record: bool = False
    refused: list[str] = field(default_factory=list)  # approaches of sidecall that do not work
    judged: Workload | None = None


@dataclass(frozen=True)
class Sizes:
    """How large the models and their files are."""

    max_rows: int
    boosting: int  # trees of the two large models
    training_rows: int

    @property
    def rows(self) -> int:
        return RING + min(self.max_rows, MAX_DISTINCT)


def _repeat(values: np.ndarray, count: int) -> np.ndarray:
    return values[np.arange(count) % len(values)]


def _write_rows(folder: Path, rows: np.ndarray, classes: int) -> None:
    rows.tofile(folder / "features.f64")
    shape = f"{len(rows)} {rows.shape[1]} {classes}\n"
    (folder / "shape.txt").write_text(shape, encoding="utf-8")


def _write_records(folder: Path, records: list[dict]) -> None:
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "records.jsonl").write_text(lines, encoding="utf-8")


def _compile(source: Path, target: Path) -> None:
    command = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-o", target, source, "-lm"]
    subprocess.run(command, check=True)


def _write_engines(folder: Path, model: object, engines: list[str]) -> None:
    """Writes what the approaches of bench-engine open, except for code of tl2cgen and lleaves.

    The approaches of benchmarks/inproc expect the names `twin.*`.
    """
    import m2cgen

    (folder / "model.pickle").write_bytes(pickle.dumps(model))
    if "m2cgen" in engines:
        sys.setrecursionlimit(10_000)  # m2cgen recurses through the model
        (folder / "twin.c").write_text(m2cgen.export_to_c(model), encoding="utf-8")
        _compile(folder / "twin.c", folder / "twin.so")
    if "lightgbm_batch" in engines:
        model.booster_.save_model(folder / "twin.txt")
    if "xgboost" in engines:
        model.get_booster().save_model(folder / "xgboost.json")


def _probabilities(model: object, rows: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict_proba(rows), np.float64)


def _write_judged(case: Workload, model: object, rows: np.ndarray, seed: int) -> Workload:
    """The folder of the same model with other rows: half of them beside thresholds."""
    folder = case.folder.with_name(f"{case.name}-judged")
    folder.mkdir()
    edges = trees.rows_beside_thresholds(case.folder / "model.onnx", rows, JUDGED // 2, seed)
    judged = np.concatenate([edges, rows[: JUDGED - len(edges)]])
    judged = _repeat(judged, RING + JUDGED)
    _write_rows(folder, judged, case.expected.shape[1])
    expected = _probabilities(model, judged)
    return Workload(case.name, folder, expected, expected, case.tolerance)


def link_judged(case: Case) -> None:
    """Adds the files of the model, some of which are compiled after the rows are written."""
    for path in case.folder.iterdir():
        link = case.judged.folder / path.name
        if not link.exists():
            link.symlink_to(path)


def write_numbers(
    folder: Path,
    model: object,
    data: tuple[np.ndarray, np.ndarray, list[str]],
    rows: np.ndarray,
    sizes: Sizes,
    *,
    engines: list[str] | None = None,
    peers: list[str] | None = None,
    tolerance: float = 1e-8,
) -> Case:
    """A model of numbers; `rows` are the distinct rows that all clients call it with."""
    features, target, names = data
    folder.mkdir()
    model.fit(features, target)
    sidecall.export(model, folder / "model.onnx", features, feature_names=names)
    _write_engines(folder, model, engines or [])
    _write_rows(folder, _repeat(rows, RING + sizes.max_rows), 2)
    one = [dict(zip(names, row, strict=True)) for row in rows[: RING + 10_000].tolist()]
    _write_records(folder, one)
    expected = _repeat(_probabilities(model, rows), RING + sizes.max_rows)
    case = Case(
        folder.name,
        folder,
        expected,
        expected,
        tolerance,
        engines=list(engines or []),
        peers=list(peers or []),
    )
    if not engines:
        return case
    judged = _write_judged(case, model, rows, seed=len(folder.name))
    return replace(case, judged=judged)


def write_records(folder: Path, model: object, frame: pd.DataFrame, rows: pd.DataFrame) -> Case:
    """A model of records with strings. Each row of `rows` is a record."""
    labels = [label for label in model.classes_ if isinstance(label, str)]
    folder.mkdir()
    is_text = frame.shape[1] == 1
    sidecall.export(model, folder / "model.onnx", frame.iloc[:, 0] if is_text else frame)
    if labels:
        (folder / "labels.txt").write_text("".join(f"{x}\n" for x in labels), encoding="utf-8")
    strings: dict[str, int] = {}
    columns, lines = [], []
    for name, column in rows.items():
        is_string = not pd.api.types.is_numeric_dtype(column)
        lines.append(f"{'string' if is_string else 'number'} {name} {name}\n")
        columns.append(
            [
                np.nan if pd.isna(x) else strings.setdefault(x, len(strings)) if is_string else x
                for x in column
            ]
        )
    (folder / "columns.txt").write_text("".join(lines), encoding="utf-8")
    (folder / "strings.txt").write_text("".join(f"{x}\n" for x in strings), encoding="utf-8")
    _write_rows(folder, np.array(columns, np.float64).T.copy(), len(model.classes_))
    records = [
        {key: None if value != value else value for key, value in record.items()}
        for record in rows.to_dict("records")
    ]
    _write_records(folder, records)
    expected = _probabilities(model, rows.iloc[:, 0] if is_text else rows)
    return Case(folder.name, folder, expected, expected, is_record=True)


def _penguins(folder: Path, sizes: Sizes, rng: np.random.Generator) -> Case:
    from palmerpenguins import load_penguins

    data = load_penguins().drop(columns="year")
    frame, species = data.drop(columns="species"), data["species"]
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["island", "sex"]), remainder=SimpleImputer()
    )
    model = make_pipeline(encode, LogisticRegression(max_iter=5000)).fit(frame, species)
    rows = frame.iloc[rng.integers(0, len(frame), RING + min(sizes.max_rows, 10_000))]
    rows = rows.reset_index(drop=True)
    for name in rows.select_dtypes("number"):
        moved = rows[name] * (1 + 0.01 * rng.standard_normal(len(rows)))
        rows[name] = moved.round(2)
    return write_records(folder, model, frame, rows)


def _text(folder: Path, sizes: Sizes, rng: np.random.Generator) -> Case:
    """Texts of 40 words; words are as unequally frequent as those of a language (Zipf)."""
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = ["".join(rng.choice(syllables, rng.integers(1, 5))) for _ in range(5_000)]

    def write(count: int) -> list[str]:
        picked = np.minimum(rng.zipf(1.3, (count, 40)), len(words)) - 1
        return [" ".join(words[i] for i in row) for row in picked]

    texts = write(1_000)
    target = rng.integers(0, 2, len(texts))
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, target)
    rows = pd.DataFrame({"text": write(RING + min(sizes.max_rows, 10_000))})
    return write_records(folder, model, pd.DataFrame({"text": texts}), rows)


def write_cases(folder: Path, sizes: Sizes) -> list[Case]:
    import lightgbm
    import xgboost

    cancer = load_breast_cancer()
    cancer_data = (cancer.data, cancer.target, [str(name) for name in cancer.feature_names])
    cancer_rows = draw_rows(cancer.data, sizes.rows)
    features, target = make_classification(
        sizes.training_rows, 30, n_informative=15, n_redundant=5, flip_y=0.05, random_state=0
    )
    synthetic_data = (features, target, [f"x{i}" for i in range(30)])
    synthetic_rows = draw_rows(features, sizes.rows)
    rng = np.random.default_rng(0)

    def begin(name: str) -> Path:
        """Reports progress; returns the folder of the case."""
        print(f"training and exporting {name}", file=sys.stderr)
        return folder / name

    return [
        write_numbers(
            begin("gbm"),
            GradientBoostingClassifier(n_estimators=100, random_state=0),
            cancer_data,
            cancer_rows,
            sizes,
            engines=["tl2cgen"],
            peers=["daal4py"],
        ),
        write_numbers(
            begin("gbm-lightgbm"),
            lightgbm.LGBMClassifier(
                n_estimators=100, max_depth=3, num_leaves=8, random_state=0, n_jobs=1, verbose=-1
            ),
            cancer_data,
            cancer_rows,
            sizes,
            engines=LIGHTGBM,
            peers=["daal4py"],
        ),
        write_numbers(
            begin("forest"),
            RandomForestClassifier(n_estimators=100, random_state=0, n_jobs=1),
            cancer_data,
            cancer_rows,
            sizes,
            engines=["m2cgen", "tl2cgen"],
            peers=["ydf"],
        ),
        write_numbers(
            begin("hgb"),
            HistGradientBoostingClassifier(max_iter=min(sizes.boosting, 100), random_state=0),
            synthetic_data,
            synthetic_rows,
            sizes,
            engines=["tl2cgen"],
            peers=["daal4py"],
        ),
        write_numbers(
            begin("lightgbm"),
            lightgbm.LGBMClassifier(
                n_estimators=sizes.boosting, num_leaves=31, random_state=0, n_jobs=1, verbose=-1
            ),
            synthetic_data,
            synthetic_rows,
            sizes,
            engines=LIGHTGBM,
            peers=["daal4py"],
        ),
        write_numbers(
            begin("xgboost"),
            xgboost.XGBClassifier(
                n_estimators=min(sizes.boosting, 300),
                max_depth=6,
                base_score=0.5,  # m2cgen needs it
                random_state=0,
                n_jobs=1,
            ),
            synthetic_data,
            synthetic_rows,
            sizes,
            engines=["xgboost", "m2cgen", "tl2cgen"],
            peers=["daal4py"],
            tolerance=FLOAT32_TOLERANCE,
        ),
        write_numbers(
            begin("logistic"),
            make_pipeline(StandardScaler(), LogisticRegression()),
            cancer_data,
            cancer_rows,
            sizes,
        ),
        _penguins(begin("penguins"), sizes, rng),
        _text(begin("text"), sizes, rng),
    ]
