"""Makes and fits a random pipeline from a seed and a number: table, columns, types and steps."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from imblearn.pipeline import (  # type: ignore[import-untyped]
    make_pipeline as imblearn_pipeline,
)
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from threadpoolctl import threadpool_limits

from . import packages
from .estimators import Last, last
from .steps import Columns, Sampler, encoder, imputer, mixing, scaling, vectorizer
from .tables import NAMES, WEIGHTS, Table, kind_of, load

_ATTEMPTS = 40
_EXPORT_ROWS = 3000
_FEW_VALUES = 60
# Every pipeline with this remainder is drawn from the packages of packages.py.
_OTHERS, _REMAINDER = 4, 3


class UndrawnError(Exception):
    """None of the pipelines that were drawn for a seed and a number could be fitted."""


@dataclass
class Drawn:
    """A fitted pipeline.

    `pool` holds all rows of its table in the types that fit saw; `train` are the rows that fit saw.

    `container` is "frame", "array" or "text": the form of the data for fit and for the original's
    answers.
    """

    seed: int
    number: int
    table: str
    task: str
    container: str
    model: Any
    pool: pd.DataFrame
    train: np.ndarray
    steps: str

    @property
    def name(self) -> str:
        return f"{self.seed}:{self.number}"

    def contained(self, frame: pd.DataFrame) -> Any:
        """Rows with the columns of `pool` in the container that fit saw."""
        if self.container == "text":
            return frame.iloc[:, 0].tolist()
        if self.container == "array":
            return frame.to_numpy(dtype=self.pool.dtypes.iloc[0])
        return frame

    def training_data(self) -> Any:
        return self.contained(self.pool.iloc[self.train[:_EXPORT_ROWS]])


def draw(seed: int, number: int) -> Drawn:
    """Draws a pipeline. The same seed and number always give the same pipeline.

    Draws again if scikit-learn cannot fit the result. Raises UndrawnError after _ATTEMPTS draws.
    """
    for attempt in range(_ATTEMPTS):
        sampler = Sampler(np.random.default_rng([seed, number, attempt]))
        with warnings.catch_warnings(), np.errstate(all="ignore"), threadpool_limits(limits=1):
            warnings.simplefilter("ignore")
            try:
                return _Drawing(sampler, seed, number).fitted()
            except Exception:
                # Steps that do not fit each other or the data raise errors of many classes.
                continue
    raise UndrawnError(f"{seed}:{number}: none of the drawn pipelines could be fitted")


class _Drawing:
    def __init__(self, sampler: Sampler, seed: int, number: int) -> None:
        self.sampler, self.seed, self.number = sampler, seed, number
        self.table: Table = load(NAMES[int(sampler.rng.choice(len(NAMES), p=WEIGHTS))])
        self.package = packages.package(sampler) if number % _OTHERS == _REMAINDER else ""
        self.task = self._task()
        self.target = self._target()
        self.last: Last | None = packages.last(sampler, self.package, self.task)
        if self.last is None and self.task != "transform":
            self.last = last(sampler, self.task)
        # The number of transformers; together with the last step there are 2 to 6 steps.
        self.budget = int(sampler.rng.integers(1 if self.last is not None else 2, 6))

    def _task(self) -> str:
        if self.package:
            possible = ["regression"] if self.table.numbers else []
            possible += ["classification"] if self.table.classes else []
            return packages.task(self.sampler, self.package, possible)
        options = [(0.05, "cluster"), (0.05, "outlier"), (0.08, "transform")]
        options += [(0.4, "regression")] if self.table.numbers else []
        options += [(0.42, "classification")] if self.table.classes else []
        return self.sampler.weighted(options)

    def _target(self) -> str:
        if self.task == "regression":
            return self.sampler.one(self.table.numbers)
        return self.sampler.one(self.table.classes) if self.task == "classification" else ""

    def fitted(self) -> Drawn:
        text = (
            self.table.texts if self.table.texts is not None and self.sampler.chance(0.4) else None
        )
        if self.package:
            pool, container = (
                self._columns(text if self.package == packages.SKRUB else None),
                "frame",
            )
            pool = packages.prepared(self.package, pool)
            model = self._of_package(pool)
        elif text is not None and self.sampler.chance(0.4):
            pool, container = self.table.frame[[text]].astype(object), "text"
            model = self._assembled([vectorizer(self.sampler)], wide=True)
        else:
            pool = self._columns(text)
            numeric = all(kind_of(pool[name]) in "fiu" for name in pool.columns)
            same = len(set(pool.dtypes)) == 1
            container = "array" if numeric and same and self.sampler.chance(0.6) else "frame"
            plain = numeric and (container == "array" or self.sampler.chance(0.5))
            model = self._plain(pool) if plain else self._columnwise(pool, text)
        most = self.last.rows if self.last is not None else 2000
        train = self.sampler.rng.permutation(len(pool))[:most]
        drawn = Drawn(
            self.seed, self.number, self.table.name, self.task, container, model, pool, train, ""
        )
        drawn.model.fit(drawn.contained(pool.iloc[train]), self._answers(train))
        drawn.steps = described(drawn.model)
        return drawn

    def _answers(self, train: np.ndarray) -> np.ndarray | None:
        if not self.target:
            return None
        answers: np.ndarray = self.table.frame[self.target].iloc[train].to_numpy()
        if self.task == "regression":
            answers = answers.astype(np.float32 if self.sampler.chance(0.1) else np.float64)
        elif self.last is not None and self.last.codes:
            answers = np.unique(answers, return_inverse=True)[1]
        return answers

    def _columns(self, text: str | None) -> pd.DataFrame:
        """Some columns of the table, in random order, in the types that fit will see."""
        sampler, table = self.sampler, self.table
        numbers = sampler.some(table.of_kind("fiu", self.target), 1, 7)
        others = []
        if not numbers or self.package or sampler.chance(0.55):
            others += sampler.some(table.of_kind("O", self.target), 1, 3)
            others += sampler.some(table.of_kind("b", self.target), 0, 2)
        names = [*numbers, *others, *([text] if text else [])]
        frame = table.frame[[names[i] for i in sampler.rng.permutation(len(names))]].copy()
        scheme = sampler.weighted([(0.5, "float64"), (0.25, "float32"), (0.25, "mixed")])
        whole = sampler.chance(0.5)
        short = sampler.chance(0.3)
        missing = sampler.number(0.02, 0.1) if sampler.chance(0.35) else 0.0
        words: Any = sampler.one(["object", "str", "category"])
        for name in frame.columns:
            kind = kind_of(frame[name])
            if kind == "f" or (kind in "iu" and not whole):
                values = frame[name].to_numpy(dtype=np.float64)
                values = (
                    np.round(values, 1)
                    if short and np.nanmax(np.abs(values)) > 3
                    else values.copy()
                )
                values[sampler.rng.random(len(values)) < missing] = np.nan
                wide = scheme == "float64" or (scheme == "mixed" and sampler.chance(0.5))
                frame[name] = values.astype(np.float64 if wide else np.float32)
            elif kind == "O":
                frame[name] = frame[name].astype(object if name == text else words)
        return frame

    def _of_package(self, pool: pd.DataFrame) -> Any:
        """A pipeline with steps of the package that was drawn for this number."""
        sampler, kinds = self.sampler, packages.Kinds.of(pool)
        if self.last is None or self.last.positive:
            raise ValueError("expected a last step that takes numbers of any sign")
        if self.package in (packages.CATBOOST, packages.XGBOOST):
            model = self.last.make(sampler)
            if self.package == packages.CATBOOST:
                model.set_params(cat_features=kinds.words)
            return make_pipeline(model)
        if self.package == packages.IMBLEARN:
            *steps, last_step = (step for _, step in self._columnwise(pool, None).steps)
            return imblearn_pipeline(*steps, packages.resampler(sampler), last_step)
        if not kinds.words:
            raise ValueError("expected a column of text")
        if self.package == packages.ENCODERS:
            return self._columnwise(pool, None)
        self.budget = 0
        if self.package == packages.SKRUB:
            return self._assembled(packages.table_vectorizer(sampler, self.last.takes_missing))
        return self._assembled(packages.feature_engine(sampler, pool, self.task))

    def _plain(self, pool: pd.DataFrame) -> Any:
        return self._assembled(self._numeric(pool, list(pool.columns)), width=pool.shape[1])

    def _columnwise(self, pool: pd.DataFrame, text: str | None) -> Any:
        """A ColumnTransformer with a branch for each kind of column."""
        sampler = self.sampler
        kinds = {name: kind_of(pool[name]) for name in pool.columns}
        numbers = [name for name in pool.columns if kinds[name] in "fiu"]
        few = [
            name for name in numbers if pool[name].nunique() <= _FEW_VALUES and sampler.chance(0.2)
        ]
        numbers = [name for name in numbers if name not in few]
        words = [name for name in pool.columns if kinds[name] == "O" and name != text]
        branches: list[tuple[str, Any, Any]] = []
        if text is not None:
            branches.append(("text", vectorizer(sampler), text))
        halves = (
            [numbers[::2], numbers[1::2]] if len(numbers) > 3 and sampler.chance(0.4) else [numbers]
        )
        for k, group in enumerate(half for half in halves if half):
            branches.append((f"numbers{k}", _joined(self._numeric(pool, group)), group))
        if few:
            branches.append(
                (
                    "codes",
                    _joined([*self._filled(pool, few), encoder(sampler, self._about(few))]),
                    few,
                )
            )
        if words:
            fill: list[Any] = []
            if pool[words].isna().any(axis=None) and sampler.chance(0.5):
                strategy = sampler.one(["most_frequent", "constant"])
                fill.append(SimpleImputer(strategy=strategy, fill_value="none"))
            branches.append(("words", _joined([*fill, self._encoder(words)]), words))
        flags = [name for name in pool.columns if kinds[name] == "b"]
        if flags:
            branches.append(("flags", "passthrough", flags))
        threshold, names = sampler.one([0.0, 0.3, 1.0]), sampler.chance(0.5)
        return self._assembled(
            [
                ColumnTransformer(
                    branches, sparse_threshold=threshold, verbose_feature_names_out=names
                )
            ],
            wide=True,
        )

    def _encoder(self, words: list[str]) -> Any:
        if self.package == packages.ENCODERS:
            return packages.encoder(self.sampler)
        return encoder(self.sampler, self._about(words))

    def _about(self, names: list[str], positive: bool = False) -> Columns:
        return Columns(len(names), positive=positive, task=self.task)

    def _filled(self, pool: pd.DataFrame, names: list[str]) -> list[Any]:
        has_missing = bool(pool[names].isna().any(axis=None))
        keeps = self.last is not None and self.last.takes_missing and self.sampler.chance(0.5)
        return [imputer(self.sampler, self._about(names))] if has_missing and not keeps else []

    def _numeric(self, pool: pd.DataFrame, names: list[str]) -> list[Any]:
        sampler = self.sampler
        steps = self._filled(pool, names)
        if self.last is not None and self.last.positive:
            return [*steps, MinMaxScaler(clip=True)]
        positive = bool(steps or not pool[names].isna().any(axis=None)) and bool(
            (pool[names].min() > 0).all()
        )
        self.budget -= len(steps)
        is_exact = self.last is not None and self.last.takes_missing and sampler.chance(0.35)
        while self.budget > 0 and not is_exact and (self.last is None or sampler.chance(0.6)):
            step = scaling(sampler, self._about(names, positive))
            if any(type(step) is type(other) for other in steps):
                break
            steps.append(step)
            self.budget -= 1
            positive = False
        return steps or [
            sampler.one(
                [FunctionTransformer(), VarianceThreshold(), SimpleImputer(strategy="median")]
            )
        ]

    def _assembled(self, steps: list[Any], width: int = 99, wide: bool = False) -> Any:
        """A pipeline of the steps, sometimes some steps that mix columns, and the last step."""
        sampler = self.sampler
        columns = Columns(99 if wide else width, task=self.task)
        signed = not (self.last is not None and self.last.positive)
        # Without a last step, a single transformer would be a pipeline of one step, so add another.
        is_one = (
            self.last is None and len(steps) == 1 and not isinstance(steps[0], ColumnTransformer)
        )
        while self.budget > 0 and signed and (sampler.chance(0.35) or is_one):
            is_one = False
            mixed = mixing(sampler, columns)
            steps.append(
                FeatureUnion([("mixed", mixed), ("scaled", StandardScaler())])
                if sampler.chance(0.1)
                else mixed
            )
            columns = Columns(99, task=self.task)
            self.budget -= 1
        if self.last is not None and self.last.scaled:
            steps.append(StandardScaler(with_mean=sampler.chance(0.8)))
        return make_pipeline(*steps, *([self.last.make(sampler)] if self.last is not None else []))


def _joined(steps: list[Any]) -> Any:
    return steps[0] if len(steps) == 1 else make_pipeline(*steps)


def described(model: Any) -> str:
    """Describes a pipeline by its classes.

    Example: `ColumnTransformer(StandardScaler | OneHotEncoder) > Ridge`.
    """
    if isinstance(model, Pipeline):
        return " > ".join(described(step) for _, step in model.steps)
    if isinstance(model, ColumnTransformer):
        return (
            f"ColumnTransformer({' | '.join(described(step) for _, step, _ in model.transformers)})"
        )
    if isinstance(model, FeatureUnion):
        return f"FeatureUnion({' | '.join(described(step) for _, step in model.transformer_list)})"
    return model if isinstance(model, str) else type(model).__name__
