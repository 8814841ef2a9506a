"""Converters of skrub: TableVectorizer, its steps, and the transformers of single columns."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ...checks import Range
from ...graph.builder import Tensor
from ...graph.frame import MISSING, Frame, join
from ...registry import Conversion, refuses
from ..encoders import is_missing
from ..feature_extraction import space_class
from ..preprocessing import scaled

_INSTEAD = "use StringEncoder, or an encoder of scikit-learn"
refuses("skrub:GapEncoder", f"it optimises for each text; {_INSTEAD}")
refuses("skrub:MinHashEncoder", f"it computes hashes of each text; {_INSTEAD}")
refuses("skrub:LLMEncoder TextEncoder", f"it calls a language model; {_INSTEAD}")
refuses("skrub:SimilarityEncoder", f"it compares every text with the categories; {_INSTEAD}")
refuses(
    "skrub:Joiner AggJoiner MultiAggJoiner InterpolationJoiner AggTarget",
    "it looks rows up in another table; join the tables before",
)
refuses(
    "skrub:SessionEncoder",
    "it combines several rows, but a file answers each row by itself; compute this column before",
)
refuses("skrub:CatEncoder", "it has no converter; use OneHotEncoder or OrdinalEncoder")

Convert = Callable[[Any, Frame, str], Frame]


# Steps that apply transformers to columns.


@register_converter("skrub:TableVectorizer", "transform")
def table_vectorizer(step: Any, columns: Frame, g: Conversion) -> Frame:
    for name, inner in step._pipeline.steps:
        with g.step(name, type(inner).__name__):
            if type(getattr(inner, "transformer", None)).__name__ == "CleanNullStrings":
                columns = _each_column(
                    g,
                    inner,
                    columns,
                    lambda t, part, column: _clean(g, t, part, _needs(step, column)),
                )
            else:
                columns = g.transform(inner, columns)
    return columns


def _needs(model: Any, column: str) -> bool:
    """Whether the encoder of this column distinguishes a blank text from a missing one."""
    encoder = model.transformers_.get(column)
    kind = type(encoder).__name__
    if kind == "StringEncoder":
        return encoder.analyzer not in ("word", "char_wb")
    if kind in ("OneHotEncoder", "OrdinalEncoder"):
        # Both are unknown categories if fit saw no missing value.
        return encoder.handle_unknown == "error" or any(map(is_missing, encoder.categories_[0]))
    return True


@register_converter("skrub:Cleaner", "transform")
def cleaner(step: Any, columns: Frame, g: Conversion) -> Frame:
    return g.transform(step._pipeline, columns)


@register_converter("skrub:CheckInputDataFrame", "transform")
def checked(step: Any, columns: Frame, g: Conversion) -> Frame:
    return columns


@register_converter("skrub:ApplyToCols", "transform")
def apply_to_columns(step: Any, columns: Frame, g: Conversion) -> Frame:
    return g.transform(step._wrapped_transformer, columns)


@register_converter("skrub:ApplyToEachCol", "transform")
def apply_to_each(step: Any, columns: Frame, g: Conversion) -> Frame:
    return _each_column(g, step, columns, g.transform)


def _each_column(g: Conversion, model: Any, x: Frame, convert: Convert) -> Frame:
    names = list(model.all_inputs_)
    _check_width(g, x, names)
    frames = []
    # Adjacent columns that stay, or that become float32, remain one tensor.
    for _, group in groupby(range(len(names)), lambda k: _alike(model.transformers_, names, k)):
        places = list(group)
        columns, transformer = x.select(places), model.transformers_.get(names[places[0]])
        if transformer is None or model.keep_original:
            frames.append(columns)
        if transformer is not None:
            frames.append(convert(transformer, columns, str(names[places[0]])))
    return join(g, frames)


def _alike(transformers: dict[Any, Any], names: list[Any], place: int) -> Any:
    transformer = transformers.get(names[place])
    is_plain = transformer is None or type(transformer).__name__ in ("PassThrough", "ToFloat")
    return type(transformer) if is_plain else place


@register_converter("skrub:ApplyToSubFrame", "transform")
def apply_to_frame(step: Any, columns: Frame, g: Conversion) -> Frame:
    names = list(step.all_inputs_)
    _check_width(g, columns, names)
    kept = names if step.keep_original else [n for n in names if n not in step._columns]
    frames = [columns.select(names.index(name) for name in kept)]
    if step._columns:
        chosen = columns.select(names.index(name) for name in step._columns)
        frames.append(g.transform(step.transformer_, chosen, "transformer_"))
    return join(g, frames)


@register_converter("skrub:SelectCols DropCols", "transform")
def select(step: Any, columns: Frame, g: Conversion) -> Frame:
    names = g.column_names(step)
    if names is None:
        raise g.refuse("the names of its columns are not known; pass `data`")
    kept = step.columns_ if hasattr(step, "columns_") else step.kept_cols_
    return columns.select(names.index(str(name)) for name in kept)


def _check_width(g: Conversion, x: Frame, names: list[Any]) -> None:
    if x.width != len(names):
        raise g.refuse(
            f"expected {len(names)} columns, as in fit, got {x.width}; pass `data` with the columns "
            "that fit got"
        )


# Transformers of one column.


@register_converter("skrub:CleanNullStrings", "transform")
def clean_null_strings(step: Any, columns: Frame, g: Conversion) -> Frame:
    return _clean(g, step, columns, finds_blank=True)


def _clean(g: Conversion, model: Any, x: Frame, finds_blank: bool) -> Frame:
    """Texts such as "N/A" become missing, and so do blank texts if `finds_blank`."""
    column = x.column(0)
    if column.dtype != "string":
        return x
    nulls = list(dict.fromkeys(model.null_strings_))
    found = g.op(
        "LabelEncoder",
        column,
        dtype="int64",
        width=1,
        domain="ai.onnx.ml",
        keys_strings=nulls,
        values_int64s=[1] * len(nulls),
        default_int64=0,
    ).equals(1)
    if finds_blank:
        blank = f"[{space_class()}]*"
        found = found | g.op("RegexFullMatch", column, dtype="bool", width=1, pattern=blank)
    return g.frame(g.where(found, g.const([[MISSING]]), column))


@register_converter("skrub:DropUninformative Drop", "transform")
def drop(step: Any, columns: Frame, g: Conversion) -> Frame:
    return columns if getattr(step, "drop_", True) is False else Frame(g, [])


@register_converter("skrub:PassThrough", "transform")
def pass_through(step: Any, columns: Frame, g: Conversion) -> Frame:
    return columns


@register_converter("skrub:ToStr CleanCategories ToCategorical", "transform")
def to_text(step: Any, columns: Frame, g: Conversion) -> Frame:
    if columns.dtypes != ["string"]:
        raise g.refuse(
            "it converts numbers to texts or categories; convert this column to strings before fit, "
            "and send strings"
        )
    return columns


@register_converter("skrub:ToFloat", "transform")
def to_float(step: Any, columns: Frame, g: Conversion) -> Frame:
    if "string" in columns.dtypes:
        raise g.refuse(
            "it reads numbers from texts; convert this column to numbers before fit, and send numbers"
        )
    return Frame(g, [g.cast(part, "float32") for part in columns.parts])


@register_converter("skrub:StringEncoder", "transform")
def string_encoder(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """Counts of the parts of a text, projected: in double, and then in float32."""
    column = columns.column(0)
    if column.dtype != "string":
        raise g.refuse(
            "it expects one column of strings; convert this column to strings before fit"
        )
    text = g.where(column.equals(MISSING), g.const([[""]]), column)
    counts = g.transform(step.vectorizer_, Frame(g, [text]), "vectorizer_").matrix()
    counts = g.cast(counts, g.real)
    if hasattr(step, "tsvd_"):
        counts = g.transform(step.tsvd_, Frame(g, [counts]), "tsvd_").matrix()
    else:
        counts = g.columns(counts, range(step.n_components_))
    divided = g.cast(counts, "float64") / float(step.scaling_factor_)
    return g.cast(divided, g.real)


@register_converter("skrub:SquashingScaler", "transform")
def squashing_scaler(step: Any, columns: Frame, g: Conversion) -> Tensor:
    """A scaler of quantiles, whose results are squashed between two bounds."""
    y = columns.matrix()
    infinite = g.unary("IsInf", y, "bool")
    finite = g.where(infinite, float("nan"), y)
    parts, order = [], []
    for chosen, operations in (
        (step.robust_cols_, _robust(step)),
        (step.minmax_cols_, _min_max(step)),
        (step.zero_cols_, [("Mul", [0.0])]),
    ):
        places = np.flatnonzero(chosen).tolist()
        if places:
            parts.append(scaled(g, Frame(g, [g.columns(finite, places)]), operations))
            order += places
    values = g.columns(g.concat(parts), np.argsort(order))
    largest = float(step.max_absolute_value)
    ratio = values / largest
    squashed = values / g.sqrt(ratio * ratio + 1.0)
    bound = g.unary("Sign", y) * largest
    result = g.where(infinite, bound, squashed)
    missing = np.ones(columns.width, dtype=bool) if columns.range is None else columns.range.missing
    result.range = Range.of(-2.0 * largest, 2.0 * largest, missing, columns.width)
    return result


def _robust(model: Any) -> list[tuple[str, Any]]:
    inner = model.robust_scaler_
    return [] if inner is None else [("Sub", inner.center_), ("Div", inner.scale_)]


def _min_max(model: Any) -> list[tuple[str, Any]]:
    inner = model.minmax_scaler_
    return [] if inner is None else [("Sub", inner.median_), ("Mul", inner.scale_)]
