"""The list of real pipelines: where each is shown, and the function that builds and fits it.

The steps and parameters are those of the page. The data are real, of an installed package and with
columns of the same kinds, because nothing is downloaded. Ensembles have fewer members and searches
fewer candidates than on the page, so that all pipelines can be fitted in a minute. The list also
has what the pages do and export refuses.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Build = Callable[[], tuple[Any, Any]]

BASES = {
    "scikit-learn": "https://scikit-learn.org/stable/",
    "LightGBM": "https://github.com/microsoft/LightGBM/blob/master/examples/python-guide/",
    "LightGBM docs": "https://lightgbm.readthedocs.io/en/stable/",
    "XGBoost": "https://xgboost.readthedocs.io/en/stable/",
    "imbalanced-learn": "https://imbalanced-learn.org/stable/",
    "category_encoders": "https://contrib.scikit-learn.org/category_encoders/",
    "statsmodels": "https://www.statsmodels.org/stable/",
    "scikit-learn MOOC": "https://inria.github.io/scikit-learn-mooc/python_scripts/",
    "mlcourse.ai": "https://mlcourse.ai/book/",
    "Kaggle": "https://www.kaggle.com/",
    "Python Data Science Handbook": "https://jakevdp.github.io/PythonDataScienceHandbook/",
    "Hands-On Machine Learning": "https://github.com/ageron/handson-ml3/blob/main/",
}
_MODULES = (
    "compose preprocessing linear_models trees ensembles text neighbours_and_kernels "
    "unsupervised selection time_and_target boosting other_packages courses"
)


@dataclass(frozen=True)
class Example:
    """`build` returns a fitted model and the rows that it was fitted on.

    The rows are a DataFrame, an array, or a list of texts.
    """

    name: str
    library: str
    title: str
    address: str
    build: Build


_found: dict[str, Example] = {}


def page(library: str, title: str, path: str) -> Callable[[Build], Build]:
    """Registers the decorated function as what the page `path` of the library shows."""

    def register(build: Build) -> Build:
        name = build.__name__
        if name in _found:
            raise ValueError(f"two examples are named '{name}'")
        address = BASES[library] + path
        _found[name] = Example(name, library.removesuffix(" docs"), title, address, build)
        return build

    return register


def examples() -> list[Example]:
    """All examples, in the order of the modules."""
    for module in _MODULES.split():
        importlib.import_module(f"{__package__}.{module}")
    return list(_found.values())


def fitted(model: Any, rows: Any, target: Any = None) -> tuple[Any, Any]:
    """Fits the model; returns it with the rows."""
    return (model.fit(rows) if target is None else model.fit(rows, target)), rows
