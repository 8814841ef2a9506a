"""Objects that the tests of serving serve. Importable, so that workers find them by name."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
from sidecall import errors
from sidecall.serving import remaining
from sklearn.base import BaseEstimator, TransformerMixin


class Ratio(TransformerMixin, BaseEstimator):
    """A step that no converter supports."""

    def fit(self, rows: Any, labels: Any = None) -> Ratio:
        return self

    def transform(self, rows: Any) -> Any:
        rows = rows.copy()
        rows["ratio"] = rows["bill_length_mm"] / rows["bill_depth_mm"]
        return rows


def double(amount: float) -> float:
    return 2 * amount


def variable(name: str) -> str:
    """A variable of the environment of the process that serves."""
    return os.environ.get(name, "")


class Payment(TypedDict):
    amount: float
    country: str
    retries: int | None


class Verdict(TypedDict):
    label: Literal["no", "yes"]
    probabilities: dict[Literal["no", "yes"], float]
    reason: str


def judge(payment: Payment) -> Verdict:
    risk = min(payment["amount"] / 100, 1.0)
    reason = f"{payment['country']} {'first' if payment['retries'] is None else payment['retries']}"
    return {
        "label": "yes" if risk > 0.5 else "no",
        "probabilities": {"no": 1 - risk, "yes": risk},
        "reason": reason,
    }


def judge_all(payments: list[Payment]) -> list[Verdict]:
    return [judge(payment) for payment in payments]


@dataclass
class Area:
    square: float
    is_large: bool


def area(width: float, height: int, name: str | None = None) -> Area:
    square = width * height
    return Area(square, name == "large" or square > 10)


@dataclass
class Goods:
    price: float
    rate: float = 0.2
    count: int = 2
    country: str | None = None


def taxed(price: float, rate: float = 0.2, count: int = 2, country: str | None = None) -> float:
    return price * count * (1 if country == "CH" else 1 + rate)


def taxed_goods(goods: Goods) -> float:
    return taxed(**goods)  # type: ignore[arg-type]


def taxed_all(goods: list[Goods]) -> list[float]:
    return [taxed_goods(each) for each in goods]


def misbehave(how: str) -> float:
    if how == "raise":
        raise ValueError("secret of the server\nsecond line")
    if how == "refuse":
        raise errors.OutOfRange(
            "how: expected something else", name="how", expected="something else", got="this"
        )
    if how == "busy":
        raise errors.Busy("too much to do", retryable=True)
    if how == "not run":
        raise errors.NotRun("not now")
    if how == "exit":
        sys.exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "text":
        return "no number"  # type: ignore[return-value]
    if how == "left":
        left = remaining()
        return -1.0 if left is None else left
    if how.startswith("hold "):
        ctypes.PyDLL(None).sleep(int(how[5:]))  # does not release the GIL
    if how.startswith("sleep "):
        _, seconds, *folder = how.split(maxsplit=2)
        for each in folder:  # shows that this process has begun
            Path(each, str(os.getpid())).touch()
        time.sleep(float(seconds))
    if how.startswith("await "):
        begun, until = how.split()[1:]
        Path(begun, f"{os.getpid()}-{threading.get_ident()}").touch()
        while not Path(until).exists():
            time.sleep(0.01)
    if how == "fork":
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        return float(child)
    return float(os.getpid())


class Slow:
    """An object that can be pickled but not loaded."""

    def __call__(self, x: float) -> float:
        return x

    def __setstate__(self, state: Any) -> None:
        raise RuntimeError("cannot be loaded")

    def __getstate__(self) -> dict[str, int]:
        return {"any": 1}


class DiesAtStart:
    """An object whose first `deaths` copies kill the worker that loads them.

    With `number` 0, these copies kill no worker: they never finish loading.
    """

    def __init__(self, folder: Path, deaths: int, number: int = signal.SIGKILL) -> None:
        self.folder, self.deaths, self.number = folder, deaths, number

    def __call__(self, x: float) -> float:
        return x

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        (self.folder / f"start {os.getpid()}").touch()
        if len(list(self.folder.glob("start *"))) > self.deaths:
            return
        if self.number == 0:
            time.sleep(600)
        os.kill(os.getpid(), self.number)


def rows_of(X: np.ndarray) -> dict[str, Any]:  # noqa: N803
    return {
        "total": X.sum(axis=1),
        "names": np.array([f"row {i}" for i in range(len(X))], dtype=object),
    }


slow = Slow()
