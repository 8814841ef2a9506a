"""Converters of the package category_encoders.

As for scikit-learn's encoders, the fitted encoder is called with every category of a column, with an
unknown one and with a missing value; the graph looks the answers up in a table. Each of its output
columns depends on one input column.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ..graph.builder import Tensor
from ..graph.frame import Frame
from ..registry import Conversion, refuses
from .encoders import is_missing, lookup, unseen_value

ENCODERS = (
    "BackwardDifferenceEncoder BaseNEncoder BinaryEncoder CatBoostEncoder CountEncoder GLMMEncoder "
    "HelmertEncoder JamesSteinEncoder LeaveOneOutEncoder MEstimateEncoder OneHotEncoder "
    "OrdinalEncoder PolynomialEncoder QuantileEncoder RankHotEncoder SumEncoder TargetEncoder "
    "WOEEncoder"
)

refuses(
    "category_encoders:CountTargetEncoder MultiHotEncoder",
    "it has no converter; use CountEncoder and TargetEncoder, or OneHotEncoder",
)
refuses("category_encoders:HashingEncoder", "it computes a hash of each value; use BinaryEncoder")


@register_converter(f"category_encoders:{ENCODERS}", "transform")
def encode(step: Any, columns: Frame, g: Conversion) -> Frame:
    import pandas as pd

    names = [str(name) for name in step.feature_names_in_]
    encoded = {name: _categories(g, step, name) for name in map(str, step.cols)}
    base = {name: encoded[name][0] if name in encoded else 0.0 for name in names}

    def ask(name: str, values: list[Any]) -> Any:
        frame = pd.DataFrame({each: [value] * len(values) for each, value in base.items()})
        frame[name] = pd.Series(values, dtype=object if name in encoded else "float64")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return step.transform(frame.astype(dict.fromkeys(encoded, object)))

    tables = {name: _answers(g, step, name, encoded[name], ask) for name in encoded}
    outputs = list(ask(names[0], [base[names[0]]]).columns)
    parts: list[Tensor] = []
    for output in outputs:
        varying = [n for n, table in tables.items() if table[output].nunique(dropna=False) > 1]
        if output in names and output not in encoded:
            parts.append(columns.column(names.index(output)))
            continue
        if len(varying) > 1:
            raise g.refuse(f"its output column '{output}' depends on several columns")
        # A column that never varies can be looked up with any input.
        source = varying[0] if varying else next(iter(encoded))
        categories = [*encoded[source], None]
        table = tables[source][output].to_numpy("float64").reshape(-1, 1)
        picked = g.gather(
            g.const(table), lookup(g, columns.column(names.index(source)), categories)
        )
        picked.width = 1
        parts.append(picked)
    return Frame(g, parts)


def _categories(g: Conversion, model: Any, name: str) -> list[Any]:
    """The categories of a column that the encoder has seen, without the missing value."""
    inner = getattr(model, "ordinal_encoder", None)
    mapping = model.mapping if inner is None else inner.mapping
    known = (
        mapping[name]
        if isinstance(mapping, dict)
        else next(entry["mapping"] for entry in mapping if str(entry["col"]) == name)
    )
    categories = [value for value in known.index if not is_missing(value)]
    if not categories:
        raise g.refuse(f"its column '{name}' has no category except the missing value")
    return categories


def _answers(g: Conversion, model: Any, name: str, categories: list[Any], ask: Any) -> Any:
    """The encoder's answers for each category, a missing value and an unknown one, as a frame.

    If the encoder refuses one of the last two, the contract refuses it as well; its row is NaN.
    """
    import pandas as pd

    known = ask(name, categories)
    varying = known.columns[known.nunique(dropna=False) > 1]
    parts = [known]
    for value in (np.nan, unseen_value(categories)):
        try:
            # Together with a category: some encoders do not recognise a missing value alone.
            parts.append(ask(name, [categories[0], value])[1:])
        except ValueError:
            parts.append(known[:1].mask(known.columns.isin(varying)[np.newaxis, :]))
    return pd.concat(parts, ignore_index=True)
