"""Realistic business data made with fixed seeds.

It has mixed types, missing values, epoch seconds, and amounts that are rounded to cents.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def payments(rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Amounts with two decimals, epoch seconds, text with missing values. Target 1 is fraud."""
    rng = np.random.default_rng(seed)
    amount = np.round(np.exp(rng.normal(4, 1.5, rows)), 2)
    country = rng.choice(
        ["DE", "FR", "US", "BR", "JP"], rows, p=[0.4, 0.25, 0.2, 0.1, 0.05]
    ).astype(object)
    hour = rng.integers(0, 24, rows)
    risk = np.log(amount) / 4 + (country == "BR") + (hour < 5) * 0.7 + rng.normal(0, 0.5, rows)
    frame = pd.DataFrame(
        {
            "amount": amount,
            "country": country,
            "card type": rng.choice(["debit", "credit", "prepaid"], rows).astype(object),
            "epoch": 1_700_000_000 + rng.integers(0, 30_000_000, rows),
            "age": np.round(rng.normal(45, 14, rows), 1),
            "hour": hour,
            "vip": rng.random(rows) < 0.1,
        }
    )
    frame.loc[rng.random(rows) < 0.08, "age"] = np.nan
    frame.loc[rng.random(rows) < 0.06, "country"] = np.nan
    return frame, (risk > np.quantile(risk, 0.8)).astype(int)


def houses(rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """A regression problem: the target is a price with two decimals."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "area": np.round(rng.gamma(6, 18, rows), 1),
            "rooms": rng.integers(1, 9, rows),
            "city": rng.choice(["Bonn", "Köln", "Münster", "Kiel"], rows),
            "year": rng.integers(1890, 2024, rows).astype(float),
        }
    )
    frame.loc[rng.random(rows) < 0.1, "year"] = np.nan
    price = (
        frame["area"] * 3100.5
        + frame["rooms"] * 900
        + (frame["city"] == "Kiel") * 40_000
        + rng.normal(0, 9000, rows)
    )
    return frame, price.round(2).to_numpy()


_WORDS = {
    "spam": ["win", "free", "prize", "now", "click"],
    "ham": ["meeting", "report", "monday", "lunch", "budget"],
}


def messages(rows: int, seed: int = 0) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    labels = rng.choice(["ham", "spam"], rows).tolist()
    common = ["the", "a", "Please", "tomorrow", "we", "you", "é", "100", "can't"]
    texts = [" ".join(rng.choice(_WORDS[label] + common, rng.integers(3, 14))) for label in labels]
    return texts, labels
