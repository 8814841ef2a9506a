"""Converters of category encoders.

The fitted encoder is called with every category; the graph looks the answers up in a table. For a
one-hot encoder of many categories such a table would grow with the square of their number, so the
graph keeps the number of the column that is 1 (graph/one_hot.py).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from sidecall.converters import register_converter

from ..checks import Range
from ..graph.builder import Tensor
from ..graph.frame import MISSING, Frame
from ..graph.one_hot import OneHot
from ..registry import Conversion

ENCODERS = "OneHotEncoder OrdinalEncoder TargetEncoder"
# A feature with more columns than this is kept as the number of the column.
_MANY_COLUMNS = 64
# The largest number of values in one answer of the encoder, in case it answers with a dense matrix.
_VALUES_AT_ONCE = 1 << 22
# Above this number of whole categories, a look-up table is smaller and faster than comparisons.
_MANY_CATEGORIES = 64


def is_missing(value: Any) -> bool:
    # pd.NA and pd.NaT are recognised by the names of their types: comparing pd.NA with itself gives
    # no boolean, and pd.NaT is not a float.
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, (float, np.floating)) and value != value)
    )


@register_converter(f"sklearn:{ENCODERS}", "transform")
def encode(step: Any, columns: Frame, g: Conversion) -> Tensor | Frame:
    answers = _answers(step)
    accepts = _accepts_unknown(step)
    parts: list[Tensor] = []
    for k, (categories, answer) in enumerate(zip(step.categories_, answers, strict=True)):
        index = lookup(g, columns.column(k), list(categories))
        width = answer.shape[1]
        if width == 0:
            continue
        if type(step).__name__ == "OneHotEncoder" and width > _MANY_COLUMNS:
            parts.append(_column_number(g, index, answer, accepts))
            continue
        table = answer.toarray()
        if not accepts:
            table[-1] = np.nan
        picked = g.gather(g.const(table), index)
        picked.width = width
        picked.range = _range_of(table if accepts else table[:-1])
        picked.single = g.real == "float64" and bool(np.all(table == table.astype("float32")))
        parts.append(picked)
    if not parts:
        raise g.refuse("it has no output columns")
    return Frame(g, parts) if any(isinstance(p, OneHot) for p in parts) else g.concat(parts)


def _column_number(g: Conversion, index: Tensor, answer: Any, accepts: bool) -> OneHot:
    """The position of the column that is 1; `answer` is sparse, [categories + 1, columns].

    `accepts`: whether the encoder accepts unknown values.
    """
    count, width = answer.shape[0] - 1, answer.shape[1]
    codes = np.full(count + 1, width if accepts else width + 1, "int64")
    categories, columns = answer.nonzero()
    codes[categories] = columns
    if not accepts:
        codes[count] = width
    if len(np.unique(categories)) != len(categories) or not np.all(answer.data == 1.0):
        raise ValueError("expected at most one 1 in each row of a one-hot encoder, got others")
    is_same = count == width and np.array_equal(codes, np.arange(count + 1))
    code = index if is_same else g.gather(g.const(codes), index)
    return OneHot(g, code, width, g.real, refuses_unknown=not accepts)


def _answers(model: Any) -> list[Any]:
    """One sparse matrix [categories + 1, columns] for each feature.

    It holds the encoder's answer for each category, and in its last row the answer for an unknown
    category.
    """
    from scipy import sparse

    lists = [list(c) for c in model.categories_]
    longest = max(len(c) for c in lists)
    total = sum(len(c) + 1 for c in lists)
    step = max(1, _VALUES_AT_ONCE // total)
    asked = []
    for start in range(0, longest, step):
        rows = range(start, min(start + step, longest))
        asked.append(_ask(model, [[c[min(i, len(c) - 1)] for i in rows] for c in lists]))
    known = sparse.vstack(asked).tocsc()
    # If the encoder refuses unknown values, the contract refuses them too, and this row is never
    # read.
    accepts = _accepts_unknown(model)
    unknown = _ask(model, [[unseen_value(c)] for c in lists]).tocsc() if accepts else None
    answers = []
    start = 0
    for categories, width in zip(lists, _widths(model, lists, known.shape[1]), strict=True):
        stop = start + width
        last = sparse.csr_matrix((1, width)) if unknown is None else unknown[:, start:stop]
        answers.append(sparse.vstack([known[: len(categories), start:stop], last]).tocsr())
        start = stop
    return answers


def _accepts_unknown(model: Any) -> bool:
    return bool(getattr(model, "handle_unknown", "ignore") != "error")


def _range_of(table: np.ndarray) -> Range:
    missing = np.isnan(table)
    low, high = (
        reduce(np.where(missing, other, table), axis=0)
        for reduce, other in ((np.min, np.inf), (np.max, -np.inf))
    )
    return Range(low, high, missing.any(axis=0))


def _widths(model: Any, lists: list[list[Any]], total: int) -> list[int]:
    name = type(model).__name__
    if name == "OneHotEncoder":
        widths = [int(n) for n in model._n_features_outs]
    elif name == "TargetEncoder" and model.target_type_ == "multiclass":
        widths = [len(model.classes_)] * len(lists)
    else:
        widths = [1] * len(lists)
    if sum(widths) != total:
        raise ValueError(f"expected {sum(widths)} output columns, got {total}")
    return widths


def unseen_value(categories: list[Any]) -> Any:
    """A value of the same kind that is not among the categories."""
    present = [c for c in categories if not is_missing(c)]
    if any(isinstance(c, str) for c in present) or not present:
        return "\ufdd1" + "".join(sorted({str(c)[:1] for c in present}))
    return (
        max(float(c) for c in present) + 1.5
        if any(float(c) % 1 for c in present)
        else max(int(c) for c in present) + 1
    )


def _ask(model: Any, columns: list[list[Any]]) -> Any:
    """The encoder's own answers for rows that are given as columns, as a sparse matrix."""
    from scipy import sparse

    kinds = {
        np.asarray(c).dtype.kind if np.asarray(c).dtype != object else "O"
        for c in model.categories_
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if hasattr(model, "feature_names_in_"):
            import pandas as pd

            data: Any = pd.DataFrame(
                {
                    name: pd.Series(values, dtype=_dtype_of(c))
                    for name, values, c in zip(
                        model.feature_names_in_, columns, model.categories_, strict=True
                    )
                }
            )
        else:
            dtype = (
                object
                if len(kinds) > 1 or kinds & {"O", "U", "S"}
                else np.asarray(model.categories_[0]).dtype
            )
            data = np.empty(
                (len(columns[0]), len(columns)),
                dtype=dtype if kinds != {"i"} and kinds != {"b"} else "int64",
            )
            for k, values in enumerate(columns):
                data[:, k] = values
        answer: Any = model.transform(data)
    if not sparse.issparse(answer):
        answer = np.asarray(answer, dtype="float64")
    return sparse.csr_matrix(answer, dtype="float64")


def _dtype_of(categories: Any) -> Any:
    dtype = np.asarray(categories).dtype
    return "float64" if dtype.kind in "iuf" else object


def lookup(g: Conversion, x: Tensor, categories: list[Any]) -> Tensor:
    """The position of x [N, 1] in `categories`, or len(categories) if it is not among them; [N]."""
    missing = [i for i, c in enumerate(categories) if is_missing(c)]
    if len(missing) > 1:
        raise g.refuse(
            "None and NaN are two categories here, but a contract has one kind of missing value"
        )
    present = [(i, c) for i, c in enumerate(categories) if not is_missing(c)]
    strings = [isinstance(c, str) for _, c in present]
    if any(strings) and not all(strings):
        raise g.refuse("its categories are strings and numbers in one column")
    if x.dtype == "string":
        if present and not all(strings):
            raise g.refuse("its categories are numbers, but the column holds strings")
        return _lookup_strings(g, x, present, missing, len(categories))
    if any(strings):
        raise g.refuse("its categories are strings, but the column holds numbers")
    return _lookup_numbers(g, x, present, missing, len(categories))


def _lookup_strings(
    g: Conversion, x: Tensor, present: list[tuple[int, str]], missing: list[int], count: int
) -> Tensor:
    keys = [str(c) for _, c in present] + [MISSING for _ in missing]
    values = [i for i, _ in present] + missing
    if MISSING in keys[: len(present)]:
        raise g.refuse("U+FDD0, which stands for a missing string, is one of its categories")
    flat = g.flatten(x)
    if not keys:
        keys, values = [MISSING], [count]
    return g.op(
        "LabelEncoder",
        flat,
        dtype="int64",
        domain="ai.onnx.ml",
        keys_strings=keys,
        values_int64s=values,
        default_int64=count,
    )


def _lookup_numbers(
    g: Conversion, x: Tensor, present: list[tuple[int, Any]], missing: list[int], count: int
) -> Tensor:
    whole = x.dtype == "int64" and all(float(c) == int(c) for _, c in present)
    if whole and len(present) > _MANY_CATEGORIES:
        return g.op(
            "LabelEncoder",
            g.flatten(x),
            dtype="int64",
            domain="ai.onnx.ml",
            keys_int64s=[int(c) for _, c in present],
            values_int64s=[i for i, _ in present],
            default_int64=count,
        )
    # Compare in double (or as integers), so that a float32 value equals a category exactly or not
    # at all.
    value = x if whole else g.cast(x, "float64")
    offset: Any = None
    if present:
        numbers = np.array([[int(c) if whole else float(c) for _, c in present]], dtype=value.dtype)
        numbers = numbers if whole else g.snap(numbers, x.single)
        equal = g.cast(value.equals(g.const(numbers, value.dtype)), "float32")
        steps = np.array([[float(i - count)] for i, _ in present], dtype="float32")
        offset = equal @ g.const(steps, "float32")
    if missing and x.dtype in ("float32", "float64"):
        nan = g.cast(g.isnan(x), "float32") * float(missing[0] - count)
        offset = nan if offset is None else offset + nan
    if offset is None:
        offset = g.cast(value, "float32") * 0.0
    return g.cast(g.flatten(offset + float(count)), "int64")


@register_converter("sklearn:LabelBinarizer", "transform")
def label_binarizer(step: Any, columns: Frame, g: Conversion) -> Tensor:
    if step.y_type_.startswith("multilabel"):
        raise g.refuse("several labels per row are not supported")
    classes = list(step.classes_)
    index = lookup(g, columns.column(0), classes)
    table = np.full((len(classes) + 1, len(classes)), float(step.neg_label))
    np.fill_diagonal(table, float(step.pos_label))
    if len(classes) == 1:
        table[:] = float(step.neg_label)
    elif step.y_type_ == "binary":
        table = table[:, 1:]
    picked = g.gather(g.const(table), index)
    picked.width = table.shape[1]
    return picked
