"""Converters of feature_engine: imputers, encoders, selectors, wrappers and preprocessing.

Transformers of numbers are in numbers.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sidecall.converters import register_converter

from ...checks import Range
from ...graph.builder import Tensor
from ...graph.frame import MISSING, Frame, join
from ...graph.one_hot import OneHot
from ...registry import Conversion, refuses
from ..encoders import is_missing, lookup, unseen_value
from .columns import NamedColumns, is_input

ENCODERS = "CountFrequencyEncoder DecisionTreeEncoder MeanEncoder OrdinalEncoder WoEEncoder"
SELECTORS = (
    "DropConstantFeatures DropCorrelatedFeatures DropDuplicateFeatures DropFeatures "
    "DropHighPSIFeatures MRMR ProbeFeatureSelection RecursiveFeatureAddition "
    "RecursiveFeatureElimination SelectByInformationValue SelectByShuffling "
    "SelectBySingleFeaturePerformance SelectByTargetMeanPerformance SmartCorrelatedSelection"
)
# A feature with more categories than this is kept as the number of its column.
_MANY_COLUMNS = 64

refuses(
    "feature_engine:DropMissingData OutlierTrimmer",
    "it removes rows, but a file answers every row; leave it out of the pipeline that you export",
)
refuses("feature_engine:RandomSampleImputer", "it draws values at random; use another imputer")
refuses(
    "feature_engine:StringSimilarityEncoder",
    "it compares every text with the categories; use OneHotEncoder or OrdinalEncoder",
)
refuses(
    "feature_engine:GeoDistanceFeatures",
    "it computes distances on a sphere; compute these columns before, or register a converter with "
    "sidecall.register_converter",
)
refuses(
    "feature_engine:TextFeatures",
    "it measures texts, which no operator does; compute these columns before",
)
refuses(
    "feature_engine:DatetimeOrdinal DatetimeSubtraction",
    "it has no converter; compute with dates in a FunctionTransformer",
)
refuses(
    "feature_engine:LagFeatures WindowFeatures ExpandingWindowFeatures",
    "it combines several rows, but a file answers each row by itself; compute these columns before",
)


# Imputers.


@register_converter(
    "feature_engine:ArbitraryNumberImputer EndTailImputer MeanMedianImputer", "transform"
)
@register_converter("feature_engine:CategoricalImputer", "transform")
def impute(step: Any, columns: Frame, g: Conversion) -> Frame:
    named = NamedColumns(g, step, columns)
    filled = dict(step.imputer_dict_)
    parts = [_filled(g, named.column(name), value) for name, value in filled.items()]
    return named.replaced(list(filled), Frame(g, parts))


def _filled(g: Conversion, x: Tensor, value: Any) -> Tensor:
    if x.dtype == "string":
        if is_missing(value):
            return x
        if not isinstance(value, str):
            raise g.refuse(
                "it fills a column of strings with a number; use a text as the fill value"
            )
        text = g.where(x.equals(MISSING), g.const([[value]]), x)
        text.range = Range.of(-np.inf, np.inf, False, 1)  # never missing
        return text
    if not x.dtype.startswith("float"):  # never missing
        return x
    if isinstance(value, str):
        raise g.refuse("it fills a column of numbers with a string; use a number as the fill value")
    known, value = x.range, float(value)
    # A column of float32 becomes one of float64 if the value does not fit into it.
    dtype = "float32" if x.dtype == "float32" and np.float32(value) == value else "float64"
    x = g.cast(x, dtype)
    filled = g.where(g.isnan(x), g.const([[value]], dtype), x)
    filled.single = x.single and dtype == "float32"
    if g.steps is None:
        filled = g.narrow(filled)
    if known is not None:
        low, high = np.minimum(known.low, value), np.maximum(known.high, value)
        filled.range = Range(low, high, np.isnan([value]))
    return filled


@register_converter("feature_engine:AddMissingIndicator", "transform")
def indicate(step: Any, columns: Frame, g: Conversion) -> Frame:
    named = NamedColumns(g, step, columns)
    flags = []
    for name in step.variables_:
        flag = g.cast(g.missing(named.column(name)), g.real)
        flag.range = Range.of(0.0, 1.0, False, 1)
        flags.append(flag)
    return named.appended(flags)


# Encoders. The fitted encoder is called with every category of a column, with an unknown one and
# with a missing value.


class Answers(NamedTuple):
    """What an encoder answers for the values of one column.

    `values` and `refused` have an entry for each category, one for a missing value and one for an
    unknown one.
    """

    categories: list[Any]
    values: list[Any]
    refused: np.ndarray


def _answers(columns: NamedColumns, name: Any, x: Tensor, categories: list[Any]) -> Answers:
    dtype = columns.example().dtypes.iloc[columns.example_place(name)]
    categories = [c for c in categories if not is_missing(c)]
    # Types may list categories that fit did not see.
    listed = [False, True] if x.dtype == "bool" else list(getattr(dtype, "categories", ()))
    categories += [c for c in listed if c not in categories]
    missing = _asked(columns, name, np.nan)
    unknown = None if x.dtype == "bool" else _asked(columns, name, unseen_value(categories))
    try:
        values = columns.ask(name, categories) if categories else []
    except (ValueError, TypeError):
        values = [_asked(columns, name, category) for category in categories]
    values += [missing, unknown]
    refused = np.array([value is _REFUSED for value in values])
    return Answers(categories, [None if value is _REFUSED else value for value in values], refused)


_REFUSED = object()


def _asked(columns: NamedColumns, name: Any, value: Any) -> Any:
    try:
        return columns.ask(name, [value])[0]
    except (ValueError, TypeError):
        return _REFUSED


def _known(model: Any) -> dict[Any, Any]:
    """The categories that an encoder has seen, by column."""
    return dict(getattr(model, "encoder_dict_", None) or getattr(model, "category_dict_", {}))


def _position(g: Conversion, x: Tensor, known: Answers) -> Tensor:
    """The position in `known.values`, [N]. Refuses the rows for which the encoder has no answer."""
    index = lookup(g, x, [*known.categories, np.nan])
    refused = known.refused.copy()
    if x.range is not None and not x.range.missing.any():
        refused[-2] = False
    # The contract lists the categories of a column of text that callers send.
    if refused.any() and not (x.dtype == "string" and is_input(g, x)):
        bad = g.column(g.gather(g.const(refused), index))
        g.refuse_rows([bad], "known categories")
    return index


@register_converter(f"feature_engine:{ENCODERS}", "transform")
def encode(step: Any, columns: Frame, g: Conversion) -> Frame:
    named = NamedColumns(g, step, columns)
    parts = []
    for name, mapping in step.encoder_dict_.items():
        column = named.column(name)
        known = _answers(named, name, column, list(mapping))
        table = np.array([np.nan if is_missing(v) else float(v) for v in known.values])
        picked = g.gather(g.const(table.reshape(-1, 1)), _position(g, column, known))
        picked.width = 1
        answered = table[~known.refused]
        picked.range = Range.of(
            np.nanmin(answered, initial=np.inf),
            np.nanmax(answered, initial=-np.inf),
            np.isnan(answered).any(),
            1,
        )
        parts.append(picked)
    return named.replaced(list(step.encoder_dict_), Frame(g, parts))


@register_converter("feature_engine:OneHotEncoder", "transform")
def one_hot(step: Any, columns: Frame, g: Conversion) -> Frame:
    named = NamedColumns(g, step, columns)
    parts: list[Tensor] = []
    for name in step.variables_:
        column, categories = named.column(name), list(step.encoder_dict_[name])
        if not (column.dtype == "string" and is_input(g, column)):
            g.refuse_missing([column])
        index = lookup(g, column, categories)
        if len(categories) > _MANY_COLUMNS:
            parts.append(OneHot(g, index, len(categories), g.real, refuses_unknown=False))
        elif categories:
            table = np.vstack([np.eye(len(categories)), np.zeros(len(categories))])
            picked = g.gather(g.const(table), index)
            picked.width = len(categories)
            picked.range = Range.of(0.0, 1.0, False, len(categories))
            picked.single = True
            parts.append(picked)
    return named.appended(parts, step.variables_)


@register_converter("feature_engine:RareLabelEncoder MatchCategories", "transform")
def relabel(step: Any, columns: Frame, g: Conversion) -> Frame:
    """Replaces the values that are not in a list, by a label or by a missing value."""
    named = NamedColumns(g, step, columns)
    label = getattr(step, "replace_with", np.nan)
    known = _known(step)
    parts = []
    for name, categories in known.items():
        column = named.column(name)
        answers = _answers(named, name, column, list(categories))
        given = [*answers.categories, np.nan, None]
        keeps = [
            refused or value == own or (is_missing(value) and is_missing(own) and own is not None)
            for value, own, refused in zip(answers.values, given, answers.refused, strict=True)
        ]
        lost = [not k and is_missing(v) for k, v in zip(keeps, answers.values, strict=True)]
        labelled = [not k and not out for k, out in zip(keeps, lost, strict=True)]
        if any(v != label for v, new in zip(answers.values, labelled, strict=True) if new):
            raise g.refuse(
                f"it answers a category of '{name}' with neither the category nor {label!r}; "
                "encode this column in another step"
            )
        index = _position(g, column, answers)
        for changes, value in ((labelled, label), (lost, np.nan)):
            if any(changes):
                stays = g.column(g.gather(g.const(~np.array(changes)), index))
                column = _replaced(g, column, stays, value)
        parts.append(column)
    return named.replaced(list(known), Frame(g, parts))


def _replaced(g: Conversion, x: Tensor, keeps: Tensor, value: Any) -> Tensor:
    if x.dtype == "string":
        if not (isinstance(value, str) or is_missing(value)):
            raise g.refuse("it replaces strings by a number; use a text for replace_with")
        return g.where(keeps, x, g.const([[MISSING if is_missing(value) else value]]))
    if isinstance(value, str):
        raise g.refuse("it replaces numbers by a string; convert the column to strings before")
    return g.where(keeps, g.cast(x, "float64"), g.const([[float(value)]], "float64"))


# Steps that select columns, or call a step of scikit-learn.


@register_converter(f"feature_engine:{SELECTORS}", "transform")
def select(step: Any, columns: Frame, g: Conversion) -> Frame:
    return NamedColumns(g, step, columns).appended([], step.features_to_drop_)


@register_converter("feature_engine:SklearnTransformerWrapper", "transform")
def wrapper(step: Any, columns: Frame, g: Conversion) -> Frame:
    named = NamedColumns(g, step, columns)
    if hasattr(step, "features_to_drop_"):
        return named.appended([], step.features_to_drop_)
    inner = g.transform(step.transformer_, named.select(step.variables_), "transformer_")
    if type(step.transformer_).__name__ in ("OneHotEncoder", "PolynomialFeatures"):
        return named.appended(inner.parts, step.variables_)
    if inner.width != len(step.variables_):
        raise g.refuse(
            "its transformer returns another number of columns; use scikit-learn's "
            "ColumnTransformer"
        )
    return named.replaced(list(step.variables_), inner)


@register_converter("feature_engine:MatchVariables", "transform")
def match_variables(step: Any, columns: Frame, g: Conversion) -> Frame:
    example = g.examples.get(id(step))
    if step.match_dtypes and (
        example is None
        or any(example.dtypes.get(name) != dtype for name, dtype in step.dtype_dict_.items())
    ):
        raise g.refuse(
            "it changes the types of columns (match_dtypes=True); convert the columns before fit, "
            "and leave match_dtypes at False"
        )
    names = list(step.feature_names_in_)
    given = list(names if example is None else example.columns)
    if columns.width != len(given):
        raise g.refuse(f"expected {len(given)} columns, got {columns.width}")
    frames = []
    for name in names:
        part = (
            columns.select([given.index(name)])
            if name in given
            else _constant(g, columns, step.fill_value)
        )
        frames.append(part)
        if name in given and step.missing_values == "raise":
            g.refuse_missing(
                [t for t in part.parts if not (t.dtype == "string" and is_input(g, t))]
            )
    return join(g, frames)


def _constant(g: Conversion, x: Frame, value: Any) -> Frame:
    """A column with the same value in each row."""
    shape = g.concat([g.rows_of(x.column(0)), g.const([1])], axis=0)
    is_text = isinstance(value, str)
    one = g.const([[value]]) if is_text else g.const([[float(value)]], "float64")
    return g.frame(g.op("Expand", one, shape, dtype=one.dtype, width=1))
